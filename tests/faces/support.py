"""Sealing in memory, as the node does it, and detectors that find what a test says."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ffem_chain.capture.model import Capture, Manifest
from ffem_chain.capture.picture import encode
from ffem_chain.faces.finding.detect import Detection, Detector
from ffem_chain.faces.flow.glow import Flow, Glow, GlowConfig
from ffem_chain.faces.flow.haar import HaarConfig, HaarGlow
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.posing.align import TEMPLATE
from ffem_chain.faces.posing.pose import Pose, PoseEstimator
from ffem_chain.faces.seal import PRECISION, encrypt_faces
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class SealedPicture:
    """A capture, its I_enc, and the keys of its faces."""

    original: Picture
    capture: Capture
    image: Picture
    face_key: Callable[[int], Secret]
    not_frontalized: int = 0


@dataclass
class Says:
    """A detector that finds the same faces in every picture."""

    found: Sequence[Detection]
    name: str = "says"

    def detect(self, picture: Picture) -> list[Detection]:
        return list(self.found)


def face_at(x: float, y: float, side: float, score: float = 0.9) -> Detection:
    """A frontal face whose box begins at (x, y); the landmarks lie in it as in a training face."""
    height = 1.25 * side
    marks = TEMPLATE * side + np.array([x, y + 0.2 * height])
    return Detection((x, y, x + side, y + height), marks, score)


@dataclass
class Looks:
    """A pose estimator that says the same of every face."""

    said: Pose
    name: str = "looks"

    def estimate(self, picture: Picture, detection: Detection) -> Pose:
        return self.said


def seal(
    picture: Picture,
    model: Model,
    detector: Detector,
    rotation: str = "sphere",
    pose: PoseEstimator | None = None,
) -> SealedPicture:
    """What `ffem_node.seal` makes of a picture, without owner, store and chain."""
    uid, capture_key = secrets.token_bytes(32), Secret.random()

    def face_key(index: int) -> Secret:
        return tree.face_key(capture_key, tree.FaceContext(uid, index, model.model_id, rotation, PRECISION))

    sealed = encrypt_faces(picture, face_key, uid, model, detector, rotation=rotation, pose=pose)
    manifest = Manifest(
        uid=uid,
        album_salt=bytes(32),
        epoch=1,
        slot=0,
        model_id=model.model_id,
        rotation=rotation,
        precision=PRECISION,
        size=model.size,
        width=picture.shape[1],
        height=picture.shape[0],
        faces=len(sealed.public_faces),
        key_commit=tree.key_commit(capture_key, "capture"),
        files={},
    )
    capture = Capture(manifest, sealed.public_faces, sealed.faces, encode(sealed.image, compress_level=1))
    return SealedPicture(picture, capture, sealed.image, face_key, sealed.not_frontalized)


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def tiny_flow(config: GlowConfig | HaarConfig) -> Flow:
    """A flow, the same in every run, with weights other than those of its beginning, where it hardly does anything."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        flow = Glow(config) if isinstance(config, GlowConfig) else HaarGlow(config)
        for name, parameter in flow.named_parameters():
            parameter.add_((0.2 if ".couple." in name else 0.05) * torch.randn_like(parameter))
    return flow.eval()
