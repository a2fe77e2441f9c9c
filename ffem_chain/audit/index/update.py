"""An index that follows the chain: read on, go back where the chain was reorganised, compare with its storage root.

What is read is kept piece by piece, each in one transaction; what it means for the contract's storage follows, in parts
that are transactions, too. So a process may be killed at any moment, and the next one goes on.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ffem_chain.audit.check import basis
from ffem_chain.audit.history import History, rebuild
from ffem_chain.audit.index import links
from ffem_chain.audit.index.lists import ListIndex
from ffem_chain.audit.index.slices import Want, cut
from ffem_chain.audit.index.store import Store, place_of
from ffem_chain.audit.index.trie import StoredTrie
from ffem_chain.audit.model import Severity
from ffem_chain.audit.proofs import Header, Prover, read_headers
from ffem_chain.audit.releases import Scene, deliveries
from ffem_chain.audit.run import Reorganised
from ffem_chain.audit.source import Progress
from ffem_chain.audit.storage import BATCH_COUNT, SET_COUNT, at, words
from ffem_chain.chain.events import KINDS, Event, layouts
from ffem_chain.chain.logs import LogReader, Piece
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import InputError

_SPAN, _WANTED = 2_000, 4_000  # blocks of the first piece, events of a good one
_PART = 10_000  # events whose words are computed at once
_LOOK = 100  # blocks compared at once
_LOCK_SECONDS = 60.0


@dataclass
class Spent:
    """Seconds that an update took: waiting for the node, keeping logs, computing words, computing the root."""

    waiting: float = 0.0
    keeping: float = 0.0
    words: float = 0.0
    root: float = 0.0
    events: int = 0


@contextmanager
def _no_collector() -> Iterator[None]:
    """Without Python's search for reference cycles, which takes a tenth of the time of reading logs. Peak memory is the
    same without it: what is read is freed when it is no longer used."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Index:
    """The index of `registry` in a folder, which the copy of its logs shares. Also an `EventSource` up to `block`.

    Raises InputError where the folder cannot be used.
    """

    def __init__(self, folder: Path, registry: Registry) -> None:
        self.folder, self.registry = folder, registry
        self.deployment, self.chain_id = registry.deployment_id, registry.rpc.chain_id
        self.store = Store(folder, self.deployment, registry.address, self.chain_id, registry.from_block)
        self.trie = StoredTrie(self.store)
        self.lists = ListIndex(self.store)
        self.spent = Spent()

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    @property
    def block(self) -> int:
        """The last block that is read, 0 where none is."""
        return int(self.store.meta("block", 0))

    @property
    def block_hash(self) -> bytes:
        """Its hash (32 bytes)."""
        return bytes(self.store.meta("hash", bytes(32)))

    def events(
        self,
        kinds: Sequence[type[Event]] | None = None,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
    ) -> list[Event]:
        """See `EventSource.events`."""
        last = self.block if to_block is None else min(to_block, self.block)
        wanted = None if kinds is None else tuple(kinds)
        return [e for e in self.store.between(from_block or 0, last) if wanted is None or isinstance(e, wanted)]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time changes what is in the folder."""
        try:
            with FileLock(self.folder / "lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout:
            raise InputError(f"another process keeps reading into {self.folder}", "wait for it, or stop it") from None

    # ------------------------------------------------------------------ the chain

    @_no_collector()
    def update(self, header: Header, progress: Progress | None = None) -> int:
        """Read on to the block `header`; how many events a reorganisation took back.

        Raises Reorganised, ChainUnavailable, FormatError. Whether what was read is all there is, `proven` says.
        """
        removed = self._back_to_fork(header)
        first = max(self.block + 1, self.registry.from_block)
        topics = [[layouts()[kind].topic for kind in KINDS]]
        rpc = self.registry.rpc
        reader = LogReader(rpc, self.registry.address, topics, span=_SPAN, wanted=_WANTED)
        unfollowed = 0
        for piece in reader.pieces(first, header.number):
            self._keep(piece, header)
            unfollowed += len(piece.logs)
            if unfollowed >= _PART:
                self._follow()
                unfollowed = 0
            if progress is not None:
                progress("reading the registry's logs", piece.last - first + 1, header.number - first + 1)
        if self.block < header.number:  # reading begins behind this block
            with self.store.change():
                self._at(header.number, header.hash)
        self.spent.waiting += reader.waited
        self._follow()
        return removed

    def _keep(self, piece: Piece, header: Header) -> None:
        hashes = {log["blockNumber"]: log["blockHash"] for log in piece.logs}
        start = time.perf_counter()
        headers = read_headers(self.registry.rpc, sorted({*hashes, piece.last}))
        middle = time.perf_counter()
        self.spent.waiting += middle - start
        if piece.last == header.number:
            headers[piece.last] = header if headers.get(piece.last) == header else headers[piece.last]
            hashes.setdefault(piece.last, header.hash)
        at_chain = all(number in headers and headers[number].hash == value for number, value in hashes.items())
        inside = all(piece.first <= number <= piece.last for number in hashes)
        alike = all(hashes[log["blockNumber"]] == log["blockHash"] for log in piece.logs)
        if not at_chain or not inside or not alike or piece.last not in headers:
            raise Reorganised
        with self.store.change():
            self.store.add_blocks((n, one.hash, one.time, one.proven) for n, one in headers.items())
            self.store.add(piece.logs)
            self._at(piece.last, headers[piece.last].hash)
        self.spent.keeping += time.perf_counter() - middle
        self.spent.events += len(piece.logs)

    def _at(self, block: int, block_hash: bytes) -> None:
        self.store.put("block", block)
        self.store.put("hash", block_hash)

    def _back_to_fork(self, header: Header) -> int:
        """Forget what is not on the chain that ends with `header`; how many events that were."""
        before = self.store.total()
        if self.block > header.number:
            self.roll_back(header.number, header.hash)
        if self.block:
            there = read_headers(self.registry.rpc, [self.block]).get(self.block)
            if there is None or there.hash != self.block_hash:
                self.roll_back(*self._fork())
        return before - self.store.total()

    def _fork(self) -> tuple[int, bytes]:
        """The highest block of the index that is on the chain, and its hash; 0 where none is."""
        rows = self.store.db.execute("SELECT number, hash FROM blocks ORDER BY number DESC").fetchall()
        for start in range(0, len(rows), _LOOK):
            part = rows[start : start + _LOOK]
            headers = read_headers(self.registry.rpc, [number for number, _ in part])
            for number, kept in part:
                if number in headers and headers[number].hash == kept:
                    return number, kept
        return 0, bytes(32)

    # ------------------------------------------------------------------ what follows from the events

    def _follow(self) -> None:
        """Bring the words of the storage up to the events."""
        while events := self.store.after(self.store.meta("worded", -1), _PART):
            start = time.perf_counter()
            history = rebuild(cut(self.store, Want.of(events)), 0, whole=False)
            with self.store.change():
                self._set(history, {})
                self.store.put("worded", place_of(events[-1].block, events[-1].log_index))
            self.spent.words += time.perf_counter() - start

    def _set(self, history: History, former: dict[bytes, int]) -> None:
        """Set the words of a slice, and what is to be noted of it; `former` words are zero unless it has them."""
        values = former | {slot: word.value for slot, word in words(history).items()}
        values[at(SET_COUNT)] = self.store.highest(b"S")
        values[at(BATCH_COUNT)] = self.store.highest(b"B")
        self.trie.set(values)
        if history.gaps:
            self.store.put("gaps", 1)
        scene = Scene(history, 0, {}, 1)
        facts = []
        for grant, ledger in history.grants.items():
            if ledger.direct:
                facts.append(("direct", grant))
            if any(one.severity is Severity.BROKEN for one in deliveries(scene, ledger)):
                facts.append(("broken", grant))
        for number, keepers in history.keeper_sets.items():
            if keepers.proposed.keepers == (history.owner_of(keepers.proposed.album),):
                facts.append(("alone", links.keeper_set(number)))
        self.store.db.executemany("INSERT OR IGNORE INTO facts VALUES (?, ?)", facts)

    def roll_back(self, block: int, block_hash: bytes) -> None:
        """Forget everything behind `block`; the words are then again those of that block."""
        if not block:
            self.store.clear()
            self.store.put("first", self.registry.from_block)
            return
        with self.store.change():
            worded = self.store.meta("worded", -1)
            gone = [e for e in self.store.between(block + 1, self.block) if place_of(e.block, e.log_index) <= worded]
            want = Want.of(gone)
            before = rebuild(cut(self.store, want), 0, whole=False)
            self.store.cut(block)
            names = [*before.grants, *(links.keeper_set(number) for number in before.keeper_sets)]
            self.store.db.executemany("DELETE FROM facts WHERE name = ?", [(name,) for name in names])
            want.albums.update(one.album for one in want.captures)  # type: ignore[attr-defined]
            want.captures = []
            after = rebuild(cut(self.store, want), 0, whole=False)
            self._set(after, dict.fromkeys(words(before), 0))
            self.store.put("worded", min(worded, place_of(block + 1, 0) - 1))
            if block <= self.store.meta("proven", 0):
                self.store.put("proven", block)
                self.store.put("proven_hash", block_hash)
                self.store.put("gaps", 0)
            self._at(block, block_hash)

    @_no_collector()
    def proven(self, prover: Prover | None, header: Header) -> bool:
        """Whether the words under the events are the contract's whole storage at `header`, up to which it has read.

        `prover` None: whether that was found before. Where it is not so, what was read since it last was is forgotten:
        another node may give what is missing.
        """
        if prover is None:
            return (self.store.meta("proven", 0), self.store.meta("proven_hash")) == (header.number, header.hash)
        if prover.account is None:
            return False
        start = time.perf_counter()
        root = self.trie.root()
        self.spent.root += time.perf_counter() - start
        if root == prover.account.storage_root and not self.store.meta("gaps", 0):
            with self.store.change():
                self.store.put("proven", header.number)
                self.store.put("proven_hash", header.hash)
                self.store.put("complete", int(prover.proven))
                self.store.put("basis", basis(prover, False))
            return True
        self.roll_back(self.store.meta("proven", 0), self.store.meta("proven_hash", bytes(32)))
        return False
