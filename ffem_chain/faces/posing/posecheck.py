"""Pose estimators against heads whose pose is known, and against themselves on mirrored and turned pictures.

    python -m ffem_chain.faces.posing.posecheck rendered PORTRAITS [--names facemesh,landmarks] [--most 20]
    python -m ffem_chain.faces.posing.posecheck consistent PICTURES [--names ...] [--most 100]

A head is a portrait drawn on an ellipsoid with a nose, brow and chin of its own, seen with perspective: a shape that no
estimator here knows. JSON on stdout. docs/POSE.md has the figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.finding.compare import pictures
from ffem_chain.faces.finding.detect import CenterFace, Detection, Picture
from ffem_chain.faces.posing import align
from ffem_chain.faces.posing.frontal import draw
from ffem_chain.faces.posing.mesh import rotation
from ffem_chain.faces.posing.pose import Pose, PoseEstimator, pose_estimator

Points = NDArray[np.float64]
_SIDE, _LOW, _WIDE = 200, -0.6, 2.2  # px to a side of the model's square, and what is drawn of it
_GRID = 64
_MIDDLE, _RADII = np.array([0.5, 0.46, 0.0]), (0.50, 0.70, 0.62)  # of the ellipsoid, in sides of the square
_DISTANCE = 6.0  # of the viewer
YAWS = (-45, -30, -20, -10, 0, 10, 20, 30, 45)
PITCHES = (-15, 0, 15)
AHEAD = 3.0  # degrees of yaw by five landmarks up to which a portrait counts as looking ahead


def _hill(x: Points, y: Points, at: tuple[float, float], wide: tuple[float, float]) -> Points:
    return np.asarray(np.exp(-(((x - at[0]) / wide[0]) ** 2) - ((y - at[1]) / wide[1]) ** 2))


def head() -> Points:
    """The head (n, 3) over a grid, in the frame of `mesh`; z = 0 is a board in the plane of the ears."""
    axis = np.linspace(_LOW, _LOW + _WIDE, _GRID)
    x, y = np.meshgrid(axis, axis)
    inside = 1 - ((x - _MIDDLE[0]) / _RADII[0]) ** 2 - ((y - _MIDDLE[1]) / _RADII[1]) ** 2
    z = -_RADII[2] * np.sqrt(np.clip(inside, 0, None))
    z -= 0.16 * _hill(x, y, (0.5, 0.53), (0.075, 0.07)) + 0.07 * _hill(x, y, (0.5, 0.42), (0.05, 0.13))
    z += 0.045 * (_hill(x, y, (0.3, 0.3), (0.09, 0.06)) + _hill(x, y, (0.7, 0.3), (0.09, 0.06)))
    z -= 0.03 * _hill(x, y, (0.5, 0.7), (0.15, 0.05)) + 0.04 * _hill(x, y, (0.5, 0.9), (0.12, 0.08))
    return np.column_stack([x.ravel(), y.ravel(), z.ravel()])


def _triangles() -> NDArray[np.int32]:
    corner = np.arange(_GRID * _GRID).reshape(_GRID, _GRID)
    a, b, c, d = (part.ravel() for part in (corner[:-1, :-1], corner[:-1, 1:], corner[1:, :-1], corner[1:, 1:]))
    return np.concatenate([np.column_stack([a, b, c]), np.column_stack([b, d, c])]).astype(np.int32)


def rendered(portrait: Picture, landmarks: Points, yaw: float, pitch: float, roll: float = 0) -> Picture:
    """uint8 (440, 440, 3): the portrait's head, turned by degrees about the middle of the ellipsoid."""
    side = round(_WIDE * _SIDE)
    matrix = align.similarity(landmarks, _SIDE)
    matrix[:, 2] += matrix[:, :2] @ np.full(2, _LOW * _SIDE)
    flat = align.warp_in(portrait, matrix, side)
    shape = head()
    placed = (shape - _MIDDLE) @ rotation(yaw, pitch, roll).T
    placed[:, :2] *= _DISTANCE / (_DISTANCE + placed[:, 2:])
    at = draw(placed + _MIDDLE, _triangles(), shape[:, :2], (_LOW, _WIDE, _SIDE))
    px = ((at - np.float32(_LOW)) * np.float32(_SIDE) - np.float32(0.5)).astype(np.float32)
    px[at.min(axis=2) < -8] = -9
    return np.asarray(cv2.remap(flat, px[..., 0].copy(), px[..., 1].copy(), cv2.INTER_LINEAR, borderValue=(128,) * 3))


