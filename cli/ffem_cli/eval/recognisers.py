"""Recognisers: networks that tell people apart, as plug-ins. They serve evaluation only and are no part of the product.

A recogniser takes faces aligned to its own template; `crop` cuts them from any picture by five landmarks. Another one
is a class with the members of `Recogniser`, or an ONNX file of the ArcFace family (`OnnxRecogniser`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import FormatError, InputError, MissingExtra
from ffem_chain.faces.posing import align

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]
Vectors = NDArray[np.float32]
# eyes, nose tip, mouth corners in 112 x 112 px: the template of ArcFace (Deng et al. 2019) and its family
ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


class Aligned(Protocol):
    """What takes faces aligned to a template (5, 2) in px, `size` px a side."""

    size: int
    template: Points


class Recogniser(Protocol):
    """A network whose unit vectors are close for photos of one person.

    `name` says which, `digest` is the SHA-256 of its weights in hexadecimal, `size` the side of its faces in px,
    `template` (5, 2) where eyes, nose tip and mouth corners lie in them, x, y in px.
    """

    name: str
    digest: str
    size: int
    template: Points

    def embed(self, faces: Sequence[Picture]) -> Vectors:
        """Aligned faces uint8 (size, size, 3) RGB -> unit vectors float32 (N, d)."""
        ...


def crop(picture: Picture, landmarks: Points, recogniser: Aligned) -> Picture:
    """The face with these landmarks (5, 2), aligned to the recogniser's template: uint8 (size, size, 3). Beyond the
    picture its border is repeated."""
    return align.warp_in(picture, similarity(recogniser.template, landmarks), recogniser.size)


def crop_square(face: Picture, recogniser: Aligned) -> Picture:
    """The same of a face that is aligned to the flow's template, uint8 (m, m, 3)."""
    return crop(face, align.TEMPLATE * face.shape[0], recogniser)


def similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """Least-squares similarity (2, 3), without a mirror image, from points (N, 2) to points (N, 2)."""
    x, y, one, zero = source[:, 0], source[:, 1], np.ones(len(source)), np.zeros(len(source))
    rows = np.vstack([np.column_stack([x, -y, one, zero]), np.column_stack([y, x, zero, one])])
    a, b, c, d = np.linalg.lstsq(rows, target.T.ravel(), rcond=None)[0]
    return np.array([[a, -b, c], [b, a, d]])


class OnnxRecogniser:
    """An ONNX file of the ArcFace family (MobileFaceNet, ArcFace, CosFace): 112 x 112 RGB, (x - 127.5) / 127.5, run by
    OpenCV one face at a time, since such files often fix the batch at 1."""

    size = 112
    template = ARCFACE

    def __init__(self, file: Path) -> None:
        """InputError where the file is missing, FormatError where it is no such network."""
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InputError(f"the recogniser {file} cannot be read: {error.strerror}", HINT) from None
        self.name, self.digest = file.stem, hashlib.sha256(data).hexdigest()
        try:
            self._net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
            (vector,) = self.embed([np.full((self.size, self.size, 3), 127, np.uint8)])
        except (cv2.error, ValueError):
            raise FormatError(f"{file} is no recogniser that can be used", HINT) from None
        if vector.size < 16 or not np.isfinite(vector).all():
            raise FormatError(f"{file} gives no vectors for faces of 112 px", HINT)

    def embed(self, faces: Sequence[Picture]) -> Vectors:
        """See `Recogniser.embed`."""
        out = []
        for face in faces:
            self._net.setInput(cv2.dnn.blobFromImage(face, 1 / 127.5, (self.size, self.size), (127.5, 127.5, 127.5)))
            out.append(np.asarray(self._net.forward(), np.float32).ravel())
        return unit(np.stack(out)) if out else np.empty((0, 0), np.float32)


# the same points of dlib's chips of 150 px (padding 0.25), from its mean face of 68 points
_DLIB = np.array([[47.55, 46.60], [100.48, 46.60], [74.01, 76.56], [50.41, 103.02], [97.61, 103.02]])


class DlibRecogniser:
    """dlib's ResNet (King 2017; CC0), from the packages of the extra `eval`: 150 x 150 RGB, 128 numbers."""

    name, size, template = "dlib-resnet", 150, _DLIB

    def __init__(self) -> None:
        """MissingExtra where the packages are not installed."""
        try:
            import dlib

            file = resources.files("face_recognition_models") / "models" / "dlib_face_recognition_resnet_model_v1.dat"
            self.digest = hashlib.sha256(file.read_bytes()).hexdigest()
        except (ModuleNotFoundError, FileNotFoundError):
            raise MissingExtra("the recogniser of dlib is not installed", "pip install 'ffem-chain[eval]'") from None
        with resources.as_file(file) as path:
            self._net = dlib.face_recognition_model_v1(str(path))

    def embed(self, faces: Sequence[Picture]) -> Vectors:
        """See `Recogniser.embed`."""
        out = [np.asarray(self._net.compute_face_descriptor(np.ascontiguousarray(face)), np.float32) for face in faces]
        return unit(np.stack(out)) if out else np.empty((0, 0), np.float32)


HINT = (
    "--recogniser FILE, an ONNX file of the ArcFace family (112 x 112 px RGB in, a vector out); "
    "or --recogniser dlib (pip install 'ffem-chain[eval]')"
)


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Rows scaled to length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)


def open_recogniser(given: str | None) -> Recogniser:
    """The recogniser that an option names. InputError with a hint where none was given."""
    if not given:
        raise InputError("this measures identities, and no recogniser was named", HINT)
    return DlibRecogniser() if given == "dlib" else OnnxRecogniser(Path(given))
