"""The capture of the vectors, and ways to change it so that only the part under test is wrong."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import Capture
from ffem_chain.keys.secret import Secret

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "capture.json").read_text())
FILES: dict[str, bytes] = {name: base64.b64decode(data) for name, data in VECTOR["files"].items()}
CAPTURE = Capture.from_files(FILES)
FACE_KEYS = [Secret(bytes.fromhex(key)) for key in VECTOR["face_keys"]]
WIDTH, HEIGHT = CAPTURE.manifest.width, CAPTURE.manifest.height
ORIGINAL: NDArray[np.uint8] = np.frombuffer(base64.b64decode(VECTOR["original_rgb"]), np.uint8).reshape(
    HEIGHT, WIDTH, 3
)
MANIFEST, POSE, FACES, IMAGE = "manifest.json", "pose.json", "faces.cbor", "image.png"


def canonical(value: Any) -> bytes:
    """JSON as the format writes it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def vouched(**files: bytes) -> dict[str, bytes]:
    """The capture with files replaced (pose, faces, image) and the manifest's digests in order."""
    changed = {**FILES, **{next(n for n in FILES if n.startswith(stem)): data for stem, data in files.items()}}
    head = json.loads(FILES[MANIFEST])
    head["files"] = {name: hashlib.sha256(changed[name]).hexdigest() for name in head["files"]}
    return {**changed, MANIFEST: canonical(head)}


def with_manifest(change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    """The capture with a changed manifest."""
    head = json.loads(FILES[MANIFEST])
    change(head)
    return {**FILES, MANIFEST: canonical(head)}


def with_pose(change: Callable[[dict[str, Any]], object]) -> dict[str, bytes]:
    """The capture with a changed pose.json, for which the manifest vouches."""
    pose = json.loads(FILES[POSE])
    change(pose)
    return vouched(pose=canonical(pose))
