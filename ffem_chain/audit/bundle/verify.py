"""Checking a bundle against block hashes that the auditor trusts. It needs no network, no wallet and no store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eth_utils import keccak

from ffem_chain.audit.bundle.archive import Archive
from ffem_chain.audit.bundle.blooms import nothing_else
from ffem_chain.audit.bundle.captures import Catalogue, catalogue, read_parts
from ffem_chain.audit.bundle.format import (
    CAPTURES,
    HEAD,
    HEADERS,
    LINKS,
    LISTS,
    PER_FILE,
    RECEIPTS,
    REPORT,
    STATE,
    Head,
    entries,
    hashes_only,
    load,
    place,
)
from ffem_chain.audit.bundle.links import Link, account_in, check_links, word_in
from ffem_chain.audit.bundle.receipts import Log, logs_in
from ffem_chain.audit.history import History, of_album, rebuild
from ffem_chain.audit.proofs import Header
from ffem_chain.audit.storage import storage_root, words
from ffem_chain.audit.tries import Mismatch, Trie
from ffem_chain.chain import events as ev
from ffem_chain.chain.artifact import artifact
from ffem_chain.errors import FfemError, FormatError, InputError, Tampered


@dataclass(frozen=True)
class Verified:
    """What a bundle proves.

    `history` is that of the whole registry or of one album, `times` are the unix seconds of its blocks, `first` is the
    number of the oldest header. `logs_complete`: from block `first` on there are no other logs of the registry (of the
    album) than these; `entries_complete`: there are no other entries of the storage.
    """

    head: Head
    header: Header
    first: int
    headers: int
    history: History
    times: Mapping[int, int]
    logs_complete: bool
    entries_complete: bool
    catalogue: Catalogue


def verify(path: Path, trusted: Collection[bytes], *, any_report: bool = False) -> Verified:
    """Check the bundle in a file. `trusted` are hashes of blocks (32 bytes), at least one.

    `any_report`: do not compare report.txt, for a bundle that another version of this library wrote.

    Raises Tampered or FormatError, which name the file and, where it can be told, block and event; InputError (no such
    file, no hash given).
    """
    from ffem_chain.audit.bundle.report import compare

    files = Archive(path)
    found = examine(files, trusted)
    if not any_report:
        compare(found, files[REPORT])
    return found


def examine(files: Mapping[str, bytes], trusted: Collection[bytes]) -> Verified:
    """Check all but the report. Raises like `verify`."""
    if not trusted:
        raise InputError("a bundle proves nothing by itself", "give the hash of a block that you trust")
    with _in(HEAD):
        head = Head.unpack(files[HEAD])
        if [HEAD, *head.files] != list(files):
            raise FormatError("the bundle holds other files than it lists, or in another order")
    headers = _headers(files)
    check_links(headers, _links(files), trusted)
    by_number = {header.number: header for header in headers}
    header = by_number.get(head.block)
    if header is None or header.hash != head.block_hash:
        raise Tampered(f"{HEAD}: it names block {head.block} with another hash than its header has")
    storage, storage_trie = _state(files, head, header)
    receipts, whole = _receipts(files, by_number)
    events = list(_events(head, by_number, receipts))
    if head.album is not None:
        events = of_album(events, head.album)
    history = rebuild(events, header.time, whole=head.album is None)
    with _in(RECEIPTS):
        _check_history(history, storage, storage_trie)
    logs_complete = nothing_else(head, history, headers, whole)
    with _in("captures"):
        found = catalogue(history, read_parts(files, CAPTURES), read_parts(files, LISTS))
    return Verified(
        head=head,
        header=header,
        first=headers[0].number,
        headers=len(headers),
        history=history,
        times={event.block: by_number[event.block].time for event in events},
        logs_complete=logs_complete,
        entries_complete=head.album is None or logs_complete,
        catalogue=found,
    )


@contextmanager
def _in(name: str) -> Iterator[None]:
    """Errors inside say in which file, or files, the trouble is."""
    try:
        yield
    except FfemError as error:
        if error.message.startswith(name):
            raise
        kind = type(error) if not isinstance(error, Mismatch) else Tampered
        raise kind(f"{name}: {error.message}", error.hint) from None


# ---------------------------------------------------------------------- blocks


def _headers(files: Mapping[str, bytes]) -> list[Header]:
    found: list[Header] = []
    for index, encoded in enumerate(entries(files, HEADERS)):
        with _in(f"{place(HEADERS, index)}: entry {index % PER_FILE[HEADERS]}"):
            if not isinstance(encoded, bytes):
                raise FormatError("it is no header")
            header = Header.decode(encoded)
            if found and found[-1].number >= header.number:
                raise FormatError(f"block {header.number} does not come after block {found[-1].number}")
        found.append(header)
    if not found:
        raise FormatError("the bundle has no headers")
    return found


def _links(files: Mapping[str, bytes]) -> dict[int, Link]:
    found: dict[int, Link] = {}
    for index, entry in enumerate(entries(files, LINKS)):
        with _in(f"{place(LINKS, index)}: entry {index % PER_FILE[LINKS]}"):
            link = Link.unpack(entry)
            if found and next(reversed(found)) >= link.block:
                raise FormatError("it is not in order")
            found[link.block] = link
    return found


def _state(files: Mapping[str, bytes], head: Head, header: Header) -> tuple[bytes, Trie | None]:
    """The registry's storage root, and of an album its storage as far as it is shown; the code is checked."""
    with _in(STATE):
        raw = load(STATE, files[STATE])
        if not isinstance(raw, list) or len(raw) != 2:
            raise FormatError("it is not of the form that it has")
        account, storage = (hashes_only(part, "a part of it") for part in raw)
        address = bytes.fromhex(head.registry[2:])
        root, code = account_in(_walk(header.state_root, account, "the registry's account"), address)
        if keccak(artifact().code_of(head.deployment)) != code:
            raise Tampered(
                "the contract is not the registry that this version of ffem-chain knows, or of another deployment",
                "another version's registry needs that version of ffem-chain",
            )
        if head.album is None:
            if storage:
                raise FormatError("it has more nodes than a bundle of the whole registry needs")
            return root, None
        return root, _walk(root, storage, "the registry's storage")


