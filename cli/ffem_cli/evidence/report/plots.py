"""Plots as SVG by matplotlib: the same numbers give the same bytes, and text stays text.

`svg` makes a file with a white ground; `inline` makes of it what a page holds, in the page's own colours, so that it is
readable in a dark one.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from ffem_cli.evidence.result import Plot, Series

INK, SOFT, PAPER = "#1c2127", "#c9ced6", "#ffffff"
# Okabe & Ito 2008: told apart by people who see few colours
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#b3a100")
_MARKERS = "osD^vPX*"
_WIDTH = 7.2  # inches
_PLAIN = FuncFormatter(lambda number, _: f"{number:g}")  # powers of ten would be formulas
_STYLE: Any = {
    "svg.hashsalt": "ffem",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": SOFT,
    "grid.linewidth": 0.6,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def svg(plot: Plot) -> str:
    """The plot as an SVG document, its background white. Bars lie on their side where their names are long."""
    # a style of its own, whatever the user's matplotlibrc says
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(_WIDTH, _height(plot)), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_axisbelow(True)
        (_bars if plot.kind == "bars" else _lines)(axes, plot)
        if len(plot.series) > 1:
            figure.legend(loc="outside upper left", ncols=min(len(plot.series), 3 if _longest(plot) < 28 else 2))
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Title": plot.title})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def inline(document: str, prefix: str) -> str:
    """The same to stand in a page: no prologue, ids with a prefix, since all plots of a page share one space of ids,
    and the page's colours (`--ink`, `--line`, `--paper`)."""
    body = document[document.index("<svg") :]
    # its style would be the whole page's
    body = re.sub(r"<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg\b[^>]*?) width="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'(<svg\b[^>]*?) height="[^"]*"', r"\1", body, count=1)
    body = re.sub(r'\bid="([^"]*)"', rf'id="{prefix}-\1"', body)
    body = re.sub(r'(xlink:href=")#([^"]*)"', rf'\1#{prefix}-\2"', body)
    body = re.sub(r"url\(#([^)]*)\)", rf"url(#{prefix}-\1)", body)
    for colour, name in ((INK, "--ink"), (SOFT, "--line"), (PAPER, "--paper")):
        body = re.sub(rf"(fill|stroke): {colour}", rf"\1: var({name})", body)
    return body


def _longest(plot: Plot) -> int:
    return max((len(series.name) for series in plot.series), default=0)


def _folded(name: str) -> str:
    """A name of a bar on lines of 30 characters, three at most."""
    return "\n".join(textwrap.wrap(textwrap.shorten(name, 88, placeholder="..."), 30)) or name


def _short(text: str) -> str:
    """A label or a name in the legend, cut where it would be wider than the plot."""
    return textwrap.shorten(text, 60, placeholder="...")


def _names(plot: Plot) -> list[str]:
    """The names of the bars of all series, in the order in which they first come."""
    return list(dict.fromkeys(str(x) for series in plot.series for x in series.x))


def _is_sideways(plot: Plot) -> bool:
    names = _names(plot)
    return max(map(len, names), default=0) > 9 or len(names) > 9


def _height(plot: Plot) -> float:
    legend = 0.24 * math.ceil(len(plot.series) / 2) if len(plot.series) > 1 else 0.0
    if plot.kind == "bars" and _is_sideways(plot):
        lines = max((_folded(name).count("\n") for name in _names(plot)), default=0) + 1
        return float(0.75 + legend + len(_names(plot)) * max(0.16 + 0.15 * len(plot.series), 0.08 + 0.15 * lines))
    return 3.4 + legend


