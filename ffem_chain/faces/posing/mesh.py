"""The shape of a face that everybody shares ("mesh-1"), and how it lies in a picture.

Frame of the shape: the model's square has side 1, x to the right, y down, z away from the viewer; x = 0.5 is its plane
of symmetry, z = 0 the mean depth of eyes, nose and mouth corners. It is a surface over the square: the 468 points of
FaceMesh, averaged over people who do not exist (`makemesh.py`), and a sheet around them. Turned by yaw and pitch about
`PIVOT`, it is laid into a picture by a similarity. Captures rely on it: a change is another mesh with another name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.posing import align

NAME = "mesh-1"
Points = NDArray[np.float64]
FACE = 468  # the points that FaceMesh knows come first
# points of FaceMesh: corners of the eye on the picture's left, of the other; the nose tip is between two; mouth corners
EYES, NOSE, MOUTH = ((33, 133), (263, 362)), (1, 4), (61, 291)
_MIDDLE = np.array([0.5, 0.5, 0.0])
PIVOT = np.array([*align.TEMPLATE.mean(axis=0) * (0, 1) + (0.5, 0), 0.0])


@dataclass(frozen=True)
class Mesh:
    """`points` float64 (n, 3) in the frame above, the first 468 those of FaceMesh; `triangles` int (t, 3), their
    corners counter-clockwise with y down."""

    points: Points
    triangles: NDArray[np.int32]


@cache
def mesh() -> Mesh:
    """The shape that is shipped."""
    with resources.files("ffem_chain.faces").joinpath("data", f"{NAME}.npz").open("rb") as file:
        data = np.load(file, allow_pickle=False)
        return Mesh(data["points"].astype(np.float64), data["triangles"].astype(np.int32))


def five_of(points: Points) -> Points:
    """The five landmarks (5, 3) of a detector in the 468 points (468 or more, 3)."""
    pairs = (*EYES, NOSE, MOUTH[:1], MOUTH[1:])
    return np.array([points[list(pair)].mean(axis=0) for pair in pairs])


def within(points: Points, margin: float) -> Points:
    """Points (n, 3) in the frame of a square that reaches `margin` of its side beyond the model's on every side."""
    return np.asarray((points - _MIDDLE) / (1 + 2 * margin) + _MIDDLE)


def turned(points: Points, yaw: float, pitch: float) -> Points:
    """Points (n, 3) of the shape, turned about `PIVOT` by degrees."""
    return np.asarray((points - PIVOT) @ rotation(yaw, pitch, 0).T + PIVOT)


def rotation(yaw: float, pitch: float, roll: float) -> Points:
    """(3, 3): roll after yaw after pitch, degrees, signs as in `pose`."""
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a), math.sin(a)) for a in map(math.radians, (yaw, pitch, roll)))
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def angles(turn: Points) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees of a rotation (3, 3); the inverse of `rotation` for |yaw| below 90."""
    yaw = math.asin(max(-1.0, min(1.0, float(turn[2, 0]))))
    pitch, roll = math.atan2(-turn[2, 1], turn[2, 2]), math.atan2(turn[1, 0], turn[0, 0])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def procrustes(source: Points, target: Points) -> tuple[float, Points, Points]:
    """Least-squares similarity of (n, d) to (n, d), reflections excluded: scale, rotation (d, d), shift (d,) (Umeyama
    1991)."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, singular, v = np.linalg.svd(b.T @ a)
    signs = np.ones(len(singular))
    signs[-1] = np.sign(np.linalg.det(u @ v))
    turn = (u * signs) @ v
    scale = float((singular * signs).sum() / max(1e-12, float((a * a).sum())))
    return scale, turn, target.mean(axis=0) - scale * turn @ source.mean(axis=0)


def pose_of(points: Points) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees of the shape that explains the x and y of 468 points (468, 2 or more) of a face.

    Weak perspective: the best affine map of the shape is taken apart. Yaw and pitch are how far depth moves a point
    against how far it moves with its place in the face, axis by axis, so that a long or a wide face looks neither up
    nor aside.
    """
    shape = mesh().points[:FACE]
    across, down = np.linalg.lstsq(shape - shape.mean(axis=0), (points - points.mean(axis=0))[:, :2], rcond=None)[0].T
    roll = math.atan2(down[0], across[0])
    cosine, sine = math.cos(roll), math.sin(roll)
    across, down = cosine * across + sine * down, cosine * down - sine * across
    pitch = math.atan2(down[2], down[1])
    yaw = math.atan2(-across[2], across[0] * math.cos(pitch))
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)


def placed(points: Points, seen: Points, yaw: float, pitch: float, size: int) -> align.Matrix:
    """The similarity float64 (2, 3) of the square of m px to the picture that lays points (n, 3) of the shape, turned
    by yaw and pitch, on where they were seen, (n, 2) px."""
    flat = turned(points, yaw, pitch)[:, :2] * size - 0.5
    scale, turn, shift = procrustes(flat, seen)
    return np.column_stack([scale * turn, shift])
