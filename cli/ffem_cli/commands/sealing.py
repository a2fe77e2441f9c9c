"""`ffem seal`: photos to sealed captures. One bad photo stops no other; what was interrupted is resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import ChainUnavailable, FfemError, InputError, NotForMe, Pending, Refused, StoreUnavailable
from ffem_cli import lookup, pictures, registering, sealed, shell
from ffem_cli.config import BY_NAME
from ffem_cli.output import Answer, count
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
    at_once: bool
    export: Path | None
    model: Model
    detector: Detector
    pose: PoseEstimator
    before: registering.SealedBefore | None


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    example = "ffem seal holiday.jpg party.heic --album family; ffem seal 2026-07/ --batch"
    shell.command(app, "seal", example=example)(seal)


def seal(
    session: Session,
    photos: Annotated[
        list[Path] | None, typer.Argument(metavar="PHOTO...", help="JPEG, PNG, WebP or HEIC, or a folder of them.")
    ] = None,
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
    batch: Annotated[
        bool,
        typer.Option(
            "--batch", help="Register all of them at once, and what waits; skip photos that the album has already."
        ),
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", "-o", metavar="DIR", help="Write each encrypted picture (I_enc) there.")
    ] = None,
) -> Answer:
    """Find and encrypt every face of each photo, store the sealed capture, register it on the chain.

    The photo itself is only read. Where a stage fails, nothing of that picture is stored or sent; the other photos go
    on, and the exit status is not 0. Look at the encrypted pictures: a face that is not found stays open.

    With --batch, up to 10,000 captures are registered by one transaction, as a Merkle root and a list in the store.
    Called again after an interruption, it goes on with the photos that are left.
    """
    if not photos and not resume:
        raise InputError("no photo was named", "ffem seal PHOTO..., or ffem seal --resume")
    if offline and (resume or batch):
        raise InputError(f"{'--resume' if resume else '--batch'} needs the chain", "leave --offline out")
    chosen = session.config.text("rotation")
    if rotation is not None:
        chosen = str(BY_NAME["rotation"].parse(rotation, "option --rotation"))
    if export is not None and not export.is_dir():
        raise InputError(f"there is no folder {export}", "make it first; nothing was sealed")
    owner = session.owner(offline=offline)
    outcomes: list[dict[str, Any]] = []
    failures: list[FfemError] = []
    batches: list[dict[str, Any]] = []
    if resume and not batch:
        registering.register_each(session, owner, outcomes)
    found = lookup.own_album(owner, album, session.config.text("album")) if photos or album else None
    if photos and found:
        photos = registering.photos_in(photos)
        if not offline and not int(session.registry().album(found.album_id).owner, 16):
            # Before sealing: what cannot be registered should not lie in a store.
            raise Refused(f"album {found.name!r} is not on this deployment", f"ffem album create {found.name}")
        work = _Work(
            owner=owner,
            album=found.name,
            rotation=chosen,
            keep_metadata=keep_metadata,
            allow_no_faces=allow_no_faces,
            at_once=not offline and not batch,
            export=export,
            model=session.model(name=model),
            detector=session.detector(detector),
            pose=session.pose(pose),
            before=registering.SealedBefore(session, owner, found) if batch else None,
        )
        _seal_all(session, work, photos, outcomes, failures)
    stopped = next((error for error in failures if isinstance(error, (*_GENERAL, Interrupted))), None)
    if batch and stopped is None:
        try:
            batches = registering.register_together(session, owner, found.album_id if found else None, outcomes)
        except (ChainUnavailable, Refused, StoreUnavailable) as error:
            stopped = error
    failure = _failure(outcomes, failures) or (None if offline else _unregistered(outcomes, stopped, batch))
    return Answer({"captures": outcomes, "batches": batches}, sealed.blocks(outcomes, batches, batch), failure)


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
                resume = "ffem seal --resume" + " --batch" * bool(work.before)
                hint = "the same command goes on, or " * bool(work.before) + f"{resume} registers it"
                failures.append(Interrupted(text, f"ffem ls shows what is sealed, {hint}"))
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

    known = work.before.find(photo) if work.before else None
    if known is not None:
        return {"photo": photo, "uid": known.uid, "cid": known.cid, "before": True, "registered": known.registered}
    sealed = seal_photo(
        photo,
        work.owner,
        work.album,
        session.registry() if work.at_once else None,
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
    if not (outcome.get("before") and path.exists()):
        pictures.write_out(path, session.store().get(outcome["cid"])["image.png"])
    outcome["exported"] = path


def _failure(outcomes: list[dict[str, Any]], failures: list[FfemError]) -> FfemError | None:
    """What the exit status says of all photos together."""
    interrupted = next((error for error in failures if isinstance(error, Interrupted)), None)
    if interrupted is not None or not failures:
        return interrupted
    if len(outcomes) == len(failures) == 1:
        return failures[0]
    bad = sum("error" in one or "export_error" in one for one in outcomes)
    return NotAllSealed(f"{bad} of {len(outcomes)} photos were not sealed or not exported", failures[0].hint)


def _unregistered(outcomes: list[dict[str, Any]], stopped: FfemError | None, batch: bool) -> FfemError | None:
    """What is left to do where all photos are sealed; `stopped` is why they are not registered as a batch."""
    waiting = sum(not one["registered"] for one in outcomes)
    if not waiting or (stopped and not isinstance(stopped, ChainUnavailable)):
        return stopped
    text = f"sealed, and not registered: {count(waiting, 'capture')}; the chain did not answer"
    return Pending(text, "ffem seal --resume" + " --batch" * batch)
