"""The exact layer: a face's original pixels under AES-256-GCM, and which pixel belongs to which face.

Pixels are sealed uncompressed (a compressed size would fingerprint the face), with their digest inside. Where boxes
overlap, every pixel belongs to one face, so that opening a face never shows its neighbour.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
import struct
from collections.abc import Mapping, Sequence

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from numpy.typing import NDArray

from ffem_chain.capture.model import GEOMETRY_VALUES, Box, Capture
from ffem_chain.errors import FormatError, NotForMe, Tampered
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.tree import exact_key, key_commit

_DIGEST = 32


def ownership(boxes: Sequence[Box], width: int, height: int) -> NDArray[np.int16]:
    """int16 (height, width): index of the face that owns a pixel, -1 where no box covers it.

    A pixel belongs to the box whose centre is nearest, distances measured in that box's half sides; ties to the lower
    index. Works box by box, so large pictures with many faces stay cheap.
    """
    owner = np.full((height, width), -1, np.int16)
    nearest = np.full((height, width), np.inf, np.float32)
    for index, box in enumerate(boxes):
        dx = (np.arange(box.width, dtype=np.float32) + 0.5) / box.width * 2 - 1
        dy = (np.arange(box.height, dtype=np.float32) + 0.5) / box.height * 2 - 1
        distance = dy[:, None] ** 2 + dx[None, :] ** 2
        where = distance < nearest[box.rows, box.columns]
        nearest[box.rows, box.columns][where] = distance[where]
        owner[box.rows, box.columns][where] = index
    return owner


def _pixel_aad(uid: bytes, index: int, box: Box, z: bytes) -> bytes:
    return b"ffem/v1/exact\x00" + uid + index.to_bytes(2, "big") + box.pack() + hashlib.sha256(z).digest()


def seal_pixels(
    key: Secret, pixels: NDArray[np.uint8], uid: bytes, index: int, box: Box, z: bytes
) -> tuple[bytes, bytes]:
    """uint8 (h, w, 3) under the exact key -> (nonce, ciphertext). Bound to capture, face, box and Z_enc."""
    if pixels.shape != (box.height, box.width, 3) or pixels.dtype != np.uint8:
        raise ValueError("the pixels do not fill the box")
    raw, nonce = pixels.tobytes(), secrets.token_bytes(12)
    plain = hashlib.sha256(raw).digest() + raw
    return nonce, AESGCM(key.to_secret_bytes()).encrypt(nonce, plain, _pixel_aad(uid, index, box, z))


def open_pixels(
    key: Secret, nonce: bytes, sealed: bytes, uid: bytes, index: int, box: Box, z: bytes
) -> NDArray[np.uint8]:
    """Inverse of `seal_pixels`; Tampered unless every byte and the digest inside hold."""
    plain = _decrypt(key, nonce, sealed, _pixel_aad(uid, index, box, z), f"the pixels of face {index}")
    raw = plain[_DIGEST:]
    whole = len(raw) == 3 * box.width * box.height
    if not whole or not hmac.compare_digest(hashlib.sha256(raw).digest(), plain[:_DIGEST]):
        raise Tampered(f"the pixels of face {index} do not match the digest that was sealed with them")
    return np.frombuffer(raw, np.uint8).reshape(box.height, box.width, 3)


def _decrypt(key: Secret, nonce: bytes, sealed: bytes, aad: bytes, what: str) -> bytes:
    try:
        return AESGCM(key.to_secret_bytes()).decrypt(nonce, sealed, aad)
    except InvalidTag:
        raise Tampered(f"{what} are damaged or were moved here from another place", "fetch the capture again") from None


def _geometry_aad(uid: bytes, index: int) -> bytes:
    return b"ffem/v1/geometry\x00" + uid + index.to_bytes(2, "big")


def seal_geometry(key: Secret, values: Sequence[float], uid: bytes, index: int) -> tuple[bytes, bytes]:
    """24 numbers (radius first; unused ones zero) under the geometry key -> (nonce, ciphertext), fixed length."""
    plain, nonce = struct.pack(f">{GEOMETRY_VALUES}d", *values), secrets.token_bytes(12)
    return nonce, AESGCM(key.to_secret_bytes()).encrypt(nonce, plain, _geometry_aad(uid, index))


def open_geometry(key: Secret, nonce: bytes, sealed: bytes, uid: bytes, index: int) -> tuple[float, ...]:
    """Inverse of `seal_geometry`."""
    plain = _decrypt(key, nonce, sealed, _geometry_aad(uid, index), f"the radius and geometry of face {index}")
    if len(plain) != 8 * GEOMETRY_VALUES:
        raise FormatError(f"the radius and geometry of face {index} have another length than they should")
    values = struct.unpack(f">{GEOMETRY_VALUES}d", plain)
    if not all(map(math.isfinite, values)):
        raise FormatError(f"the radius and geometry of face {index} are no finite numbers")
    return values


def check_face_key(capture: Capture, index: int, face_key: Secret) -> None:
    """NotForMe unless the key is the one that face `index` commits to: a wrong key, not a damaged file."""
    if not hmac.compare_digest(key_commit(face_key, "face"), capture.face(index).commit):
        raise NotForMe(f"the key is not that of face {index} of this capture", "check which capture the grant is for")


def open_faces(capture: Capture, picture: NDArray[np.uint8], keys: Mapping[int, Secret]) -> NDArray[np.uint8]:
    """`picture` uint8 (H, W, 3) with the original pixels of the faces of `keys` (face keys by index) back; a copy.

    NotForMe for a wrong key, Tampered for damage, FormatError where there is no such face.
    """
    head, found = capture.manifest, {}
    for index, key in keys.items():
        check_face_key(capture, index, key)
        face, box = capture.face(index), capture.public_faces[index].box
        found[index] = open_pixels(exact_key(key), face.exact_nonce, face.exact, head.uid, index, box, face.z)
    opened, owner = picture.copy(), ownership([face.box for face in capture.public_faces], head.width, head.height)
    for index, pixels in found.items():
        box = capture.public_faces[index].box
        mine = owner[box.rows, box.columns] == index
        opened[box.rows, box.columns][mine] = pixels[mine]
    return opened


def open_exact(capture: Capture, picture: NDArray[np.uint8], index: int, face_key: Secret) -> NDArray[np.uint8]:
    """One face; see `open_faces`."""
    return open_faces(capture, picture, {index: face_key})