def _one(detector: CenterFace, picture: Picture) -> Detection | None:
    middle = np.array(picture.shape[1::-1]) / 2
    found = sorted(detector.detect(picture), key=lambda d: float(np.hypot(*(d.landmarks.mean(axis=0) - middle))))
    return found[0] if found else None


def check_rendered(estimators: Sequence[PoseEstimator], portraits: Sequence[Picture]) -> Iterator[dict[str, object]]:
    """Per estimator and |yaw|: mean absolute errors in degrees, and the heads in which the detector found a face.

    Only portraits that look ahead are turned: the yaw of the portrait itself is not known, and counts as error.
    """
    detector = CenterFace(coarse=(512,))
    rows: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    for portrait in portraits:
        base = _one(detector, portrait)
        if base is None or abs(align.pose(base.landmarks)[0]) > AHEAD:
            continue
        for yaw, pitch in product(YAWS, PITCHES):
            picture = rendered(portrait, base.landmarks, yaw, pitch)
            face = _one(detector, picture)
            if face is None:
                continue
            for estimator in estimators:
                pose = estimator.estimate(picture, face)
                errors = (pose.yaw - yaw, pose.pitch - pitch, pose.roll)
                rows.setdefault((estimator.name, abs(yaw)), []).append(errors)
    for (name, yaw), of_all in rows.items():
        off = np.array(of_all)
        mean = dict(zip(("yaw", "pitch", "roll"), np.abs(off).mean(axis=0).round(2).tolist(), strict=True))
        bias = dict(zip(("yaw", "pitch", "roll"), off.mean(axis=0).round(2).tolist(), strict=True))
        yield {"estimator": name, "yaw": yaw, "heads": len(off), "mean_error": mean, "bias": bias}


def check_consistent(estimators: Sequence[PoseEstimator], shown: Sequence[Picture]) -> Iterator[dict[str, object]]:
    """Medians in degrees: |yaw(flip) + yaw|, and how far roll is from what a turned picture's has to be."""
    detector = CenterFace(coarse=(512,))
    faces = [(picture, face) for picture in shown if (face := _one(detector, picture)) is not None]
    for estimator in estimators:
        flips, turns = [], []
        for picture, face in faces:
            pose = estimator.estimate(picture, face)
            flips.append(abs(estimator.estimate(*_flipped(picture, face)).yaw + pose.yaw))
            for angle in (-20, 20):
                turns.append(abs(_turned(estimator, picture, face, angle).roll - pose.roll - angle))
        row = {"estimator": estimator.name, "faces": len(faces)}
        yield {**row, "flip": round(float(np.median(flips)), 2), "roll": round(float(np.median(turns)), 2)}


def _flipped(picture: Picture, face: Detection) -> tuple[Picture, Detection]:
    last = picture.shape[1] - 1
    left, top, right, bottom = face.box
    marks = face.landmarks[[1, 0, 2, 4, 3]] * (-1, 1) + (last, 0)
    box = (last - right, top, last - left, bottom)
    return np.ascontiguousarray(picture[:, ::-1]), Detection(box, marks, face.score)


def _turned(estimator: PoseEstimator, picture: Picture, face: Detection, angle: float) -> Pose:
    """The pose in the picture turned clockwise about the face."""
    x, y = (float(v) for v in face.landmarks.mean(axis=0))
    matrix = cv2.getRotationMatrix2D((x, y), -angle, 1)
    height, width = picture.shape[:2]
    turned = np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    marks = face.landmarks @ np.asarray(matrix[:, :2]).T + np.asarray(matrix[:, 2])
    return estimator.estimate(turned, Detection(face.box, marks, face.score))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rendered", "consistent"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--names", default="facemesh,landmarks")
    parser.add_argument("--most", type=int, default=20)
    args = parser.parse_args()
    estimators = [pose_estimator(name) for name in args.names.split(",")]
    check = check_rendered if args.what == "rendered" else check_consistent
    for row in check(estimators, pictures(args.folder, args.most)):
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
