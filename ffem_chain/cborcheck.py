"""A walk over CBOR (RFC 8949) that allocates nothing, before a decoder is let near untrusted bytes.

It allows unsigned integers, byte strings, text strings, lists and maps with text keys, all of definite length. Every
announced length is compared with what is left, so no header can ask the decoder for memory the file does not fill.
"""

from __future__ import annotations

from ffem_chain.errors import FormatError

_UNSIGNED, _BYTES, _TEXT, _LIST, _MAP = 0, 2, 3, 4, 5


def check(name: str, data: bytes, *, max_items: int, max_depth: int) -> None:
    """Raise FormatError, naming the file, unless `data` is one such item with nothing behind it."""
    open_items = [1]  # items still to come at each level
    keys_due = [False]  # whether the level is a map, whose items alternate between key and value
    position, seen = 0, 0
    while open_items:
        if open_items[-1] == 0:
            open_items.pop()
            keys_due.pop()
            continue
        seen += 1
        if seen > max_items:
            raise FormatError(f"{name} has more than {max_items} items")
        is_key = keys_due[-1] and open_items[-1] % 2 == 0
        open_items[-1] -= 1
        major, value, position = _head(name, data, position)
        left = len(data) - position
        if is_key and major != _TEXT:
            raise FormatError(f"{name} has a map key that is not text")
        if major in (_BYTES, _TEXT):
            if value > left:
                raise FormatError(f"{name} is truncated")
            position += value
        elif major in (_LIST, _MAP):
            count = value if major == _LIST else 2 * value
            if count > left:  # an item takes at least one byte
                raise FormatError(f"{name} is truncated")
            if len(open_items) > max_depth:
                raise FormatError(f"{name} is nested deeper than {max_depth}")
            open_items.append(count)
            keys_due.append(major == _MAP)
        elif major != _UNSIGNED:
            raise FormatError(f"{name} holds a kind of CBOR that the format does not use")
    if position != len(data):
        raise FormatError(f"{name} has bytes behind its end")


def _head(name: str, data: bytes, position: int) -> tuple[int, int, int]:
    """Major type, argument and the position behind the head."""
    if position >= len(data):
        raise FormatError(f"{name} is truncated")
    major, info = data[position] >> 5, data[position] & 31
    position += 1
    if info < 24:
        return major, info, position
    if info > 27:
        raise FormatError(f"{name} has an item of indefinite length")
    length = 1 << (info - 24)
    if position + length > len(data):
        raise FormatError(f"{name} is truncated")
    return major, int.from_bytes(data[position : position + length], "big"), position + length
