"""The key tree: album secret of an epoch, time slots, capture, face, and what a face key is used for.

Every step is HKDF-SHA256 (RFC 5869, no salt) with info = "ffem/v1/<label>" ‖ 0x00 ‖ context. Contexts are fixed-length
fields or length-prefixed names, so no two contexts share an encoding. Whoever holds a node derives all below it and
nothing beside it. docs/KEYS.md has the tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ffem_chain.keys.secret import Secret

SLOT_DEPTH = 32
SLOT_SECONDS = 60
LEVELS = ("epoch", "node", "capture", "face")


def hkdf(key: Secret | bytes, label: str, context: bytes = b"", length: int = 32) -> bytes:
    """HKDF-SHA256 of `key` under a label of this project. `length` in bytes, at most 8,160."""
    material = key.to_secret_bytes() if isinstance(key, Secret) else key
    info = b"ffem/v1/" + label.encode("ascii") + b"\x00" + context
    return HKDF(SHA256(), length=length, salt=None, info=info).derive(material)


def _exact(name: str, value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise ValueError(f"{name} has {len(value)} bytes, not {length}")
    return value


def _name(value: str) -> bytes:
    encoded = value.encode("ascii")
    if not 1 <= len(encoded) <= 255:
        raise ValueError("a name has 1 to 255 characters")
    return bytes([len(encoded)]) + encoded


@dataclass(frozen=True)
class TreeContext:
    """Album (its random 32-byte salt) and epoch (from 1): what the whole tree is bound to."""

    album_salt: bytes
    epoch: int

    def pack(self) -> bytes:
        return _exact("album salt", self.album_salt, 32) + self.epoch.to_bytes(4, "big")


@dataclass(frozen=True)
class FaceContext:
    """What a face key is bound to besides its capture: index, model, rotation and precision."""

    uid: bytes
    index: int
    model_id: bytes
    rotation: str
    precision: str

    def pack(self) -> bytes:
        return (
            _exact("capture uid", self.uid, 32)
            + self.index.to_bytes(2, "big")
            + _exact("model id", self.model_id, 32)
            + _name(self.rotation)
            + _name(self.precision)
        )


def slot_of(unix_seconds: float) -> int:
    """Time slot of a moment: minutes since 1970 UTC."""
    return int(unix_seconds) // SLOT_SECONDS


def slot_node(parent: Secret, ctx: TreeContext, bit: int, depth: int, prefix: int) -> Secret:
    """Child `bit` of the node (`depth`, `prefix`); the root is (0, 0) and its key the epoch's secret."""
    if bit not in (0, 1) or not 0 <= depth < SLOT_DEPTH or not 0 <= prefix < 1 << depth:
        raise ValueError(f"no child {bit} of node ({depth}, {prefix})")
    position = bytes([depth + 1]) + (2 * prefix + bit).to_bytes(4, "big")
    return Secret(hkdf(parent, "slot", ctx.pack() + position))


def derive_slot_key(node: Secret, depth: int, prefix: int, ctx: TreeContext, slot: int) -> Secret:
    """Key of the leaf `slot` (uint32) below the node (`depth`, `prefix`). ValueError where it is not below."""
    if not 0 <= slot < 1 << SLOT_DEPTH or not 0 <= depth <= SLOT_DEPTH or slot >> (SLOT_DEPTH - depth) != prefix:
        raise ValueError(f"slot {slot} is not below node ({depth}, {prefix})")
    for level in range(depth, SLOT_DEPTH):
        bit = slot >> (SLOT_DEPTH - 1 - level) & 1
        node = slot_node(node, ctx, bit, level, slot >> (SLOT_DEPTH - level))
    return node


def slot_key(epoch_secret: Secret, ctx: TreeContext, slot: int) -> Secret:
    """Key of a time slot from the epoch's secret."""
    return derive_slot_key(epoch_secret, 0, 0, ctx, slot)


def capture_key(key: Secret, ctx: TreeContext, slot: int, uid: bytes) -> Secret:
    """Key of the capture `uid` (32 bytes) from its slot's key."""
    context = ctx.pack() + slot.to_bytes(4, "big") + _exact("capture uid", uid, 32)
    return Secret(hkdf(key, "capture", context))


def face_key(key: Secret, ctx: FaceContext) -> Secret:
    """Key of one face from its capture's key."""
    return Secret(hkdf(key, "face", ctx.pack()))


def rotation_key(key: Secret) -> Secret:
    """Seed of the latent's rotation, from a face key."""
    return Secret(hkdf(key, "rotation"))


def exact_key(key: Secret) -> Secret:
    """AES-256-GCM key of the exact layer, from a face key."""
    return Secret(hkdf(key, "exact"))


def geometry_key(key: Secret) -> Secret:
    """AES-256-GCM key of the radius, exact box and alignment, from a face key."""
    return Secret(hkdf(key, "geometry"))


def dither_key(key: Secret) -> Secret:
    """Seed of the dequantisation noise, from a face key."""
    return Secret(hkdf(key, "dither"))


def key_commit(key: Secret, level: str) -> bytes:
    """Public commitment to a key of a level of the tree (`LEVELS`), 32 bytes."""
    if level not in LEVELS:
        raise ValueError(f"unknown level {level}")
    return hkdf(key, f"commit/{level}")
