"""Envelopes for a 32-byte key: both suites beside eciespy and age, by `ffem bench crypto`'s own measurement."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from ffem_cli.bench import crypto
from ffem_cli.eval.cache import Say
from ffem_cli.eval.measures import interval

NAMES = ("suite1", "suite2", "eciespy", "age")
_FIGURES = ("seal_us", "open_us", "seal_ratio", "open_ratio", "bytes")


def measure(rounds: int, calls: int, say: Say) -> dict[str, Any]:
    """{"rows": a row a contestant, "rounds", "calls", "missing"}: medians over `rounds` of medians of `calls` calls in
    which all take turns, with 95 % intervals over the rounds; ratios to suite 1."""
    found = [crypto.measure(calls, say) for _ in range(rounds)]
    present = [name for name in NAMES if found[0][name] is not None]
    rows = []
    for name in present:
        row: dict[str, Any] = {"name": name}
        for figure in _FIGURES:
            values = [float(one[name][figure]) for one in found]
            row[figure] = statistics.median(values)
            row[f"{figure}_ci95"] = _interval(values)
        rows.append(row)
    return {"rows": rows, "rounds": rounds, "calls": calls, "missing": [name for name in NAMES if name not in present]}


def _interval(values: Sequence[float]) -> tuple[float, float]:
    return interval(np.array(values), [str(at) for at in range(len(values))], lambda v: float(np.median(v)))