def _bars(axes: Any, plot: Plot) -> None:
    names, sideways = _names(plot), _is_sideways(plot)
    thick = 0.8 / max(1, len(plot.series))
    floor = _floor(plot) if plot.log_y else 0.0
    for at, series in enumerate(plot.series):
        place = np.array([names.index(str(x)) for x in series.x]) + (at - (len(plot.series) - 1) / 2) * thick
        y = np.maximum(np.asarray(series.y, float), floor) if plot.log_y else np.asarray(series.y, float)
        draw, reach = (axes.barh, "xerr") if sideways else (axes.bar, "yerr")
        whiskers = {reach: _whiskers(series, y, floor)} if series.low is not None else {}
        style = {"color": COLOURS[at % len(COLOURS)], "label": _short(series.name)}
        draw(place, y, thick * 0.92, error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2}, **whiskers, **style)
    value, other = ("x", "y") if sideways else ("y", "x")
    getattr(axes, f"set_{other}ticks")(range(len(names)), [_folded(name) for name in names])
    axes.tick_params(axis=other, length=0)
    getattr(axes, f"set_{value}label")(_short(plot.y_label))
    if not sideways:  # names need no name
        axes.set_xlabel(_short(plot.x_label))
    axes.grid(axis=value)
    if sideways:
        axes.invert_yaxis()
        axes.margins(y=0.02)
    _scale(axes, plot, value, floor)


def _lines(axes: Any, plot: Plot) -> None:
    floor = _floor(plot) if plot.log_y else -math.inf
    words = [str(x) for x in plot.series[0].x] if plot.series and _is_words(plot.series[0].x) else None
    for at, series in enumerate(plot.series):
        x: Any = [words.index(str(one)) for one in series.x] if words else list(series.x)
        y = np.maximum(np.asarray(series.y, float), floor)
        reach = _whiskers(series, y, floor) if series.low is not None else None
        style = {
            "color": COLOURS[at % len(COLOURS)],
            "marker": _MARKERS[at % len(_MARKERS)],
            "label": _short(series.name),
        }
        axes.errorbar(x, y, reach, ms=4, lw=1.4, capsize=2, **style)
    if words:
        axes.set_xticks(range(len(words)), words)
    elif _spans(plot) > 50:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(_PLAIN)
    axes.set_xlabel(_short(plot.x_label))
    axes.set_ylabel(_short(plot.y_label))
    axes.grid()
    _scale(axes, plot, "y", floor)


def _spans(plot: Plot) -> float:
    """The largest x over the smallest; 1 where one is not above 0."""
    every = [float(x) for one in plot.series for x in one.x]
    return max(every) / min(every) if every and min(every) > 0 else 1.0


def _is_words(x: Sequence[Any]) -> bool:
    return any(isinstance(one, str) for one in x)


def _whiskers(series: Series, y: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """Lengths (2, N) below and above `y`; none where the interval is unknown."""
    low = np.maximum(np.asarray(series.low, float), floor)
    high = y if series.high is None else np.asarray(series.high, float)
    return np.asarray(np.nan_to_num(np.maximum(0.0, np.stack([y - low, high - y]))), np.float64)


def _floor(plot: Plot) -> float:
    """Where a logarithmic axis begins: below all that is above 0. What is 0 is drawn there."""
    every = [v for one in plot.series for values in (one.y, one.low or (), one.high or ()) for v in values]
    least = min((float(v) for v in every if math.isfinite(v) and v > 0), default=1.0)
    return float(10 ** math.floor(math.log10(least)) / 2)


def _scale(axes: Any, plot: Plot, value: str, floor: float) -> None:
    if not plot.log_y:
        every = [float(v) for one in plot.series for v in (*one.y, *(one.low or ())) if math.isfinite(v)]
        if every and min(every) >= 0 and plot.kind == "lines":
            getattr(axes, f"set_{value}lim")(**{"bottom" if value == "y" else "left": 0})
        return
    getattr(axes, f"set_{value}scale")("log")
    getattr(axes, f"set_{value}lim")(**{"bottom" if value == "y" else "left": floor})
    axis = getattr(axes, f"{value}axis")
    axis.set_major_formatter(_PLAIN)
    axis.set_minor_formatter(NullFormatter())
