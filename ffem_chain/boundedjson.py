"""JSON whose nesting is bounded before it is parsed: a library below web3 lifts Python's recursion limit beyond what
the stack holds, so that deep nesting would end the process instead of raising."""

from __future__ import annotations

import json
import re
from typing import Any

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def check_depth(data: bytes, depth: int = 64) -> bytes:
    """`data`, for answers whose size is not known beforehand. ValueError where lists and objects nest deeper."""
    nested = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", data)):
        nested += 1 if bracket in b"[{" else -1
        if nested > depth:
            raise ValueError(f"nested deeper than {depth}")
    return data


def loads(data: bytes, brackets: int) -> Any:
    """The value of `data`. ValueError unless it is JSON with at most `brackets` lists and objects in all."""
    if data.count(b"[") + data.count(b"{") > brackets:
        raise ValueError(f"more than {brackets} lists and objects")
    return json.loads(data)
