"""A head around a decoded face: the flow's square ends at the forehead and at the chin, and a face alone looks like a
mask.

Hair, ears, jaw and neck come from a library of 48 heads of people who do not exist, cut out of CC0 portraits
(`headcuts.py`). Which of them, and in which colours, follows from the decoded face, from what is visible around the box
and from Z_enc; nothing comes from the camera's pixels of the face.

The canvas is two sides of the model's square wide and high, with the square in its middle. Lengths are in sides of the
square, their origin at its top left.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections import Counter
from functools import cache
from importlib import resources

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ffem_chain.capture.model import Box
from ffem_chain.faces.drawing.blend import pyramid_blend
from ffem_chain.faces.drawing.tone import COARSE, Surroundings, canvas_grid, log, recoloured, toned
from ffem_chain.faces.posing.align import Matrix
from ffem_chain.faces.posing.frontal import allowed, lay_back

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]
CANVAS = 256  # px
_CHOICE = 16  # heads among which Z_enc chooses, at temperature 1
_RIM_WEIGHT, _AGAIN = 1.0, 0.6  # of what is seen beside the box; for each time that the picture has the head
_SKULL, _DEPTH = ((0.5, 0.45), (0.62, 0.85)), (0.8, 0.5)  # centre and half axes of what turns; its depth in these
_MOST_YAW, _MOST_PITCH = 33.0, 21.0  # degrees; beyond them the cut-outs have nothing to show


def ellipse(x: Float, y: Float, centre: tuple[float, float], half: tuple[float, float]) -> Float:
    """1 on the ellipse, less inside."""
    return np.asarray(np.hypot((x - centre[0]) / half[0], (y - centre[1]) / half[1]), np.float32)


def canvas_matrix(matrix: Matrix, size: int) -> Matrix:
    """The alignment of the canvas, from that of the model's square of side `size` px."""
    out = matrix.copy()
    out[:, 2] -= matrix[:, :2] @ np.full(2, size / 2)
    return out


def _ramp(x: Float) -> Float:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


@cache
def _library() -> tuple[Picture, Float, Float]:
    """(heads uint8 (n, c, c, 4); the same coarse: log colours (2n, 32, 32, 3) and coverage (2n, 32, 32), first as they
    are, then mirrored)."""
    data = resources.files("ffem_chain.faces").joinpath("data", "heads-1.webp").read_bytes()
    heads = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA")).reshape(-1, CANVAS, CANVAS, 4).copy()
    _, y = canvas_grid(CANVAS)
    # the neck ends where the box does, above the clothes of the picture; high hair ends softly
    heads[..., 3] = (heads[..., 3] * _ramp((1.28 - y) / 0.16) * _ramp((y + 0.5) / 0.06)).astype(np.uint8)
    coarse = np.stack([cv2.resize(head, (COARSE, COARSE), interpolation=cv2.INTER_AREA) for head in heads])
    coarse = np.concatenate([coarse, coarse[:, :, ::-1]])
    return heads, log(coarse[..., :3]), coarse[..., 3].astype(np.float32) / np.float32(255)


@cache
def _face_mask(side: int) -> Float:
    """The part of the canvas that a decoded face fills, float32 (side, side): an oval, soft at its rim."""
    x, y = canvas_grid(side)
    return _ramp((1 - ellipse(x, y, (0.5, 0.50), (0.40, 0.47))) / 0.22)


