"""Two models: a face sealed with the camera's model, looked for in a gallery that another model encoded.

The attacker learns, on faces of his own, what features of covers in one model tell of features in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ffem_cli.evidence.attacks import covers
from ffem_cli.evidence.attacks.features import Principal, gram, side, unit
from ffem_cli.evidence.attacks.invariants import Step
from ffem_cli.evidence.attacks.scene import Faces, Floats
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Sealing, World

_COMPONENTS, _TRAINED = 100, 600
_RIDGE = 30.0


def crossing(world: World) -> Step:
    """Ridge regression from a cover's Gram matrix, norm and singular values (components of them) to components of the
    other model's latents; for latents without a rotation from the latents themselves."""
    faces = _some(world.trainees, _TRAINED)
    encoded = world.in_other_model(faces, "own")
    theirs = Principal(encoded, _COMPONENTS)
    wanted = theirs(encoded)
    gallery = {
        photo: unit(theirs(world.in_other_model(looks, f"gallery, {photo}"))) for photo, looks in world.looks().items()
    }
    maps: dict[str, Callable[[Floats], Floats]] = {}

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        if sealing.rotation not in maps:
            rows = covers.cover(
                world.trainee_latents[:_TRAINED], sealing.rotation, world.rng("crossing", sealing.rotation)
            )
            maps[sealing.rotation] = _learnt(_features(rows, sealing.rotation), wanted)
        told = unit(maps[sealing.rotation](_features(sealing.probe, sealing.rotation)))
        return {photo: world.scores(told @ rows.T) for photo, rows in gallery.items()}

    return step


def _some(faces: Faces, count: int) -> Faces:
    return Faces(*(getattr(faces, name)[:count] for name in Faces.__annotations__))


def _features(rows: Floats, rotation: str) -> Floats:
    if rotation == covers.NONE:
        return rows
    m = side(rows.shape[1])
    values = np.stack([np.linalg.svd(row.reshape(m, 3 * m), compute_uv=False) for row in rows])
    return np.concatenate([gram(rows), values], axis=1).astype(np.float32)


def _learnt(rows: Floats, wanted: Floats) -> Callable[[Floats], Floats]:
    components = Principal(rows, _COMPONENTS)
    x = components(rows).astype(np.float64)
    weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ wanted).astype(np.float32)
    return lambda given: np.asarray(components(given) @ weights)
