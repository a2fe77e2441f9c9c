"""`ffem show`: one capture in full."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import FfemError, InputError, Refused
from ffem_chain.labels import DIRECT_LABEL
from ffem_cli import lookup, pictures, shell
from ffem_cli.output import Answer, Table, instant, moment
from ffem_cli.passphrases import can_unlock
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.capture.model import Capture
    from ffem_chain.capture.proof import CaptureProof
    from ffem_chain.roles.records import CaptureRecord
    from ffem_chain.roles.registrations import Registration

CaptureArgument = Annotated[str, typer.Argument(metavar="CAPTURE", help="uid, its first 6 or more digits, or CID.")]
InAlbumOption = Annotated[
    str | None,
    typer.Option("--in-album", metavar="ID", help="Album, where a capture is registered in several."),
]
ProofOption = Annotated[
    Path | None,
    typer.Option("--proof", metavar="FILE", help="Proof that a batch has the capture, in place of the batch's list."),
]
SLOT_SECONDS = 60


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "show", example="ffem show 1f2e3d -o encrypted.png")(show)


def show(
    session: Session,
    capture: CaptureArgument,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the encrypted picture (I_enc), a PNG.")
    ] = None,
    force: pictures.ForceOption = False,
    in_album: InAlbumOption = None,
    proof: ProofOption = None,
    save_proof: Annotated[
        Path | None,
        typer.Option("--save-proof", metavar="FILE", help="Write the proof that the capture is in its batch (JSON)."),
    ] = None,
) -> Answer:
    """Show a capture: what the chain says, what its files say, whom it is granted to, and whether the store has it.

    Needs no wallet; its owner's wallet, where the passphrase can be had, adds what the grants of the album open.
    """
    for path in (out, save_proof):
        if path is not None:
            pictures.check_out(path, force=force)
    try:
        event = lookup.capture_on_chain(session, capture, in_album, proof)
    except FfemError as error:
        if not isinstance(error, Refused) and not session.registrations().problems:
            raise
        return _show_unregistered(session, capture, out, force, error)
    shown = None if proof is None or not event.root else lookup.read_proof(proof, capture, in_album)
    if event.root and shown is None:
        shown = session.registrations().proof(event)
    answer = _show_registered(session, event, shown, out, force)
    if save_proof is not None:
        if shown is None:
            raise InputError(
                "the capture is registered by itself", "only one of a batch needs a proof; none was written"
            )
        pictures.write_out(save_proof, shown.to_json(), force=force)
        blocks = [*answer.blocks, f"proof       {save_proof}"]
        answer = replace(answer, data={**answer.data, "proof": save_proof}, blocks=blocks)
    return answer


def recorded(record: CaptureRecord) -> dict[str, Any]:
    """What a vault says of a capture."""
    return {
        "uid": record.uid,
        "album": record.album_id,
        "cid": record.cid,
        "epoch": record.epoch,
        "slot": record.slot,
        "sealed_at": instant(record.slot * SLOT_SECONDS),
        "faces": record.faces,
        "sealed": record.sealed,
        "rotation": record.rotation,
        "precision": record.precision,
        "registered": record.registered,
    }


def _show_registered(
    session: Session, event: Registration, proof: CaptureProof | None, out: Path | None, force: bool
) -> Answer:
    from ffem_chain.chain.events import AlbumCreated
    from ffem_chain.roles.reading import load_registered
    from ffem_chain.stores.cid import cid_of_digest

    registry = session.registry()
    created = next((e for e in registry.events([AlbumCreated], album=event.album)), None)
    owner = created.owner if isinstance(created, AlbumCreated) else None
    data: dict[str, Any] = {
        "uid": event.uid,
        "cid": cid_of_digest(event.digest),
        "album": event.album,
        "owner": owner,
        "registered": True,
        "block": event.block,
        "batch": {"root": proof.root, "proof": proof.siblings} if proof else None,
        "epoch": event.epoch,
        "slot": event.slot,
        "sealed_at": instant(event.slot * SLOT_SECONDS),
    }
    failure: FfemError | None = None
    try:
        found = load_registered(registry, session.store(), event)
        data |= {**_contents(found), "store": {"name": session.store().name, "has": True}}
        _write(found, out, force, data)
    except FfemError as error:
        if out is not None:
            raise
        failure = error
        data["store"] = {"name": session.config.text("store"), "has": False, "error": error.message}
    data["grants"] = _who_may_open(session, event, owner)
    return Answer(data, _described(data), failure)


def _show_unregistered(session: Session, text: str, out: Path | None, force: bool, unknown: FfemError) -> Answer:
    """A capture that only its owner's vault knows yet. Raises `unknown` where that does not know it either."""
    from ffem_chain.capture.model import Capture

    if not session.has_wallet() or not can_unlock():
        raise unknown
    try:
        record = lookup.own_capture(session.owner(), text)
    except InputError:
        raise unknown from None
    found = Capture.from_files(session.store().get(record.cid))
    data = {**recorded(record), **_contents(found), "owner": session.address(), "grants": []}
    data["store"] = {"name": session.store().name, "has": True}
    _write(found, out, force, data)
    return Answer(data, _described(data))


