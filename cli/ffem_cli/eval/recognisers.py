"""Recognisers: networks that tell people apart, as plug-ins. They serve evaluation only and are no part of the product.

A recogniser takes faces aligned to its own template; `crop` cuts them from any picture by five landmarks. Another one
is a class with the members of `Recogniser`, or an ONNX file of one of `FAMILIES` (`OnnxRecogniser`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import FormatError, InputError
from ffem_chain.faces import modelcache
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
        """Aligned faces uint8 (size, size, 3) RGB -> unit vectors float32 (N, d). Several threads call it at a time."""
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


@dataclass(frozen=True)
class Family:
    """How networks that were trained alike take faces: `size` px a side, RGB or BGR, (x - 127.5) / `scale`; `columns`
    are what is left of the width."""

    size: int = 112
    template: Points = field(default_factory=lambda: ARCFACE)
    scale: float = 127.5
    bgr: bool = False
    columns: tuple[int, int] | None = None


# FaceNet takes MTCNN's boxes, not points: this is where a frontal face's points lie in them, within a few px
_FACENET = (ARCFACE - (56, 62)) * 1.62 + 80
FAMILIES = {
    "arcface": Family(),  # Deng et al. 2019, MobileFaceNet among them
    "cosface": Family(scale=128),  # Wang et al. 2018
    "facenet": Family(size=160, template=_FACENET, scale=128),  # Schroff et al. 2015
    # Liu et al. 2017: 112 x 96 px, which are the middle of ArcFace's 112 x 112
    "sphereface": Family(scale=128, bgr=True, columns=(8, 104)),
}


class OnnxRecogniser:
    """An ONNX file of one of `FAMILIES`, run by OpenCV one face at a time, since such files often fix the batch at 1.
    Channels may be first or last."""

    def __init__(self, file: Path, family: str = "arcface") -> None:
        """InputError where the file is missing, FormatError where it is no such network."""
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InputError(f"the recogniser {file} cannot be read: {error.strerror}", HINT) from None
        self.name, self.digest, self._family = file.stem, hashlib.sha256(data).hexdigest(), FAMILIES[family]
        if family != "arcface":
            self.digest = hashlib.sha256(f"{family} {self.digest}".encode()).hexdigest()
        self.size, self.template = self._family.size, self._family.template
        sides = _sides(data)
        self._last = len(sides) == 4 and sides[1] != 3 and sides[3] == 3
        columns = self._family.columns or (0, self.size)
        wanted = (self.size, columns[1] - columns[0])
        if any(
            side not in (0, fit) for side, fit in zip(sides[1:3] if self._last else sides[2:], wanted, strict=False)
        ):
            raise FormatError(f"{file} takes pictures of other sides than {wanted[0]} x {wanted[1]} px", HINT)
        try:
            self._net, self._lock = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8)), Lock()
            (vector,) = self.embed([np.full((self.size, self.size, 3), 127, np.uint8)])
        except (cv2.error, ValueError):
            raise FormatError(f"{file} is no recogniser that can be used", HINT) from None
        if vector.size < 16 or not np.isfinite(vector).all():
            raise FormatError(f"{file} gives no vectors for faces of {self.size} px", HINT)

    def embed(self, faces: Sequence[Picture]) -> Vectors:
        """See `Recogniser.embed`."""
        out = []
        for face in faces:
            given = self._input(face)
            with self._lock:
                self._net.setInput(given)
                out.append(np.array(self._net.forward(), np.float32).ravel())
        return unit(np.stack(out)) if out else np.empty((0, 0), np.float32)

    def _input(self, face: Picture) -> NDArray[np.float32]:
        cut = np.ascontiguousarray(face[:, slice(*self._family.columns)] if self._family.columns else face)
        height, width = cut.shape[:2]
        scale, swap = 1 / self._family.scale, self._family.bgr
        blob = cv2.dnn.blobFromImage(cut, scale, (width, height), (127.5, 127.5, 127.5), swapRB=swap)
        return np.ascontiguousarray(blob.transpose(0, 2, 3, 1)) if self._last else np.asarray(blob)


def _sides(data: bytes) -> tuple[int, ...]:
    """The input's sides as an ONNX file declares them, 0 for any; none where the package onnx is not installed (OpenCV
    takes what does not fit) or the file is no model."""
    try:
        import onnx

        graph = onnx.load_model_from_string(data).graph
    except Exception:  # also those of protocol buffers: OpenCV says then what is wrong
        return ()
    constants = {one.name for one in graph.initializer}
    for given in graph.input:
        if given.name not in constants:
            return tuple(side.dim_value for side in given.type.tensor_type.shape.dim)
    return ()


class GraphRecogniser:
    """A recogniser among the networks of `networks`, by name; see `GRAPHS`."""

    def __init__(self, name: str, model_cache: Path) -> None:
        """MissingExtra where it is not on this machine or ONNX Runtime is not installed."""
        from ffem_cli.eval import networks

        self.name, self._graph = name, GRAPHS[name]
        self.size, self.template = self._graph.size, ARCFACE * (self._graph.size / 112)
        self._net = networks.load(name, model_cache)
        self.digest = self._net.digest

    def embed(self, faces: Sequence[Picture]) -> Vectors:
        """See `Recogniser.embed`."""
        out = []
        for face in faces:
            given = face[None, :, :, ::-1] if self._graph.bgr else face[None]
            out.append(self._net.run(given - np.array(self._graph.mean, np.float32))[self._graph.output].ravel())
        return unit(np.stack(out)) if out else np.empty((0, 0), np.float32)


@dataclass(frozen=True)
class _Graph:
    """What a graph takes, grey levels of 0 to 255 less `mean` by channel, and which of its outputs is the vector."""

    size: int
    output: str
    bgr: bool = False
    mean: tuple[float, float, float] = (0, 0, 0)


# The third recogniser of that package, "mobilefacenet", recognises nobody in LFW (top-1 5 % among 140 people), with
# any of the usual inputs; it is left out.
GRAPHS = {
    "faceres": _Graph(224, "global_pooling/Mean", True, (103.939, 116.779, 123.68)),
    "mobileface": _Graph(112, "batchnorm0/add_1"),
}


HINT = (
    "--recogniser FILE, an ONNX file of the ArcFace family (112 x 112 px RGB in, a vector out), or FAMILY:FILE with "
    f"{', '.join(FAMILIES)}; or --recogniser dlib (pip install 'ffem-chain[eval]')"
)


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Rows scaled to length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)


def open_recogniser(given: str | None, model_cache: Path | None = None) -> Recogniser:
    """The recogniser that an option names: a file, FAMILY:FILE, `dlib`, or one of `GRAPHS`, which lie in the folder
    `model_cache` (default: `modelcache.default_folder`). InputError with a hint where none was given."""
    if not given:
        raise InputError("this measures identities, and no recogniser was named", HINT)
    if given == "dlib":
        from ffem_cli.eval.dlibnet import DlibRecogniser

        return DlibRecogniser()
    if given in GRAPHS:
        return GraphRecogniser(given, model_cache or modelcache.default_folder())
    family, _, rest = given.partition(":")
    return OnnxRecogniser(Path(rest), family) if family in FAMILIES and rest else OnnxRecogniser(Path(given))
