"""Proofs of captures as files: written, read strictly, and of nothing but their root."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ffem_chain.capture.batch import CaptureList, Entry
from ffem_chain.capture.proof import CaptureProof
from ffem_chain.errors import FfemError, FormatError, Tampered

ADDRESS = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


def listed(count: int) -> CaptureList:
    return CaptureList.of(2, (Entry(bytes([n]) * 32, b"\1" * 32, b"\2" * 32, 7 + n) for n in range(count)))


def proof(count: int = 5, at: int = 3) -> CaptureProof:
    made = listed(count)
    return CaptureProof.of(made, made.entries[at], 31337, ADDRESS, b"\3" * 32, b"\4" * 32)


@pytest.mark.parametrize("count", [1, 2, 5, 64])
def test_a_proof_is_read_as_it_was_written(count: int) -> None:
    for at in (0, count - 1):
        made = proof(count, at)
        assert CaptureProof.from_json(made.to_json()) == made
        assert made.root == listed(count).root and made.of_batch(made.root, count, 2)
        assert not made.of_batch(made.root, count + 1, 2) and not made.of_batch(bytes(32), count, 2)


def test_every_value_is_bound() -> None:
    """What the leaf or the root is made of cannot be changed; the rest is compared with the chain by who uses it."""
    good: dict[str, Any] = json.loads(proof().to_json())
    for name in ("root", "uid", "digest", "key_commit", "leaf"):
        with pytest.raises(Tampered):
            CaptureProof.from_json(json.dumps({**good, name: "0x" + "ab" * 32}).encode())
    for change in ({"slot": good["slot"] + 1}, {"epoch": 3}, {"siblings": good["siblings"][::-1]}):
        with pytest.raises(Tampered):
            CaptureProof.from_json(json.dumps({**good, **change}).encode())


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"v": True},
        {"more": 1},
        {"uid": "0xAB" + "ab" * 31},
        {"uid": "ab" * 32},
        {"uid": 5},
        {"registry": "0x12"},
        {"count": 0},
        {"count": 2},  # too small for so many siblings
        {"count": 10_001},
        {"epoch": 0},
        {"slot": -1},
        {"slot": 1.0},
        {"siblings": "0x"},
        {"siblings": [["0x" + "ab" * 32]]},
        {"chain": None},
    ],
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    good: dict[str, Any] = json.loads(proof().to_json())
    with pytest.raises(FormatError):
        CaptureProof.from_json(json.dumps({**good, **change}).encode())


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"null", b"[" * 4000, b"\xff", b" " * 5000, b'{"v": 1}'])
def test_what_is_no_proof(data: bytes) -> None:
    with pytest.raises(FormatError):
        CaptureProof.from_json(data)


def test_a_missing_field_or_a_flipped_byte() -> None:
    data = proof().to_json()
    for name in json.loads(data):
        rest = {key: value for key, value in json.loads(data).items() if key != name}
        with pytest.raises(FormatError):
            CaptureProof.from_json(json.dumps(rest).encode())
    good = CaptureProof.from_json(data)
    for at in range(0, len(data), 7):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        try:
            found = CaptureProof.from_json(changed)
        except FfemError:
            continue
        # White space, or what only the chain can tell: where the batch is.
        assert (found.root, found.entry, found.siblings) == (good.root, good.entry, good.siblings)
