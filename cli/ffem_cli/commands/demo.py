"""`ffem demo`: one photo all the way, on a chain and a store of its own."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffem_cli import shell
from ffem_cli.output import Answer, plain
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_cli.demo.story import Picture


class StoreKind(StrEnum):
    """Where the demo keeps the sealed capture."""

    LOCAL = "local"
    IPFS = "ipfs"


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "demo", example="ffem demo holiday.jpg --out demo-out", new_profile=True)(demo)


def demo(
    session: Session,
    photo: Annotated[
        Path | None, typer.Argument(help="A photo with a face (default: a public-domain portrait).")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures.")] = Path("demo-out"),
    store: Annotated[
        StoreKind, typer.Option("--store", help="A folder, or an IPFS daemon of the demo's own.")
    ] = StoreKind.LOCAL,
    model: shell.ModelOption = None,
    detector: shell.DetectorOption = None,
    pose: shell.PoseOption = None,
) -> Answer:
    """Watch one photo go all the way: sealed, registered, granted, released, opened, revoked, audited.

    It runs on a chain, a store and wallets of its own, in a temporary folder that goes when it ends. Only its pictures
    stay, in --out. The photo itself is never uploaded anywhere.
    """
    import json
    import time

    from ffem_cli.demo.pictures import Folder
    from ffem_cli.demo.play import NAMES, play, sheet

    start = time.monotonic()
    folder = Folder(out, NAMES)
    picture = _read(photo)
    story, document = play(session, picture, store.value, shell.Choices(model, detector, pose))
    report = plain(document.pop("audit"))
    document = {"photo": str(photo) if photo else "astronaut (scikit-image, public domain)", **document}
    with session.out.progress() as say:
        say("packing the pictures", 0)
        files = {**sheet(story), "audit.json": json.dumps(report, indent=2).encode() + b"\n"}
    document["seconds"] = round(time.monotonic() - start, 1)
    paths = folder.write(files, plain(document))
    lines = ["", f"done in {document['seconds']} s; look at {out / 'overview.png'}, all pictures are in {out}:"]
    lines += [f"  {path.name:20} {NAMES[path.name]}" for path in paths if path.name in NAMES]
    return Answer({**document, "audit": report, "out": str(out), "files": [path.name for path in paths]}, lines)


def _read(photo: Path | None) -> Picture:
    if photo is None:
        from ffem_cli.demo.pictures import public_photo

        return public_photo("give a photo with a face: ffem demo PHOTO")
    from ffem_node.photo import load_photo

    return load_photo(photo)
