"""What a relay must not forget when it is restarted: the calls it took, what they cost, and whom it was told to serve.

One SQLite file a deployment. A call is written down with the most that it can cost before it is sent, so a crash never
makes room for more than the budget. The file holds no secret: all of it is on the chain, or will be.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ffem_chain.errors import FormatError, InputError, Pending

HOUR, DAY = 3600, 86_400
MOST_WEI = 9 * 10**18  # what SQLite's integers hold
_KEPT = 7 * DAY
_BUSY_SECONDS = 10.0
# A call that failed may be tried again; each try is a row, since each costs, and the newest is what counts.
_NEWEST = "number = (SELECT MAX(number) FROM calls WHERE id = ?)"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS relay (deployment TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS calls (
  number INTEGER PRIMARY KEY, id BLOB NOT NULL, wallet TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
  tx BLOB, cost INTEGER NOT NULL, at INTEGER NOT NULL, note TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS calls_id ON calls (id);
CREATE INDEX IF NOT EXISTS calls_at ON calls (at);
CREATE TABLE IF NOT EXISTS allowed (wallet TEXT PRIMARY KEY);
"""


@dataclass(frozen=True)
class Limits:
    """What a relay spends at most: wei in any 24 hours, of that for one wallet, and calls of one wallet in any hour."""

    budget: int
    wallet_budget: int
    calls_an_hour: int


@dataclass(frozen=True)
class Entry:
    """A call that the relay took. `id`: its EIP-712 digest. `state`: reserved (not sent yet), sent, mined or failed.
    `cost` in wei: what it can cost at most, and when it is mined or failed, what it cost."""

    id: bytes
    wallet: str
    kind: str
    state: str
    tx: bytes | None
    cost: int
    at: int
    note: str


