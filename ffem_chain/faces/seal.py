"""Sealing the faces of one picture: detect, align, encode, rotate, exact layer, I_enc.

Nothing here writes to disk. The picture that comes back is made from the original with every covered pixel replaced;
whoever publishes it checks that again (`ffem_node.seal`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.exact import ownership, seal_geometry, seal_pixels
from ffem_chain.capture.model import MAX_FACES, PRECISIONS, Box, PublicFace, SealedFace
from ffem_chain.errors import InputError
from ffem_chain.faces.drawing.cover import FLAT, around, latent_tile, smooth_fill
from ffem_chain.faces.finding.detect import Detection, Detector
from ffem_chain.faces.flow import quantise
from ffem_chain.faces.flow.dither import dither
from ffem_chain.faces.flow.rotation import rotate
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.posing import align
from ffem_chain.faces.posing.pose import FiveLandmarks, Pose, PoseEstimator
from ffem_chain.faces.posing.square import Square, plain, turned
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.tree import dither_key, exact_key, geometry_key, key_commit, rotation_key

Picture = NDArray[np.uint8]
Owner = NDArray[np.int16]
Stage = Callable[[str], AbstractContextManager[object]]
PRECISION = "q10"
SMALLEST = 24  # px of a face's shorter side below which it is covered for ever
_BATCH = 16


@dataclass(frozen=True)
class EncryptedFaces:
    """I_enc uint8 (H, W, 3) and its faces; `faces` holds those that can be opened.

    `not_frontalized` counts those of them that a model which turns faces to the front got as they are: turned too far.
    """

    image: Picture
    public_faces: tuple[PublicFace, ...]
    faces: tuple[SealedFace, ...]
    not_frontalized: int = 0


@dataclass(frozen=True)
class _Found:
    """A face with its public box and its pose."""

    detection: Detection
    box: Box
    pose: Pose
    sealed: bool

    def public(self, matrix: align.Matrix, size: int) -> PublicFace:
        yaw, pitch, roll = (align.round_angle(angle) for angle in self.pose.angles)
        return PublicFace(self.box, yaw, pitch, roll, align.public_alignment(matrix, size), self.sealed)

    def geometry(self, radius: float, matrix: align.Matrix, angles: tuple[float, float, float]) -> list[float]:
        """The 24 sealed numbers: radius, detector's box 4, matrix 6, pose 3, landmarks 10."""
        parts = (self.detection.box, matrix.ravel(), angles, self.detection.landmarks.ravel())
        return [radius, *(float(v) for part in parts for v in part)]


