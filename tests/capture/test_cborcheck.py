"""The walk over CBOR accepts exactly what the formats use, and never allows what a decoder would fail on."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffem_chain.cborcheck import check
from ffem_chain.errors import FormatError

VALUES = st.recursive(
    st.one_of(st.integers(0, (1 << 64) - 1), st.binary(max_size=20), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=12,
)


def accepted(data: bytes, max_items: int = 100, max_depth: int = 20) -> bool:
    try:
        check("it", data, max_items=max_items, max_depth=max_depth)
    except FormatError:
        return False
    return True


@given(VALUES)
def test_what_the_formats_use(value: object) -> None:
    data = cbor2.dumps(value)
    assert accepted(data)
    assert not accepted(data + b"\x00")
    for length in range(len(data)):
        assert not accepted(data[:length])


@given(st.binary(max_size=60))
def test_the_decoder_takes_what_it_accepts(data: bytes) -> None:
    """cbor2 is the oracle: whatever passes decodes to unsigned numbers, bytes, text, lists and maps; else it fails."""
    if accepted(data):
        try:
            value = cbor2.loads(data)
        except cbor2.CBORError as error:
            assert "utf-8" in str(error).lower() or isinstance(error, cbor2.CBORDecodeError)
            return
        assert isinstance(value, int | bytes | str | list | dict)


@pytest.mark.parametrize(
    "value", [-1, 1.5, None, True, False, cbor2.undefined, 1 << 64, cbor2.CBORTag(0, "x"), {1: 2}, {b"a": 1}, [[-1]]]
)
def test_kinds_that_the_formats_do_not_use(value: object) -> None:
    assert not accepted(cbor2.dumps(value))


@pytest.mark.parametrize(
    "text", ["9fff", "5f41ff", "7fff", "bfff", "1c", "3f", "f8", "ff", "", "18", "1b00", "58", "a161"]
)
def test_indefinite_reserved_and_truncated(text: str) -> None:
    assert not accepted(bytes.fromhex(text))


@pytest.mark.parametrize("text", ["9bffffffffffffffff", "bb7fffffffffffffff", "5bffffffffffffffff", "9a00000003010203"])
def test_announced_lengths(text: str) -> None:
    assert accepted(bytes.fromhex(text)) == (text == "9a00000003010203")


def test_limits() -> None:
    nested = b"\x81" * 3 + b"\x00"
    assert accepted(nested, max_depth=3) and not accepted(nested, max_depth=2)
    flat = cbor2.dumps([0] * 9)
    assert accepted(flat, max_items=10) and not accepted(flat, max_items=9)
    assert not accepted(b"\x81" * 1_000_000, max_items=1 << 30)
    with pytest.raises(FormatError, match="it is nested deeper than 2"):
        check("it", nested, max_items=10, max_depth=2)
