"""CIDs, the only kind the stores use: version 1, sha2-256, dag-pb or raw, text in lower-case base32.

The digest on the chain is the sha2-256 of the directory's root block, so address and check are one.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from ffem_chain.errors import FormatError

DAG_PB, RAW = 0x70, 0x55
BINARY_LENGTH = 36  # version, codec, hash function, digest length, digest
_TEXT = re.compile(r"b[a-z2-7]{58}")
_HINT = "a capture's CID begins with bafy and has 59 characters"


@dataclass(frozen=True)
class Cid:
    """What names a block: its codec and the sha2-256 of its bytes."""

    codec: int
    digest: bytes

    @classmethod
    def of(cls, codec: int, block: bytes) -> Cid:
        return cls(codec, hashlib.sha256(block).digest())

    @classmethod
    def parse(cls, text: str) -> Cid:
        """From text. Raises FormatError on anything but the one spelling this module writes."""
        if not isinstance(text, str) or not _TEXT.fullmatch(text):
            raise FormatError("this is not a CID (version 1, base32)", _HINT)
        cid = cls.from_bytes(base64.b32decode(text[1:].upper() + "======"))
        if str(cid) != text:  # the last character has two unused bits
            raise FormatError("this is not a CID (version 1, base32)", _HINT)
        return cid

    @classmethod
    def from_bytes(cls, data: bytes) -> Cid:
        """From the 36 binary bytes. Raises FormatError."""
        if len(data) != BINARY_LENGTH or data[0] != 1 or data[1] not in (DAG_PB, RAW) or data[2:4] != b"\x12\x20":
            raise FormatError("a CID is not of version 1 with sha2-256 and dag-pb or raw content")
        return cls(data[1], data[4:])

    def to_bytes(self) -> bytes:
        return bytes((1, self.codec, 0x12, 0x20)) + self.digest

    def matches(self, block: bytes) -> bool:
        return hashlib.sha256(block).digest() == self.digest

    def __str__(self) -> str:
        return "b" + base64.b32encode(self.to_bytes()).decode("ascii").rstrip("=").lower()


def cid_of_digest(digest: bytes) -> str:
    """CID of the directory whose root block has this sha2-256. Raises FormatError unless it is 32 bytes."""
    if len(digest) != 32:
        raise FormatError(f"a digest has 32 bytes, not {len(digest)}")
    return str(Cid(DAG_PB, bytes(digest)))


def digest_of_cid(cid: str) -> bytes:
    """The 32 bytes that the chain records for a directory. Raises FormatError unless the CID is a dag-pb one."""
    parsed = Cid.parse(cid)
    if parsed.codec != DAG_PB:
        raise FormatError("this CID names a single block, not a capture's directory", _HINT)
    return parsed.digest
