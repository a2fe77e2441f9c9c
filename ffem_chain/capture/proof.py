"""The proof that a capture is in a batch, as a file beside it: with the root on the chain it stands in for the list.

JSON; docs/FORMAT.md has its fields. A batch is named by its album and root. Pairs of the tree are sorted, so a proof is
siblings without sides and the capture has no number in it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ffem_chain import boundedjson
from ffem_chain.capture.batch import MAX_CAPTURES, CaptureList, Entry
from ffem_chain.capture.merkle import root_of
from ffem_chain.errors import FormatError, Tampered

VERSION = 1
MAX_BYTES = 4096
_HASHES = ("deployment", "album", "root", "uid", "digest", "key_commit")
_NUMBERS = {"chain": 1 << 64, "count": MAX_CAPTURES + 1, "epoch": 1 << 32, "slot": 1 << 32}
_FIELDS = {"v", "registry", "leaf", "siblings", *_HASHES, *_NUMBERS}
_HEX = re.compile(r"0x(?:[0-9a-f]{2})+")


@dataclass(frozen=True)
class CaptureProof:
    """A capture of a batch. `registry` is a checksummed address; other values as in the registration, 32 bytes each.

    `deployment`, `root` and `count` are claims until they were compared with the chain's; that the capture is under the
    root is checked when a proof is read.
    """

    chain: int
    registry: str
    deployment: bytes
    album: bytes
    root: bytes
    count: int
    epoch: int
    uid: bytes
    digest: bytes
    key_commit: bytes
    slot: int
    siblings: tuple[bytes, ...]

    @classmethod
    def of(
        cls, listed: CaptureList, entry: Entry, chain: int, registry: str, deployment: bytes, album: bytes
    ) -> CaptureProof:
        """The proof of an entry of a list."""
        where = (chain, registry, deployment, album, listed.root, len(listed.entries), listed.epoch)
        return cls(*where, entry.uid, entry.digest, entry.key_commit, entry.slot, listed.proof(entry))

    @property
    def entry(self) -> Entry:
        """The capture as the list has it."""
        return Entry(self.uid, self.digest, self.key_commit, self.slot)

    @property
    def leaf(self) -> bytes:
        """Its leaf in the tree (32 bytes)."""
        return self.entry.leaf(self.epoch)

    def of_batch(self, root: bytes, count: int, epoch: int) -> bool:
        """Whether this is the proof of a capture of the batch that the chain records so."""
        return (self.root, self.count, self.epoch) == (root, count, epoch)

    def to_json(self) -> bytes:
        """The file."""
        document: dict[str, Any] = {"v": VERSION, "chain": self.chain, "registry": self.registry}
        document |= {name: "0x" + getattr(self, name).hex() for name in ("deployment", "album", "root")}
        document |= {"count": self.count, "epoch": self.epoch, "slot": self.slot}
        document |= {name: "0x" + getattr(self, name).hex() for name in ("uid", "digest", "key_commit", "leaf")}
        document["siblings"] = ["0x" + one.hex() for one in self.siblings]
        return json.dumps(document, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> CaptureProof:
        """The proof in a file that anybody may have written. Raises FormatError for anything else, Tampered where the
        siblings do not lead from the capture to the root."""
        try:
            if len(data) > MAX_BYTES:
                raise ValueError("size")
            document = boundedjson.loads(data, 2)
            if document["v"] != VERSION or isinstance(document["v"], bool):
                raise FormatError("a proof of another version", "update ffem-chain")
            if set(document) != _FIELDS or not isinstance(document["siblings"], list):
                raise ValueError("fields")
            values: dict[str, Any] = {name: _number(document[name], most) for name, most in _NUMBERS.items()}
            values |= {name: _bytes(document[name], 32) for name in _HASHES}
            siblings = tuple(_bytes(one, 32) for one in document["siblings"])
            _bytes(document["registry"].lower(), 20)
            made = cls(registry=str(document["registry"]), siblings=siblings, **values)
            leaf = _bytes(document["leaf"], 32)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FormatError("this is not the proof of a capture", "a file of ffem show --save-proof") from None
        if not made.count or not made.epoch or len(siblings) > (made.count - 1).bit_length():
            raise FormatError("the proof is longer than one of a batch of that size, or of none", "get another one")
        if leaf != made.leaf or root_of(leaf, siblings) != made.root:
            raise Tampered("the proof does not lead from the capture to its root", "get another one")
        return made


def _number(value: Any, most: int) -> int:
    if type(value) is not int or not 0 <= value < most:
        raise ValueError(value)
    return value


def _bytes(value: Any, length: int) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) != 2 + 2 * length:
        raise ValueError(value)
    return bytes.fromhex(value[2:])
