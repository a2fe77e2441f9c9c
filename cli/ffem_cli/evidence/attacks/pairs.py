"""Known plaintext: the attacker has latents and covers of other people's faces, and compares a new cover with them.

Under one key that is the end of both rotations, which is why no key is used twice. Under fresh keys the pairs say
nothing about the next face.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from ffem_cli.evidence.attacks.features import Standard, nearness, side, unit
from ffem_cli.evidence.attacks.invariants import Step, expected
from ffem_cli.evidence.attacks.scene import Floats
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Sealing, World

COUNTS = (1, 4, 16, 64)


def known_plaintext(count: int, *, one_key: bool) -> Callable[[World], Step]:
    """The attack with `count` pairs, all under the key of the faces attacked, or under keys of their own.

    `block`: A follows from the pairs (Schoenemann's orthogonal Procrustes problem, 1966; 3m columns determine m rows,
    so one pair is enough) and is undone. Otherwise: a rotation keeps inner products with what was rotated alike, so
    those of a cover with the known covers are compared with those of a gallery's latents with the known latents.
    """

    def start(world: World) -> Step:
        plain = world.known[0][: min(count, len(world.known[0]))]
        gallery = expected(world)

        def step(sealing: Sealing) -> Mapping[str, Scores]:
            probe, known = sealing.under_one_key if one_key else (sealing.probe, sealing.known)
            known = known[: len(plain)]
            if sealing.rotation == "block":
                return _by_matrix(world, probe, plain, known, gallery)
            return _by_products(world, probe, plain, known, gallery)

        return step

    return start


def _by_matrix(
    world: World, probe: Floats, plain: Floats, known: Floats, gallery: Mapping[str, Floats]
) -> Mapping[str, Scores]:
    m = side(probe.shape[1])
    crossed = np.zeros((m, m))
    for z, y in zip(plain, known, strict=True):
        crossed += y.reshape(m, 3 * m).astype(np.float64) @ z.reshape(m, 3 * m).T
    left, _, right = np.linalg.svd(crossed)
    undo = (left @ right).T.astype(np.float32)
    back = np.stack([(undo @ y.reshape(m, 3 * m)).reshape(-1) for y in probe])
    scale = Standard(np.concatenate(world.known))
    return {photo: world.scores(scale(back) @ unit(scale(rows)).T) for photo, rows in gallery.items()}


def _by_products(
    world: World, probe: Floats, plain: Floats, known: Floats, gallery: Mapping[str, Floats]
) -> Mapping[str, Scores]:
    own = unit(probe) @ unit(known).T
    out = {}
    for photo, rows in gallery.items():
        theirs = unit(rows) @ unit(plain).T
        scale = Standard(theirs) if len(plain) > 1 else Standard(np.concatenate([theirs, theirs + 1e-3]))
        out[photo] = world.scores(nearness(scale(own), scale(theirs)) / math.sqrt(len(plain)))
    return out
