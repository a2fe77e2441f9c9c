"""Turning a face to the front by the constant shape, and laying a frontal face back at a pose.

The warp is piecewise affine over the triangles of `mesh.mesh()`, turned by yaw and pitch and laid into the picture by
a similarity: those eight numbers are all that the inverse needs. Where triangles lie over each other the nearest is
seen. What of the face is turned away is taken from its mirror image, through a soft mask. With angles of 0 both
directions are the similarity alone, as for a model that does not frontalize. A flow's square may be larger than that
of the template, by a `margin` on every side: matrices stay those of the template, pixels are the larger square's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import Box
from ffem_chain.faces.posing import align
from ffem_chain.faces.posing.mesh import PIVOT, mesh, turned, within

Picture = NDArray[np.uint8]
Float = NDArray[np.float32]
Angles = tuple[float, float, float]
MOST_YAW, MOST_PITCH = 45.0, 35.0  # degrees; beyond them a face is not frontalized
# The turned shape is drawn on a canvas of sides from LOW to LOW + WIDE squares: it reaches beyond the square.
_LOW, _WIDE = -0.4, 1.8
_GRAIN = 128  # px of the canvas to a side of the square
_RIM = 0.06  # of the square's side: how far it fades
_HIDDEN = 0.03  # of the square: a point that comes back this far off lies behind another
_FEATHER = 2.0  # px of the canvas
_EDGE_ON = 0.0, 0.08  # cosine between the surface and the view: hidden below, seen above


@dataclass(frozen=True)
class _Turn:
    """Maps of one turn, in sides of the square.

    `ahead` float32 (g, g, 2): where each point of the frontal square lies, turned. `back` float32 (c, c, 3): which
    point of the frontal square is seen at each of the canvas, and its opacity. `seen` float32 (g, g): 1 where a point
    of the frontal square is seen, 0 where it is hidden.
    """

    ahead: Float
    back: Float
    seen: Float


def turns(angles: Angles) -> bool:
    """Whether a face with these angles is turned to the front at all."""
    return angles[0] != 0 or angles[1] != 0


def allowed(angles: Angles) -> bool:
    """Whether a face may be frontalized: finite, and not turned too far."""
    yaw, pitch, roll = angles
    return abs(yaw) <= MOST_YAW and abs(pitch) <= MOST_PITCH and math.isfinite(roll)


def frontalize(picture: Picture, matrix: align.Matrix, angles: Angles, size: int, margin: float = 0.0) -> Picture:
    """The frontal face uint8 (m, m, 3) of one that lies in uint8 (H, W, 3) at `matrix` (2, 3), turned by `angles`."""
    matrix = align.wider(matrix, size, margin)
    if not turns(angles):
        return align.warp_in(picture, matrix, size)
    turn, fine = _turn(angles[0], angles[1], margin), 2 * size
    canvas = align.warp_in(picture, _canvas(matrix, size, fine), round(_WIDE * fine))
    ahead = np.asarray(cv2.resize(turn.ahead, (fine, fine)), np.float32)
    front = _sampled(canvas, (ahead - np.float32(_LOW)) * np.float32(fine), cv2.INTER_LINEAR)
    front = np.asarray(cv2.resize(front, (size, size), interpolation=cv2.INTER_AREA), np.float32)
    seen = seen_of(angles, size, margin)
    # where both sides are hidden the face stays as it is
    mine = np.where(seen + seen[:, ::-1] > 0.05, seen, 1)[..., None]
    return np.asarray(mine * front + (1 - mine) * front[:, ::-1] + 0.5, np.uint8)


def lay_back(face: Float, matrix: align.Matrix, angles: Angles, box: Box, margin: float = 0.0) -> tuple[Float, Float]:
    """A frontal face float32 (m, m, c) laid over the pixels of `box` at `matrix`, turned by `angles`.

    Returns float32 (h, w, c) and how much of each pixel it covers, float32 (h, w, 1), soft at the square's rim. The
    work is bounded by the box. ValueError where the numbers are no pose (`allowed`).
    """
    if not allowed(angles):
        raise ValueError(f"no pose: {angles}")
    size = len(face)
    matrix = align.wider(matrix, size, margin)
    if not turns(angles):
        alpha = np.clip(align.warp_out(square_mask(size), matrix, box), 0, 1)
        return align.warp_out(face, matrix, box).reshape(box.height, box.width, -1), alpha.reshape(*alpha.shape[:2], 1)
    back = _turn(angles[0], angles[1], margin).back
    local = _canvas(matrix, size, _GRAIN)
    local[:, 2] -= (box.x, box.y)
    at = np.asarray(cv2.warpAffine(back, local, (box.width, box.height), flags=cv2.INTER_LINEAR), np.float32)
    laid = _sampled(face, at[..., :2] * np.float32(size), cv2.INTER_CUBIC).astype(np.float32)
    return laid.reshape(box.height, box.width, -1), at[..., 2:]


def seen_of(angles: Angles, size: int, margin: float = 0.0) -> Float:
    """Which part of the frontal square is seen at these angles, float32 (m, m) in [0, 1]."""
    if not turns(angles):
        return np.ones((size, size), np.float32)
    return np.asarray(cv2.resize(_turn(angles[0], angles[1], margin).seen, (size, size), interpolation=cv2.INTER_AREA))


@cache
def square_mask(size: int) -> Float:
    """The model's square, soft at its rim, float32 (m, m, 1)."""
    from_rim = np.minimum(np.arange(size), np.arange(size)[::-1]).astype(np.float32)
    rim = np.clip((from_rim + 0.5) / (_RIM * size), 0, 1)
    return np.asarray(np.minimum(rim[:, None], rim[None, :])[..., None], np.float32)