def _write(found: Capture, out: Path | None, force: bool, data: dict[str, Any]) -> None:
    if out is not None:
        pictures.write_out(out, found.image_png, force=force)
        data["out"] = out


def _contents(found: Capture) -> dict[str, Any]:
    """What the files of a capture say."""
    head = found.manifest
    return {
        "manifest": {
            "version": head.version,
            "model_id": head.model_id,
            "rotation": head.rotation,
            "precision": head.precision,
            "size": head.size,
            "width": head.width,
            "height": head.height,
            "files": head.files,
        },
        "faces": [{"index": index, **_face(face)} for index, face in enumerate(found.public_faces)],
    }


def _face(face: Any) -> dict[str, Any]:
    box = face.box
    return {
        "box": [box.x, box.y, box.width, box.height],
        "yaw": face.yaw,
        "pitch": face.pitch,
        "roll": face.roll,
        "sealed": face.sealed,
    }


def _who_may_open(session: Session, event: Registration, owner: str | None) -> list[dict[str, Any]]:
    """Grants that cover the capture or a face of it, as far as it can be known here.

    `scope` None: a grant of the album whose scope is not public.
    """
    from ffem_chain.chain.events import GrantCreated
    from ffem_chain.keys.scope import LEVEL_CAPTURE, Scope
    from ffem_chain.roles.records import covers, describe

    registry, known = session.registry(), {}
    if session.has_wallet() and session.address() == owner and can_unlock():
        known = {one.grant_id: one.scope for one in session.owner().grants()}
    target = Scope(LEVEL_CAPTURE, epoch=event.epoch, slot=event.slot, uid=event.uid)
    shown: list[tuple[GrantCreated, Scope | None]] = []
    for created in registry.events([GrantCreated], album=event.album):
        if not isinstance(created, GrantCreated):
            continue
        scope = known.get(created.grant_id)
        if scope is None or covers(scope, target) or covers(target, scope):
            shown.append((created, scope))
    states = registry.grant_states([created.grant_id for created, _ in shown])
    return [
        {
            "grant": created.grant_id,
            "recipient": created.recipient,
            "scope": describe(scope) if scope is not None else None,
            "status": state.status,
            "opened": state.opened,
            "expires": instant(created.expiry),
            "label": DIRECT_LABEL if created.keeper_set == 0 else None,
        }
        for (created, scope), state in zip(shown, states, strict=True)
    ]


def standing(grant: dict[str, Any]) -> str:
    """What a grant allows now, and whether it had been opened before that ended."""
    words = str(grant["status"].name.lower())
    ended = words in ("revoked", "expired") and grant["opened"] and not grant["label"]
    return f"{words}, opened before" if ended else words


def _registered(data: dict[str, Any]) -> str:
    batch = f", in batch {data['batch']['root'].hex()}" if data["batch"] else ""
    return f"in block {data['block']}{batch}"


def _described(data: dict[str, Any]) -> list[str | Table]:
    """`show` for people."""
    blocks: list[str | Table] = [f"capture     {data['uid'].hex()}", f"cid         {data['cid']}"]
    blocks.append(f"album       {data['album'].hex()} of {data['owner']}")
    blocks.append(f"registered  {_registered(data) if data['registered'] else 'no: ffem seal --resume'}")
    blocks.append(f"sealed at   {moment(data['slot'] * SLOT_SECONDS)}, epoch {data['epoch']}")
    store = data["store"]
    blocks.append(f"store       {store['name']} {'has it' if store['has'] else 'fails: ' + store['error']}")
    if "manifest" in data:
        head = data["manifest"]
        blocks.append(f"picture     {head['width']} x {head['height']} px")
        words = f"{head['rotation']}, {head['precision']}, {head['size']} px, model {head['model_id'].hex()[:16]}"
        blocks.append(f"faces       {len(data['faces'])}: {words}")
        rows = [
            (
                one["index"],
                "x{} y{} {}x{}".format(*one["box"]),
                f"{one['yaw']}/{one['pitch']}/{one['roll']}",
                "sealed" if one["sealed"] else "covered for ever",
            )
            for one in data["faces"]
        ]
        blocks.append(Table(("face", "box (px)", "yaw/pitch/roll (degrees)", "state"), rows))
    grants = [
        (
            one["grant"].hex()[: lookup.SHOWN],
            one["recipient"],
            one["scope"] or "not public: of this album",
            standing(one),
            moment(one["expires"]),
            f"direct: {one['label']}" if one["label"] else "",
        )
        for one in data["grants"]
    ]
    columns = ("grant", "recipient", "opens", "status", "expires", "remarks")
    blocks.append(Table(columns, grants, "granted     to nobody"))
    if "out" in data:
        blocks.append(f"I_enc       {data['out']}")
    return blocks
