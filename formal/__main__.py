"""`python -m formal` explores every scenario to its end, `python -m formal NAME` one of them."""

from __future__ import annotations

import argparse
import sys
import time

from formal.explore import Explorer, Found
from formal.scenario import SCENARIOS


def main() -> int:
    """Exit status 1 where a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m formal", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *SCENARIOS], help=", ".join(SCENARIOS))
    parser.add_argument("--most", type=int, default=0, help="states to look at, nearest first (0: all)")
    options = parser.parse_args()
    broken = False
    for name in options.names or SCENARIOS:
        began = time.monotonic()
        found = Explorer(SCENARIOS[name]).run(options.most, _say)
        whole = "all" if found.whole else "the first"
        print(f"{name}: {whole} {found.states:,} states, {found.moves:,} moves, {time.monotonic() - began:.0f} s")
        print(f"  up to {found.longest} moves deep; reached: {', '.join(sorted(found.reached))}")
        print(f"  BROKEN: {found.broken}: {'; '.join(found.way)}" if found.broken else "  P4 and P5 hold", flush=True)
        broken |= bool(found.broken)
    return int(broken)


def _say(found: Found) -> None:
    if sys.stderr.isatty():
        print(f"\r  {found.states:,} states, {found.longest} moves deep", end="\r", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