def _canvas(matrix: align.Matrix, size: int, grain: int) -> align.Matrix:
    """The similarity of the canvas of `grain` px to a side of the square, from that of the square of m px."""
    factor = size / grain
    out = matrix.copy()
    out[:, :2] = matrix[:, :2] * factor
    out[:, 2] += matrix[:, :2] @ np.full(2, _LOW * size + factor / 2 - 0.5)
    return out


def _sampled(image: NDArray[Any], at: Float, how: int) -> NDArray[Any]:
    """(h, w, c) at positions float32 (h', w', 2) where the first pixel reaches from 0 to 1; the rim goes on outside."""
    x, y = (np.ascontiguousarray(at[..., i] - np.float32(0.5)) for i in (0, 1))
    return np.asarray(cv2.remap(image, x, y, how, borderMode=cv2.BORDER_REPLICATE))


@cache
def _flat(margin: float) -> tuple[Float, Float]:
    """Per pixel of the frontal square: depth of the shape float32 (g, g), and its normals float32 (g, g, 3), smooth."""
    depth = heights(within(mesh().points, margin), mesh().triangles, 0.0, 1.0)
    smooth = cv2.GaussianBlur(depth, (0, 0), 2.0)
    down, across = np.gradient(smooth * _GRAIN)
    normal = np.dstack([across, down, -np.ones_like(smooth)])
    return depth, np.asarray(normal / np.linalg.norm(normal, axis=2, keepdims=True), np.float32)


def heights(points: NDArray[np.float64], triangles: NDArray[np.int32], low: float, wide: float) -> NDArray[np.float32]:
    """Depth of a surface of points (n, 3) at each pixel of a square from `low`, `wide` sides wide, float32 (s, s)."""
    return draw(points, triangles, points[:, 2:], (low, wide, _GRAIN))[..., 0]


def draw(
    points: NDArray[np.float64],
    triangles: NDArray[np.int32],
    values: NDArray[np.float64],
    canvas: tuple[float, float, int],
) -> Float:
    """What a surface of points (n, 3) shows of values (n, k), affine in each triangle: the nearest triangle of those
    that face the viewer. `canvas`: from where, how wide, px to a unit. float32 (s, s, k), -9 where there is none."""
    low, wide, grain = canvas
    a, b, c = (points[triangles[:, i]] for i in range(3))
    facing = (b - a)[:, 0] * (c - a)[:, 1] > (b - a)[:, 1] * (c - a)[:, 0]
    order = np.argsort(-(a + b + c)[:, 2], kind="stable")
    shown = triangles[order[facing[order]]]
    side = round(wide * grain)
    owner = np.full((side, side), -1, np.int32)
    corners = np.round(((points[:, :2] - low) * grain - 0.5) * 16).astype(np.int32)[shown]
    for index, corner in enumerate(corners):
        cv2.fillConvexPoly(owner, corner, index, lineType=cv2.LINE_8, shift=4)
    at = ((np.arange(side) + 0.5) / grain + low).astype(np.float32)
    x, y = np.meshgrid(at, at)
    maps = _affine(points[:, :2], shown, values).astype(np.float32)[owner]
    found = maps[..., 0, :] * x[..., None] + maps[..., 1, :] * y[..., None] + maps[..., 2, :]
    found[owner < 0] = -9
    return np.asarray(found)


@lru_cache(maxsize=8)
def _turn(yaw: float, pitch: float, margin: float) -> _Turn:
    shape, (depth, normal) = mesh(), _flat(margin)
    frontal, pivot = within(shape.points, margin), within(PIVOT, margin).astype(np.float32)
    rotation = turned(np.eye(3) + PIVOT, yaw, pitch) - PIVOT  # its rows are the turned axes
    centres = ((np.arange(_GRAIN) + 0.5) / _GRAIN).astype(np.float32)
    points = np.dstack([*np.meshgrid(centres, centres), depth]) - pivot
    ahead = (points @ rotation.astype(np.float32) + pivot)[..., :2]
    placed = within(turned(shape.points, yaw, pitch), margin)
    at = draw(placed, shape.triangles, frontal[:, :2], (_LOW, _WIDE, _GRAIN))
    opacity = np.clip(np.minimum(at, 1 - at).min(axis=2) / np.float32(_RIM), 0, 1)
    again = _sampled(at, (ahead - np.float32(_LOW)) * _GRAIN, cv2.INTER_NEAREST)
    off = np.hypot(*np.moveaxis(again - np.dstack(np.meshgrid(centres, centres)), 2, 0))
    cosine = -(normal @ rotation.astype(np.float32))[..., 2]
    low, high = _EDGE_ON
    seen = np.clip((cosine - low) / (high - low), 0, 1) * (off < _HIDDEN)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3))
    seen = cv2.GaussianBlur(cv2.erode(seen.astype(np.float32), kernel), (0, 0), _FEATHER)
    return _Turn(np.ascontiguousarray(ahead, np.float32), np.dstack([at, opacity]), np.asarray(seen, np.float32))


def _affine(
    source: NDArray[np.float64], triangles: NDArray[np.int32], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The affine map of every triangle, (t, 3, k): (x, y, 1) of `source` to `target` (n, k)."""
    corners = np.concatenate([source[triangles], np.ones((*triangles.shape, 1))], axis=2)
    thin = np.abs(np.linalg.det(corners)) < 1e-9
    corners[thin] = np.eye(3)
    return np.asarray(np.linalg.solve(corners, target[triangles]))
