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
LAST_SLOT = (1 << SLOT_DEPTH) - 1
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
    if not 0 <= slot <= LAST_SLOT or not 0 <= depth <= SLOT_DEPTH or slot >> (SLOT_DEPTH - depth) != prefix:
        raise ValueError(f"slot {slot} is not below node ({depth}, {prefix})")
    for level in range(depth, SLOT_DEPTH):
        bit = slot >> (SLOT_DEPTH - 1 - level) & 1
        node = slot_node(node, ctx, bit, level, slot >> (SLOT_DEPTH - level))
    return node


@dataclass(frozen=True)
class Node:
    """A place in the slot tree: `depth` 0 (the root) to 32 (a leaf), `prefix` the first `depth` bits of its slots."""

    depth: int
    prefix: int

    @property
    def first(self) -> int:
        """First slot below it."""
        return self.prefix << (SLOT_DEPTH - self.depth)

    @property
    def last(self) -> int:
        """Last slot below it."""
        return self.first + (1 << (SLOT_DEPTH - self.depth)) - 1


def cover(first: int, last: int) -> list[Node]:
    """The fewest nodes below which lie the slots `first` to `last` (uint32, both included) and no others, in order.

    At most 62, and at most 2 log2(slots) for two slots or more; they are unique. ValueError where there is no such
    range.
    """
    if not 0 <= first <= last <= LAST_SLOT:
        raise ValueError(f"no range of slots from {first} to {last}")
    nodes = []
    while first <= last:
        # as high as the first slot is the leftmost below it and the last one is not passed
        height = min((first & -first).bit_length() - 1 if first else SLOT_DEPTH, (last - first + 1).bit_length() - 1)
        nodes.append(Node(SLOT_DEPTH - height, first >> height))
        first += 1 << height
    return nodes


def node_key(epoch_secret: Secret, ctx: TreeContext, node: Node) -> Secret:
    """Key of a node from the epoch's secret; the root's is that secret."""
    key = epoch_secret
    for depth in range(node.depth):
        below = node.prefix >> (node.depth - 1 - depth)
        key = slot_node(key, ctx, below & 1, depth, below >> 1)
    return key


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
