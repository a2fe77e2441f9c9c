"""docs/KEYS.md names every label that keys are derived under, and no label is used in two places."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = "".join((ROOT / "docs" / name).read_text() for name in ("KEYS.md", "FORMAT.md"))


def calls(name: str) -> list[ast.Call]:
    """Every call of a function of that name in the library."""
    found = []
    for path in sorted((ROOT / "ffem_chain").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                found.append(node)
    return found


def test_every_label_is_documented_and_used_once() -> None:
    labels = [node.args[1].value for node in calls("hkdf") if isinstance(node.args[1], ast.Constant)]
    computed = [ast.unparse(node.args[1]) for node in calls("hkdf") if not isinstance(node.args[1], ast.Constant)]
    assert computed == ["f'commit/{level}'"]
    assert [label for label, times in Counter(labels).items() if times > 1] == []
    assert len(labels) >= 11
    for label in labels:
        assert f"`{label}`" in DOCUMENTS or f'"{label}"' in DOCUMENTS, label
        assert "\x00" not in label and not label.startswith("commit/")


def test_every_context_of_an_envelope_is_documented() -> None:
    texts = []
    for path in sorted((ROOT / "ffem_chain").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes) and node.value.startswith(b"ffem/v1/"):
                texts.append(node.value)
    texts = [text for text in texts if text not in (b"ffem/v1/", b"ffem/v1/vectors/", b"ffem/v1/vectors\x00")]
    assert len(texts) == len(set(texts)) >= 6
    for text in texts:
        assert text.endswith(b"\x00")  # so that no label is the beginning of another one's input
        assert f'"{text[:-1].decode()}"' in DOCUMENTS, text
