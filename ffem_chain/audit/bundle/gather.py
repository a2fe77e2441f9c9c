"""What an export reads: headers, receipts, captures. Each part is kept as soon as it is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cbor2

from ffem_chain.audit.bundle.blooms import may_log, wanted_blooms
from ffem_chain.audit.bundle.captures import (
    Parts,
    Registered,
    catalogue,
    fetch,
    manifest_of,
    right_lists,
)
from ffem_chain.audit.bundle.format import CAPTURES, HEADERS, LISTS, PER_FILE, RECEIPTS, Head, dump, load, piece, pieces
from ffem_chain.audit.bundle.plan import Plan
from ffem_chain.audit.bundle.receipts import logs_in, path_of, read_receipts
from ffem_chain.audit.bundle.work import Work
from ffem_chain.audit.history import History
from ffem_chain.audit.proofs import Header, read_headers
from ffem_chain.audit.source import Progress
from ffem_chain.audit.tries import Trie, select
from ffem_chain.capture.batch import NAME as LIST
from ffem_chain.capture.format import MANIFEST
from ffem_chain.chain import events as ev
from ffem_chain.chain.rpc import Rpc
from ffem_chain.errors import ChainUnavailable
from ffem_chain.stores.base import Store

_SCRATCH = 500


def read_blocks(rpc: Rpc, plan: Plan, work: Work, say: Progress) -> list[Header]:
    """The headers of a plan, ascending. Raises ChainUnavailable where one is missing, or its hash is none of these."""
    size, found = PER_FILE[HEADERS], []
    for start in range(0, len(plan.headers), size):
        numbers = plan.headers[start : start + size]
        name = piece(HEADERS, start // size)

        def make(numbers: Sequence[int] = numbers) -> bytes:
            read = read_headers(rpc, numbers)
            if set(read) != set(numbers) or not all(header.proven for header in read.values()):
                raise ChainUnavailable(f"the chain at {rpc.name} lacks headers, or has unknown ones", "use another RPC")
            return dump([read[number].encoded for number in numbers])

        found += [Header.decode(encoded) for encoded in load(name, work.keep(name, make))]
        say("reading headers", len(found), len(plan.headers))
    return found


def read_receipt_nodes(
    rpc: Rpc, head: Head, history: History, headers: Sequence[Header], every: bool, work: Work, say: Progress
) -> list[Any]:
    """Entries [block, nodes] of all blocks with events; `every`: all receipts where a block may hold any more logs."""
    blooms = wanted_blooms(head, history)
    whole = {one.number for one in headers if every and may_log(one, blooms)}
    wanted: dict[int, set[int]] = {}
    for event in history.events:
        wanted.setdefault(event.block, set()).add(event.log_index)
    blocks = [one for one in headers if one.number in whole or one.number in wanted]
    size, found = PER_FILE[RECEIPTS], []
    for start in range(0, len(blocks), size):
        part = blocks[start : start + size]
        name = piece(RECEIPTS, start // size)

        def make(part: Sequence[Header] = part) -> bytes:
            pools = read_receipts(rpc, part)
            entries = []
            for header, pool in zip(part, pools, strict=True):
                indices = None if header.number in whole else wanted[header.number]
                entries.append([header.number, _nodes(header, pool, indices)])
            return dump(entries)

        found += load(name, work.keep(name, make))
        say("reading receipts", start + len(part), len(blocks))
    return found


def _nodes(header: Header, pool: dict[bytes, bytes], indices: set[int] | None) -> list[bytes]:
    """Nodes to the receipts with the logs of these indices in the block, or to all."""
    root = header.logging()[1]
    everything = select(root, pool, None)
    if indices is None:
        return everything
    logs = logs_in(Trie.walk(root, everything))
    return select(root, pool, sorted({path_of(log.tx) for at, log in enumerate(logs) if at in indices}))


def gather_captures(history: History, stores: Sequence[Store], work: Work, say: Progress) -> dict[str, bytes]:
    """Files with lists and manifests, as far as a store serves right ones."""
    batches = [event for event in history.events if isinstance(event, ev.CapturesRegistered)]
    lists = right_lists(history, _served(stores, {event.list_digest for event in batches}, LIST, work, say))
    captures = catalogue(history, {}, lists).captures
    served = _served(stores, {capture.digest for capture in captures}, MANIFEST, work, say)
    right = {capture.digest for capture in captures if _has(history, capture, served)}
    manifests = {digest: part for digest, part in served.items() if digest in right}
    packed: dict[str, bytes] = {}
    for kind, parts in ((CAPTURES, manifests), (LISTS, lists)):
        packed |= dict(pieces(kind, [list(parts[digest]) for digest in sorted(parts)]))
    return packed


def _has(history: History, capture: Registered, served: Parts) -> bool:
    return manifest_of(history, capture, served) is not None


def _served(stores: Sequence[Store], digests: set[bytes], name: str, work: Work, say: Progress) -> Parts:
    """What the stores serve, some hundred at a time, so that an interrupted export asks for each once."""
    wanted = sorted(digests)
    found: Parts = {}
    for start in range(0, len(wanted) if stores else 0, _SCRATCH):
        part = wanted[start : start + _SCRATCH]
        scratch = f"served-{name.partition('.')[0]}-{start // _SCRATCH:05}.cbor"

        def make(part: Sequence[bytes] = part, start: int = start) -> bytes:
            done = [start]

            def step() -> None:
                done[0] += 1
                say(f"asking the store for each {name}", done[0], len(wanted))

            return dump({digest: list(entry) for digest, entry in fetch(stores, part, name, step).items()})

        kept = cbor2.loads(work.keep(scratch, make))  # this program wrote it
        found |= {digest: (entry[0], entry[1]) for digest, entry in kept.items()}
    return found
