"""Attacks that compare what a cover may leave of a latent with the attacker's own encoding of a gallery.

Each takes the world once (`start`) and gives scores of every sealing that follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from ffem_cli.evidence.attacks import covers
from ffem_cli.evidence.attacks.features import Standard, gram, nearness, templates, unit
from ffem_cli.evidence.attacks.scene import ANOTHER, SAME, Floats
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Sealing, World

Step = Callable[[Sealing], Mapping[str, Scores]]
_EVERY = 8  # order statistic


def expected(world: World) -> dict[str, Floats]:
    """Of the gallery's latents what each lets one expect of the sealed one (P, n)."""
    out = dict(world.gallery)
    out[ANOTHER] = templates(out[ANOTHER], *world.known, world.model.flow.level_slices)
    return out


def latents(world: World) -> Step:
    """Nearest neighbour: cosine of the cover and a gallery's latent, in units of the latents' spread."""
    scale = Standard(np.concatenate(world.known))
    gallery = {photo: unit(scale(z)) for photo, z in expected(world).items()}

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        probe = scale(sealing.probe)
        return {photo: world.scores(probe @ rows.T) for photo, rows in gallery.items()}

    return step


def gram_matching(world: World) -> Step:
    """Z^T Z, which A Z has as well; in units of its spread over faces that the attacker knows."""
    scale = Standard(gram(world.known[0]))
    gallery = {}
    for photo, z in expected(world).items():
        rows = gram(z)
        gallery[photo] = unit((rows - rows.mean(axis=0)) / scale.spread)

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        probe = gram(sealing.probe)
        probe = (probe - probe.mean(axis=0)) / scale.spread
        return {photo: world.scores(probe @ rows.T) for photo, rows in gallery.items()}

    return step


def _norm(rows: Floats) -> Floats:
    return np.asarray(np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True))


def galleries(world: World) -> dict[str, Floats]:
    """The gallery, and the sealed latents themselves: for an attacker who even knows the noise that a key adds."""
    return {**world.gallery, f"{SAME}, noise known": world.sealed}


def norm(world: World) -> Step:
    """The norm, which no rotation changes."""
    gallery = {photo: _norm(z) for photo, z in galleries(world).items()}

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        own = _norm(sealing.probe)
        return {photo: world.scores(-np.abs(own - theirs.T)) for photo, theirs in gallery.items()}

    return step


def norm_rounding(world: World) -> Step:
    """What rounding adds to the norm: the attacker seals his photos himself, and compares what is left beside sqrt(n),
    and the second to fourth moments of the fractions that rounding leaves."""
    rng = world.rng("rounding")
    gallery = {photo: _rounding(covers.cover(z, "sphere", rng)) for photo, z in galleries(world).items()}

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        own = _rounding(sealing.probe)
        scale = Standard(own)
        return {photo: world.scores(nearness(scale(own), scale(rows))) for photo, rows in gallery.items()}

    return step


def _rounding(rows: Floats) -> Floats:
    """(N, 3): norm beyond sqrt(n), and mean fourth and sixth powers, in which clipping and rounding show."""
    exact = rows.astype(np.float64)
    beyond = np.linalg.norm(exact, axis=1) - math.sqrt(rows.shape[1])
    return np.asarray(np.stack([beyond, (exact**4).mean(axis=1), (exact**6).mean(axis=1)], axis=1))


def undo_last(world: World) -> Step:
    """The last Walsh-Hadamard transform needs no key to be undone; signs and permutations leave sorted magnitudes."""
    sorted_ = {photo: _magnitudes(_on_sphere(z)) for photo, z in galleries(world).items()}
    scale = Standard(np.concatenate([_magnitudes(_on_sphere(z)) for z in world.known]))
    gallery = {photo: scale(rows) for photo, rows in sorted_.items()}

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        own = scale(_magnitudes(sealing.undone))
        return {photo: world.scores(nearness(own, rows)) for photo, rows in gallery.items()}

    return step


def _on_sphere(rows: Floats) -> Floats:
    return unit(rows) * np.float32(math.sqrt(rows.shape[1]))


def _magnitudes(rows: Floats) -> Floats:
    """Every eighth order statistic of |row|, and the largest: (N, n / 8)."""
    return np.asarray(np.sort(np.abs(rows), axis=1)[:, _EVERY - 1 :: _EVERY])


def linking_by_gram(world: World) -> Step:
    """Two captures of one face, both sealed: their Gram matrices."""
    scale = Standard(gram(world.known[0]))

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        own = (gram(sealing.probe) - scale.mean) / scale.spread
        out = {}
        for photo, second in sealing.second.items():
            rows = (gram(second) - scale.mean) / scale.spread
            out[photo] = world.scores(own @ unit(rows).T)
        return out

    return step


def linking_by_values(world: World) -> Step:
    """Two captures of one face, both sealed: coordinates as they are, and sorted magnitudes with the last transform
    undone, the ranks of both added."""

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        out = {}
        own = _magnitudes(sealing.undone)
        scale = Standard(own)
        for photo, second in sealing.second.items():
            direct = unit(sealing.probe) @ unit(second).T
            values = nearness(scale(own), scale(_magnitudes(covers.undone(second))))
            out[photo] = world.scores(_standing(direct) + _standing(values))
        return out

    return step


def _standing(matrix: Floats) -> Floats:
    """Each row in units of its spread."""
    spread = np.maximum(matrix.std(axis=1, keepdims=True), 1e-12)
    return np.asarray((matrix - matrix.mean(axis=1, keepdims=True)) / spread, np.float32)
