"""Reading the ABI's canonical encoding, as far as the registry's events use it.

Exactly what eth-abi encodes is accepted, and nothing else: a value has one encoding, so a log that was read can be
written again byte for byte. It takes a sixth of the time of decoding with eth-abi and comparing what that encodes; an
index reads a hundred thousand logs so. The tests compare the two.

Source: Solidity's "Contract ABI Specification" (strict mode).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

from eth_utils import to_checksum_address

_WORD = 32
Word = Callable[[bytes], Any]


@lru_cache(maxsize=65_536)
def _address(word: bytes) -> str:
    if any(word[:12]):
        raise ValueError("an address of more than 20 bytes")
    return str(to_checksum_address(word[12:]))


def _bool(word: bytes) -> bool:
    number = int.from_bytes(word, "big")
    if number > 1:
        raise ValueError("a truth value that is neither 0 nor 1")
    return number == 1


def _uint(bits: int) -> Word:
    def read(word: bytes) -> int:
        number = int.from_bytes(word, "big")
        if number >> bits:
            raise ValueError(f"a number of more than {bits} bits")
        return number

    return read


@cache
def word_reader(abi_type: str) -> Word:
    """Reads a value of a static type from its 32 bytes. The reader raises ValueError for what is not canonical.

    Raises NotImplementedError for other types than bytes32, address, bool and uint8 to uint256.
    """
    if abi_type == "bytes32":
        return bytes
    if abi_type == "address":
        return _address
    if abi_type == "bool":
        return _bool
    if abi_type.startswith("uint") and abi_type[4:].isdigit():
        return _uint(int(abi_type[4:]))
    raise NotImplementedError(f"the ABI's type {abi_type} is not read here")


def _dynamic(abi_type: str, data: bytes, at: int) -> tuple[Any, int]:
    """The value of a dynamic type at `at`, and where the next begins."""
    length = int.from_bytes(data[at : at + _WORD], "big")
    at += _WORD
    if length > len(data):
        raise ValueError("a length beyond the data")
    if abi_type == "bytes":
        end = at + -(-length // _WORD) * _WORD
        if any(data[at + length : end]):
            raise ValueError("padding that is not zero")
        return data[at : at + length], end
    read, end = word_reader(abi_type[:-2]), at + length * _WORD
    if end > len(data):
        raise ValueError("a list beyond the data")
    return tuple(read(data[place : place + _WORD]) for place in range(at, end, _WORD)), end


def decode_data(types: Sequence[str], data: bytes) -> list[Any]:
    """Values of `types` in canonical encoding: bytes, tuples for lists, checksummed addresses, int, bool.

    Raises ValueError where `data` is anything else.
    """
    found: list[Any] = []
    tail = len(types) * _WORD
    if len(data) < tail:
        raise ValueError("less data than its types need")
    for number, abi_type in enumerate(types):
        word = data[number * _WORD : (number + 1) * _WORD]
        if abi_type != "bytes" and not abi_type.endswith("[]"):
            found.append(word_reader(abi_type)(word))
            continue
        if int.from_bytes(word, "big") != tail:
            raise ValueError("a value that does not stand where the encoding puts it")
        value, tail = _dynamic(abi_type, data, tail)
        found.append(value)
    if tail != len(data):
        raise ValueError("more or less data than the values need")
    return found


def static_words(*values: bytes | int | str) -> bytes:
    """The encoding of static values: 32-byte strings, unsigned numbers, addresses in hexadecimal.

    Raises ValueError for strings of other lengths, OverflowError for numbers that are negative or beyond 256 bits.
    """
    words = []
    for value in values:
        if isinstance(value, int):
            value = value.to_bytes(_WORD, "big")
        elif isinstance(value, str):
            value = bytes(12) + bytes.fromhex(value.removeprefix("0x"))
        if len(value) != _WORD:
            raise ValueError("a static value of the ABI has 32 bytes")
        words.append(value)
    return b"".join(words)
