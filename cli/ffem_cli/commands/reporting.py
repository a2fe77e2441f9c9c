"""`ffem eval all`: every section of the evidence, and the report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import FfemError, MissingExtra
from ffem_cli import output, shell
from ffem_cli.commands import evidence
from ffem_cli.config import BY_NAME
from ffem_cli.output import Answer
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_cli.evidence.report.run import Entry, Report
    from ffem_cli.evidence.setting import Setting

OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder of the report; made if missing.")]
OnlyOption = Annotated[
    list[str] | None, typer.Option("--only", metavar="NAME,...", help="These sections; the rest stays as it is.")
]
RetrainOption = Annotated[
    bool, typer.Option("--retrain", help="Attack anew, with networks trained anew, whatever the cache keeps.")
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Write the report into a folder that holds something else, too.")
]


def add_to(group: typer.Typer) -> None:
    """Add the command of this module to `ffem eval`."""
    example = "ffem eval all --data DIR --out report --cache cache"
    shell.command(group, "all", example=example, new_profile=True)(everything)


def everything(
    session: Session,
    data: evidence.DataOption,
    out: OutOption,
    only: OnlyOption = None,
    recogniser: evidence.RecognisersOption = None,
    small: evidence.SmallOption = False,
    seed: evidence.SeedOption = 1,
    cache: evidence.CacheOption = None,
    retrain: RetrainOption = False,
    force: ForceOption = False,
) -> Answer:
    """Every figure that the project claims, measured and written as a page, as Markdown, JSON, plots and sheets.

    A section that was measured with the same inputs is not measured again: an interrupted run goes on where it
    stopped. One that cannot be measured is told in the report, and makes the exit status its error's.
    """
    with_extra()
    from ffem_cli.evidence.report import run
    from ffem_cli.evidence.report.pages import Pages

    names = run.chosen(only or [])
    with session.out.progress(len(names)) as say:
        made = evidence.setting(
            session, data, recogniser, small=small, seed=seed, cache=cache, say=_counting(names, say), retrain=retrain
        )
        run.prepare(out, force=force)
        report = run.run(names, made, out, command(session, made), Pages(), made.say)
    return answer(report, out)


def with_extra() -> None:
    """MissingExtra where what draws and writes the page is not installed."""
    try:
        import jinja2  # noqa: F401 - asked for now, not after hours
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"this needs {error.name}, which is not installed", "pip install 'ffem-chain[faces,eval]'"
        ) from None


def command(session: Session, made: Setting) -> str:
    """The command line that makes this again; DIR and OUT stand for folders, recognisers have lost theirs."""
    from ffem_cli.evidence.report import inputs

    words = ["ffem"]
    for name in ("model", "rotation", "detector", "pose"):
        value = session.config.text(name)
        if value != str(BY_NAME[name].default):
            words += [f"--{name}", value]
    words += ["eval", "all", "--data", "DIR", "--out", "OUT"]
    for given in made.recognisers:
        words += ["--recogniser", inputs.published_name(given)]
    words += [option for option, is_given in (("--small", made.small), ("--retrain", made.retrain)) if is_given]
    return shlex.join([*words, "--seed", str(made.seed)])


def _counting(names: Sequence[str], say: Any) -> Any:
    """`say` of a section ("NAME: what", how many) as a step of all sections; on a terminal with the count."""
    is_terminal = sys.stderr.isatty()

    def told(what: str, done: int) -> None:
        at = names.index(what.partition(":")[0])
        say(f"{at + 1} of {len(names)}, {what}" + (f" ({done:,})" if is_terminal and done else ""), at)

    return told


def answer(report: Report, out: Path) -> Answer:
    """What came out, section by section; its failure is that of the first section that failed."""
    words = {True: "hold", False: "MISSED", None: "not judged"}
    rows: list[tuple[str, str, str]] = []
    for entry in report.entries:
        claims = entry.saved.result.claims if entry.saved else ()
        counts = [f"{n} {word}" for holds, word in words.items() if (n := sum(c.holds is holds for c in claims))]
        rows.append((entry.name, _state(entry), ", ".join(counts) or "-"))
    blocks: list[str | output.Table] = [output.Table(("section", "", "claims"), rows), f"report: {out / 'index.html'}"]
    data = {
        "out": out,
        "page": out / "index.html",
        "sections": [{"name": entry.name, "state": entry.state, "failure": entry.failure} for entry in report.entries],
        "claims": [
            {"section": entry.name, "text": c.text, "goal": c.goal, "measured": c.measured, "holds": c.holds}
            for entry in report.entries
            if entry.saved
            for c in entry.saved.result.claims
        ],
    }
    return Answer(data, blocks, _failure(report))


def _state(entry: Entry) -> str:
    if entry.failure is not None:
        return f"could not be measured: {entry.failure.message}"
    texts = {
        "measured": "measured",
        "kept": "measured before with the same inputs",
        "earlier": "measured before with other inputs",
        "waiting": "not measured yet",
    }
    return texts[entry.state]


def _failure(report: Report) -> FfemError | None:
    if not report.errors:
        return None
    first = report.errors[0]
    if len(report.errors) == 1:
        return first
    return type(first)(f"{len(report.errors)} sections could not be measured; the first: {first.message}", first.hint)
