"""The storage trie of the contract, kept in the index: after a change only the nodes above the changed words are new.

Words lie by the 32-byte hash of their slot. Of the nodes that begin at the first `DEPTH` nibbles and above, the file
keeps how each stands in its parent; what lies below is a few words and made when needed. Source: Ethereum's Yellow
Paper, appendix D; `ffem_chain.audit.tries` builds the same tries at once, and the tests compare.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from eth_hash.auto import keccak

from ffem_chain.audit.index.store import Store
from ffem_chain.audit.tries import EMPTY_ROOT

DEPTH = 4  # nibbles; an even number, since words are found by whole bytes
_BYTES = DEPTH // 2
_DIGITS = "0123456789abcdef"
_MANY = 4_000  # changed subtrees, from which reading all words in order is faster than looking for some

# A node: RLP, and where it is a leaf or an extension (its nibbles, whether it is a leaf, what follows them in RLP).
_Short = tuple[str, bool, bytes]
_Node = tuple[bytes, _Short | None]


def _string(data: bytes) -> bytes:
    if len(data) == 1 and data[0] < 0x80:
        return data
    if len(data) < 56:
        return bytes([0x80 + len(data)]) + data
    size = (len(data).bit_length() + 7) // 8
    return bytes([0xB7 + size]) + len(data).to_bytes(size, "big") + data


def _word(value: int) -> bytes:
    return _string(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _list(items: bytes) -> bytes:
    if len(items) < 56:
        return bytes([0xC0 + len(items)]) + items
    size = (len(items).bit_length() + 7) // 8
    return bytes([0xF7 + size]) + len(items).to_bytes(size, "big") + items


def _reference(node: bytes) -> bytes:
    """How a node stands in its parent, in RLP: itself where it is short, else its hash."""
    return node if len(node) < 32 else b"\xa0" + keccak(node)


def _short(nibbles: str, leaf: bool, rest: bytes) -> _Node:
    odd = len(nibbles) % 2
    packed = bytes.fromhex(f"{2 * leaf + odd:x}{'' if odd else '0'}{nibbles}")
    return _list(_string(packed) + rest), (nibbles, leaf, rest)


def _joined(children: Mapping[str, tuple[bytes, _Short | None]]) -> _Node | None:
    """The node over children by nibble, each as (reference, its short form)."""
    if not children:
        return None
    if len(children) > 1:
        return _list(b"".join(children[d][0] if d in children else b"\x80" for d in _DIGITS) + b"\x80"), None
    ((nibble, (reference, short)),) = children.items()
    if short is None:
        return _short(nibble, False, reference)
    return _short(nibble + short[0], short[1], short[2])


def _below(words: list[tuple[str, bytes]], depth: int) -> _Node:
    """The node over (path, value in RLP), sorted, the first `depth` nibbles of which lead to it."""
    if len(words) == 1:
        path, value = words[0]
        return _short(path[depth:], True, _string(value))
    children = {}
    for nibble, part in groupby(words, key=lambda word: word[0][depth]):
        node, short = _below(list(part), depth + 1)
        children[nibble] = (_reference(node), short)
    found = _joined(children)
    assert found is not None
    return found


class StoredTrie:
    """The words of a storage, by slot, and their root."""

    def __init__(self, store: Store) -> None:
        self._store, self._db = store, store.db

    def set(self, values: Mapping[bytes, int]) -> None:
        """Set words by their 32-byte slots; zero takes one away."""
        paths = {keccak(slot): value for slot, value in values.items()}
        there = [
            (path, _string(value.to_bytes((value.bit_length() + 7) // 8, "big")))
            for path, value in paths.items()
            if value
        ]
        with self._store.change():
            self._db.executemany("INSERT OR REPLACE INTO words VALUES (?, ?)", sorted(there))
            self._db.executemany("DELETE FROM words WHERE path = ?", [(p,) for p, value in paths.items() if not value])
            changed = sorted({(path[:_BYTES],) for path in paths})
            self._db.executemany("INSERT OR IGNORE INTO stale VALUES (?)", changed)

    def agrees(self, values: Mapping[bytes, int]) -> bool:
        """Whether these words, by slot, are as they are kept."""
        for slot, value in values.items():
            row = self._db.execute("SELECT value FROM words WHERE path = ?", (keccak(slot),)).fetchone()
            data = _word(value) if value else None
            if (row[0] if row else None) != data:
                return False
        return True

    def root(self) -> bytes:
        """Root of the trie over all words (32 bytes), the same as the contract's where all of them are."""
        with self._store.change():
            stale = [path for (path,) in self._db.execute("SELECT path FROM stale ORDER BY path")]
            if stale:
                self._write(DEPTH, {path.hex(): self._subtree(words) for path, words in self._words(stale)})
                paths = {path.hex() for path in stale}
                for depth in range(DEPTH - 1, -1, -1):
                    paths = {path[:depth] for path in paths}
                    self._write(depth, {path: self._branch(depth, path) for path in sorted(paths)})
                self._db.execute("DELETE FROM stale")
        row = self._db.execute("SELECT reference FROM nodes WHERE depth = 0").fetchone()
        if row is None:
            return EMPTY_ROOT
        # Also a short root is named by its hash.
        return bytes(row[0][1:]) if len(row[0]) == 33 else keccak(row[0])

    def _words(self, stale: list[bytes]) -> Iterable[tuple[bytes, list[tuple[str, bytes]]]]:
        if len(stale) > _MANY:
            wanted = set(stale)
            rows = self._db.execute("SELECT path, value FROM words ORDER BY path")
            for start, part in groupby(rows, key=lambda row: row[0][:_BYTES]):
                if start in wanted:
                    wanted.discard(start)
                    yield start, [(path.hex(), value) for path, value in part]
            yield from ((start, []) for start in sorted(wanted))
            return
        for start in stale:
            query = "SELECT path, value FROM words WHERE path >= ? AND path <= ? ORDER BY path"
            rows = self._db.execute(query, (start, start + b"\xff" * 32))
            yield start, [(path.hex(), value) for path, value in rows]

    def _subtree(self, words: list[tuple[str, bytes]]) -> _Node | None:
        return _below(words, DEPTH) if words else None

    def _branch(self, depth: int, path: str) -> _Node | None:
        query = "SELECT path, reference, short FROM nodes WHERE depth = ? AND path >= ? AND path < ?"
        rows = self._db.execute(query, (depth + 1, path, path + "g"))
        return _joined({below[depth]: (reference, _unpacked(short)) for below, reference, short in rows})

    def _write(self, depth: int, nodes: Mapping[str, _Node | None]) -> None:
        there = [(depth, path, _reference(node[0]), _packed(node[1])) for path, node in nodes.items() if node]
        gone = [(depth, path) for path, node in nodes.items() if node is None]
        self._db.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?, ?)", there)
        self._db.executemany("DELETE FROM nodes WHERE depth = ? AND path = ?", gone)


def _packed(short: _Short | None) -> bytes | None:
    """How the file keeps what is needed to join a leaf or an extension with a parent that has no other child."""
    return None if short is None else bytes([short[1], len(short[0])]) + short[0].encode() + short[2]


def _unpacked(data: bytes | None) -> _Short | None:
    if data is None:
        return None
    end = 2 + data[1]
    return data[2:end].decode(), bool(data[0]), data[end:]
