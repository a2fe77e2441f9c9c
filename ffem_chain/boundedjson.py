"""JSON whose nesting is bounded before it is parsed: a library below web3 lifts Python's recursion limit beyond what
the stack holds, so that deep nesting would end the process instead of raising."""

from __future__ import annotations

import json
from typing import Any


def loads(data: bytes, brackets: int) -> Any:
    """The value of `data`. ValueError unless it is JSON with at most `brackets` lists and objects in all."""
    if data.count(b"[") + data.count(b"{") > brackets:
        raise ValueError(f"more than {brackets} lists and objects")
    return json.loads(data)
