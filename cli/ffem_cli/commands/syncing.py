"""`ffem sync`: a copy of the registry's logs, and the index beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffem_chain.errors import InputError
from ffem_cli import shell
from ffem_cli.indexed import folder_of, percent, session_index
from ffem_cli.output import Answer
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.audit.copy import Copy
    from ffem_chain.audit.index.update import Index
    from ffem_chain.audit.source import Progress


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "sync", example="ffem sync --car logs.car")(sync)


def sync(
    session: Session,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where the copy is (default: in FFEM_HOME, by deployment).")
    ] = None,
    publish: Annotated[
        bool, typer.Option("--publish/--local", help="Put the copy into the store of the settings, too.")
    ] = True,
    car: Annotated[
        Path | None, typer.Option("--car", metavar="FILE", help="Write the copy as a CAR file that IPFS imports.")
    ] = None,
) -> Answer:
    """Keep a copy of the registry's logs, since nodes may drop old ones: here, in the store, as a CAR file.

    Repeated calls read only what is new; what a reorganisation took back is replaced. The copy carries a proof: with a
    trusted block hash it shows by itself that no log is missing. `ffem audit --copy` reads it. The index that answers
    `ffem audit` is filled along with it, with the lists of batches of captures.
    """
    from ffem_chain.audit.sync import sync as run

    registry = session.registry()
    place = folder or folder_of(session, registry.deployment_id)
    if car is not None and car.exists():
        raise InputError(f"{car} exists already", "move it away first, or choose another name")
    index = session_index(session, registry)
    with session.out.progress(100) as bar:
        confirmations = session.config.whole("confirmations")
        done = run(registry, place, index=index, confirmations=confirmations, progress=percent(bar))
        unlisted = _take_lists(session, index, percent(bar))
    if car is not None:
        _export(done.copy, car)
    cid = _publish(session, place, done.copy) if publish else None
    copy = done.copy
    data = {
        "deployment": copy.deployment,
        "address": copy.address,
        "folder": place,
        "block": copy.block,
        "block_hash": copy.block_hash,
        "events": len(copy.logs),
        "added": done.added,
        "removed": done.removed,
        "proven": done.proven,
        "unlisted_batches": unlisted,
        "cid": cid,
        "car": car,
    }
    lines = [
        f"{len(copy.logs)} events up to block {copy.block} (0x{copy.block_hash.hex()}) in {place}",
        f"{done.added} are new" + (f", {done.removed} were taken back by a reorganisation" if done.removed else ""),
        "the copy proves that no log is missing, given that block's hash"
        if done.proven
        else "the node gives no proofs: nothing shows that no log is missing",
    ]
    lines += [f"lists of {unlisted} batches of captures are not in the store"] if unlisted else []
    lines += [f"cid  {cid}"] if cid else []
    lines += [f"car  {car}"] if car else []
    return Answer(data, lines)


def _take_lists(session: Session, index: Index | None, progress: Progress) -> int:
    """Take the lists of batches that the index lacks, also those that were missing before; how many still are."""
    if index is None:
        return 0
    with index.locked():
        if index.lists.unknown():
            index.lists.take(session.lists(), older=0, progress=progress)
        return len(index.lists.unknown())


def _publish(session: Session, folder: Path, copy: Copy) -> str:
    """Put the copy into the store, in place of the one that was put there before."""
    from ffem_chain.keys.files import write_private

    store, note = session.store(), folder / "published"
    cid = store.put(copy.files())
    former = note.read_text("utf-8").strip() if note.exists() else ""
    write_private(note, f"{cid}\n".encode())
    if former and former != cid:
        store.unpin(former)
    return cid


def _export(copy: Copy, car: Path) -> None:
    """Write the copy as a CAR file; no store is needed for that."""
    from ffem_chain.stores.memory import MemoryStore

    store = MemoryStore()
    store.export_car(store.put(copy.files()), car)
