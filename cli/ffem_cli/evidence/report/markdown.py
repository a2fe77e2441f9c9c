"""The report as Markdown, for sites that show a folder's README.md; plots and sheets are files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ffem_cli.evidence.report import view
from ffem_cli.evidence.report.glossary import TERMS
from ffem_cli.evidence.report.run import Report
from ffem_cli.evidence.report.view import SectionView
from ffem_cli.evidence.result import Cell, Claim, Plot, Sheet, Table, Text

# characters that would be read as markup; "_" only where it is not inside a word
_MARKUP = re.compile(r"[\\<>&|*~\[\]$]|(?<!\w)_|_(?!\w)")
_BEGINS = re.compile(r"^(\s*)(?:(#+|[+=-]+)(?=\s|$)|(\d+)(?=[.)](?:\s|$)))", re.MULTILINE)
_SPECIAL = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}


def markdown(report: Report, views: Sequence[SectionView]) -> str:
    """The document."""
    out = [f"# {view.TITLE}", "", *_spaced(text(one) for one in view.LEAD)]
    if any(v.entry.saved and v.entry.saved.inputs["small"] for v in views):
        out += [f"**{view.SMALL}**", ""]
    out += [
        "The same as one page with everything in it: [index.html](index.html). For machines: one JSON file a section,"
    ]
    out += ["and [report.json](report.json).", "", "## All claims", "", f"**{text(view.verdict(views))}**", ""]
    for one in views:
        out += [f"### [{text(one.title)}](#{one.name})", ""]
        out += [f"*{text(one.problem)}*", ""] if one.problem else []
        out += [f"*{text(one.earlier)}*", ""] if one.earlier and one.claims else []
        out += [*_claims(one.claims), ""] if one.claims else []
        out += [] if one.claims or one.problem else ["No claim: what was found is told below.", ""]
    for one in views:
        out += _section(one)
    out += ['<a name="words"></a>', "", "## Words", ""]
    out += [f"- **{text(term)}**: {text(said)}" for term, said in TERMS]
    where = report.environment
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    machine = f"{where['system']}, {where['processor']}, {where['cores']} cores, {where['memory_gb']} GB"
    out += ["", "## Do it again", "", "With the data sets in a folder DIR:", "", *_code(view.COMMAND)]
    made = f"The machine that made this page: {machine}, Python {where['python']}; {versions}."
    out += [text(f"{made} {view.spent(views)}")]
    return "\n".join(out) + "\n"


def _section(one: SectionView) -> list[str]:
    out = ["", f'<a name="{one.name}"></a>', "", f"## {one.number}. {text(one.title)}", ""]
    out += [f"*{text(one.question)}*", ""] if one.question else []
    out += [f"**{text(one.problem)}**", ""] if one.problem else []
    out += [f"*{text(one.earlier)}*", ""] if one.earlier else []
    out += _spaced([text(one.lead)]) if one.lead else []
    out += [*_claims(one.claims), ""] if one.claims else []
    kept = one.entry.saved
    for part in one.parts if kept else []:
        assert kept is not None
        if isinstance(part, Text):
            out += _spaced(text(paragraph) for paragraph in re.split(r"\n\s*\n", part.text))
            continue
        out += [f"### {text(part.title)}", ""]
        if isinstance(part, Table):
            out += [*_table(part.columns, part.rows), ""]
        elif isinstance(part, Plot | Sheet):
            out += [f"![{text(part.title)}]({kept.file(part)})", ""]
        out += [text(part.note), ""] if part.note else []
    if kept is not None:
        out += [
            *_code(str(kept.made["command"])),
            text(f"{one.made}. All figures: ") + f"[{one.name}.json]({one.name}.json).",
        ]
    return out


def _claims(claims: Sequence[Claim]) -> list[str]:
    words = {**view.WORDS, False: "**MISSED**"}
    rows = [(inline(c.text), inline(c.goal), inline(c.measured), words[c.holds]) for c in claims]
    return _raw_table(("claim", "goal", "measured", ""), rows, [False] * 4)


def _table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[str]:
    shown = [[inline(view.cell(value)) for value in row] for row in rows]
    return _raw_table([inline(column) for column in columns], shown, view.numeric(rows) or [False] * len(columns))


def _raw_table(columns: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    lines = [columns, ["--:" if one else "---" for one in right], *rows]
    return ["| " + " | ".join(" ".join(cell.split()) for cell in line) + " |" for line in lines]


def _code(line: str) -> list[str]:
    return ["```", " ".join(line.replace("`", "'").split()), "```", ""]


def _spaced(paragraphs: Iterable[str]) -> list[str]:
    return [line for paragraph in paragraphs if paragraph.strip() for line in (paragraph.strip(), "")]


def text(said: str) -> str:
    """Text that is shown as it is. What stands in back-ticks stays code."""
    return _BEGINS.sub(_begins, inline(said))


def inline(said: str) -> str:
    """The same in the middle of a line, as in a table's cell."""
    pieces = re.split(r"(`[^`|\n]+`)", said)
    return "".join(piece if at % 2 else _MARKUP.sub(_escape, piece) for at, piece in enumerate(pieces))


def _escape(found: re.Match[str]) -> str:
    return _SPECIAL.get(found.group(), "\\" + found.group())


def _begins(found: re.Match[str]) -> str:
    """What would begin a heading or a list at the start of a line."""
    space, mark, number = found.groups()
    return f"{space}\\{mark}" if mark else f"{space}{number}\\"
