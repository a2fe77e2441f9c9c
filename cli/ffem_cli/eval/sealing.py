"""Sealing in memory as the camera does it, for evaluation: the real detector, flow, rotation, packing and file format.

Keys derive from the photo's name and a seed, so a run can be repeated; nothing that is sealed here leaves the process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.exact import open_faces, open_geometry, ownership
from ffem_chain.capture.model import Capture, Manifest
from ffem_chain.capture.picture import decode, encode
from ffem_chain.faces.finding.detect import Detection, Detector
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.posing.pose import Pose, PoseEstimator
from ffem_chain.faces.readers import fake, open_flow
from ffem_chain.faces.seal import PRECISION, encrypt_faces
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Subject:
    """The face that a photo is about: its index in the capture, and what its sealed geometry says."""

    index: int
    yaw: float
    box: tuple[float, float, float, float]
    matrix: NDArray[np.float64]
    landmarks: Points


@dataclass(frozen=True)
class Sealed:
    """A capture read back from its files, its I_enc, the keys of the faces that can be opened, and those faces uint8
    (m, m, 3) as the flow was given them, by index."""

    original: Picture
    capture: Capture
    image: Picture
    keys: dict[int, Secret]
    given: dict[int, Picture]

    def subject(self) -> Subject | None:
        """The sealed face nearest to the middle of the photo, in its own size; None where none was sealed."""
        found = [self._face(index) for index in self.keys]
        return min(found, key=lambda s: _distance(s.box, self.original.shape)) if found else None

    def _face(self, index: int) -> Subject:
        face, uid = self.capture.face(index), self.capture.manifest.uid
        values = open_geometry(tree.geometry_key(self.keys[index]), face.geometry_nonce, face.geometry, uid, index)
        box = (values[1], values[2], values[3], values[4])
        matrix, marks = np.array(values[5:11]).reshape(2, 3), np.array(values[14:24]).reshape(5, 2)
        return Subject(index, float(self.capture.public_faces[index].yaw), box, matrix, marks)

    def by_flow(self, model: Model) -> tuple[Picture, dict[int, Picture]]:
        """The picture with every sealed face opened by the flow alone, and what came out of the flow by index."""
        out, decoded, watched = self.image, {}, watch(model)
        for index, key in self.keys.items():
            out = open_flow(self.capture, out, index, key, watched)
            (decoded[index],) = watched.decoded.pop()
        return out, decoded

    def fake(self, model: Model, temperature: float) -> Picture:
        """What the public may see in place of the faces."""
        return fake(self.capture, self.image, temperature, model)

    def exact_is_identical(self) -> bool:
        """Whether the exact layer gives every pixel back but those of faces that are covered for ever."""
        opened = open_faces(self.capture, self.image, self.keys)
        height, width = self.original.shape[:2]
        owner = ownership([face.box for face in self.capture.public_faces], width, height)
        covered = [index for index, face in enumerate(self.capture.public_faces) if not face.sealed]
        kept = ~np.isin(owner, covered)
        return bool(np.array_equal(opened[kept], self.original[kept]))


@dataclass(frozen=True)
class Watched(Model):
    """A model that remembers the faces that were encoded and decoded, batches of uint8 (B, m, m, 3)."""

    encoded: list[Picture] = field(default_factory=list)
    decoded: list[Picture] = field(default_factory=list)

    def encode(self, faces: Picture, dither: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """See `Model.encode`."""
        self.encoded.append(faces.copy())
        return super().encode(faces, dither)

    def decode(self, latents: NDArray[np.float64], dither: NDArray[np.float32] | None = None) -> Picture:
        """See `Model.decode`."""
        self.decoded.append(super().decode(latents, dither))
        return self.decoded[-1]


def watch(model: Model) -> Watched:
    """The same model, watched."""
    return Watched(**{part.name: getattr(model, part.name) for part in fields(model)})


@dataclass(frozen=True)
class Camera:
    """What a camera seals with; `pose` None takes the angles from the five landmarks."""

    model: Model
    detector: Detector
    pose: PoseEstimator | None = None
    rotation: str = "sphere"

    @property
    def depends(self) -> dict[str, object]:
        """What sealed faces depend on, as JSON values."""
        pose = self.pose.name if self.pose else None
        return {
            "model": self.model.model_id.hex(),
            "detector": self.detector.name,
            "pose": pose,
            "rotation": self.rotation,
        }


def seal(picture: Picture, name: str, seed: int, camera: Camera) -> Sealed:
    """Seals uint8 (H, W, 3) under keys of (name, seed), writes the capture's files and reads them back."""
    model, rotation = camera.model, camera.rotation
    uid, capture_key = _derived("uid", name, seed), Secret(_derived("key", name, seed))

    def face_key(index: int) -> Secret:
        return tree.face_key(capture_key, tree.FaceContext(uid, index, model.model_id, rotation, PRECISION))

    watched = watch(model)
    sealed = encrypt_faces(picture, face_key, uid, watched, camera.detector, pose=camera.pose, rotation=rotation)
    height, width = picture.shape[:2]
    commit, faces = tree.key_commit(capture_key, "capture"), len(sealed.public_faces)
    head = Manifest(
        uid, bytes(32), 1, 0, model.model_id, rotation, PRECISION, model.size, width, height, faces, commit, {}
    )
    written = Capture(head, sealed.public_faces, sealed.faces, encode(sealed.image, compress_level=1)).to_files()
    capture = Capture.from_files(written)
    image = decode(capture.image_png, width, height)
    given = dict(
        zip((face.index for face in capture.faces), (f for part in watched.encoded for f in part), strict=True)
    )
    return Sealed(picture, capture, image, {index: face_key(index) for index in given}, given)


