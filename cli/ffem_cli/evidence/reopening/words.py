"""Figures as words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Found = Mapping[str, Any]


def points(one: Found) -> float:
    """Top-1 of opened faces less that of originals, in percentage points."""
    return 100 * float(one["top1_recovered"] - one["top1_original"])


def degrees(band: Found) -> str:
    """A band of yaw."""
    return f"{band['from']} to {band['to']}"


def span(pair: Sequence[float] | None, digits: int, scale: float = 1.0) -> str:
    """An interval; nothing where there is none."""
    return "" if pair is None else f"({scale * pair[0]:.{digits}f} to {scale * pair[1]:.{digits}f})"


def db(figure: Found) -> str:
    """Decibels and their interval."""
    return number(figure, 1)


def number(figure: Found, digits: int) -> str:
    """A mean and its interval."""
    return f"{figure['mean']:.{digits}f} {span(figure['ci95'], digits)}"
