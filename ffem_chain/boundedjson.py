"""JSON whose nesting is bounded before it is parsed: a library below web3 lifts Python's recursion limit beyond what
the stack holds, so that deep nesting would end the process instead of raising."""

from __future__ import annotations

import json
import re
from typing import Any

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")
_PLAIN = bytes(set(range(256)) - set(b'"[]{}'))


def check_depth(data: bytes, depth: int = 64) -> bytes:
    """`data`, for answers whose size is not known beforehand. ValueError where lists and objects nest deeper."""
    nested = 0
    # Without escapes, what is neither bracket nor quote says nothing: most of it goes at the speed of memory.
    bare = data if b"\\" in data else data.translate(None, _PLAIN)
    for bracket in _BRACKET.findall(_STRING.sub(b"", bare)):
        nested += 1 if bracket in b"[{" else -1
        if nested > depth:
            raise ValueError(f"nested deeper than {depth}")
    return data


def loads(data: bytes, brackets: int) -> Any:
    """The value of `data`. ValueError unless it is JSON with at most `brackets` lists and objects in all."""
    if data.count(b"[") + data.count(b"{") > brackets:
        raise ValueError(f"more than {brackets} lists and objects")
    return json.loads(data)
