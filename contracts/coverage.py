"""Fails unless every line and branch of contracts/src is covered: `python contracts/coverage.py`.

Runs `forge coverage` (which compiles without via-IR and optimizer, so that its source maps are exact) over the fuzz
tests; the invariants and the gas figures add no coverage, and take long when nothing is optimized.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from ffem_devnet.tools import foundry_binary

CONTRACTS = Path(__file__).resolve().parent
KINDS = {"DA": "line", "BRDA": "branch", "FNDA": "function"}


def measure(report: Path) -> str:
    """Writes the lcov report of the contracts' sources and returns forge's output. Raises CalledProcessError."""
    # The platform's own program: the wrapper in node_modules/.bin leaves with status 0 when forge fails.
    command = [
        foundry_binary("forge"),
        "coverage",
        "--report",
        "lcov",
        "--report-file",
        report,
        "--no-match-coverage",
        "^(test|node_modules)/",
    ]
    command += ["--no-match-contract", "^(Gas|Invariants|Reach)Test$"]
    # Beside the report, so that the unoptimized build never takes the place of the one that is tested.
    env = os.environ | {"FOUNDRY_OUT": str(report.parent / "out"), "FOUNDRY_CACHE_PATH": str(report.parent / "cache")}
    run = subprocess.run(command, cwd=CONTRACTS, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, command, run.stdout)
    return run.stdout


def missed(lcov: str) -> tuple[dict[str, int], list[str]]:
    """How many lines, branches and functions an lcov report counts, and where it has one that was never taken."""
    counts = dict.fromkeys(KINDS.values(), 0)
    places = []
    source = ""
    for row in lcov.splitlines():
        kind, _, rest = row.partition(":")
        if kind == "SF":
            source = rest
        if kind not in KINDS:
            continue
        counts[KINDS[kind]] += 1
        fields = rest.split(",")
        taken = fields[0 if kind == "FNDA" else -1]
        if taken in ("0", "-"):
            places.append(f"{source}: {KINDS[kind]} {fields[-1] if kind == 'FNDA' else fields[0]}")
    return counts, places


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "lcov.info"
        try:
            measure(report)
        except subprocess.CalledProcessError as error:
            print(error.output, file=sys.stderr)
            return 1
        counts, places = missed(report.read_text())
    print("covered: " + ", ".join(f"{count} {kind}(s)" for kind, count in counts.items()))
    if not counts["line"] or not counts["branch"]:
        places.append("the report is empty")
    for place in places:
        print(f"error: never taken: {place}", file=sys.stderr)
    return 1 if places else 0


if __name__ == "__main__":
    sys.exit(main())
