"""Ways to hide a face that others use, beside which ours stand: a picture and where a face is in it -> the covered one.

Strengths are in pixels of the face aligned at 128 px (`align.similarity`), so that they mean the same for small faces
and large ones. All of them cover the same box as I_enc does, but those of the tool `deface`, which has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.posing import align

Picture = NDArray[np.uint8]
ALIGNED = 128  # px


@dataclass(frozen=True)
class Face:
    """Where a face is: the detector's box (left, top, right, bottom) and landmarks (5, 2), in px of the picture."""

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64]

    @property
    def scale(self) -> float:
        """Pixels of the picture a pixel of the aligned face."""
        linear = align.similarity(self.landmarks, ALIGNED)[:, :2]
        return float(np.sqrt(abs(np.linalg.det(linear))))


@dataclass(frozen=True)
class Cover:
    """A way to hide a face: `name` for machines, `label` for readers, and `apply(picture, face)`, which leaves the
    picture given to it as it is."""

    name: str
    label: str
    apply: Callable[[Picture, Face], Picture]


def _region(picture: Picture, face: Face) -> tuple[slice, slice]:
    box = align.cover_box(face.box, picture.shape[1], picture.shape[0])
    return box.rows, box.columns


def black(picture: Picture, face: Face) -> Picture:
    """The box in black."""
    out = picture.copy()
    out[_region(picture, face)] = 0
    return out


def pixelate(picture: Picture, face: Face, side: float) -> Picture:
    """The box in squares of `side` px of the aligned face, each its mean colour."""
    out, where = picture.copy(), _region(picture, face)
    part = out[where]
    cells = tuple(max(1, round(length / (side * face.scale))) for length in (part.shape[1], part.shape[0]))
    small = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
    out[where] = cv2.resize(small, (part.shape[1], part.shape[0]), interpolation=cv2.INTER_NEAREST)
    return out


def blur(picture: Picture, face: Face, sigma: float) -> Picture:
    """The box under a Gaussian of `sigma` px of the aligned face."""
    out, where = picture.copy(), _region(picture, face)
    out[where] = cv2.GaussianBlur(picture, (0, 0), sigma * face.scale)[where]
    return out


def deface(picture: Picture, face: Face, mode: str) -> Picture:
    """What `deface` 1.5 draws over the same detection in its `mode` blur or mosaic, at its defaults: the box 1.3
    times as large, an ellipse for blur, squares of 20 px for mosaic."""
    from deface.deface import draw_det, scale_bb

    out, (height, width) = picture.copy(), picture.shape[:2]
    x1, y1, x2, y2 = (int(v) for v in scale_bb(*face.box, 1.3))
    y1, y2, x1, x2 = max(0, y1), min(height - 1, y2), max(0, x1), min(width - 1, x2)
    draw_det(out, 1.0, 0, x1, y1, x2, y2, replacewith=mode)
    return out


def _kept(picture: Picture, _: Face) -> Picture:
    return picture.copy()


ORIGINAL = Cover("original", "original", _kept)
COVERS = (
    ORIGINAL,
    Cover("black", "blacked out", black),
    Cover("pixels-4", "pixels of 4 px", partial(pixelate, side=4)),
    Cover("pixels-8", "pixels of 8 px", partial(pixelate, side=8)),
    Cover("pixels-16", "pixels of 16 px", partial(pixelate, side=16)),
    # the widths that OpenCV gives to kernels of these sizes
    Cover("blur-3x3", "Gaussian, 3 x 3 kernel (sigma 0.8 px)", partial(blur, sigma=0.8)),
    Cover("blur-9x9", "Gaussian, 9 x 9 kernel (sigma 1.7 px)", partial(blur, sigma=1.7)),
    Cover("blur-4", "Gaussian, sigma 4 px", partial(blur, sigma=4)),
    Cover("blur-12", "Gaussian, sigma 12 px", partial(blur, sigma=12)),
    Cover("blur-24", "heavy blur, sigma 24 px", partial(blur, sigma=24)),
    Cover("deface-blur", "deface, its default (blur in an ellipse)", partial(deface, mode="blur")),
    Cover("deface-mosaic", "deface, mosaic", partial(deface, mode="mosaic")),
)
