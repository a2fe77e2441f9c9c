"""The list of a batch: captures that the registry records by one Merkle root. docs/FORMAT.md has its bytes.

Reading is strict: only what `pack` writes is read, and its size follows from the number of captures. A list says
nothing until its root was compared with the chain's (`ffem_chain.roles.registrations`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from ffem_chain.capture.merkle import MerkleTree, leaf
from ffem_chain.errors import FormatError

VERSION = 1
MAX_CAPTURES = 10_000
NAME = "captures.bin"
_HEAD = 9
_ENTRY = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One capture: `uid`, `digest` (inside its CID) and `key_commit`, 32 bytes each; `slot` in minutes since 1970."""

    uid: bytes
    digest: bytes
    key_commit: bytes
    slot: int

    def leaf(self, epoch: int) -> bytes:
        """Its leaf in the batch's tree (32 bytes): of abi.encode(uid, digest, keyCommit, epoch, slot)."""
        numbers = epoch.to_bytes(32, "big") + self.slot.to_bytes(32, "big")
        return leaf(self.uid + self.digest + self.key_commit + numbers)


@dataclass(frozen=True)
class CaptureList:
    """The captures of a batch, by uid, all of one epoch. Made by `of` or `unpack`, which check."""

    epoch: int
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, epoch: int, entries: Iterable[Entry]) -> CaptureList:
        """A list of 1 to 10,000 captures in any order. FormatError for other numbers, or a uid that comes twice."""
        made = cls(epoch, tuple(sorted(entries, key=lambda entry: entry.uid)))
        return cls.unpack(made.pack())

    def pack(self) -> bytes:
        """The bytes of captures.bin."""
        head = bytes([VERSION]) + self.epoch.to_bytes(4, "big") + len(self.entries).to_bytes(4, "big")
        rows = (e.uid + e.digest + e.key_commit + e.slot.to_bytes(4, "big") for e in self.entries)
        return head + b"".join(rows)

    @classmethod
    def unpack(cls, data: bytes) -> CaptureList:
        """Strict inverse of `pack`. FormatError for anything else."""
        if data[:1] not in (b"", bytes([VERSION])):
            raise FormatError(f"unknown version {data[0]} of a list of captures", "update ffem-chain")
        epoch, count = (int.from_bytes(data[at : at + 4], "big") for at in (1, 5))
        if not 1 <= count <= MAX_CAPTURES or len(data) != size_of(count) or not epoch:
            raise FormatError(f"a list of captures is damaged, or not of 1 to {MAX_CAPTURES} captures")
        entries = tuple(_entry(data[at : at + _ENTRY]) for at in range(_HEAD, len(data), _ENTRY))
        if any(one.uid >= following.uid for one, following in pairwise(entries)):
            raise FormatError("a list of captures is not in order, or holds a capture twice")
        return cls(epoch, entries)

    @cached_property
    def tree(self) -> MerkleTree:
        """The Merkle tree whose root the registry records."""
        return MerkleTree(entry.leaf(self.epoch) for entry in self.entries)

    @property
    def root(self) -> bytes:
        """32 bytes."""
        return self.tree.root

    def find(self, uid: bytes) -> Entry | None:
        """The capture of a uid, None where the list does not hold it."""
        at = bisect_left(self.entries, uid, key=lambda entry: entry.uid)
        found = self.entries[at : at + 1]
        return found[0] if found and found[0].uid == uid else None

    def proof(self, entry: Entry) -> tuple[bytes, ...]:
        """Siblings that lead from an entry's leaf to the root, as the contract's `verifyCapture` takes them."""
        return self.tree.proof(entry.leaf(self.epoch))


def size_of(count: int) -> int:
    """Bytes of a list of `count` captures."""
    return _HEAD + _ENTRY * count


def _entry(row: bytes) -> Entry:
    return Entry(row[:32], row[32:64], row[64:96], int.from_bytes(row[96:], "big"))
