"""The tests that docs/THREATS.md and docs/REVOCATION.md name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_REFERENCE = re.compile(r"`([\w/]+\.(?:py|t\.sol))?::(\w+)`")


@pytest.mark.parametrize(("document", "least"), [("THREATS.md", 60), ("REVOCATION.md", 8)])
def test_every_test_that_is_named_exists(document: str, least: int) -> None:
    found, file = 0, ""
    for named, function in _REFERENCE.findall((ROOT / "docs" / document).read_text()):
        file = named or file  # `::name` is of the file that was named before
        folder, word = ("contracts/test", "function") if file.endswith(".sol") else ("tests", "def")
        text = (ROOT / folder / file).read_text()
        assert re.search(rf"^\s*{word} {function}\(", text, re.MULTILINE), f"{file}::{function}"
        found += 1
    assert found >= least
