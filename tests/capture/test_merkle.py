"""The Merkle tree is the one of OpenZeppelin's own package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffem_chain.capture.batch import CaptureList, Entry
from ffem_chain.capture.merkle import MerkleTree, root_of

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "merkle.json").read_text())
LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40, unique=True)


def entry(index: int) -> Entry:
    """The capture that tests/capture/openzeppelin.cjs makes of a number."""
    uid, digest, commit = (hashlib.sha256(f"{name}/{index}".encode()).digest() for name in ("uid", "digest", "commit"))
    return Entry(uid, digest, commit, VECTOR["slot"] + index)


def shown(node: bytes) -> str:
    return "0x" + node.hex()


@pytest.mark.parametrize("case", VECTOR["cases"], ids=lambda case: str(case["count"]))
def test_openzeppelin_makes_the_same_tree(case: dict[str, Any]) -> None:
    listed = CaptureList.of(VECTOR["epoch"], map(entry, range(case["count"])))
    assert shown(listed.root) == case["root"]
    for one in case["proofs"]:
        assert list(map(shown, listed.proof(entry(one["index"])))) == one["proof"]


@given(LEAVES, st.randoms(use_true_random=False))
def test_every_leaf_has_a_proof_and_order_does_not_matter(leaves: list[bytes], random: Any) -> None:
    tree = MerkleTree(leaves)
    levels = (len(leaves) - 1).bit_length()
    for one in leaves:
        proof = tree.proof(one)
        assert root_of(one, proof) == tree.root
        assert levels - 1 <= len(proof) <= levels
    random.shuffle(leaves)
    assert MerkleTree(leaves).root == tree.root


@given(LEAVES, st.binary(min_size=32, max_size=32))
def test_what_is_no_leaf_has_no_proof(leaves: list[bytes], other: bytes) -> None:
    tree = MerkleTree(leaves)
    if other in leaves:
        return
    with pytest.raises(KeyError):
        tree.proof(other)
    assert root_of(other, tree.proof(leaves[0])) != tree.root


def test_a_tree_needs_a_leaf() -> None:
    with pytest.raises(ValueError, match="needs a leaf"):
        MerkleTree([])
