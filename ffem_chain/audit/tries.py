"""Merkle Patricia tries (Ethereum Yellow Paper, appendix D): built from sorted leaves, read from some of their nodes.

A path is the key's nibbles in hexadecimal. Keys are prefix-free here (hashes, RLP of indices): branches hold no values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_utils import keccak
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from ffem_chain.errors import Tampered

_DIGITS = "0123456789abcdef"
EMPTY_ROOT = keccak(rlp.encode(b""))
Leaves = Sequence[tuple[str, bytes]]


def root_of(leaves: Leaves) -> bytes:
    """Root (32 bytes) of the trie over (path, value), sorted by path.

    Six times as fast as inserting one after the other as py-trie does; the tests compare.
    """
    return keccak(rlp.encode(_build(leaves, 0, None) if leaves else b""))


def nodes_of(leaves: Leaves) -> dict[bytes, bytes]:
    """Every node of the trie over (path, value) that has a hash, by it; the root also where it is short."""
    pool: dict[bytes, bytes] = {}
    encoded = rlp.encode(_build(leaves, 0, pool) if leaves else b"")
    pool[keccak(encoded)] = encoded
    return pool


def _build(leaves: Leaves, depth: int, pool: dict[bytes, bytes] | None) -> list[Any]:
    """The node over sorted leaves, the first `depth` nibbles of which lead to it."""
    first, last = leaves[0][0], leaves[-1][0]
    if len(leaves) == 1:
        return [_packed(first[depth:], leaf=True), leaves[0][1]]
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return [_packed(first[depth:shared], leaf=False), _reference(_build(leaves, shared, pool), pool)]
    branches = {nibble: list(below) for nibble, below in groupby(leaves, key=lambda leaf: leaf[0][depth])}
    below = [_reference(_build(branches[n], depth + 1, pool), pool) if n in branches else b"" for n in _DIGITS]
    return [*below, b""]


def _reference(node: list[Any], pool: dict[bytes, bytes] | None) -> Any:
    """How a node stands in its parent: by its hash, or itself where it is shorter."""
    encoded = rlp.encode(node)
    if len(encoded) < 32:
        return node
    name = keccak(encoded)
    if pool is not None:
        pool[name] = encoded
    return name


def _packed(nibbles: str, *, leaf: bool) -> bytes:
    """Hex-prefix encoding: the first nibble says whether a leaf follows and whether the path is odd."""
    odd = len(nibbles) % 2
    return bytes.fromhex(f"{2 * leaf + odd:x}{'' if odd else '0'}{nibbles}")


def _unpacked(data: bytes) -> tuple[str, bool]:
    """Nibbles of a hex-prefix encoding, and whether they end in a leaf. Raises ValueError."""
    digits = data.hex()
    kind = int(digits[:1] or "f", 16)
    if kind > 3 or (kind % 2 == 0 and digits[1] != "0"):
        raise ValueError
    return digits[2 - kind % 2 :], kind >= 2


def _node(encoded: bytes) -> list[Any]:
    """A node's items. Raises ValueError where it is none."""
    try:
        items = rlp.decode(encoded)
    except RLPException:
        raise ValueError from None
    if not isinstance(items, list) or len(items) not in (2, 17):
        raise ValueError
    return items


def _children(items: list[Any], prefix: str) -> list[tuple[str, Any]]:
    """(path, child) below a branch or an extension. Raises ValueError."""
    if len(items) == 17:
        if items[16]:
            raise ValueError
        return [(prefix + digit, child) for digit, child in zip(_DIGITS, items, strict=False) if child]
    nibbles, _ = _unpacked(items[0])
    return [(prefix + nibbles, items[1])]


def _is_leaf(items: list[Any]) -> bool:
    return len(items) == 2 and isinstance(items[0], bytes) and _unpacked(items[0])[1]


def select(root: bytes, pool: Mapping[bytes, bytes], wanted: Iterable[str] | None) -> list[bytes]:
    """Nodes of `pool` on the ways from `root` to the paths `wanted` (None: all), in preorder.

    Raises Tampered where the pool lacks one of them, or it is no node.
    """
    found: list[bytes] = []

    def visit(reference: Any, prefix: str, paths: list[str] | None) -> None:
        if isinstance(reference, bytes):
            if reference not in pool:
                raise Tampered("a proof of the node's lacks a part of the way", "use another RPC")
            found.append(pool[reference])
            items = _node(pool[reference])
        else:
            items = reference
        if _is_leaf(items):
            return
        for path, child in _children(items, prefix):
            below = None if paths is None else [one for one in paths if one.startswith(path)]
            if below is None or below:
                visit(child, path, below)

    paths = None if wanted is None else list(wanted)
    if root == EMPTY_ROOT or paths == []:
        return []
    try:
        visit(root, "", paths)
    except (ValueError, TypeError):
        raise Tampered("a proof of the node's holds something that is no node of a trie", "use another RPC") from None
    return found


class Mismatch(Tampered):
    """A node of a trie that is not the one its parent names; `index` is its place in the list."""

    def __init__(self, message: str, index: int) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True)
class Trie:
    """What some nodes of a trie show. `values` by path; `hidden` are the paths to subtrees that were left out."""

    values: Mapping[str, bytes]
    hidden: frozenset[str]

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return not self.hidden

    def get(self, path: str) -> bytes | None:
        """The value at a path, None where the nodes show that there is none. Raises Tampered where they do not say."""
        if path in self.values:
            return self.values[path]
        if any(path[:length] in self.hidden for length in range(len(path) + 1)):
            raise Tampered("the nodes of a trie do not reach what they should show")
        return None

    @classmethod
    def walk(cls, root: bytes, nodes: Sequence[bytes]) -> Trie:
        """Read nodes in preorder, each checked against the hash by which its parent (or `root`) names it.

        Raises Mismatch where one is not what is named there, so that every byte of every node counts.
        """
        names = [keccak(node) for node in nodes]
        values: dict[str, bytes] = {}
        hidden: set[str] = set()
        used = 0
        waiting: list[tuple[Any, str]] = [] if root == EMPTY_ROOT else [(root, "")]
        while waiting:
            reference, prefix = waiting.pop()
            try:
                if isinstance(reference, list):
                    items = reference
                elif used < len(names) and names[used] == reference:
                    used += 1
                    items = _node(nodes[used - 1])
                else:
                    hidden.add(prefix)
                    continue
                if _is_leaf(items):
                    nibbles, _ = _unpacked(items[0])
                    if not isinstance(items[1], bytes):
                        raise ValueError
                    values[prefix + nibbles] = items[1]
                    continue
                below = _children(items, prefix)
            except (ValueError, TypeError, AttributeError):
                raise Mismatch("it is no node of a trie", max(0, used - 1)) from None
            waiting += [(child, path) for path, child in reversed(below)]
        if used != len(nodes):
            raise Mismatch("it is not the node that its parent names", used)
        return cls(values, frozenset(hidden))
