"""Events of the registry, one frozen dataclass each, decoded strictly from logs.

Field names are the contract's in snake_case. `block`, `block_hash`, `tx` and `log_index` say where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import IntEnum
from functools import cache
from typing import Any

from eth_utils import keccak

from ffem_chain.chain.abi import decode_data, word_reader
from ffem_chain.chain.artifact import artifact
from ffem_chain.chain.types import KeyStatus
from ffem_chain.errors import FormatError


@dataclass(frozen=True, kw_only=True)
class Event:
    """Where a log stands: block number, its 32-byte hash, the transaction's hash, index in the block."""

    block: int
    block_hash: bytes
    tx: bytes
    log_index: int


@dataclass(frozen=True, kw_only=True)
class KeyRegistered(Event):
    """Seal to `public_key` from now on."""

    wallet: str
    version: int
    suite: int
    public_key: bytes


@dataclass(frozen=True, kw_only=True)
class KeyStatusChanged(Event):
    """Never seal to this version again."""

    wallet: str
    version: int
    status: KeyStatus


@dataclass(frozen=True, kw_only=True)
class RecoveryPublished(Event):
    """The private key of a version, sealed by its wallet to a recovery key of its own. The newest counts."""

    wallet: str
    version: int
    sealed_key: bytes


@dataclass(frozen=True, kw_only=True)
class NoncesUsed(Event):
    """Signed calls with nonces 256 * word + i, for each bit i of the mask, are of no use from now on. Of a signed call
    (one bit; its own events follow in the transaction) or of a cancellation."""

    wallet: str
    word: int
    mask: int


@dataclass(frozen=True, kw_only=True)
class AlbumCreated(Event):
    """An album exists; epoch 1 and its first keeper set follow in the same transaction."""

    album: bytes
    owner: str
    salt: bytes


@dataclass(frozen=True, kw_only=True)
class EpochOpened(Event):
    """Captures of this epoch derive from the key that `key_commit` commits to."""

    album: bytes
    epoch: int
    key_commit: bytes


@dataclass(frozen=True, kw_only=True)
class KeeperSetProposed(Event):
    """These keepers are asked to serve the album."""

    album: bytes
    keeper_set: int
    threshold: int
    keepers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class KeeperAccepted(Event):
    """Keeper `index` serves the set from now on."""

    keeper_set: int
    keeper: str
    index: int


@dataclass(frozen=True, kw_only=True)
class KeeperSetActivated(Event):
    """All have accepted: new grants of the album use this set."""

    album: bytes
    keeper_set: int


@dataclass(frozen=True, kw_only=True)
class CaptureRegistered(Event):
    """A sealed capture lies at the CIDv1 with this sha2-256 digest."""

    album: bytes
    uid: bytes
    digest: bytes
    key_commit: bytes
    epoch: int
    slot: int


@dataclass(frozen=True, kw_only=True)
class CapturesRegistered(Event):
    """Captures of one epoch, listed in the file with this sha2-256 digest inside its CIDv1; `root` is the root of their
    Merkle tree, `time` that of the block. The contract has seen no more than that."""

    album: bytes
    root: bytes
    list_digest: bytes
    count: int
    epoch: int
    time: int


@dataclass(frozen=True, kw_only=True)
class GrantCreated(Event):
    """A grant with its payload; `keeper_set` 0 is a direct grant."""

    grant_id: bytes
    album: bytes
    recipient: str
    scope_commit: bytes
    key_version: int
    expiry: int
    keeper_set: int
    suite: int
    payload: bytes


@dataclass(frozen=True, kw_only=True)
class GrantsBatched(Event):
    """The grants of the GrantCreated events before it are one batch; `head` is the head of each until its first
    commit."""

    album: bytes
    batch: int
    head: bytes
    grant_ids: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class AccessRequested(Event):
    """The recipient asks; keepers answer the newest `seq` only, sealing to `request_key`."""

    grant_id: bytes
    seq: int
    request_key: bytes


@dataclass(frozen=True, kw_only=True)
class ReleaseCommitted(Event):
    """The receipt: keeper `index` is bound to release the bytes with this keccak256."""

    grant_id: bytes
    seq: int
    index: int
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class GrantOpened(Event):
    """The threshold was reached: revocation is too late."""

    grant_id: bytes


