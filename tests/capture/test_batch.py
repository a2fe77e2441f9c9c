"""The list of a batch: what `pack` writes is read, nothing else is, and its root binds every byte."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from ffem_chain import errors
from ffem_chain.capture.batch import MAX_CAPTURES, CaptureList, Entry, size_of
from ffem_chain.capture.merkle import root_of
from ffem_chain.errors import FormatError

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "batch.json").read_text())
DATA = bytes.fromhex(VECTOR["list"])
LIST = CaptureList.unpack(DATA)
WORDS = ["bytes32", "bytes32", "bytes32", "uint32", "uint32"]


def numbered(count: int) -> list[Entry]:
    return [Entry(i.to_bytes(32, "big"), bytes(32), bytes(32), i) for i in range(count)]


def test_the_vector_reads() -> None:
    assert (LIST.epoch, LIST.root.hex(), LIST.pack()) == (VECTOR["epoch"], VECTOR["root"], DATA)
    for entry, case in zip(LIST.entries, VECTOR["captures"], strict=True):
        assert (entry.uid.hex(), entry.digest.hex(), entry.key_commit.hex()) == (
            case["uid"],
            case["digest"],
            case["key_commit"],
        )
        values = [entry.uid, entry.digest, entry.key_commit, LIST.epoch, case["slot"]]
        assert entry.leaf(LIST.epoch).hex() == case["leaf"] == keccak(keccak(encode(WORDS, values))).hex()
        proof = [bytes.fromhex(sibling) for sibling in case["proof"]]
        assert list(LIST.proof(entry)) == proof
        assert root_of(entry.leaf(LIST.epoch), proof) == LIST.root


@pytest.mark.parametrize("failure", VECTOR["failures"], ids=lambda failure: failure["why"].replace(" ", "_"))
def test_lists_that_are_refused(failure: dict[str, Any]) -> None:
    [(operation, value)] = failure["change"]["list"].items()
    with pytest.raises(getattr(errors, failure["error"])):
        CaptureList.unpack(bytes.fromhex(value) if operation == "set" else DATA[:value])


def test_what_the_list_finds() -> None:
    for entry in LIST.entries:
        assert LIST.find(entry.uid) == entry
    for other in (bytes(32), b"\xff" * 32, LIST.entries[1].uid[:31] + bytes([LIST.entries[1].uid[31] ^ 1])):
        assert LIST.find(other) is None


def test_the_largest_list_and_one_more() -> None:
    data = CaptureList.of(1, reversed(numbered(MAX_CAPTURES))).pack()
    assert len(data) == size_of(MAX_CAPTURES) == 1_000_009
    assert len(CaptureList.unpack(data).entries) == MAX_CAPTURES
    with pytest.raises(FormatError, match="1 to 10000"):
        CaptureList.of(1, numbered(MAX_CAPTURES + 1))
    with pytest.raises(FormatError, match="1 to 10000"):
        CaptureList.of(1, [])


def test_a_capture_comes_once() -> None:
    one = LIST.entries[0]
    with pytest.raises(FormatError, match="twice"):
        CaptureList.of(1, [one, replace(one, digest=bytes(32))])


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_the_root(at: int, bits: int) -> None:
    changed = DATA[:at] + bytes([DATA[at] ^ bits]) + DATA[at + 1 :]
    try:
        found = CaptureList.unpack(changed)
    except FormatError:
        return
    assert found.pack() == changed
    assert found.root != LIST.root


@given(st.binary(max_size=400))
def test_random_bytes(data: bytes) -> None:
    try:
        assert CaptureList.unpack(data).pack() == data
    except FormatError:
        return
