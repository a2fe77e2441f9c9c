"""What a section of the evidence finds out: figures for machines, and the same as text, tables, plots, sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Cell = str | int | float | None


@dataclass(frozen=True)
class Text:
    """A paragraph for a reader who has not read the paper. Plain text; a blank line starts a new paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows under a heading, formatted by the section: a cell is printed as it is, None as a dash."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


@dataclass(frozen=True)
class Series:
    """One line or one colour of bars: `y` at `x` (numbers, or names of bars), with 95 % intervals where there are."""

    name: str
    x: Sequence[float] | Sequence[str]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class Plot:
    """`name` is its file name without suffix, unique in the section."""

    name: str
    title: str
    kind: Literal["bars", "lines"]
    x_label: str
    y_label: str
    series: Sequence[Series]
    note: str = ""
    log_y: bool = False


@dataclass(frozen=True)
class Sheet:
    """A picture, PNG. Of synthetic people only: reports are published."""

    name: str
    title: str
    png: bytes
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """Something that the project says of itself, beside what was measured. `holds` None: it was not judged."""

    text: str
    goal: str
    measured: str
    holds: bool | None


@dataclass(frozen=True)
class Result:
    """A section's outcome: `data` is its JSON document (plain values only), `parts` in the order of reading.

    `record` says what it was measured with and on: model ids, digests of data sets and networks, seed, counts.
    """

    data: Mapping[str, Any]
    record: Mapping[str, Any]
    parts: Sequence[Text | Table | Plot | Sheet]
    claims: Sequence[Claim] = field(default=())