def _walk(root: bytes, nodes: Sequence[bytes], what: str) -> Trie:
    try:
        return Trie.walk(root, nodes)
    except Mismatch as error:
        raise Tampered(f"node {error.index} of the proof of {what}: {error.message}") from None


# ---------------------------------------------------------------------- events


def _receipts(files: Mapping[str, bytes], headers: Mapping[int, Header]) -> tuple[dict[int, list[Log]], set[int]]:
    """Logs by block, and the blocks of which all receipts are there."""
    found: dict[int, list[Log]] = {}
    whole: set[int] = set()
    for index, entry in enumerate(entries(files, RECEIPTS)):
        with _in(f"{place(RECEIPTS, index)}: entry {index % PER_FILE[RECEIPTS]}"):
            if not isinstance(entry, list) or len(entry) != 2 or type(entry[0]) is not int:
                raise FormatError("it is not of the form that it has")
            number, nodes = entry[0], hashes_only(entry[1], "its nodes")
            if found and next(reversed(found)) >= number:
                raise FormatError("it is not in order")
            if number not in headers:
                raise Tampered(f"there is no header of block {number}")
            trie = _receipt_trie(headers[number], nodes)
            found[number] = logs_in(trie)
            if trie.whole:
                whole.add(number)
    return found, whole


def _receipt_trie(header: Header, nodes: Sequence[bytes]) -> Trie:
    try:
        return Trie.walk(header.logging()[1], nodes)
    except Mismatch as error:
        what = _kinds_in(nodes[error.index])
        raise Tampered(f"block {header.number}: node {error.index} of its receipts{what}: {error.message}") from None


def _kinds_in(node: bytes) -> str:
    """Which events a damaged node seems to hold."""
    kinds = [kind.__name__ for kind, layout in ev.layouts().items() if layout.topic in node]
    return f" (with {', '.join(kinds)})" if kinds else ""


def _events(head: Head, headers: Mapping[int, Header], receipts: Mapping[int, list[Log]]) -> Iterator[ev.Event]:
    address = bytes.fromhex(head.registry[2:])
    for number, logs in receipts.items():
        for log in logs:
            if log.address != address:
                continue
            with _in(f"block {number}, transaction {log.tx}, log {log.position}"):
                yield ev.decode(
                    {
                        "topics": log.topics,
                        "data": log.data,
                        "blockNumber": number,
                        "blockHash": headers[number].hash,
                        "transactionHash": b"",
                        "logIndex": log.order,
                    }
                )


def _check_history(history: History, root: bytes, trie: Trie | None) -> None:
    """Whether the events account for the storage. Raises Tampered."""
    for gap in history.gaps:
        raise Tampered(f"events are missing: {gap.text}")
    expected = words(history)
    if trie is None:
        if storage_root({slot: word.value for slot, word in expected.items()}) != root:
            raise Tampered("events are missing: those that are here do not account for the contract's storage")
        return
    for slot, word in expected.items():
        with _in(STATE):
            actual = word_in(trie, slot)
        if actual != word.value:
            raise Tampered(f"events are missing: those of {word.about.text} do not give what the storage holds")