@dataclass(frozen=True, kw_only=True)
class ShareDelivered(Event):
    """The released bytes of keeper `index`."""

    grant_id: bytes
    seq: int
    index: int
    sealed_share: bytes


@dataclass(frozen=True, kw_only=True)
class GrantRevoked(Event):
    """No request or commit follows; `opened` says whether it came too late."""

    grant_id: bytes
    opened: bool
    released: int


KINDS: tuple[type[Event], ...] = (
    KeyRegistered,
    KeyStatusChanged,
    RecoveryPublished,
    NoncesUsed,
    AlbumCreated,
    EpochOpened,
    KeeperSetProposed,
    KeeperAccepted,
    KeeperSetActivated,
    CaptureRegistered,
    CapturesRegistered,
    GrantCreated,
    GrantsBatched,
    AccessRequested,
    ReleaseCommitted,
    GrantOpened,
    ShareDelivered,
    GrantRevoked,
)
_ENUMS: dict[str, dict[str, type[IntEnum]]] = {"KeyStatusChanged": {"status": KeyStatus}}


@dataclass(frozen=True)
class Layout:
    """How an event lies in a log: (field, ABI type) of its topics after the first, and of its data."""

    kind: type[Event]
    topic: bytes
    indexed: tuple[tuple[str, str], ...]
    data: tuple[tuple[str, str], ...]
    enums: tuple[tuple[str, type[IntEnum]], ...] = ()


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: "_" + found[1].lower(), name)


@cache
def layouts() -> dict[type[Event], Layout]:
    """Layout of each event, from the artifact's ABI."""
    entries = {entry["name"]: entry for entry in artifact().abi if entry["type"] == "event"}
    if set(entries) != {kind.__name__ for kind in KINDS}:
        raise FormatError("the artifact and this library know different events")
    found = {}
    for kind in KINDS:
        inputs = entries[kind.__name__]["inputs"]
        names = [_snake(entry["name"]) for entry in inputs]
        if set(names) != {field.name for field in fields(kind)} - {field.name for field in fields(Event)}:
            raise FormatError(f"the artifact's {kind.__name__} has other fields than this library's")
        signature = f"{kind.__name__}({','.join(entry['type'] for entry in inputs)})"
        pairs = [(name, entry["type"], entry["indexed"]) for name, entry in zip(names, inputs, strict=True)]
        found[kind] = Layout(
            kind,
            keccak(text=signature),
            tuple((name, abi_type) for name, abi_type, indexed in pairs if indexed),
            tuple((name, abi_type) for name, abi_type, indexed in pairs if not indexed),
            tuple(_ENUMS.get(kind.__name__, {}).items()),
        )
    return found


@cache
def _by_topic() -> dict[bytes, Layout]:
    return {layout.topic: layout for layout in layouts().values()}


def decode(log: Mapping[str, Any]) -> Event:
    """The event that a log of the registry holds.

    Raises FormatError where the log is not one of the registry's events in canonical ABI encoding.
    """
    try:
        topics = [bytes(topic) for topic in log["topics"]]
        layout = _by_topic().get(topics[0]) if topics else None
        if layout is None or len(topics) != len(layout.indexed) + 1:
            raise FormatError("a log of the registry's address is none of its events")
        if log.get("removed"):
            raise FormatError("the RPC gave a log that a reorganisation has removed")
        if any(len(topic) != 32 for topic in topics):
            raise FormatError("a topic of a log is not 32 bytes long")
        pairs = zip(layout.indexed, topics[1:], strict=True)
        values = {name: word_reader(abi_type)(topic) for (name, abi_type), topic in pairs}
        decoded = decode_data([abi_type for _, abi_type in layout.data], bytes(log["data"]))
        values.update((name, value) for (name, _), value in zip(layout.data, decoded, strict=True))
        for name, enum in layout.enums:
            values[name] = enum(values[name])
        return layout.kind(
            block=int(log["blockNumber"]),
            block_hash=bytes(log["blockHash"]),
            tx=bytes(log["transactionHash"]),
            log_index=int(log["logIndex"]),
            **values,
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise FormatError(f"a log of the registry cannot be read: {error}") from None