def central(found: Sequence[Detection], shape: Sequence[int]) -> Detection | None:
    """Of detections in a picture of this shape the one nearest to the middle, in its own size."""
    return min(found, key=lambda d: _distance(d.box, shape)) if found else None


def _distance(box: tuple[float, float, float, float], shape: Sequence[int]) -> float:
    x, y = (box[0] + box[2] - shape[1]) / 2, (box[1] + box[3] - shape[0]) / 2
    return float(np.hypot(x, y) / max(1e-6, min(box[2] - box[0], box[3] - box[1])))


def _derived(what: str, name: str, seed: int) -> bytes:
    return hashlib.sha256(f"ffem eval {what} {seed} {name}".encode()).digest()


class _Finding:
    """A detector that remembers what it found in a picture."""

    def __init__(self, detector: Detector) -> None:
        self.name, self._detector = detector.name, detector
        self._found: dict[bytes, list[Detection]] = {}

    def detect(self, picture: Picture) -> list[Detection]:
        """See `Detector.detect`."""
        key = _content(picture)
        if key not in self._found:
            self._found[key] = self._detector.detect(picture)
        return self._found[key]


class _Posing:
    """An estimator of pose that remembers faces of a picture."""

    def __init__(self, estimator: PoseEstimator) -> None:
        self.name, self._estimator = estimator.name, estimator
        self._found: dict[tuple[bytes, bytes], Pose] = {}

    def estimate(self, picture: Picture, detection: Detection) -> Pose:
        """See `PoseEstimator.estimate`."""
        key = _content(picture), np.append(detection.landmarks, detection.box).tobytes()
        if key not in self._found:
            self._found[key] = self._estimator.estimate(picture, detection)
        return self._found[key]


def remembering(camera: Camera) -> Camera:
    """The same camera, which looks at a picture only once however many keys seal it: about half of the time of sealing
    is finding a face. What it seals is what `camera` seals, bit for bit; it holds about 12 KB a face."""
    return replace(
        camera, detector=_Finding(camera.detector), pose=_Posing(camera.pose) if camera.pose is not None else None
    )


def _content(picture: Picture) -> bytes:
    return hashlib.blake2b(picture.tobytes(), digest_size=16).digest() + str(picture.shape).encode()
