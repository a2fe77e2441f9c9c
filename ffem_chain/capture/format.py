"""The bytes of a sealed capture: manifest.json, pose.json, faces.cbor, image.png.

Reading is strict: only what `to_files` writes is read, every size is bounded before anything is allocated for it, and
every file must match its digest in the manifest. What a manifest says is believed only after the whole directory was
verified against the chain (`ffem_chain.stores`, `ffem_chain.roles.reading`).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import cbor2

from ffem_chain import boundedjson, cborcheck
from ffem_chain.capture.model import (
    EXACT_OVERHEAD,
    GEOMETRY_LENGTH,
    GRID,
    MAX_FACES,
    MAX_SIDE,
    PRECISIONS,
    ROTATIONS,
    SIZES,
    Box,
    Capture,
    Manifest,
    PublicFace,
    SealedFace,
)
from ffem_chain.capture.picture import check_png, check_size
from ffem_chain.errors import FormatError, Tampered

VERSION = 1
IMAGE, POSE, FACES, MANIFEST = "image.png", "pose.json", "faces.cbor", "manifest.json"
LIMITS = {IMAGE: 256 << 20, POSE: 1 << 20, FACES: 512 << 20, MANIFEST: 64 << 10}
_FACE_FIELDS = 7
_MOST_LAYERS = 8
_MOST_BRACKETS = 4 * (MAX_FACES + 1)
_HEX_FIELDS = ("uid", "album_salt", "model_id", "key_commit")


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def _load_json(data: bytes, name: str) -> Any:
    try:
        value = boundedjson.loads(data, _MOST_BRACKETS)
        canonical = _json(value)
    except (ValueError, RecursionError):
        raise FormatError(f"{name} is damaged") from None
    if canonical != data:
        raise FormatError(f"{name} is not in its canonical form")
    return value


def _fields(value: Any, names: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        raise FormatError(f"{what} has other fields than it should")
    return value


def _integer(value: Any, low: int, high: int, what: str) -> int:
    if type(value) is not int or not low <= value <= high:
        raise FormatError(f"{what} is out of range")
    return value


def _number(value: Any, step: float, bound: float, what: str) -> float:
    """A finite number that is a multiple of `step`, as its rounding made it."""
    if type(value) is not float or not math.isfinite(value) or abs(value) > bound:
        raise FormatError(f"{what} is out of range")
    if round(round(value / step) * step, 2) != value:
        raise FormatError(f"{what} is finer than pose.json may be")
    return float(value)


def _hex32(value: Any, what: str) -> bytes:
    if not isinstance(value, str) or len(value) != 64 or value.strip("0123456789abcdef"):
        raise FormatError(f"{what} is not 32 bytes in lower-case hexadecimal")
    return bytes.fromhex(value)


# ---------------------------------------------------------------- writing


def _pose_entry(face: PublicFace) -> dict[str, Any]:
    box = face.box
    return {
        "alignment": [float(v) for v in face.alignment],
        "box": [box.x, box.y, box.width, box.height],
        "pitch": face.pitch,
        "roll": face.roll,
        "sealed": face.sealed,
        "yaw": face.yaw,
    }


def _dump_faces(faces: Iterable[SealedFace]) -> bytes:
    entries = [[f.index, f.commit, f.z, f.exact_nonce, f.exact, f.geometry_nonce, f.geometry] for f in faces]
    return cbor2.dumps({"faces": entries, "version": VERSION})


def to_files(capture: Capture) -> dict[str, bytes]:
    """See `Capture.to_files`."""
    files = {
        IMAGE: capture.image_png,
        POSE: _json({"faces": [_pose_entry(face) for face in capture.public_faces], "version": VERSION}),
        FACES: _dump_faces(sorted(capture.faces, key=lambda face: face.index)),
    }
    head = capture.manifest
    manifest: dict[str, Any] = {
        "epoch": head.epoch,
        "faces": len(capture.public_faces),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        "height": head.height,
        "precision": head.precision,
        "rotation": head.rotation,
        "size": head.size,
        "slot": head.slot,
        "version": VERSION,
        "width": head.width,
        **{name: getattr(head, name).hex() for name in _HEX_FIELDS},
    }
    return {**files, MANIFEST: _json(manifest)}


# ---------------------------------------------------------------- reading


def read_manifest(data: bytes) -> Manifest:
    """Parses manifest.json. FormatError where it is not what `to_files` writes."""
    if len(data) > LIMITS[MANIFEST]:
        raise FormatError("manifest.json is too large")
    raw = _load_json(data, MANIFEST)
    if isinstance(raw, dict) and raw.get("version") != VERSION:
        raise FormatError(f"unknown version {raw.get('version')!r} of a capture"[:80], "update ffem-chain")
    names = {"epoch", "faces", "files", "height", "precision", "rotation", "size", "slot", "version", "width"}
    raw = _fields(raw, names | set(_HEX_FIELDS), MANIFEST)
    _integer(raw["version"], VERSION, VERSION, "version")
    width, height = (_integer(raw[side], 1, MAX_SIDE, side) for side in ("width", "height"))
    check_size(width, height)
    if raw["rotation"] not in ROTATIONS or raw["precision"] not in list(PRECISIONS) or raw["size"] not in SIZES:
        raise FormatError("the manifest names a rotation, precision or size that this version does not know")
    files = _fields(raw["files"], {IMAGE, POSE, FACES}, "the manifest's list of files")
    for name, digest in files.items():
        _hex32(digest, f"the digest of {name}")
    return Manifest(
        uid=_hex32(raw["uid"], "uid"),
        album_salt=_hex32(raw["album_salt"], "album_salt"),
        model_id=_hex32(raw["model_id"], "model_id"),
        key_commit=_hex32(raw["key_commit"], "key_commit"),
        epoch=_integer(raw["epoch"], 1, (1 << 32) - 1, "epoch"),
        slot=_integer(raw["slot"], 0, (1 << 32) - 1, "slot"),
        rotation=raw["rotation"],
        precision=raw["precision"],
        size=_integer(raw["size"], 1, MAX_SIDE, "size"),
        width=width,
        height=height,
        faces=_integer(raw["faces"], 0, MAX_FACES, "number of faces"),
        files=files,
    )


def _read_pose(data: bytes, head: Manifest) -> tuple[PublicFace, ...]:
    raw = _fields(_load_json(data, POSE), {"faces", "version"}, POSE)
    _integer(raw["version"], VERSION, VERSION, "the version of pose.json")
    if not isinstance(raw["faces"], list) or len(raw["faces"]) != head.faces:
        raise FormatError("pose.json does not match the manifest")
    faces = tuple(_read_public_face(entry, head) for entry in raw["faces"])
    # readers pay for every box, also for those that faces.cbor need not fill; crowds overlap two or three times
    if sum(face.box.width * face.box.height for face in faces) > _MOST_LAYERS * head.width * head.height:
        raise FormatError(f"the boxes in pose.json cover the picture more than {_MOST_LAYERS} times")
    return faces


def _read_public_face(raw: Any, head: Manifest) -> PublicFace:
    entry = _fields(raw, {"alignment", "box", "pitch", "roll", "sealed", "yaw"}, "a face in pose.json")
    box, alignment = entry["box"], entry["alignment"]
    if not isinstance(box, list) or len(box) != 4 or not isinstance(alignment, list) or len(alignment) != 4:
        raise FormatError("a face in pose.json has no box or no alignment")
    angles = [_integer(entry[name], -180, 180, name) for name in ("yaw", "pitch", "roll")]
    if any(angle % 3 for angle in angles) or type(entry["sealed"]) is not bool:
        raise FormatError("a face in pose.json is not in its canonical form")
    x, y, log_scale, rotation = (
        _number(value, step, bound, "an alignment")
        for value, step, bound in zip(alignment, (GRID, GRID, 0.05, 3), (2e5, 2e5, 20, 180), strict=True)
    )
    left, top, width, height = (_integer(value, 0, MAX_SIDE, "a box") for value in box)
    return PublicFace(
        box=Box(left, top, width, height).check(head.width, head.height),
        yaw=angles[0],
        pitch=angles[1],
        roll=angles[2],
        alignment=(x, y, log_scale, rotation),
        sealed=entry["sealed"],
    )


def _bytes(value: Any, length: int, what: str) -> bytes:
    if type(value) is not bytes or len(value) != length:
        raise FormatError(f"{what} of a face has the wrong length")
    return value


def _read_faces(data: bytes, head: Manifest, public: tuple[PublicFace, ...]) -> tuple[SealedFace, ...]:
    sealed = [index for index, face in enumerate(public) if face.sealed]
    # lengths are fixed by the boxes, so the whole file's size is known up to CBOR's heads: nothing can be oversized
    bodies = sum(_face_length(head, public[index].box) for index in sealed)
    if not bodies <= len(data) <= bodies + 64 * (len(sealed) + 1):
        raise FormatError("faces.cbor does not have the size that the boxes ask for")
    cborcheck.check(FACES, data, max_items=6 + (1 + _FACE_FIELDS) * len(sealed), max_depth=3)
    try:
        raw = cbor2.loads(data)
    except (cbor2.CBORError, ValueError):
        raise FormatError("faces.cbor is damaged") from None
    raw = _fields(raw, {"faces", "version"}, FACES)
    entries = raw["faces"]
    _integer(raw["version"], VERSION, VERSION, "the version of faces.cbor")
    if not isinstance(entries, list) or len(entries) != len(sealed):
        raise FormatError("faces.cbor does not match pose.json")
    faces = tuple(
        _read_face(entry, index, head, public[index].box) for entry, index in zip(entries, sealed, strict=True)
    )
    if _dump_faces(faces) != data:
        raise FormatError("faces.cbor is not in its canonical form")
    return faces


def _face_length(head: Manifest, box: Box) -> int:
    return 32 + head.latent_bytes + 2 * 12 + GEOMETRY_LENGTH + 3 * box.width * box.height + EXACT_OVERHEAD


def _read_face(entry: Any, index: int, head: Manifest, box: Box) -> SealedFace:
    if not isinstance(entry, list) or len(entry) != _FACE_FIELDS or entry[0] != index or type(entry[0]) is not int:
        raise FormatError("a face in faces.cbor is not in its place")
    return SealedFace(
        index=index,
        commit=_bytes(entry[1], 32, "the commitment"),
        z=_bytes(entry[2], head.latent_bytes, "the latent"),
        exact_nonce=_bytes(entry[3], 12, "a nonce"),
        exact=_bytes(entry[4], 3 * box.width * box.height + EXACT_OVERHEAD, "the exact layer"),
        geometry_nonce=_bytes(entry[5], 12, "a nonce"),
        geometry=_bytes(entry[6], GEOMETRY_LENGTH, "the geometry"),
    )


def from_files(files: Mapping[str, bytes]) -> Capture:
    """See `Capture.from_files`."""
    if set(files) != set(LIMITS):
        raise FormatError("the directory does not hold the four files of a sealed capture")
    for name, limit in LIMITS.items():
        if len(files[name]) > limit:
            raise FormatError(f"{name} is too large")
    head = read_manifest(files[MANIFEST])
    for name, digest in head.files.items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise Tampered(f"{name} does not match its digest in the manifest", "fetch the capture again")
    public = _read_pose(files[POSE], head)
    faces = _read_faces(files[FACES], head, public)
    check_png(files[IMAGE], head.width, head.height)
    return Capture(head, public, faces, files[IMAGE])
