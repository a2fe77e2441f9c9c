"""The files of a bundle: names, bounds, head. docs/AUDIT.md has the layout; reading takes only what writing gives."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2
from eth_utils import to_checksum_address

from ffem_chain import boundedjson, cborcheck
from ffem_chain.errors import FormatError

VERSION = 1
HEAD, REPORT, STATE = "bundle.json", "report.txt", "state.cbor"
LINKS, HEADERS, RECEIPTS, CAPTURES, LISTS = "links", "headers", "receipts", "captures", "lists"
# Kinds of files that come in pieces, in their order, and how many entries each holds.
PER_FILE = {LINKS: 50, HEADERS: 1_000, RECEIPTS: 64, CAPTURES: 500, LISTS: 50}
MAX_FILE = 256 << 20
MAX_FILES = 65_536
_MAX_ITEMS = 4 << 20
_NAME = re.compile(r"(links|headers|receipts|captures|lists)-([0-9]{5})\.cbor")
_FIELDS = {"album", "block", "block_hash", "deployment", "files", "patience", "program", "registry", "version"}


class Files(Mapping[str, bytes]):
    """Names and contents of the files of a bundle; contents are read when they are asked for."""


@dataclass(frozen=True)
class Head:
    """What a bundle says that it is. `album` is None for the whole registry, `patience` in seconds.

    `registry` is a checksummed address, `program` the version of ffem-chain that wrote the report, `files` the names of
    all other files.
    """

    program: str
    registry: str
    deployment: bytes
    album: bytes | None
    block: int
    block_hash: bytes
    patience: int
    files: tuple[str, ...] = ()

    def pack(self) -> bytes:
        """The bytes of bundle.json."""
        values: dict[str, Any] = {
            "album": self.album.hex() if self.album is not None else None,
            "block": self.block,
            "block_hash": self.block_hash.hex(),
            "deployment": self.deployment.hex(),
            "files": list(self.files),
            "patience": self.patience,
            "program": self.program,
            "registry": self.registry,
            "version": VERSION,
        }
        return _json({**values, "check": _check(values)})

    @classmethod
    def unpack(cls, data: bytes) -> Head:
        """Strict inverse of `pack`. Raises FormatError."""
        try:
            raw = boundedjson.loads(data, 2)
            canonical = _json(raw)
        except (ValueError, RecursionError):
            raise FormatError("it is damaged: no JSON of a bundle's head") from None
        if not isinstance(raw, dict) or canonical != data:
            raise FormatError("it is damaged, or not in its canonical form")
        if raw.get("version") != VERSION:
            raise FormatError(f"unknown version {raw.get('version')!r} of a bundle"[:80], "update ffem-chain")
        if set(raw) != _FIELDS | {"check"} or raw.pop("check") != _check(raw):
            raise FormatError("it is damaged: it does not match its own check")
        head = cls(
            program=_text(raw["program"], r"[0-9A-Za-z.+]{1,40}"),
            registry=to_checksum_address(_text(raw["registry"], "0x[0-9a-fA-F]{40}")),
            deployment=_hash(raw["deployment"]),
            album=None if raw["album"] is None else _hash(raw["album"]),
            block=_whole(raw["block"]),
            block_hash=_hash(raw["block_hash"]),
            patience=_whole(raw["patience"]),
            files=_names(raw["files"]),
        )
        if head.pack() != data:
            raise FormatError("it is not in its canonical form")
        return head


def piece(kind: str, number: int) -> str:
    """Name of the file with the entries of a kind from `number * PER_FILE[kind]` on."""
    return f"{kind}-{number:05}.cbor"


def place(kind: str, index: int) -> str:
    """Name of the file that holds entry `index` of a kind."""
    return piece(kind, index // PER_FILE[kind])


def pieces(kind: str, entries: Sequence[Any]) -> Iterator[tuple[str, bytes]]:
    """Entries of a kind as files."""
    size = PER_FILE[kind]
    for start in range(0, len(entries), size):
        yield piece(kind, start // size), dump(entries[start : start + size])


def ordered(names: Iterable[str]) -> list[str]:
    """Names of a bundle's files, the head aside, in the order in which they stand in it."""
    kinds = [REPORT, STATE, *PER_FILE]
    return sorted(names, key=lambda name: (kinds.index(name if "-" not in name else name.split("-")[0]), name))


def dump(value: Any) -> bytes:
    """Canonical CBOR."""
    return cbor2.dumps(value, canonical=True)


def load(name: str, data: bytes) -> Any:
    """The value of a CBOR file. Raises FormatError unless it is canonical, of lists, byte strings and numbers only."""
    cborcheck.check(name, data, max_items=_MAX_ITEMS, max_depth=5)
    value = cbor2.loads(data)
    if dump(value) != data:
        raise FormatError(f"{name} is not in its canonical form")
    return value


def entries(files: Mapping[str, bytes], kind: str) -> Iterator[Any]:
    """Entries of a kind from all its files, in order. Raises FormatError, naming the file."""
    names = [name for name in files if name.startswith(f"{kind}-")]
    for number, name in enumerate(names):
        listed = load(name, files[name])
        last = number == len(names) - 1
        if not isinstance(listed, list) or not (1 if last else PER_FILE[kind]) <= len(listed) <= PER_FILE[kind]:
            raise FormatError(f"{name} does not hold as many entries as it should")
        yield from listed


def hashes_only(value: Any, what: str) -> list[bytes]:
    """A list of byte strings. Raises FormatError."""
    if not isinstance(value, list) or not all(isinstance(item, bytes) for item in value):
        raise FormatError(f"{what} is not a list of byte strings")
    return value


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode() + b"\n"


def _check(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_json(values)).hexdigest()


def _text(value: Any, pattern: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise FormatError("a field of it is not of its form")
    return value


def _hash(value: Any) -> bytes:
    return bytes.fromhex(_text(value, "[0-9a-f]{64}"))


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise FormatError("a number in it is out of range")
    return value


def _names(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else []
    known = all(isinstance(name, str) and (name in (REPORT, STATE) or _NAME.fullmatch(name)) for name in names)
    if not known or not {REPORT, STATE} <= set(names) or len(names) > MAX_FILES:
        raise FormatError("it lists other files than a bundle has")
    for kind in PER_FILE:
        numbers = [name for name in names if name.startswith(f"{kind}-")]
        if numbers != [piece(kind, number) for number in range(len(numbers))]:
            raise FormatError(f"it does not list all files of {kind}")
    if list(names) != ordered(set(names)):
        raise FormatError("it does not list its files in order")
    return tuple(names)
