"""The strict reading of the ABI beside eth-abi: what is read can be written again, and nothing else is read."""

from __future__ import annotations

import pytest
from eth_abi import encode
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as some

from ffem_chain.chain.abi import decode_data, word_reader
from ffem_chain.chain.events import layouts

VALUES = {
    "bytes32": some.binary(min_size=32, max_size=32),
    "address": some.binary(min_size=20, max_size=20).map(to_checksum_address),
    "bool": some.booleans(),
    "uint8": some.integers(0, 2**8 - 1),
    "uint32": some.integers(0, 2**32 - 1),
    "uint40": some.integers(0, 2**40 - 1),
    "uint256": some.integers(0, 2**256 - 1),
    "bytes": some.binary(max_size=100),
    "address[]": some.lists(some.binary(min_size=20, max_size=20).map(to_checksum_address), max_size=4).map(tuple),
    "bytes32[]": some.lists(some.binary(min_size=32, max_size=32), max_size=4).map(tuple),
}
CASES = some.lists(some.sampled_from(sorted(VALUES)), max_size=5).flatmap(
    lambda types: some.tuples(some.just(types), some.tuples(*(VALUES[one] for one in types)))
)


@given(CASES)
def test_reads_what_eth_abi_writes(case: tuple[list[str], tuple[object, ...]]) -> None:
    types, values = case
    assert decode_data(types, encode(types, values)) == list(values)


@given(CASES, some.data())
def test_reads_nothing_else(case: tuple[list[str], tuple[object, ...]], draw: some.DataObject) -> None:
    """One changed byte, one more or one less: either another canonical encoding, or an error."""
    types, values = case
    data = bytearray(encode(types, values))
    if not data:
        return
    place = draw.draw(some.integers(0, len(data) - 1))
    how = draw.draw(some.integers(-1, 255))
    if how < 0:
        del data[place]
    else:
        data[place] ^= how
    try:
        found = decode_data(types, bytes(data))
    except ValueError:
        return
    assert encode(types, found) == bytes(data)


def test_more_than_its_data() -> None:
    for data in (b"", bytes(31), bytes(33), bytes(31) + b"\x20" + b"\xff" * 32):
        with pytest.raises(ValueError):
            decode_data(["bytes"], data)


def test_every_type_of_the_registry_is_read() -> None:
    for layout in layouts().values():
        for _, abi_type in (*layout.indexed, *layout.data):
            if abi_type != "bytes":
                word_reader(abi_type.removesuffix("[]"))
    with pytest.raises(NotImplementedError):
        word_reader("int8")
