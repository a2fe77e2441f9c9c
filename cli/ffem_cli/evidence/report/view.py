"""What the pages say, before it is HTML or Markdown: plain values, in the order of reading."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ffem_cli import output
from ffem_cli.evidence import sections
from ffem_cli.evidence.report.run import Entry, Report
from ffem_cli.evidence.report.saved import Saved, to_json
from ffem_cli.evidence.result import Cell, Claim, Plot, Series, Text

TITLE = "ffem-chain: the evidence"
COMMAND = "ffem eval all --data DIR --out report"
LEAD = (
    "ffem-chain is for cameras whose pictures can be shared while the faces in them cannot. The camera encrypts every "
    "face. What everybody sees is the photo with noise in place of the face (I_enc), or, for those who prefer it, a "
    "fake face of nobody. Whoever is granted the key gets the original pixels back.",
    "Nobody should have to believe that. This page holds the figures that the project claims: what was asked, what "
    "was measured, on what, and whether it is as good as it was meant to be. Where something missed its goal, it says "
    "so. One command makes all of it again, on the same data or on yours.",
    "Every face on this page was drawn by a model. None is a person's.",
)
SMALL = (
    "This is a small run (--small): it shows that everything runs. Its numbers come from a few faces and prove nothing."
)
WORDS = {True: "holds", False: "MISSED", None: "not judged"}
_LONGEST = 30
_NUMBER = re.compile(r"^[<>~+\u2212-]?\s*\d")


@dataclass(frozen=True)
class SectionView:
    """A section as it is shown."""

    name: str
    number: int
    title: str
    question: str
    entry: Entry

    @property
    def claims(self) -> Sequence[Claim]:
        return self.entry.saved.result.claims if self.entry.saved else ()

    @property
    def lead(self) -> str:
        """The short answer: the section's first paragraph."""
        first = self._parts[0] if self._parts else None
        return first.text.strip().split("\n\n")[0] if isinstance(first, Text) else ""

    @property
    def parts(self) -> list[Any]:
        """All that follows the short answer."""
        if not self.lead:
            return self._parts
        rest = self._parts[0].text.strip()[len(self.lead) :].strip()
        return [*([Text(rest)] if rest else []), *self._parts[1:]]

    @property
    def _parts(self) -> list[Any]:
        return list(self.entry.saved.result.parts) if self.entry.saved else []

    @property
    def problem(self) -> str:
        """Why there is nothing, or nothing new."""
        failure = self.entry.failure
        if failure is not None:
            return f"could not be measured: {failure.message}" + (f" ({failure.hint})" if failure.hint else "")
        return "not measured yet" if self.waits else ""

    @property
    def waits(self) -> bool:
        """Whether it was not tried yet."""
        return self.entry.failure is None and self.entry.saved is None

    @property
    def earlier(self) -> str:
        """Said of an outcome of an earlier run that was made with something else than was asked for now."""
        return "measured earlier, with other inputs: see “How it was made” below" if self.entry.is_earlier else ""

    @property
    def made(self) -> str:
        """One line: by what, with what, how long."""
        if self.entry.saved is None:
            return ""
        made, inputs = self.entry.saved.made, self.entry.saved.inputs
        where = made["environment"]
        return (
            f"ffem-chain {made['version']}, model {made['model']} ({str(made['model_id'])[:12]}), "
            f"seed {inputs['seed']}; took {duration(float(made['seconds']))} on {output.count(where['cores'], 'core')} "
            f"of {where['processor']}"
        )

    @property
    def details(self) -> str:
        """Record and inputs as JSON."""
        return details(self.entry.saved) if self.entry.saved else ""


def section_views(report: Report) -> list[SectionView]:
    """All sections in their order; one that cannot even be imported is shown by its name."""
    found = []
    for number, entry in enumerate(report.entries, 1):
        title, question = entry.name.replace("_", " ").capitalize(), ""
        if entry.saved is not None:
            title, question = entry.saved.title, entry.saved.question
        else:
            try:
                module = sections.section(entry.name)
                title, question = module.TITLE, module.QUESTION
            except Exception:  # the section's failure is in the entry already
                question = ""
        found.append(SectionView(entry.name, number, title, question, entry))
    return found


def verdict(views: Sequence[SectionView]) -> str:
    """The whole in a sentence."""
    claims = [claim for view in views for claim in view.claims]
    counts = {holds: sum(claim.holds is holds for claim in claims) for holds in WORDS}
    words = [f"{counts[True]} of {output.count(len(claims), 'claim')} hold", f"{counts[False]} missed their goal"]
    if counts[None]:
        words.append(f"{counts[None]} could not be judged here")
    for count, text in (
        (sum(v.entry.failure is not None for v in views), "could not be measured"),
        (sum(v.waits for v in views), "not measured yet"),
    ):
        if count:
            words.append(f"{output.count(count, 'section')} of {len(views)} {text}")
    return "; ".join(words) + "."


def spent(views: Sequence[SectionView]) -> str:
    """How long all sections together took, in a sentence."""
    made = [view.entry.saved.made for view in views if view.entry.saved]
    return f"Measuring took {duration(sum(float(one['seconds']) for one in made))} in all, one section after the other."


def details(kept: Saved) -> str:
    """What a section was measured with and on, as JSON."""
    document = {"record": kept.result.record, "inputs": kept.inputs, "environment": kept.made["environment"]}
    return json.dumps(json.loads(to_json(document)), indent=2, ensure_ascii=False)


def cell(value: Cell) -> str:
    """A table's cell; a dash for none."""
    return "-" if value is None else str(value)


def numeric(rows: Sequence[Sequence[Cell]]) -> list[bool]:
    """Which columns hold numbers, and are set to the right."""
    found = []
    for column in zip(*rows, strict=False):
        values = [value for value in column if value not in (None, "", "-")]
        short = all(len(str(value)) <= _LONGEST for value in values)  # sentences that begin with a number are text
        numbers = all(isinstance(v, int | float) or _NUMBER.match(str(v)) for v in values)
        found.append(bool(values) and short and numbers)
    return found


def numbers(plot: Plot) -> tuple[list[str], list[list[str]]]:
    """A plot's numbers as a table: columns and rows."""
    has_interval = any(series.low is not None for series in plot.series)
    columns = [plot.x_label or "", *(["series"] if len(plot.series) > 1 else []), plot.y_label or "value"]
    rows = []
    for series in plot.series:
        places = [x if isinstance(x, str) else _number(float(x)) for x in series.x]
        for at, (x, y) in enumerate(zip(places, series.y, strict=True)):
            row = [x, *([series.name] if len(plot.series) > 1 else []), _number(y)]
            if has_interval:
                row.append(_interval(series, at))
            rows.append(row)
    return [*columns, *(["95 % interval"] if has_interval else [])], rows


def _interval(series: Series, at: int) -> str:
    if series.low is None or series.high is None or not math.isfinite(series.low[at]):
        return "-"
    return f"{_number(series.low[at])} to {_number(series.high[at])}"


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def duration(seconds: float) -> str:
    """A time in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
