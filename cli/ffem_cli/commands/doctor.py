"""`ffem doctor`: is everything there, and what to do where it is not."""

from __future__ import annotations

from typing import Annotated

import typer

from ffem_chain.errors import FfemError
from ffem_cli import shell
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session

_MARKS = {"ok": "ok", "warn": "look", "fail": "FAIL", "skip": "-"}


class Unwell(FfemError):
    """Something that is needed does not work."""


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "doctor", example="ffem doctor --json")(doctor)


def doctor(
    session: Session,
    unlock: Annotated[
        bool, typer.Option("--unlock", help="Ask for the passphrase, where the environment has none.")
    ] = False,
) -> Answer:
    """Check disk, settings, wallet, vault, chain, registry, keys, store, model and tools; say what to do.

    Exit status 0 where all that is needed works. What needs a passphrase is checked where the environment has one.
    """
    from ffem_cli import checks

    if unlock and session.has_wallet():
        session.passphrase()
    findings = checks.run(session)
    failed = [one for one in findings if one.state == checks.FAIL]
    rows = [(_MARKS[one.state], one.check, one.text) for one in findings]
    advice = [f"{one.check}: {one.fix}" for one in findings if one.fix]
    blocks: list[str | Table] = [Table(("", "check", "found"), rows)]
    if advice:
        blocks += ["", "what to do:", *(f"  {line}" for line in advice)]
    data = {"healthy": not failed, "findings": findings}
    failure = None
    if failed:
        names = ", ".join(one.check for one in failed)
        failure = Unwell(f"not working: {names}", "do what is said above, and call ffem doctor again")
    return Answer(data, blocks, failure)
