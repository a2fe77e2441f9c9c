"""Alignment of a face to the model's square, and a coarse pose from five landmarks.

Matrices are float64 (2, 3) and map the model's square (m x m px) to the picture. Angles in degrees: roll positive where
the face leans clockwise in the picture; yaw positive where it looks to the picture's right; pitch positive where it
looks up. From five landmarks yaw and pitch are rough (about 10 degrees); pose.json keeps them to 3.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import GRID, Box

Matrix = NDArray[np.float64]
Picture = NDArray[np.uint8]
# the template of the training faces, in a square of side 1: eyes, nose tip, mouth corners
TEMPLATE = np.array([[59.8, 58.3], [139.5, 59.5], [99.3, 104.1], [66.0, 136.2], [132.3, 137.5]]) / 200
_EYES = TEMPLATE[:2].mean(axis=0)
_NOSE_HEIGHT = (TEMPLATE[2, 1] - _EYES[1]) / (TEMPLATE[3:, 1].mean() - _EYES[1])
# the public box, in sides of the detection: hair and ears of 119 portraits lie in it to 99.5 % of their pixels
_WIDER, _ABOVE, _BELOW = 1.6, 0.4, 0.175
_WIDEST = 1.1  # of the height: a profile's box is narrow, its head is not


def similarity(landmarks: NDArray[np.float64], size: int) -> Matrix:
    """Least-squares similarity (Umeyama 1991) from the template to five landmarks (5, 2)."""
    source = TEMPLATE * size
    a, b = source - source.mean(axis=0), landmarks - landmarks.mean(axis=0)
    norm = (a * a).sum()
    cosine, sine = (a * b).sum() / norm, (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / norm
    linear = np.array([[cosine, -sine], [sine, cosine]])
    shift = landmarks.mean(axis=0) - linear @ source.mean(axis=0)
    return np.column_stack([linear, shift])


def wider(matrix: Matrix, size: int, margin: float) -> Matrix:
    """The similarity of a square of m px that reaches `margin` of the template's side beyond it on every side, from
    that of the template's own; `margin` is above -0.5, and `-margin / (1 + 2 * margin)` leads back."""
    factor = 1 + 2 * margin
    out = matrix.copy()
    out[:, :2] *= factor
    out[:, 2] += matrix[:, :2] @ np.full(2, -margin * (size - 1))
    return out


def pose(landmarks: NDArray[np.float64]) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees from five landmarks (5, 2)."""
    eyes, mouth = landmarks[:2].mean(axis=0), landmarks[3:].mean(axis=0)
    along = landmarks[1] - landmarks[0]
    roll = math.atan2(along[1], along[0])
    distance = max(1e-6, float(np.hypot(*along)))
    turn = np.array([[math.cos(roll), math.sin(roll)], [-math.sin(roll), math.cos(roll)]])
    nose, lips = turn @ (landmarks[2] - eyes), turn @ (mouth - eyes)
    sideways = float(nose[0] - lips[0] / 2) / distance
    upwards = _NOSE_HEIGHT - float(nose[1]) / max(1e-6, float(lips[1]))

    def angle(sine: float) -> float:
        return math.degrees(math.asin(max(-1.0, min(1.0, sine))))

    return angle(sideways / 0.6), angle(upwards / 0.5), math.degrees(roll)


def cover_box(box: tuple[float, float, float, float], width: int, height: int) -> Box:
    """The public box of a detection (left, top, right, bottom): wider, higher (hair), on the grid outwards, inside the
    picture."""
    left, top, right, bottom = box
    w, h = right - left, bottom - top
    aside = (max(_WIDER * w, _WIDEST * h) - w) / 2
    left, right = left - aside, right + aside
    top, bottom = top - _ABOVE * h, bottom + _BELOW * h
    x0, y0 = (max(0, math.floor(v / GRID) * GRID) for v in (left, top))
    x1 = min(width, math.ceil(right / GRID) * GRID)
    y1 = min(height, math.ceil(bottom / GRID) * GRID)
    return Box(x0, y0, x1 - x0, y1 - y0)


def round_angle(angle: float) -> int:
    """To 3 degrees, as pose.json keeps it."""
    return max(-180, min(180, round(angle / 3) * 3))


def public_alignment(matrix: Matrix, size: int) -> tuple[float, float, float, float]:
    """The 4 rounded numbers of pose.json: eye line's centre x, y (4 px), log2 of the scale (0.05), rotation (3 deg)."""
    x, y = matrix[:, :2] @ (_EYES * size) + matrix[:, 2]
    scale = max(2.0**-10, math.hypot(matrix[0, 0], matrix[1, 0]))  # landmarks in one point have no scale
    angle = math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
    return (
        float(round(x / GRID) * GRID),
        float(round(y / GRID) * GRID),
        round(round(math.log2(scale) / 0.05) * 0.05, 2),
        float(round_angle(angle)),
    )


def public_matrix(alignment: tuple[float, float, float, float], size: int) -> Matrix:
    """The similarity that pose.json's 4 numbers stand for."""
    x, y, log_scale, angle = alignment
    scale, turn = 2.0**log_scale, math.radians(angle)
    linear = scale * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    shift = np.array([x, y]) - linear @ (_EYES * size)
    return np.column_stack([linear, shift])


def warp_in(picture: Picture, matrix: Matrix, size: int) -> Picture:
    """The aligned face uint8 (m, m, 3): what lies under the model's square, averaged where the picture is finer."""
    scale = max(1.0, math.hypot(matrix[0, 0], matrix[1, 0]))
    # sample at `finer` times the model's resolution, then average: a plain warp would alias
    finer = min(8, math.ceil(scale))
    fine = matrix.copy()
    fine[:, :2] /= finer
    fine[:, 2] = matrix[:, :2] @ np.full(2, 0.5 / finer - 0.5) + matrix[:, 2]
    side = size * finer
    left, top, part = _around(picture, fine, side)
    fine[:, 2] -= (left, top)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(part, fine, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _around(picture: Picture, matrix: Matrix, side: int) -> tuple[int, int, Picture]:
    """The part of the picture under a square (OpenCV warps no more than 32,767 px a side), with its corner."""
    corners = matrix[:, :2] @ np.array([[0, side, 0, side], [0, 0, side, side]]) + matrix[:, 2:]
    height, width = picture.shape[:2]
    left, top = (int(np.clip(np.floor(corners[i].min()) - 2, 0, (width, height)[i] - 1)) for i in (0, 1))
    right, bottom = (int(np.clip(np.ceil(corners[i].max()) + 3, 1, (width, height)[i])) for i in (0, 1))
    return left, top, picture[top : max(bottom, top + 1), left : max(right, left + 1)]


def warp_out(face: NDArray[np.float32], matrix: Matrix, box: Box) -> NDArray[np.float32]:
    """float32 (m, m, c) laid back over the pixels of `box`, float32 (h, w, c); outside of the square zero."""
    local = matrix.copy()
    local[:, 2] -= (box.x, box.y)
    return np.asarray(cv2.warpAffine(face, local, (box.width, box.height), flags=cv2.INTER_CUBIC), np.float32)
