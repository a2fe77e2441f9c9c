"""A copy of a registry's logs that proves itself: with it, an audit needs of the chain one trusted block hash.

A flat directory, the same bytes for the same chain up to the same block, so also the same CID:

    head.cbor          {version, deployment, address, chain_id, block, block_hash, events: how many}
    proof.cbor         {version, header: RLP of block's header, account: proof of the registry's account under it};
                       absent where the node gives no proofs
    events-00000.cbor  {version, events: [[block, block hash, tx, log index, [topic, ...], data], ...]}, 1,000 in each
                       file, fewer in the last; files that are full never change, unless the chain is reorganised

All canonical CBOR. Logs are decoded as strictly as those of a node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import cbor2
from eth_abi import encode as abi_encode

from ffem_chain import cborcheck
from ffem_chain.audit.history import rebuild
from ffem_chain.audit.proofs import Header, account_proof
from ffem_chain.audit.source import EventSource
from ffem_chain.audit.storage import storage_root, words
from ffem_chain.chain.events import Event, decode, layouts
from ffem_chain.errors import FormatError, Tampered
from ffem_chain.roles.keyring import checksum

VERSION = 1
PER_FILE = 1_000
HEAD, PROOF = "head.cbor", "proof.cbor"
_EVENTS = re.compile(r"events-([0-9]{5})\.cbor")
_MAX_ITEMS = 40 * PER_FILE


@dataclass(frozen=True)
class Proof:
    """Header of the copy's last block (RLP), and the nodes (RLP) of the proof of the registry's account under it."""

    header: bytes
    account: tuple[bytes, ...]


@dataclass(frozen=True)
class Copy:
    """The logs of one registry up to block `block`, in order of the chain; an `EventSource`."""

    deployment: bytes
    address: str
    chain_id: int
    block: int
    block_hash: bytes
    logs: tuple[Event, ...]
    proof: Proof | None = None

    def events(
        self,
        kinds: Sequence[type[Event]] | None = None,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
    ) -> list[Event]:
        """See `EventSource.events`."""
        first = 0 if from_block is None else from_block
        last = self.block if to_block is None else to_block
        wanted = None if kinds is None else tuple(kinds)
        return [e for e in self.logs if first <= e.block <= last and (wanted is None or isinstance(e, wanted))]

    def verify(self) -> Header:
        """The block for which these logs are proven to be the whole history; whoever trusts its hash trusts them.

        Raises Tampered where they are not, or where the copy has no proof.
        """
        if self.proof is None:
            raise Tampered(
                "the copy has no proof that its logs are complete", "ffem sync with a node that gives proofs"
            )
        header = Header.decode(self.proof.header)
        if (header.number, header.hash) != (self.block, self.block_hash):
            raise Tampered("the proof in the copy is of another block than its logs", "ffem sync makes a new one")
        account = account_proof(self.address, header.state_root, self.proof.account)
        history = rebuild(self.logs, header.time)
        root = storage_root({slot: word.value for slot, word in words(history).items()})
        if history.gaps or root != account.storage_root:
            raise Tampered("the logs in the copy are not the whole history at its block", "make a new one: ffem sync")
        return header

    def files(self, first: int = 0) -> dict[str, bytes]:
        """The directory; of the events only files from number `first` on."""
        head = {
            "version": VERSION,
            "deployment": self.deployment,
            "address": bytes.fromhex(self.address[2:]),
            "chain_id": self.chain_id,
            "block": self.block,
            "block_hash": self.block_hash,
            "events": len(self.logs),
        }
        found = {HEAD: _dump(head)}
        if self.proof is not None:
            account = list(self.proof.account)
            found[PROOF] = _dump({"version": VERSION, "header": self.proof.header, "account": account})
        for start in range(first * PER_FILE, len(self.logs), PER_FILE):
            part = [_log(event) for event in self.logs[start : start + PER_FILE]]
            found[events_file(start // PER_FILE)] = _dump({"version": VERSION, "events": part})
        return found

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], *, unfinished: bool = False) -> Copy:
        """Inverse of `files`. Events beyond the count in the head are ignored where `unfinished` (an interrupted sync
        left them), else refused. Raises FormatError."""
        head = _load(HEAD, files)
        logs: list[Event] = []
        numbers = sorted(int(found[1]) for name in files if (found := _EVENTS.fullmatch(name)))
        for number in numbers:
            if number * PER_FILE != len(logs):
                break
            listed = _load(events_file(number), files).get("events")
            if not isinstance(listed, list) or len(listed) > PER_FILE:
                raise FormatError(f"{events_file(number)} is not of the form that a copy has")
            logs += [_event(entry) for entry in listed]
        count = head.get("events")
        if not isinstance(count, int) or len(logs) < count or (len(logs) > count and not unfinished):
            raise FormatError("the copy does not have the events that its head counts", "make a new one: ffem sync")
        logs = logs[:count]
        places = [(event.block, event.log_index) for event in logs]
        if any(one >= other for one, other in pairwise(places)):
            raise FormatError("the events of the copy are not in order of the chain")
        try:
            copy = cls(
                deployment=_bytes(head["deployment"], 32),
                address=checksum("0x" + _bytes(head["address"], 20).hex()),
                chain_id=int(head["chain_id"]),
                block=int(head["block"]),
                block_hash=_bytes(head["block_hash"], 32),
                logs=tuple(logs),
                proof=_proof(files),
            )
        except (KeyError, TypeError, ValueError):
            raise FormatError(f"{HEAD} is not of the form that a copy has") from None
        if logs and logs[-1].block > copy.block:
            raise FormatError("the copy has events of blocks behind its last one")
        if not unfinished and dict(files) != copy.files():
            raise FormatError("the copy is not in its canonical form", "make a new one: ffem sync")
        return copy


class Older(EventSource, Protocol):
    """A source that ends with `block`: a copy, or an index."""

    @property
    def block(self) -> int:
        """Its last block."""


@dataclass(frozen=True)
class Joined:
    """A copy or an index up to its last block, and a node from there on; an `EventSource`."""

    copy: Older
    node: EventSource

    def events(
        self,
        kinds: Sequence[type[Event]] | None = None,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
    ) -> list[Event]:
        """See `EventSource.events`."""
        found = self.copy.events(kinds, from_block=from_block, to_block=to_block)
        first = max(self.copy.block + 1, from_block or 0)
        if to_block is None or first <= to_block:
            found += self.node.events(kinds, from_block=first, to_block=to_block)
        return found


def events_file(number: int) -> str:
    """Name of a file of events."""
    return f"events-{number:05}.cbor"


def _log(event: Event) -> list[Any]:
    layout = layouts()[type(event)]
    topics = [layout.topic, *(abi_encode([kind], [getattr(event, name)]) for name, kind in layout.indexed)]
    data = abi_encode([kind for _, kind in layout.data], [getattr(event, name) for name, _ in layout.data])
    return [event.block, event.block_hash, event.tx, event.log_index, topics, data]


def _event(entry: Any) -> Event:
    if not isinstance(entry, list) or len(entry) != 6 or not isinstance(entry[4], list):
        raise FormatError("an event of the copy is not of the form that it has")
    names = ("blockNumber", "blockHash", "transactionHash", "logIndex", "topics", "data")
    log = dict(zip(names, entry, strict=True))
    _bytes(log["blockHash"], 32)
    _bytes(log["transactionHash"], 32)
    return decode(log)


def _proof(files: Mapping[str, bytes]) -> Proof | None:
    if PROOF not in files:
        return None
    entry = _load(PROOF, files)
    header, account = entry.get("header"), entry.get("account")
    listed = isinstance(account, list) and all(isinstance(node, bytes) for node in account)
    if not isinstance(header, bytes) or not listed:
        raise FormatError(f"{PROOF} is not of the form that a copy has")
    return Proof(header, tuple(account or ()))


def _dump(value: dict[str, Any]) -> bytes:
    return cbor2.dumps(value, canonical=True)


def _load(name: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    data = files.get(name)
    if data is None:
        raise FormatError(f"the copy lacks {name}", "make a new one: ffem sync")
    cborcheck.check(name, data, max_items=_MAX_ITEMS, max_depth=5)
    value = cbor2.loads(data)
    if not isinstance(value, dict) or value.get("version") != VERSION:
        raise FormatError(f"{name} is of an unknown version")
    return value


def _bytes(value: Any, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise FormatError(f"the copy has a value of another length than {length}")
    return value
