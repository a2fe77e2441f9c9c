"""Nearest neighbour on fakes: the faces that the public decodes from Z_enc, compared with photos."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from ffem_cli.eval.recognisers import crop_square
from ffem_cli.evidence.attacks.features import Standard, unit
from ffem_cli.evidence.attacks.invariants import Step
from ffem_cli.evidence.attacks.scene import Floats, Picture, inside
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Sealing, World, decoded
from ffem_cli.pictures import FAKE_TEMPERATURE

_SIDE = 32  # px


def fakes(sealing: Sealing) -> Picture:
    """Fake faces uint8 (P, m, m, 3) at the default temperature, of what the camera published."""
    world = sealing.world
    return decoded(world, sealing.probe, sealing.name, lambda part: world.model.draw(part, FAKE_TEMPERATURE))


def nearest_fake(world: World) -> Step:
    """Fakes against photos: pixels of 32 x 32 px, and with a recogniser its vectors."""
    inner = inside(world.model)  # fakes have no margin
    pixels = {photo: _thumbnails(faces.squares[:, inner, inner]) for photo, faces in world.looks().items()}
    scale = Standard(_thumbnails(world.others.first.squares[:, inner, inner]))
    gallery = {photo: unit(scale(rows)) for photo, rows in pixels.items()}

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        drawn = fakes(sealing)
        own = _thumbnails(drawn)
        own = own - own.mean(axis=0)
        out = {f"{photo}, pixels": world.scores(own @ rows.T) for photo, rows in gallery.items()}
        if world.recogniser is not None:
            network = world.recogniser
            vectors = np.concatenate([network.embed([crop_square(face, network)]) for face in drawn])
            for photo, faces in world.looks().items():
                out[f"{photo}, recogniser"] = world.scores(vectors @ faces.vectors.T)
        return out

    return step


def _thumbnails(faces: Picture) -> Floats:
    """(N, 32 * 32 * 3), brightness and contrast of each taken off."""
    small = [cv2.resize(face, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel() for face in faces]
    rows = np.stack(small).astype(np.float32)
    rows -= rows.mean(axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(rows.std(axis=1, keepdims=True), 1e-3))
