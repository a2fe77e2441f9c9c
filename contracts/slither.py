"""Slither's findings in the contract, and whether docs/SLITHER.md answers each: `python contracts/slither.py SLITHER`.

SLITHER is the program `slither` of an environment of its own (docs/SLITHER.md). The contract is compiled by the pinned
solc-js. Exit status 1 where a finding has no answer, or an answer no finding.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ffem_devnet.compile import CONTRACTS, SETTINGS, SOLC_JS, read_sources

ANSWERS = CONTRACTS.parent / "docs" / "SLITHER.md"
_ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \|", re.MULTILINE)


def findings(slither: Path) -> dict[tuple[str, str], str]:
    """(detector, where) -> Slither's words, for what is in the project's own sources."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        sources = read_sources(CONTRACTS)
        for path, text in sources.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        settings = {key: value for key, value in SETTINGS.items() if key != "outputSelection"}
        content = {path: {"content": text} for path, text in sources.items()}
        (folder / "task.json").write_text(
            json.dumps({"language": "Solidity", "sources": content, "settings": settings})
        )
        compiler = ["--compile-force-framework", "solc-json", "--solc", SOLC_JS, "--solc-working-dir", folder]
        command = [slither, "task.json", *compiler, "--json", folder / "found.json", "--fail-none"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        found = json.loads((folder / "found.json").read_text()) if (folder / "found.json").exists() else {}
        if not found.get("success"):
            raise SystemExit(f"slither did not work: {found.get('error') or done.stderr[-2000:]}")
    return {
        (one["check"], _where(one)): one["description"].strip()
        for one in found["results"].get("detectors", [])
        if any(_path(element).startswith("src/") for element in one["elements"])
    }


def _path(element: dict[str, Any]) -> str:
    return str(element.get("source_mapping", {}).get("filename_relative", ""))


def _where(finding: dict[str, Any]) -> str:
    """Contract and function of a finding; the file, where it is in none."""
    first = finding["elements"][0]
    parent = first.get("type_specific_fields", {}).get("parent", {})
    if first["type"] == "node":
        first, parent = parent, parent.get("type_specific_fields", {}).get("parent", {})
    if first["type"] in ("function", "variable", "contract"):
        return ".".join(name for name in (parent.get("name", ""), first["name"]) if name)
    return "all sources"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python contracts/slither.py", description=__doc__)
    parser.add_argument("slither", type=Path, help="the program slither")
    found = findings(parser.parse_args().slither.resolve())
    answered = set(_ROW.findall(ANSWERS.read_text())) if ANSWERS.exists() else set()
    for (check, where), words in found.items():
        state = "answered" if (check, where) in answered else "NOT ANSWERED"
        print(f"{check}, {where}: {state}\n    {words}")
    for check, where in answered - set(found):
        print(f"{check}, {where}: answered, and not found any more")
    return int(set(found) != answered)


if __name__ == "__main__":
    sys.exit(main())
