"""`ffem eval NAME` for each section of the evidence (`ffem eval all` is in `reporting`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import output, shell
from ffem_cli.commands import actions, networks
from ffem_cli.output import Answer
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_cli.evidence.result import Result
    from ffem_cli.evidence.setting import Setting

DataOption = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Folder of the data sets and networks (docs/EVIDENCE.md).")
]
RecognisersOption = Annotated[
    list[str] | None,
    typer.Option("--recogniser", metavar="FILE", help="ONNX for 112 px RGB, or a name; may be repeated."),
]
SmallOption = Annotated[bool, typer.Option("--small", help="A few faces only: shows that it runs, proves nothing.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="Keep vectors here; an interrupted run goes on.")
]

SUMMARIES = {
    "privacy": "Who recognises whom behind I_enc, fakes, and other covers.",
    "reopening": "What a trusted reader gets back: by the flow alone, and by the exact layer.",
    "fairness": "Do detectors treat people alike before and after; ages and genders of fakes by temperature.",
    "downstream": "What machines still do on protected pictures: find people, count faces, follow bodies.",
    "embedded": "Time, memory and, where there is a sensor, energy of a face.",
    "detection": "What each detector finds on photos of many people, and how long it takes.",
    "peers": "Beside other tools on the same pictures, keys and storage: time, size, gas.",
}


def add_to(group: typer.Typer) -> None:
    """Add the commands of this module to `ffem eval`."""
    for name, text in SUMMARIES.items():
        shell.command(group, name, example=f"ffem eval {name} --data DIR --cache cache --json", new_profile=True)(
            _command(name, text)
        )
    networks.add_to(group)
    actions.add_to(group)


def _command(name: str, text: str) -> Any:
    def run(
        session: Session,
        data: DataOption,
        recogniser: RecognisersOption = None,
        small: SmallOption = False,
        seed: SeedOption = 1,
        cache: CacheOption = None,
    ) -> Answer:
        from ffem_cli.evidence.sections import section

        with session.out.progress() as say:
            made = setting(session, data, recogniser, small=small, seed=seed, cache=cache, say=say)
            return answer(section(name).measure(made))

    run.__doc__ = text
    return run


def setting(session: Session, data: Path, recognisers: list[str] | None, **given: Any) -> Setting:
    """What the options and settings say. InputError where there is no such folder."""
    if not data.is_dir():
        raise InputError(f"there is no folder {data}", "docs/EVIDENCE.md says how the data are laid out")
    from ffem_cli.eval.cache import Cache
    from ffem_cli.eval.sealing import Camera
    from ffem_cli.evidence.setting import Setting

    camera = Camera(session.model(), session.detector(), session.pose(), session.config.text("rotation"))
    given["cache"] = Cache(given["cache"])
    return Setting(data, camera, session.model_cache(), recognisers=tuple(recognisers or ()), **given)


def answer(result: Result) -> Answer:
    """A section's outcome for the terminal: its texts, tables and claims."""
    from ffem_cli.evidence.result import Table, Text

    blocks: list[str | output.Table] = []
    for part in result.parts:
        if isinstance(part, Text):
            blocks += [part.text, ""]
        elif isinstance(part, Table):
            rows = [["-" if cell is None else cell for cell in row] for row in part.rows]
            blocks += [part.title, output.Table(part.columns, rows), *([part.note] if part.note else []), ""]
    words = {True: "holds", False: "MISSED", None: "not judged"}
    claims = [(claim.text, claim.goal, claim.measured, words[claim.holds]) for claim in result.claims]
    if claims:
        blocks.append(output.Table(("claim", "goal", "measured", ""), claims))
    return Answer({**result.data, "record": result.record}, blocks)