def _inner_mask(size: int) -> Float:
    """`_face_mask` in the model's square only, float32 (m, m)."""
    return _face_mask(2 * size)[size // 2 :, size // 2 :][:size, :size]


def _choose(face: Picture, seen: Surroundings, z: bytes, temperature: float, used: Counter[int]) -> Picture:
    """A head of the library that fits and is not in the picture yet, uint8 (c, c, 4)."""
    heads, colours, coverage = _library()
    inner, half = slice(COARSE // 4, COARSE * 3 // 4), COARSE // 2
    small = log(cv2.resize(face, (half, half), interpolation=cv2.INTER_AREA))
    weight = _face_mask(COARSE)[inner, inner]
    unlike = np.einsum("nyxc,yx->n", (colours[:, inner, inner] - small) ** 2, weight) / weight.sum()
    step = ((colours - log(seen.colours)) ** 2).sum(axis=3)
    beside = np.einsum("nyx,yx->n", coverage * np.minimum(step, 4), seen.visible) / max(1.0, float(seen.visible.sum()))
    again = np.array([used[i % len(heads)] for i in range(2 * len(heads))])
    best = np.argsort(unlike + _RIM_WEIGHT * beside + _AGAIN * again, kind="stable")
    several = 1 + round(temperature * (_CHOICE - 1))
    chosen = int(best[int.from_bytes(hashlib.sha256(z).digest()[:8], "big") % several])
    used[chosen % len(heads)] += 1
    return heads[chosen] if chosen < len(heads) else heads[chosen - len(heads), :, ::-1]


def _within(angle: float, most: float) -> float:
    return max(-most, min(most, angle))


def turned(canvas: Float, yaw: float, pitch: float) -> Float:
    """A frontal canvas float32 (s, s, c) as it looks turned by `yaw` and `pitch` degrees (signs as in `align`). Beyond
    its border it is empty."""
    if yaw == 0 and pitch == 0:
        return canvas
    side = len(canvas)
    x, y = canvas_grid(side)
    centre, (rx, ry) = _SKULL
    # parallax of a dome whose rim lies behind the face: the face stays on its alignment, the rest moves against it
    behind = np.minimum(1, ellipse(x, y, centre, (rx, ry)) ** 2)
    source_x = x + behind * np.float32(_DEPTH[0] * rx * math.sin(math.radians(yaw)))
    source_y = y - behind * np.float32(_DEPTH[1] * ry * math.sin(math.radians(pitch)))
    to_px = side / 2
    maps = [((source + 0.5) * to_px - 0.5).astype(np.float32) for source in (source_x, source_y)]
    warped = cv2.remap(canvas, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(warped, np.float32).reshape(canvas.shape)


def head(
    face: Picture,
    seen: Surroundings,
    z: bytes,
    temperature: float,
    angles: tuple[float, float],
    used: Counter[int],
    side: int = CANVAS,
    *,
    frontal: bool = False,
) -> tuple[Float, Float]:
    """A decoded face uint8 (m, m, 3) -> (head float32 (side, side, 3), its coverage float32 (side, side, 1)).

    `angles` are yaw and pitch in degrees, shown up to 33 and 21; `used` counts the heads of a picture, so that they
    differ. A `frontal` face is turned by the mesh, where the mesh allows these angles. Equal arguments, equal heads; at
    temperature 0, `z` does not matter.
    """
    public, angles = (*angles, 0.0), (_within(angles[0], _MOST_YAW), _within(angles[1], _MOST_PITCH))
    face = toned(face, _inner_mask(len(face)), seen)
    chosen = _choose(face, seen, z, temperature, used)
    how = cv2.INTER_AREA if side < CANVAS else cv2.INTER_CUBIC
    canvas = cv2.resize(chosen, (side, side), interpolation=how).astype(np.float32)  # uint8 first: it clips
    half = side // 2
    how = cv2.INTER_AREA if half < len(face) else cv2.INTER_CUBIC
    square = cv2.resize(face, (half, half), interpolation=how).astype(np.float32)
    margin = (half // 2, half - half // 2)
    placed = np.asarray(cv2.copyMakeBorder(square, *margin, *margin, cv2.BORDER_REPLICATE), np.float32)
    mask = _face_mask(side)
    under = turned(np.dstack([recoloured(canvas[..., :3], placed, mask), canvas[..., 3:] / 255]), *angles)
    if frontal and allowed(public):
        placed, mask = _turned_face(square, angles, side)
    else:
        placed, mask = turned(placed, *angles), turned(mask[..., None], *angles)[..., 0]
    return np.clip(pyramid_blend(placed, under[..., :3], mask), 0, 255), under[..., 3:]


def _turned_face(square: Float, angles: tuple[float, float], side: int) -> tuple[Float, Float]:
    """A frontal face float32 (s/2, s/2, 3) on the canvas as the mesh turns it, and its oval (s, s)."""
    half = len(square)
    matrix = np.array([[1.0, 0, half // 2], [0, 1.0, half // 2]])
    oval = _face_mask(side)[half // 2 : half // 2 + half, half // 2 : half // 2 + half]
    laid, covers = lay_back(np.dstack([square, oval * 255]), matrix, (*angles, 0.0), Box(0, 0, side, side))
    return laid[..., :3], np.clip(laid[..., 3] / 255 * covers[..., 0], 0, 1)
