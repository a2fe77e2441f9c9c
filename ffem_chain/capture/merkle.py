"""Merkle tree with sorted pairs over keccak256, the one of OpenZeppelin's StandardMerkleTree and MerkleProof.

Leaves are ordered by value and put at the end of the tree's array, last first; the children of node i are 2i + 1 and
2i + 2; a parent is the keccak256 of its children, the smaller first. A proof is therefore a list of siblings without
sides, and the order in which leaves are given does not matter. Leaves must be hashes of hashes, as `leaf` makes them:
what is hashed for one has another length than the 64 bytes of a pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from eth_utils.crypto import keccak


def leaf(words: bytes) -> bytes:
    """Leaf (32 bytes) of ABI-encoded values: keccak256 of their keccak256."""
    return keccak(keccak(words))


def parent(one: bytes, other: bytes) -> bytes:
    """Node above two nodes (32 bytes), whichever of them is left."""
    return keccak(one + other if one < other else other + one)


class MerkleTree:
    """The tree over leaves of 32 bytes, of which there is at least one (ValueError)."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        ordered = sorted(leaves)
        if not ordered:
            raise ValueError("a tree needs a leaf")
        size = 2 * len(ordered) - 1
        self._nodes = [b""] * (len(ordered) - 1) + ordered[::-1]
        self._places = {value: size - 1 - index for index, value in enumerate(ordered)}
        for at in range(len(ordered) - 2, -1, -1):
            self._nodes[at] = parent(self._nodes[2 * at + 1], self._nodes[2 * at + 2])

    @property
    def root(self) -> bytes:
        """32 bytes."""
        return self._nodes[0]

    @property
    def nodes(self) -> tuple[bytes, ...]:
        """All nodes, 32 bytes each, as the module describes their order."""
        return tuple(self._nodes)

    def place(self, value: bytes) -> int:
        """Where a leaf stands among the nodes. KeyError where it is none."""
        return self._places[value]

    def proof(self, value: bytes) -> tuple[bytes, ...]:
        """Siblings from a leaf up to the root, 32 bytes each. KeyError where it is no leaf."""
        return tuple(self._nodes[at] for at in siblings(self.place(value)))


def siblings(at: int) -> list[int]:
    """Places of the nodes that lead from the one at place `at` up to the root."""
    found = []
    while at:
        found.append(at + 1 if at % 2 else at - 1)
        at = (at - 1) // 2
    return found


def root_of(value: bytes, proof: Sequence[bytes]) -> bytes:
    """The root (32 bytes) that a proof leads to from a leaf."""
    for sibling in proof:
        value = parent(value, sibling)
    return value
