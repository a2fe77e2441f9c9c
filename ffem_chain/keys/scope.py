"""What a grant opens: an epoch, a range of time in it, a capture, or a face. Layout: docs/KEYS.md, "Scope"."""

from __future__ import annotations

from dataclasses import dataclass

from ffem_chain.errors import FormatError
from ffem_chain.keys.tree import LAST_SLOT, SLOT_DEPTH

LEVEL_EPOCH, LEVEL_NODE, LEVEL_CAPTURE, LEVEL_FACE, LEVEL_RANGE = 1, 2, 3, 4, 5
SCOPE_LENGTH = 43
_NO_UID = bytes(32)


@dataclass(frozen=True)
class Scope:
    """What a key opens. Fields that a level does not use are zero.

    `level` one of LEVEL_*; `epoch` from 1; `slot` the minute; `uid` of the capture (32 bytes); `face` its index. For
    LEVEL_NODE, `slot` is the first slot below the node and `face` the node's depth, 1 to 32. For LEVEL_RANGE, `slot` is
    the first slot and `last` the last one, both included; all slots together are no range but LEVEL_EPOCH.
    """

    level: int
    epoch: int = 0
    slot: int = 0
    uid: bytes = _NO_UID
    face: int = 0
    last: int = 0

    def __post_init__(self) -> None:
        if self.level not in (LEVEL_EPOCH, LEVEL_NODE, LEVEL_CAPTURE, LEVEL_FACE, LEVEL_RANGE):
            raise FormatError(f"unknown level {self.level} of a grant's scope")
        slots = 0 <= self.slot <= LAST_SLOT and 0 <= self.last <= LAST_SLOT
        if not 1 <= self.epoch < 1 << 32 or not slots or not 0 <= self.face < 1 << 16:
            raise FormatError("a number in a grant's scope is out of range")
        of_tree = self.uid == _NO_UID
        canonical = {
            LEVEL_EPOCH: of_tree and self.slot == self.face == self.last == 0,
            LEVEL_NODE: of_tree
            and self.last == 0
            and 1 <= self.face <= SLOT_DEPTH
            and not self.slot & ((1 << (SLOT_DEPTH - self.face)) - 1),
            LEVEL_CAPTURE: self.face == self.last == 0,
            LEVEL_FACE: self.last == 0,
            LEVEL_RANGE: of_tree
            and self.face == 0
            and self.slot <= self.last
            and (self.slot, self.last) != (0, LAST_SLOT),
        }
        if len(self.uid) != 32 or not canonical[self.level]:
            raise FormatError("a grant's scope is not in its canonical form")

    @property
    def span(self) -> tuple[int, int]:
        """First and last slot of what it opens, both included."""
        if self.level == LEVEL_EPOCH:
            return 0, LAST_SLOT
        if self.level == LEVEL_NODE:
            return self.slot, self.slot + (1 << (SLOT_DEPTH - self.face)) - 1
        return self.slot, self.last if self.level == LEVEL_RANGE else self.slot

    @property
    def many(self) -> bool:
        """Whether it opens whatever is sealed in its span, also later, and not one capture only."""
        return self.level in (LEVEL_EPOCH, LEVEL_NODE, LEVEL_RANGE)

    def pack(self) -> bytes:
        """43 bytes: level 1 ‖ epoch 4 ‖ slot 4 ‖ uid 32 ‖ face 2; the last slot of a range stands in the first 4 of
        uid."""
        uid = self.last.to_bytes(4, "big") + bytes(28) if self.level == LEVEL_RANGE else self.uid
        head = bytes([self.level]) + self.epoch.to_bytes(4, "big") + self.slot.to_bytes(4, "big")
        return head + uid + self.face.to_bytes(2, "big")

    @classmethod
    def unpack(cls, data: bytes) -> Scope:
        """Inverse of `pack`; FormatError for anything that `pack` does not give."""
        if len(data) != SCOPE_LENGTH:
            raise FormatError(f"a scope has {SCOPE_LENGTH} bytes, not {len(data)}")
        number = int.from_bytes
        level, uid, last = data[0], data[9:41], 0
        if level == LEVEL_RANGE:
            last, uid = number(uid[:4], "big"), bytes(4) + uid[4:]
        return cls(level, number(data[1:5], "big"), number(data[5:9], "big"), uid, number(data[41:], "big"), last)
