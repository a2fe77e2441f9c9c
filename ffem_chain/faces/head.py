"""A head around a decoded face: the flow's square ends at the forehead and at the chin, and a face alone looks like a
mask. Hair and neck are drawn in the face's own colours; nothing of them comes from the camera.

The canvas is 2m x 2m px with the model's square in its middle. Lengths below are in sides of that square, its origin at
the square's top left.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.align import Matrix
from ffem_chain.faces.cover import smooth_fill

Float = NDArray[np.float32]
_HAIR_SHADE, _NECK_SHADE = 0.3, 0.85  # of the face's colours


def _ramp(x: Float) -> Float:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def _ellipse(x: Float, y: Float, half_width: float, half_height: float) -> Float:
    return np.asarray(np.hypot((x - 0.5) / half_width, y / half_height), np.float32)


@cache
def _masks(size: int) -> tuple[Float, Float, Float]:
    """(head, hair, neck), each float32 (2m, 2m, 1) in [0, 1]."""
    y, x = (np.mgrid[: 2 * size, : 2 * size].astype(np.float32) + 0.5) / size - 0.5
    above = y < 0.42
    outline = _ellipse(x, (y - 0.42) * np.where(above, 1 / 0.72, 1 / 0.60).astype(np.float32), 0.57, 1)
    head = _ramp((1 - outline) / 0.16)
    hair = _ramp((_ellipse(x, y - 0.50, 0.50, 0.54) - 0.97) / 0.20) * _ramp((0.5 - y) / 0.35)
    neck = _ramp((0.38 + 0.3 * np.maximum(0, y - 1) - np.abs(x - 0.5)) / 0.16) * _ramp((y - 0.55) / 0.2)
    return head[..., None], hair[..., None], neck[..., None]


def head(face: NDArray[np.uint8]) -> tuple[Float, Float]:
    """uint8 (m, m, 3) -> (head float32 (2m, 2m, 3), its mask float32 (2m, 2m, 1), soft at the rim)."""
    size = face.shape[0]
    inner = slice(size // 2, size // 2 + size)
    canvas, unknown = np.zeros((2 * size, 2 * size, 3), np.uint8), np.ones((2 * size, 2 * size), bool)
    canvas[inner, inner], unknown[inner, inner] = face, False
    drawn = smooth_fill(canvas, unknown).astype(np.float32)
    skin = face[size // 2 : size * 3 // 4, size // 4 : size * 3 // 4].reshape(-1, 3).mean(axis=0)
    outline, hair, neck = _masks(size)
    drawn += hair * (_HAIR_SHADE * drawn - drawn)
    drawn = outline * drawn + (1 - outline) * np.float32(_NECK_SHADE) * skin.astype(np.float32)
    return drawn, np.maximum(outline, neck)


def canvas_matrix(matrix: Matrix, size: int) -> Matrix:
    """The alignment of the canvas, from that of the model's square of side `size` px."""
    out = matrix.copy()
    out[:, 2] -= matrix[:, :2] @ np.full(2, size / 2)
    return out
