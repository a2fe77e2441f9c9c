"""The square of a face as the flow takes it: turned to the front where that can be undone, as it is elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import Box
from ffem_chain.faces.finding.detect import Detection
from ffem_chain.faces.posing import align, frontal
from ffem_chain.faces.posing.mesh import FACE, five_of, mesh, placed
from ffem_chain.faces.posing.pose import Pose

Picture = NDArray[np.uint8]
LEAST = 26.0  # dB: below it a face that was turned to the front and back is not what it was


@dataclass(frozen=True)
class Square:
    """uint8 (m, m, 3), the similarity (2, 3) of the template's square to the picture, and the angles in degrees by
    which the face was turned to the front: 0, 0, 0 where it was not (`frontal` False). The pixels reach `margin` of
    the template's side beyond it on every side."""

    pixels: Picture
    matrix: align.Matrix
    angles: tuple[float, float, float]
    frontal: bool
    margin: float = 0.0

    def moved(self, x: float, y: float) -> Square:
        """The same in a picture whose corner lies at (-x, -y)."""
        return replace(self, matrix=self.matrix + np.array([[0, 0, x], [0, 0, y]]))


def plain(picture: Picture, detection: Detection, size: int, margin: float = 0.0) -> Square:
    """The face as it is, by the similarity of its five landmarks."""
    matrix = align.similarity(detection.landmarks, size)
    pixels = align.warp_in(picture, align.wider(matrix, size, margin), size)
    return Square(pixels, matrix, (0.0, 0.0, 0.0), False, margin)


def turned(picture: Picture, detection: Detection, pose: Pose, size: int, margin: float = 0.0) -> Square | None:
    """The face from the front; None where it is turned too far, or too little of it comes back."""
    if not frontal.allowed(pose.angles):
        return None
    points = mesh().points
    if pose.mesh is None:
        matrix = placed(five_of(points), detection.landmarks, pose.yaw, pose.pitch, size)
    else:
        matrix = placed(points[:FACE], pose.mesh[:, :2], pose.yaw, pose.pitch, size)
    if not np.isfinite(matrix).all() or math.hypot(matrix[0, 0], matrix[1, 0]) < 0.02:
        return None
    angles = (pose.yaw, pose.pitch, math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])))
    square = Square(frontal.frontalize(picture, matrix, angles, size, margin), matrix, angles, True, margin)
    return square if comes_back(picture, square) >= LEAST else None


def comes_back(picture: Picture, square: Square) -> float:
    """PSNR in dB between the face in uint8 (H, W, 3) and its square laid back, at the square's resolution."""
    size, margin = len(square.pixels), square.margin
    upright = align.wider(np.array([[1.0, 0, 0], [0, 1, 0]]), size, -margin / (1 + 2 * margin))
    face, box = square.pixels.astype(np.float32), Box(0, 0, size, size)
    laid, alpha = frontal.lay_back(face, upright, square.angles, box, margin)
    inside = alpha[..., 0] > 0.99
    off = (laid - align.warp_in(picture, align.wider(square.matrix, size, margin), size))[inside]
    return 10 * math.log10(255**2 / max(1e-3, float((off**2).mean()))) if inside.any() else 0.0
