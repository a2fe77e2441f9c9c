"""`ffem seal`: photos to sealed captures. One bad photo stops no other; what was interrupted is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import ChainUnavailable, FfemError, InputError, NotForMe, Pending, Refused, StoreUnavailable
from ffem_cli import lookup, pictures, shell
from ffem_cli.config import BY_NAME
from ffem_cli.output import Answer, Table, count
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.faces.finding.detect import Detector
    from ffem_chain.faces.flow.weights import Model
    from ffem_chain.faces.posing.pose import PoseEstimator
    from ffem_chain.roles.owner import Owner

# What the next photo would meet as well.
_GENERAL = (ChainUnavailable, StoreUnavailable, NotForMe, Refused)


class NotAllSealed(FfemError):
    """Some of several photos were not sealed."""


class Interrupted(FfemError):
    """Stopped by Ctrl-C between or within photos; what is sealed stays sealed."""

    exit_status = 130


@dataclass
class _Work:
    """What one call seals with."""

    owner: Owner
    album: str
    rotation: str
    keep_metadata: bool
    allow_no_faces: bool
    offline: bool
    export: Path | None
    model: Model
    detector: Detector
    pose: PoseEstimator


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "seal", example="ffem seal holiday.jpg party.heic --album family")(seal)


def seal(
    session: Session,
    photos: Annotated[list[Path] | None, typer.Argument(metavar="PHOTO...", help="JPEG, PNG, WebP or HEIC.")] = None,
    album: Annotated[str | None, typer.Option("--album", "-a", help="Name or id of the album.")] = None,
    rotation: Annotated[str | None, typer.Option("--rotation", help="sphere or block.")] = None,
    model: shell.ModelOption = None,
    detector: shell.DetectorOption = None,
    pose: shell.PoseOption = None,
    keep_metadata: Annotated[
        bool, typer.Option("--keep-metadata", help="Keep date, camera model and exposure; never place or thumbnail.")
    ] = False,
    allow_no_faces: Annotated[
        bool, typer.Option("--allow-no-faces", help="Publish, as it is, a picture in which no face is found.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no chain; register later with `ffem seal --resume`.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Register what was sealed before and is not on the chain yet.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", "-o", metavar="DIR", help="Write each encrypted picture (I_enc) there.")
    ] = None,
) -> Answer:
    """Find and encrypt every face of each photo, store the sealed capture, register it on the chain.

    The photo itself is only read. Where a stage fails, nothing of that picture is stored or sent; the other photos go
    on, and the exit status is not 0. Look at the encrypted pictures: a face that is not found stays open.
    """
    if not photos and not resume:
        raise InputError("no photo was named", "ffem seal PHOTO..., or ffem seal --resume")
    if offline and resume:
        raise InputError("--resume needs the chain", "leave --offline out")
    chosen = session.config.text("rotation")
    if rotation is not None:
        chosen = str(BY_NAME["rotation"].parse(rotation, "option --rotation"))
    if export is not None and not export.is_dir():
        raise InputError(f"there is no folder {export}", "make it first; nothing was sealed")
    owner = session.owner(offline=offline)
    outcomes: list[dict[str, Any]] = []
    failures: list[FfemError] = []
    if resume:
        _resume(session, owner, outcomes)
    if photos:
        found = lookup.own_album(owner, album, session.config.text("album"))
        if not offline and not int(session.registry().album(found.album_id).owner, 16):
            # Before sealing: what cannot be registered should not lie in a store.
            raise Refused(f"album {found.name!r} is not on this deployment", f"ffem album create {found.name}")
        work = _Work(
            owner=owner,
            album=found.name,
            rotation=chosen,
            keep_metadata=keep_metadata,
            allow_no_faces=allow_no_faces,
            offline=offline,
            export=export,
            model=session.model(name=model),
            detector=session.detector(detector),
            pose=session.pose(pose),
        )
        _seal_all(session, work, photos, outcomes, failures)
    return Answer({"captures": outcomes}, _blocks(outcomes), _failure(outcomes, failures, offline))


def _resume(session: Session, owner: Owner, outcomes: list[dict[str, Any]]) -> None:
    """Register what waits; what the store no longer has is reported."""
    from ffem_node.seal import resume_pending

    with session.out.progress() as progress:
        progress("registering what was sealed before", 0)
        done = {record.uid for record in resume_pending(owner, session.store())}
    for record in owner.captures():
        if record.uid in done:
            outcomes.append({"uid": record.uid, "cid": record.cid, "resumed": True, "registered": True})
        elif not record.registered:
            text = f"capture {record.uid.hex()[: lookup.SHOWN]} is not in {session.store().name}, so not registered"
            session.out.note(f"{text}: use the store that has it, or seal the photo again")
    if not done:
        session.out.note("nothing that this store holds waits to be registered")


def _seal_all(
    session: Session, work: _Work, photos: Sequence[Path], outcomes: list[dict[str, Any]], failures: list[FfemError]
) -> None:
    from ffem_node.seal import STAGES

    with session.out.progress(total=len(photos) * len(STAGES)) as progress:
        for number, photo in enumerate(photos):
            text = f"sealing {photo} ({number + 1} of {len(photos)})"

            def stage(name: str, text: str = text, first: int = number * len(STAGES)) -> None:
                progress(text, first + STAGES.index(name))

            sealed: dict[str, Any] = {}
            try:
                sealed |= _seal_one(session, work, photo, stage)
                outcomes.append(sealed)
                if work.export is not None:
                    _export(session, work.export, photo, sealed)
            except KeyboardInterrupt:
                text = f"interrupted: {number} of {len(photos)} photos are done, {photo} may be"
                failures.append(Interrupted(text, "ffem ls shows what is sealed, ffem seal --resume registers it"))
                return
            except FfemError as error:
                failures.append(error)
                if sealed:
                    sealed["export_error"] = error.message
                else:
                    outcomes.append({"photo": photo, "error": error.message, "hint": error.hint})
                if isinstance(error, _GENERAL):
                    outcomes.extend({"photo": rest, "error": "not tried"} for rest in photos[number + 1 :])
                    return


def _seal_one(session: Session, work: _Work, photo: Path, stage: Any) -> dict[str, Any]:
    from ffem_node.seal import seal_photo

    sealed = seal_photo(
        photo,
        work.owner,
        work.album,
        None if work.offline else session.registry(),
        session.store(),
        work.model,
        work.detector,
        rotation=work.rotation,
        pose=work.pose,
        keep_metadata=work.keep_metadata,
        allow_no_faces=work.allow_no_faces,
        on_progress=stage,
    )
    return {
        "photo": photo,
        "uid": sealed.uid,
        "cid": sealed.cid,
        "album": work.album,
        "faces": sealed.faces,
        "covered": sealed.covered,
        "not_frontalized": sealed.not_frontalized,
        "detector": work.detector.name,
        "pose": work.pose.name,
        "bytes": sealed.bytes,
        "ms": {name: round(value, 1) for name, value in sealed.timings_ms.items()},
        "total_ms": round(sum(sealed.timings_ms.values()), 1),
        "registered": sealed.registered,
    }


def _export(session: Session, folder: Path, photo: Path, outcome: dict[str, Any]) -> None:
    """Write I_enc of a sealed photo. The store keeps it, whatever happens here."""
    path = folder / f"{photo.stem[:60]}-{outcome['uid'].hex()[:8]}.png"
    pictures.write_out(path, session.store().get(outcome["cid"])["image.png"])
    outcome["exported"] = path


def _blocks(outcomes: list[dict[str, Any]]) -> list[str | Table]:
    blocks: list[str | Table] = []
    for one in outcomes:
        if "error" in one:
            reason = str(one["error"]).removeprefix(f"{one['photo']}: ")
            blocks.append(f"{one['photo']}: NOT SEALED: {reason}")
        elif one.get("resumed"):
            blocks.append(f"{one['uid'].hex()}: registered, {one['cid']}")
        else:
            state = "registered" if one["registered"] else "not registered yet: ffem seal --resume"
            covered = f", {one['covered']} too small, covered for ever" if one["covered"] else ""
            blocks += [
                f"{one['photo']}: {count(one['faces'], 'face')} sealed{covered}; {state}",
                *_as_they_are(one["not_frontalized"], one["faces"]),
                f"  capture  {one['uid'].hex()}",
                f"  cid      {one['cid']}",
                f"  size     {_kib(sum(one['bytes'].values()))}: "
                + ", ".join(f"{name} {_kib(size)}" for name, size in sorted(one["bytes"].items())),
                f"  time     {one['total_ms']:.0f} ms: "
                + ", ".join(f"{name} {ms:.0f}" for name, ms in one["ms"].items()),
            ]
            if "exported" in one:
                blocks.append(f"  I_enc    {one['exported']}")
            elif "export_error" in one:
                blocks.append(f"  I_enc    NOT WRITTEN: {one['export_error']}")
    return blocks


def _as_they_are(turned: int, faces: int) -> list[str]:
    """A line about faces that a model which turns faces to the front got as they are."""
    were = "was" if turned == 1 else "were"
    return [f"  pose     {turned} of {count(faces, 'face')} {were} not frontalized: turned too far"] if turned else []


def _kib(size: int) -> str:
    return f"{size / 1024:.1f} KiB"


def _failure(outcomes: list[dict[str, Any]], failures: list[FfemError], offline: bool) -> FfemError | None:
    """What the exit status says of all photos together."""
    interrupted = next((error for error in failures if isinstance(error, Interrupted)), None)
    if interrupted is not None:
        return interrupted
    if failures and len(outcomes) == len(failures) == 1:
        return failures[0]
    if failures:
        bad = sum("error" in one or "export_error" in one for one in outcomes)
        return NotAllSealed(f"{bad} of {len(outcomes)} photos were not sealed or not exported", failures[0].hint)
    waiting = sum(not one["registered"] for one in outcomes)
    if waiting and not offline:
        return Pending(
            f"sealed, and not registered: {count(waiting, 'capture')}; the chain did not answer", "ffem seal --resume"
        )
    return None
