"""Test vectors of everything that docs/KEYS.md, FORMAT.md and RELAY.md describe: `python -m ffem_chain.keys.vectors`.

What is deterministic is derived from names. What a seal draws at random is recorded: a file's value is kept for as long
as it opens to what it should, and made anew otherwise. `--check` writes nothing and fails on any difference.
Failures are changes of a good case, `{"why", "step", "change": {field: {"set": …} | {"flip": byte} | {"cut": length}},
"error": class}`; `tests/keys/test_vectors.py` reads them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from ffem_chain.capture.vector_batch import batch_vectors
from ffem_chain.capture.vector_capture import capture_vectors
from ffem_chain.chain.vector_signed import signed_vectors
from ffem_chain.keys.vector_cases import Json, Recorded, envelope_vectors, shamir_vectors, tree_vectors, vault_vectors
from ffem_chain.keys.vector_grants import grant_vectors
from ffem_chain.keys.vector_recovery import recovery_vectors

FOLDER = Path(__file__).parents[2] / "tests" / "vectors"
VECTORS: dict[str, Callable[[Recorded], Json]] = {
    "tree": tree_vectors,
    "envelopes": envelope_vectors,
    "shamir": shamir_vectors,
    "vault": vault_vectors,
    "grants": grant_vectors,
    "capture": capture_vectors,
    "batch": batch_vectors,
    "recovery": recovery_vectors,
    "signed": signed_vectors,
}


def build(name: str, folder: Path, check: bool) -> str:
    """The text of the file `name`.json, with the recorded values of the one in `folder`."""
    path = folder / f"{name}.json"
    recorded = Recorded(json.loads(path.read_text()) if path.exists() else {}, check)
    content = {"about": "made by python -m ffem_chain.keys.vectors", "version": 1, **VECTORS[name](recorded)}
    return json.dumps(content, indent=1) + "\n"


def main() -> None:
    """Writes the vectors, or with --check compares them."""
    parser = argparse.ArgumentParser(description="Makes the test vectors anew.")
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file would change")
    args = parser.parse_args()
    for name in VECTORS:
        text, path = build(name, args.folder, args.check), args.folder / f"{name}.json"
        if args.check and path.read_text() != text:
            raise SystemExit(f"{path.name} is not what this version makes")
        if not args.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


if __name__ == "__main__":
    main()
