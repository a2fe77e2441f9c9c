"""Hostile nesting is an error, not a crash. In a process of its own, which a crash would end."""

from __future__ import annotations

import subprocess
import sys

import pytest

# eth_account imports what lifts Python's recursion limit, as every command with a wallet does.
_PROGRAM = """
import eth_account
from ffem_chain.capture.format import LIMITS, POSE, _load_json
from ffem_chain.errors import FormatError
opening, closing = {brackets!r}
depth = LIMITS[POSE] // 2 // len(opening)
try:
    _load_json(opening.encode() * depth + closing.encode() * depth, POSE)
except FormatError:
    print("refused")
"""


@pytest.mark.parametrize("brackets", [("[", "]"), ('{"a":', "}"), ("[", "")])
def test_json_nested_as_deep_as_its_size_allows_is_refused(brackets: tuple[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(brackets=brackets)], capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stdout) == (0, "refused\n"), ended.stderr
