"""Hostile nesting is an error, not a crash. In a process of its own, which a crash would end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ffem_chain.boundedjson import check_depth

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


_NODE = """
from ffem_chain.chain.rpc import _Provider
try:
    _Provider.decode_rpc_response({start!r} + b"[" * 2_000_000)
except ValueError:
    print("refused")
"""
_WEIGHTS = """
import eth_account
from ffem_chain.errors import FormatError
from ffem_chain.faces.flow.weights import load_bytes
header = b'{"a":' * 2_000_000
try:
    load_bytes(len(header).to_bytes(8, "little") + header, "a model")
except FormatError:
    print("refused")
"""


@pytest.mark.parametrize(
    "program",
    [_NODE.format(start=b""), _NODE.format(start=b'{"id": 1, "result": ["\\"]]]]", '), _WEIGHTS],
    ids=["node", "strings", "weights"],
)
def test_nodes_and_models_are_bounded_too(program: str) -> None:
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "refused\n"), ended.stderr


def test_depth_is_counted_outside_strings() -> None:
    for good in (b'{"a": "[[[[", "b": [["\\\\"], "]"]}', b'["\\"", "[[["]', b"[" * 3 + b"]" * 3):
        assert check_depth(good, 3) == good
    for deep in (b"[[[[", b'["]]]", [[[1]]]]', b'["\\\\", [["\\"]]", [1]]]]'):
        with pytest.raises(ValueError, match="nested deeper"):
            check_depth(deep, 3)
