"""The file of an index: events as they were logged, under their names; the words of the storage; what was proven; and
the captures of batches, which `lists` puts there.

SQLite, one file a registry. Every change is one transaction, so a process may be killed at any moment. The file is a
memory of what this machine has read: one that is damaged, or of another version, is made anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ffem_chain.audit.index import links
from ffem_chain.chain.events import Event, decode, layouts
from ffem_chain.errors import FormatError, InputError

VERSION = 2
FILE = "index.sqlite"
_INDEX_BITS = 20  # of a log's index in its block
_AT_ONCE = 500
_REMEMBERED = 50_000  # events in memory: what was just read is needed again for its words
_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE blocks (number INTEGER PRIMARY KEY, hash BLOB NOT NULL, time INTEGER NOT NULL, proven INTEGER NOT NULL);
CREATE TABLE events (place INTEGER PRIMARY KEY, kind INTEGER NOT NULL, tx BLOB NOT NULL, topics BLOB NOT NULL,
                     data BLOB NOT NULL);
CREATE TABLE links (name BLOB, place INTEGER, PRIMARY KEY (name, place)) WITHOUT ROWID;
CREATE TABLE counts (kind INTEGER PRIMARY KEY, number INTEGER NOT NULL);
CREATE TABLE facts (what TEXT, name BLOB, PRIMARY KEY (what, name)) WITHOUT ROWID;
CREATE TABLE words (path BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE stale (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE lists (place INTEGER PRIMARY KEY, state INTEGER NOT NULL, tried INTEGER NOT NULL, why TEXT NOT NULL,
                    nodes BLOB NOT NULL);
CREATE TABLE listed (place INTEGER, uid BLOB, digest BLOB NOT NULL, key_commit BLOB NOT NULL, slot INTEGER NOT NULL,
                     leaf INTEGER NOT NULL, PRIMARY KEY (place, uid)) WITHOUT ROWID;
CREATE INDEX listed_uid ON listed (uid);
CREATE INDEX listed_digest ON listed (digest);
CREATE TABLE nodes (depth INTEGER, path TEXT, reference BLOB NOT NULL, short BLOB, PRIMARY KEY (depth, path))
    WITHOUT ROWID;
"""
_TABLES = ("meta", "blocks", "events", "links", "counts", "facts", "words", "stale", "lists", "listed", "nodes")
_ROWS = "SELECT place, tx, topics, data, number, hash, time FROM events JOIN blocks ON number = place >> 20"


def place_of(block: int, log_index: int) -> int:
    """An event's place: in order of the chain. Raises FormatError where the log's index cannot be one."""
    if not 0 <= log_index < 1 << _INDEX_BITS or not 0 <= block < 1 << 40:
        raise FormatError("a log stands at a place where none can be")
    return block << _INDEX_BITS | log_index


