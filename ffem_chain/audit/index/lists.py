"""The captures of batches in the index: what their lists tell, each list compared with its root on the chain first.

A list is taken once, in a transaction of its own. One that cannot be had is noted with the reason, and asked for again
later; one that is not what its root says never, since its CID names those bytes. With a list goes its Merkle tree, so
that an answer about one capture is compared with the root without reading the others.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from ffem_chain.audit.captures import Listed
from ffem_chain.audit.index import links
from ffem_chain.audit.index.store import Store, place_of
from ffem_chain.audit.source import Progress
from ffem_chain.capture.batch import CaptureList, Entry
from ffem_chain.capture.merkle import root_of, siblings
from ffem_chain.capture.proof import CaptureProof
from ffem_chain.chain.events import CapturesRegistered
from ffem_chain.errors import FormatError, StoreUnavailable, Tampered
from ffem_chain.roles.lists import Lists

AGAIN = 600  # seconds after which a missing list is asked for again, where a question needs it
# A store may take its timeout for each list that it lacks, and a stranger can register any number of such batches: so
# only some of an album are asked for, and no more than so many seconds go by with lists that nobody has.
_PATIENCE = 3
_MOST_FAILING = 60.0
_HASH = 32
_MISSING, _WRONG, _KNOWN = range(3)  # states of a list


class ListIndex:
    """What a store of events knows of lists. Events are taken as they are: whether they are the chain's, others say."""

    def __init__(self, store: Store) -> None:
        self._store, self._db = store, store.db

    def unknown(self, album: bytes | None = None) -> list[CapturesRegistered]:
        """Batches (of one album) whose captures are not known here, in order of the chain."""
        found = self._batches("place NOT IN (SELECT place FROM lists WHERE state = ?)", _KNOWN)
        return [event for event in found if album in (None, event.album)]

    def reasons(self) -> dict[bytes, str]:
        """Why lists are missing, by the roots of their batches."""
        query = "SELECT place, why FROM lists WHERE state != ? ORDER BY place"
        rows = self._db.execute(query, (_KNOWN,)).fetchall()
        events = self._store.at(place for place, _ in rows)
        return {events[place].root: why for place, why in rows}  # type: ignore[attr-defined]

    def take(self, lists: Lists, *, older: int | None = None, progress: Progress | None = None) -> int:
        """Take the lists of batches that were never asked for, and of those that were missing at least `older` seconds
        ago (None: of none); how many were taken."""
        new = self._batches("place NOT IN (SELECT place FROM lists)")
        due: list[CapturesRegistered] = []
        if older is not None:
            where = "place IN (SELECT place FROM lists WHERE state = ? AND tried <= ?)"
            due = self._batches(where, _MISSING, int(time.time()) - older)
        return self._take(new + due, lists, progress)

    def take_kept(self, lists: Lists) -> None:
        """Take what needs no store; other lists are left as they are."""
        for event in self._batches("place NOT IN (SELECT place FROM lists)"):
            listed = lists.kept(event)
            if listed is not None and listed.root == event.root:
                self._keep(event, listed)

    def _take(self, batches: list[CapturesRegistered], lists: Lists, progress: Progress | None) -> int:
        taken, spent, failed = 0, 0.0, Counter[bytes]()
        for number, event in enumerate(batches):
            if progress is not None:
                progress("reading lists of batches", number, len(batches))
            listed = lists.kept(event)
            if listed is not None and listed.root == event.root:
                taken += self._keep(event, listed)
            elif failed[event.album] >= _PATIENCE:
                self._note(
                    event, _MISSING, f"it was not asked for, since the store lacks {_PATIENCE} others of its album"
                )
            elif spent <= _MOST_FAILING:  # what is left is asked for by the next question, these first
                began = time.monotonic()
                try:
                    files = lists.files(event)
                except (StoreUnavailable, FormatError, Tampered) as error:
                    failed[event.album] += 1
                    spent += time.monotonic() - began
                    self._note(event, _MISSING, error.message)
                    continue
                try:
                    taken += self._keep(event, lists.checked(event, files))
                except (FormatError, Tampered) as error:
                    self._note(event, _WRONG, error.message)
        return taken

    def find(self, *, prefix: str = "", digest: bytes = b"", limit: int = 50) -> list[Listed]:
        """Captures whose uid begins with these hexadecimal digits, or whose files have this digest; in order of the
        chain. Raises FormatError where the file was damaged: what it says is not under the root."""
        if digest:
            where, values = "digest = ?", (digest,)
        else:
            where = "uid >= ? AND uid <= ?"
            values = tuple(bytes.fromhex(prefix[:64].ljust(64, end)) for end in "0f")  # type: ignore[assignment]
        query = f"SELECT place, uid, digest, key_commit, slot, leaf FROM listed WHERE {where} ORDER BY place LIMIT ?"  # noqa: S608 - constants
        rows = self._db.execute(query, (*values, limit)).fetchall()
        events = self._store.at(row[0] for row in rows)
        return [self._listed(events[row[0]], Entry(*row[1:5]), row[0], row[5]) for row in rows]  # type: ignore[arg-type]

    def shown(self, proof: CaptureProof) -> list[Listed]:
        """The capture of a proof, where the batch that it names is there; none otherwise."""
        batches = self._store.named([links.captures_of(proof.album)]).values()
        return [
            Listed(event, proof.entry, proof.siblings)
            for event in batches
            if isinstance(event, CapturesRegistered) and proof.of_batch(event.root, event.count, event.epoch)
        ]

    def roots(self, album: bytes, uid: bytes) -> set[bytes]:
        """Roots of the album's batches that list a uid, or of which it is not known whether they do."""
        rows = self._db.execute("SELECT place FROM listed WHERE uid = ?", (uid,)).fetchall()
        known = self._store.at(place for (place,) in rows).values()
        there = {one.root for one in known if isinstance(one, CapturesRegistered) and one.album == album}
        return there | {one.root for one in self.unknown(album)}

    # ------------------------------------------------------------------ the file

    def _batches(self, where: str, *values: int) -> list[CapturesRegistered]:
        query = f"SELECT place FROM links WHERE name = ? AND {where}"  # noqa: S608 - constants
        places = [place for (place,) in self._db.execute(query, (links.CAPTURE_BATCHES, *values))]
        events: Iterable[object] = self._store.at(places).values()
        return [event for event in events if isinstance(event, CapturesRegistered)]

    def _note(self, event: CapturesRegistered, state: int, why: str) -> None:
        row = (place_of(event.block, event.log_index), state, int(time.time()), why, b"")
        with self._store.change():
            self._db.execute("INSERT OR REPLACE INTO lists VALUES (?, ?, ?, ?, ?)", row)

    def _keep(self, event: CapturesRegistered, listed: CaptureList) -> int:
        place, tree = place_of(event.block, event.log_index), listed.tree
        rows = [
            (place, one.uid, one.digest, one.key_commit, one.slot, tree.place(one.leaf(listed.epoch)))
            for one in listed.entries
        ]
        with self._store.change():
            self._db.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?, ?, ?, ?, ?)", rows)
            row = (place, _KNOWN, int(time.time()), "", b"".join(tree.nodes))
            self._db.execute("INSERT OR REPLACE INTO lists VALUES (?, ?, ?, ?, ?)", row)
        return 1

    def _listed(self, batch: CapturesRegistered, entry: Entry, place: int, leaf: int) -> Listed:
        marks = ", ".join(f"substr(nodes, {_HASH * at + 1}, {_HASH})" for at in siblings(leaf))
        proof: tuple[bytes, ...] = ()
        if marks:
            query = f"SELECT {marks} FROM lists WHERE place = ?"  # noqa: S608 - numbers
            proof = tuple(self._db.execute(query, (place,)).fetchone() or ())
        if root_of(entry.leaf(batch.epoch), proof) != batch.root:
            raise FormatError(f"the index {self._store.path} is damaged", "remove it: it is made anew from the chain")
        return Listed(batch, entry, proof)