def _find(picture: Picture, detector: Detector, estimator: PoseEstimator, size: int) -> list[_Found]:
    height, width = picture.shape[:2]
    found = []
    for detection in detector.detect(picture):
        box = align.cover_box(detection.box, width, height)
        if box.width <= 0 or box.height <= 0:
            continue
        matrix = align.similarity(detection.landmarks, size)
        large = detection.side >= SMALLEST and float(np.hypot(matrix[0, 0], matrix[1, 0])) > 0.05
        found.append(_Found(detection, box, estimator.estimate(picture, detection), large))
    if len(found) > MAX_FACES:
        raise InputError(
            f"{len(found)} faces were found; a capture holds at most {MAX_FACES}", "seal parts of the photo"
        )
    # left to right, top to bottom: an order that does not tell how sure the detector was
    return sorted(found, key=lambda f: (f.box.y // 64, f.box.x, f.box.y))


def _squares(picture: Picture, found: dict[int, _Found], owner: Owner, model: Model) -> dict[int, Square]:
    """Faces by index as the flow takes them, pixels of their neighbours filled over."""
    height, width = picture.shape[:2]
    squares = {}
    for index, face in found.items():
        view = around(face.box, width, height)
        part = picture[view.rows, view.columns]
        owned = owner[view.rows, view.columns]
        part = smooth_fill(part, (owned != index) & (owned >= 0))
        detection, pose = face.detection.moved(1, -view.x, -view.y), face.pose.moved(-view.x, -view.y)
        squares[index] = square_of(part, detection, pose, model).moved(view.x, view.y)
    return squares


def square_of(picture: Picture, detection: Detection, pose: Pose, model: Model) -> Square:
    """A face of uint8 (H, W, 3) as the flow of `model` takes it: turned to the front where it does that and can."""
    front = turned(picture, detection, pose, model.size, model.margin) if model.frontalize else None
    return front or plain(picture, detection, model.size, model.margin)


def encrypt_faces(
    picture: Picture,
    face_key: Callable[[int], Secret],
    uid: bytes,
    model: Model,
    detector: Detector,
    *,
    rotation: str = "sphere",
    pose: PoseEstimator | None = None,
    stage: Stage = nullcontext,
) -> EncryptedFaces:
    """Covers and seals every face of uint8 (H, W, 3) RGB.

    `face_key(index)` gives the key of a face; `uid` is the capture's. `pose` None takes the angles from the five
    landmarks. `stage(name)` wraps the stages "detect", "encode", "rotate" and "exact", for progress and timing. Faces
    below 24 px are covered for ever. InputError where a picture holds more than MAX_FACES faces, RuntimeError where a
    library fails on it.
    """
    height, width = picture.shape[:2]
    with _stage(stage, "detect"):
        found = _find(picture, detector, pose or FiveLandmarks(), model.size)
        owner = ownership([face.box for face in found], width, height)
    with _stage(stage, "encode"):
        openable = {index: face for index, face in enumerate(found) if face.sealed}
        squares = _squares(picture, openable, owner, model)
        faces = np.array([square.pixels for square in squares.values()])
        keys = {index: face_key(index) for index in openable}
        latents = _encode(faces, list(keys.values()), model)
    with _stage(stage, "rotate"):
        rotated = {index: _rotate(z, keys[index], rotation) for index, z in zip(openable, latents, strict=True)}
    image, sealed = picture.copy(), []
    with _stage(stage, "exact"):
        for index, face in enumerate(found):
            box, mine = face.box, owner[face.box.rows, face.box.columns] == index
            pixels = picture[box.rows, box.columns] * mine[..., None]
            region = image[box.rows, box.columns]
            if not face.sealed:
                region[mine] = FLAT
                continue
            packed, q, radius = rotated[index]
            region[mine] = latent_tile(q, PRECISION, box)[mine]
            exact = seal_pixels(exact_key(keys[index]), pixels, uid, index, box, packed)
            square = squares[index]
            angles = square.angles if model.frontalize else face.pose.angles
            geometry = face.geometry(radius, square.matrix, angles)
            hidden = seal_geometry(geometry_key(keys[index]), geometry, uid, index)
            sealed.append(SealedFace(index, key_commit(keys[index], "face"), packed, *exact, *hidden))
    public = []
    for index, face in enumerate(found):
        small = align.similarity(face.detection.landmarks, model.size)
        public.append(face.public(squares[index].matrix if face.sealed else small, model.size))
    as_they_are = sum(not square.frontal for square in squares.values()) if model.frontalize else 0
    return EncryptedFaces(image, tuple(public), tuple(sealed), as_they_are)


@contextmanager
def _stage(stage: Stage, name: str) -> Iterator[None]:
    """A stage in which OpenCV's errors, which have no base of their own, are RuntimeErrors."""
    with stage(name):
        try:
            yield
        except cv2.error as error:
            raise RuntimeError(f"OpenCV failed in the stage {name}") from error


def _encode(faces: Picture, keys: list[Secret], model: Model) -> list[NDArray[np.float64]]:
    """Latents of uint8 (B, m, m, 3), each with the noise of its own key where the model asks for it."""
    latents: list[NDArray[np.float64]] = []
    for at in range(0, len(faces), _BATCH):
        noise = None
        if model.keyed_dither:
            noise = np.stack([dither(dither_key(key), model.size) for key in keys[at : at + _BATCH]])
        latents += list(model.encode(faces[at : at + _BATCH], noise))
    return latents


def _rotate(latent: NDArray[np.float64], key: Secret, name: str) -> tuple[bytes, NDArray[np.uint16], float]:
    """(packed Z_enc, its integers, radius)."""
    z_enc, radius = rotate(latent, rotation_key(key), name)
    bits = PRECISIONS[PRECISION]
    return quantise.pack(z_enc, bits), quantise.quantise(z_enc, bits), radius