class Store:
    """An open file of one registry: `deployment` (32 bytes), contract `address`, chain. A file of another one, of
    another version or in which SQLite finds damage is emptied.

    Raises InputError where the folder cannot be used.
    """

    def __init__(self, folder: Path, deployment: bytes, address: str, chain_id: int, first: int) -> None:
        self.path = folder / FILE
        bound = {"version": VERSION, "deployment": deployment, "address": address, "chain_id": chain_id}
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.path.exists():
                self.path.touch(mode=0o600)
            try:
                self._open(bound)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._remove()
                self._open(bound)
            # Events before `first` were not asked for: whoever asks for earlier ones needs another reading.
            if self.meta("first", first) > first:
                self.clear()
            with self.change():
                self.put("first", min(first, self.meta("first", first)))
        except (sqlite3.OperationalError, OSError) as error:
            raise InputError(
                f"the index {self.path} cannot be used: {error}", "check the folder and the free space"
            ) from None

    def _open(self, bound: dict[str, Any]) -> None:
        self.db = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.execute("PRAGMA cache_size = -65536")
        self._bound, self._known = bound, dict[int, Event]()
        tables = {name for (name,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables != set(_TABLES) or any(self.meta(name) != value for name, value in bound.items()):
            self.clear()

    def _remove(self) -> None:
        self.close()
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        with self.change():
            for (name,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                self.db.execute(f'DROP TABLE "{name}"')
            for statement in _SCHEMA.strip().split(";\n"):
                self.db.execute(statement)
            for name, value in self._bound.items():
                self.put(name, value)

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction: all of it, or nothing. Inside another one, a part of that."""
        if self.db.in_transaction:
            yield
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._known.clear()
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    # ------------------------------------------------------------------ single values

    def meta(self, name: str, default: Any = None) -> Any:
        """A value by its name."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if row is None else row[0]

    def put(self, name: str, value: Any) -> None:
        """Set a value."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def count(self, kind: type[Event]) -> int:
        """How many events of a kind there are."""
        row = self.db.execute("SELECT number FROM counts WHERE kind = ?", (kind_of(kind),)).fetchone()
        return int(row[0]) if row else 0

    def total(self) -> int:
        """How many events there are."""
        return int(self.db.execute("SELECT COALESCE(SUM(number), 0) FROM counts").fetchone()[0])

    def facts(self, what: str) -> int:
        """How many things of a kind are noted."""
        return int(self.db.execute("SELECT COUNT(*) FROM facts WHERE what = ?", (what,)).fetchone()[0])

    def noted(self, what: str) -> list[bytes]:
        """Names of the things of a kind that are noted."""
        return [name for (name,) in self.db.execute("SELECT name FROM facts WHERE what = ?", (what,))]

    def unproven(self) -> int:
        """How many blocks with events have a hash that could not be recomputed."""
        some = "SELECT 1 FROM events WHERE place >= number << 20 AND place < (number + 1) << 20"
        query = f"SELECT COUNT(*) FROM blocks WHERE proven = 0 AND EXISTS ({some})"  # noqa: S608 - constants
        return int(self.db.execute(query).fetchone()[0])

    def size(self) -> int:
        """Bytes of the file, once all that was written is in it."""
        pages, each = (self.db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        return int(pages * each)

    # ------------------------------------------------------------------ events

    def add(self, logs: Sequence[dict[str, Any]]) -> None:
        """Add logs, in the form that `decode` takes, each read strictly before it is kept. Their blocks come apart.

        Raises FormatError for what is no event of the registry.
        """
        self._forget()
        events, names, counts = [], [], dict[int, int]()
        for log in logs:
            event = decode(log)
            place, kind = place_of(event.block, event.log_index), kind_of(type(event))
            self._known[place] = event
            events.append((place, kind, event.tx, b"".join(log["topics"]), log["data"]))
            names += [(name, place) for name in links.names(event)]
            counts[kind] = counts.get(kind, 0) + 1
        try:
            with self.change():
                self.db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", events)
                self.db.executemany("INSERT INTO links VALUES (?, ?)", sorted(names))
                self._count(counts.items())
        except sqlite3.IntegrityError:
            self._known.clear()
            raise FormatError("the RPC gives two logs at one place of the chain", "use another RPC") from None

    def _forget(self) -> None:
        if len(self._known) > _REMEMBERED:
            self._known.clear()

    def _count(self, counts: Iterable[tuple[int, int]]) -> None:
        add = "INSERT INTO counts VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET number = number + excluded.number"
        self.db.executemany(add, counts)

    def add_blocks(self, blocks: Iterable[tuple[int, bytes, int, bool]]) -> None:
        """Blocks: number, hash, time (unix seconds), whether the hash was recomputed from the header."""
        with self.change():
            self.db.executemany("INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", blocks)

    def cut(self, block: int) -> None:
        """Forget the events and blocks behind `block`."""
        first = (block + 1) << _INDEX_BITS
        self._known.clear()
        with self.change():
            gone = "SELECT kind, -COUNT(*) FROM events WHERE place >= ? GROUP BY kind"
            self._count(self.db.execute(gone, (first,)).fetchall())
            self.db.execute("DELETE FROM events WHERE place >= ?", (first,))
            for table in ("links", "lists", "listed"):
                self.db.execute(f"DELETE FROM {table} WHERE place >= ?", (first,))  # noqa: S608 - constants
            self.db.execute("DELETE FROM blocks WHERE number > ?", (block,))

    def between(self, first: int, last: int) -> Iterator[Event]:
        """Events of blocks [first, last], in order of the chain."""
        span = (first << _INDEX_BITS, (last + 1) << _INDEX_BITS)
        for row in self.db.execute(f"{_ROWS} WHERE place >= ? AND place < ? ORDER BY place", span):
            yield self._event(row)

    def after(self, place: int, limit: int) -> list[Event]:
        """Up to `limit` events behind a place, in order of the chain."""
        rows = self.db.execute(f"{_ROWS} WHERE place > ? ORDER BY place LIMIT ?", (place, limit))
        return [self._event(row) for row in rows]

    def named(self, names: Iterable[bytes]) -> dict[int, Event]:
        """Events that have one of the names, by place."""
        self._forget()
        found: dict[int, Event] = {}
        wanted = sorted(set(names))
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            inner = f"SELECT place FROM links WHERE name IN ({marks})"  # noqa: S608 - marks only
            for row in self.db.execute(f"{_ROWS} WHERE place IN ({inner})", part):
                found[row[0]] = self._event(row)
        return found

    def beginning(self, letter: bytes, digits: str, limit: int) -> list[Event]:
        """Up to `limit` events with a 32-byte name that begins with these hexadecimal digits."""
        name, last = (letter + bytes.fromhex(digits[:64].ljust(64, end)) for end in "0f")
        places = "SELECT place FROM links WHERE name >= ? AND name <= ? LIMIT ?"
        rows = self.db.execute(f"{_ROWS} WHERE place IN ({places}) ORDER BY place", (name, last, limit))
        return [self._event(row) for row in rows]

    def highest(self, letter: bytes) -> int:
        """The highest number that a numbered kind of things has, 0 where there is none."""
        upper = letter + b"\xff" * 4
        row = self.db.execute(
            "SELECT name FROM links WHERE name > ? AND name <= ? ORDER BY name DESC LIMIT 1", (letter, upper)
        ).fetchone()
        return int.from_bytes(row[0][1:], "big") if row else 0

    def times(self, blocks: Iterable[int]) -> dict[int, int]:
        """Unix seconds of blocks with events."""
        found: dict[int, int] = {}
        wanted = sorted(set(blocks))
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            marks = ",".join("?" * len(part))
            query = f"SELECT number, time FROM blocks WHERE number IN ({marks})"  # noqa: S608 - marks only
            found.update(self.db.execute(query, part).fetchall())
        return found

    def at(self, places: Iterable[int]) -> dict[int, Event]:
        """Events by their places."""
        found: dict[int, Event] = {}
        for place in sorted(set(places)):
            for row in self.db.execute(f"{_ROWS} WHERE place = ?", (place,)):
                found[place] = self._event(row)
        return found

    def _event(self, row: tuple[Any, ...]) -> Event:
        place, tx, topics, data, number, block_hash, _ = row
        if place in self._known:
            return self._known[place]
        log = {
            "topics": [topics[at : at + 32] for at in range(0, len(topics), 32)],
            "data": data,
            "blockNumber": number,
            "blockHash": block_hash,
            "transactionHash": tx,
            "logIndex": place & ((1 << _INDEX_BITS) - 1),
        }
        self._known[place] = event = decode(log)
        return event


def kind_of(kind: type[Event]) -> int:
    """The number by which a file knows a kind of events: the first 4 bytes of its topic."""
    return int.from_bytes(layouts()[kind].topic[:4], "big")