class RelayState:
    """An open state file. Threads share it, and so do processes."""

    def __init__(self, path: Path, deployment: bytes) -> None:
        """Opens or makes the file. Raises FormatError where it is damaged, InputError where it cannot be used."""
        self._lock, self._path = threading.Lock(), path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            self._db.executescript(_SCHEMA)
            with self._change() as db:
                db.execute("INSERT OR IGNORE INTO relay VALUES (?)", (deployment.hex(),))
                found = {row[0] for row in db.execute("SELECT deployment FROM relay")}
        except sqlite3.DatabaseError as error:
            raise FormatError(
                f"the relay's state {path} cannot be read: {error}",
                "without it the relay does not know what it has spent; move it away to begin a new one",
            ) from None
        except OSError as error:
            raise InputError(f"{path} cannot be used: {error.strerror}", "check its permissions") from None
        if found != {deployment.hex()}:
            raise InputError(f"{path} is the state of a relay for another deployment")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only relay that uses the file. Raises InputError where another one does."""
        try:
            with FileLock(f"{self._path}.lock", timeout=0):
                yield
        except Timeout:
            raise InputError("a relay of this wallet and deployment runs already", "stop it first") from None

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which no other process comes between. Raises InputError where it cannot be written: then
        nothing is."""
        try:
            with self._lock:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
        except sqlite3.OperationalError as error:
            raise InputError(
                f"the relay's state {self._path.name} cannot be written: {error}",
                "free some space, or wait for who is using it",
            ) from None

    # ------------------------------------------------------------------ calls

    def known(self, call: bytes) -> Entry | None:
        """The entry of a call, by its digest."""
        found = self._entries(f"WHERE {_NEWEST}", call)
        return found[0] if found else None

    def unsettled(self) -> list[Entry]:
        """Calls of which it is not known what became of them, oldest first."""
        return self._entries("WHERE state IN ('reserved', 'sent') ORDER BY number")

    def _entries(self, where: str, *values: object) -> list[Entry]:
        columns = "id, wallet, kind, state, tx, cost, at, note"
        with self._lock:
            return [Entry(*row) for row in self._db.execute(f"SELECT {columns} FROM calls {where}", values)]  # noqa: S608

    def reserve(self, entry: Entry, limits: Limits, *, unlimited_wallet: bool = False) -> bool:
        """Write a call down with the most that it can cost. False where it is under way already.

        `unlimited_wallet`: the wallet may use all of the budget, at any rate. Raises Pending where a limit is reached.
        """
        with self._change() as db:
            now = entry.at
            db.execute("DELETE FROM calls WHERE at < ? AND state IN ('mined', 'failed')", (now - _KEPT,))
            there = db.execute(f"SELECT state FROM calls WHERE {_NEWEST}", (entry.id,)).fetchone()  # noqa: S608
            if there and there[0] in ("reserved", "sent"):
                return False
            if not unlimited_wallet:
                self._check_wallet(db, entry, limits)
            if self._spent(db, now) + entry.cost > limits.budget:
                raise Pending("the relay has used up its budget of 24 hours", "try later, or send it yourself")
            row = (None, entry.id, entry.wallet, entry.kind, "reserved", None, entry.cost, now, "")
            db.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            return True

    @staticmethod
    def _check_wallet(db: sqlite3.Connection, entry: Entry, limits: Limits) -> None:
        count, oldest = db.execute(
            "SELECT COUNT(*), MIN(at) FROM calls WHERE wallet = ? AND at > ?", (entry.wallet, entry.at - HOUR)
        ).fetchone()
        if count >= limits.calls_an_hour:
            wait = oldest + HOUR - entry.at
            raise Pending(f"{count} calls of {entry.wallet} in an hour: no more are relayed", f"try again in {wait} s")
        if RelayState._spent(db, entry.at, entry.wallet) + entry.cost > limits.wallet_budget:
            raise Pending(
                f"{entry.wallet} has used up its part of the relay's budget of 24 hours",
                "try later, or send it yourself",
            )

    @staticmethod
    def _spent(db: sqlite3.Connection, now: int, wallet: str | None = None) -> int:
        which, values = ("", ()) if wallet is None else (" AND wallet = ?", (wallet,))
        question = f"SELECT COALESCE(SUM(cost), 0) FROM calls WHERE at > ?{which}"  # noqa: S608
        return int(db.execute(question, (now - DAY, *values)).fetchone()[0])

    def spent(self, now: int) -> int:
        """Wei spent in the 24 hours before `now` (unix seconds), or set aside for calls that are under way."""
        with self._lock:
            return self._spent(self._db, now)

    def sent(self, call: bytes, tx: bytes) -> None:
        """The hash of a call's transaction, before that is sent."""
        with self._change() as db:
            db.execute(f"UPDATE calls SET state = 'sent', tx = ? WHERE {_NEWEST}", (tx, call))  # noqa: S608

    def settle(self, call: bytes, state: str, cost: int | None, note: str = "") -> None:
        """What became of a call, and what it cost (None: it stays at the most that it can have cost)."""
        with self._change() as db:
            changes = "state = ?, note = ?, cost = COALESCE(?, cost)"
            db.execute(f"UPDATE calls SET {changes} WHERE {_NEWEST}", (state, note, cost, call))  # noqa: S608

    def forget(self, call: bytes) -> None:
        """Delete a call that was never sent."""
        with self._change() as db:
            db.execute(f"DELETE FROM calls WHERE {_NEWEST}", (call,))  # noqa: S608

    # ------------------------------------------------------------------ invitations

    def allow(self, wallet: str) -> None:
        """Serve a wallet (checksummed) that was granted nothing yet."""
        with self._change() as db:
            db.execute("INSERT OR IGNORE INTO allowed VALUES (?)", (wallet,))

    def disallow(self, wallet: str) -> None:
        """Take that back."""
        with self._change() as db:
            db.execute("DELETE FROM allowed WHERE wallet = ?", (wallet,))

    def allowed(self) -> list[str]:
        """Wallets that were invited."""
        with self._lock:
            return [row[0] for row in self._db.execute("SELECT wallet FROM allowed ORDER BY wallet")]
