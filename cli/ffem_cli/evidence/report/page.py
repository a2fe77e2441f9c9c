"""The report as one HTML file that fetches nothing: styles, plots and sheets are in it, and there are no scripts."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from ffem_cli.evidence.report import plots, view
from ffem_cli.evidence.report.glossary import TERMS
from ffem_cli.evidence.report.run import Report
from ffem_cli.evidence.report.view import SectionView
from ffem_cli.evidence.result import Plot, Sheet

_LINK = re.compile(r"https://[^\s<>\"'()]*[^\s<>\"'().,;:]")
_CODE = re.compile(r"`([^`\n]+)`")


def html(report: Report, views: Sequence[SectionView], drawn: Mapping[str, str]) -> str:
    """The page. `drawn` holds the plots' SVG by file name. Everything that a section says is escaped."""

    def picture(of: SectionView, plot: Plot) -> Markup:
        assert of.entry.saved is not None
        file = of.entry.saved.file(plot)
        # SVG of our own plots; their texts were escaped when they were drawn
        return Markup(plots.inline(drawn[file], file.removesuffix(".svg")))  # noqa: S704

    def png(sheet: Sheet) -> str:
        return "data:image/png;base64," + base64.b64encode(sheet.png).decode()

    return (
        _environment()
        .get_template("page.html")
        .render(
            title=view.TITLE,
            lead=view.LEAD,
            command=view.COMMAND,
            small=view.SMALL if any(v.entry.saved and v.entry.saved.inputs["small"] for v in views) else "",
            verdict=view.verdict(views),
            spent=view.spent(views),
            views=views,
            words=view.WORDS,
            marks={True: "yes", False: "no", None: "open"},
            terms=TERMS,
            environment=report.environment,
            style=Markup(resources.files(__package__).joinpath("page.css").read_text("utf-8")),  # noqa: S704 - of this package
            kind=lambda part: type(part).__name__,
            numeric=view.numeric,
            numbers=view.numbers,
            picture=picture,
            png=png,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("ffem_cli.evidence.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"prose": _prose, "inline": _inline, "cell": view.cell}
    return environment


def _inline(text: str) -> Markup:
    """A line of text: addresses become links, and what stands in back-ticks code."""
    return Markup(_CODE.sub(r"<code>\1</code>", _linked(text)))  # noqa: S704 - escaped in `_linked`


def _linked(text: str) -> str:
    """Escaped, piece by piece, so that no address takes an escape along."""
    out, at = "", 0
    for found in _LINK.finditer(text):
        address = escape(found.group())
        out += f'{escape(text[at : found.start()])}<a href="{address}" rel="noopener noreferrer">{address}</a>'
        at = found.end()
    return out + str(escape(text[at:]))


def _prose(text: str) -> Markup:
    """Paragraphs."""
    parts = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return Markup("\n").join(Markup("<p>{}</p>").format(_inline(part)) for part in parts)
