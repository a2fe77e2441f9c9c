"""`ffem eval attacks`: the attacks of the evidence on any folder of people, all or some of them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ffem_chain.errors import InputError
from ffem_cli import shell
from ffem_cli.commands.evidence import CacheOption, RecognisersOption, SeedOption, SmallOption, answer, setting
from ffem_cli.output import Answer
from ffem_cli.session import Session


class Rotations(StrEnum):
    """Which rotations are attacked."""

    block, sphere, both = "block", "sphere", "both"


def add_to(group: typer.Typer) -> None:
    """Add the command of this module to `ffem eval`."""
    example = "ffem eval attacks --lfw lfw/identities --only gram,norm --json"
    shell.command(group, "attacks", example=example, new_profile=True)(attacks)


def attacks(
    session: Session,
    lfw: Annotated[
        Path | None, typer.Option("--lfw", metavar="DIR", help="Photos, one folder a person (default: the data's).")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Folder of the data sets (docs/EVIDENCE.md).")
    ] = None,
    only: Annotated[
        str, typer.Option("--only", metavar="NAME,...", help="Attacks or families of them (default: all).")
    ] = "",
    rotation: Annotated[Rotations, typer.Option("--rotation", help="What is attacked.")] = Rotations.both,
    probes: Annotated[int | None, typer.Option("--probes", min=8, help="People to attack, at most.")] = None,
    recogniser: RecognisersOption = None,
    small: SmallOption = False,
    seed: SeedOption = 1,
    cache: CacheOption = None,
    retrain: Annotated[bool, typer.Option("--retrain", help="Train the reversal networks anew.")] = False,
) -> Answer:
    """Attack sealed faces with everything but their keys, each attack beside an ideal cover: is it at chance."""
    folder = data or lfw
    if folder is None:
        raise InputError("no photos were named", "--lfw DIR, one folder a person, or --data DIR")
    from ffem_cli.evidence.attacks import running

    with session.out.progress() as say:
        made = setting(session, folder, recogniser, small=small, seed=seed, cache=cache, say=say, retrain=retrain)
        given: dict[str, object] = {} if lfw is None else {"people": lfw}
        if probes is not None:
            given["probes"] = probes
        given["only"] = tuple(name.strip() for name in only.split(",") if name.strip())
        given["rotations"] = ("block", "sphere") if rotation is Rotations.both else (rotation.value,)
        return answer(running.measure(made, running.plan_of(made, **given)))
