"""`ffem request`, `ffem open` and `ffem fake`: what the three kinds of readers see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError, Refused
from ffem_chain.labels import DIRECT_LABEL, HELD_LABEL, MANY_LABEL
from ffem_cli import lookup, opener, pictures, shell
from ffem_cli.commands.captures import CaptureArgument, InAlbumOption, ProofOption
from ffem_cli.commands.grants import FaceOption
from ffem_cli.output import Answer, Table, count
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.capture.model import Capture
    from ffem_chain.roles.recipient import Recipient, Request
    from ffem_chain.roles.registrations import Registration


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    shell.command(app, "request", example="ffem request 1f2e3d --face 0")(request)
    shell.command(app, "open", example="ffem open 1f2e3d -o opened.png")(open_capture)
    shell.command(app, "fake", example="ffem fake 1f2e3d --temperature 0.4 -o fake.png")(fake)


def _load(
    session: Session, recipient: Recipient, text: str, in_album: str | None, proof: Path | None
) -> tuple[Registration, Capture]:
    from ffem_chain.roles.reading import load_registered

    found = lookup.granted_capture(session, recipient, text, in_album, proof)
    return found, load_registered(session.registry(), session.store(), found)


def _plan(recipient: Recipient, event: Registration, capture: Capture, face: int | None) -> opener.Plan:
    if face is not None:
        if face >= len(capture.public_faces):
            raise InputError(f"there is no face {face}; the capture has {len(capture.public_faces)}")
        if not capture.public_faces[face].sealed:
            raise InputError(f"face {face} was too small: it was covered for ever, and no key opens it")
    sealed = [one.index for one in capture.faces]
    if not sealed:
        raise InputError("the capture has no sealed face: there is nothing to open")
    try:
        return opener.make_plan(recipient, event, sealed, face)
    except Refused as error:
        if recipient.registry.album(event.album).owner != recipient.wallet:
            raise
        hint = f"it is in an album of yours: ffem grant {event.uid.hex()[: lookup.SHOWN]} {recipient.wallet} --direct"
        raise Refused(error.message, hint) from None


def request(
    session: Session,
    capture: CaptureArgument,
    face: FaceOption = None,
    in_album: InAlbumOption = None,
    proof: ProofOption = None,
) -> Answer:
    """Ask the keepers for access, and leave a receipt on the chain. `ffem open` does this by itself.

    A request that waits unanswered is gone on with; a newer one supersedes an older one.
    """
    recipient = session.recipient()
    event, found = _load(session, recipient, capture, in_album, proof)
    plan = _plan(recipient, event, found, face)
    asked: list[dict[str, Any]] = []
    for part in plan.parts:
        one: dict[str, Any] = {"grant": part.grant.grant_id, "faces": part.faces, "direct": part.grant.direct}
        one["held"] = part.grant.held
        if part.grant.direct or part.grant.held:
            label = DIRECT_LABEL if part.grant.direct else HELD_LABEL
            one |= {"seq": None, "block": None, "resumed": False, "label": label}
        else:
            made = recipient.request(part.grant.grant_id)
            one |= {"seq": made.seq, "block": made.block, "resumed": made.resumed, "label": None}
        asked.append(one)
    lines = [f"{one['grant'].hex()[: lookup.SHOWN]}  {_faces(one['faces'])}: {_asked(one)}" for one in asked]
    session.out.note(f"when the keepers have answered: ffem open {capture} -o FILE")
    return Answer({"capture": event.uid, "requests": asked, "closed": plan.closed}, [*lines, *_closed(plan)])


def _asked(one: dict[str, Any]) -> str:
    if one["direct"] or one["held"]:
        return f"{'direct' if one['direct'] else 'released before'}, needs no request: {one['label']}"
    return f"request {one['seq']} in block {one['block']}{', waiting already' if one['resumed'] else ''}"


def _faces(faces: Sequence[int]) -> str:
    return f"face{'' if len(faces) == 1 else 's'} {', '.join(map(str, faces))}"


def _closed(plan: opener.Plan) -> list[str | Table]:
    return [f"stay closed, not granted to this wallet: {_faces(plan.closed)}"] if plan.closed else []


def open_capture(
    session: Session,
    capture: CaptureArgument,
    out: pictures.OutOption,
    face: FaceOption = None,
    wait: Annotated[
        float | None, typer.Option("--wait", min=0, max=86_400, help="Seconds to wait for the keepers; 0 looks once.")
    ] = None,
    flow: Annotated[
        bool, typer.Option("--flow", help="Decode through the flow alone, an approximation; needs the faces extra.")
    ] = False,
    force: pictures.ForceOption = False,
    in_album: InAlbumOption = None,
    proof: ProofOption = None,
) -> Answer:
    """Open what this wallet was granted: request access, wait for the keepers, decrypt on this machine, verify.

    Without --face, every face that this wallet may open. The file gets the original pixels, bit for bit, or is not
    written at all. Where keepers do not answer in time the request stays valid: the same command goes on with it.
    """
    pictures.check_out(out, force=force)
    recipient = session.recipient()
    event, found = _load(session, recipient, capture, in_album, proof)
    plan = _plan(recipient, event, found, face)
    model = session.model_of(found) if flow else None
    requests = [opener.ask(recipient, part) for part in plan.parts]
    seconds = session.config.number("wait") if wait is None else wait
    with session.out.progress() as say:
        opened = opener.collect(recipient, plan, seconds, say)
    from ffem_chain.capture.picture import encode
    from ffem_chain.roles.reading import opened_face_key

    keys = {index: opened_face_key(one, found, index) for part, one in opened for index in part.faces}
    pictures.write_out(out, encode(opener.draw(found, keys, model)), force=force)
    # Only now: a request whose picture could not be written can be collected again without another receipt.
    for part in plan.parts:
        if not part.grant.direct:
            recipient.forget(part.grant.grant_id)
    return _opened(event, out, plan, requests, flow)


def _opened(event: Registration, out: Path, plan: opener.Plan, requests: list[Request | None], flow: bool) -> Answer:
    words = "decoded by the flow, an approximation" if flow else "the original pixels, verified"
    lines: list[str | Table] = [f"{out}: {_faces(plan.faces)}, {words}"]
    parts: list[dict[str, Any]] = []
    for part, made in zip(plan.parts, requests, strict=True):
        many = part.grant.scope is not None and part.grant.scope.many
        parts.append(
            {
                "grant": part.grant.grant_id,
                "faces": part.faces,
                "direct": part.grant.direct,
                "held": part.grant.held,
                "label": DIRECT_LABEL if part.grant.direct else MANY_LABEL if many else None,
                "seq": made.seq if made else None,
                "block": made.block if made else None,
                "resumed": bool(made and made.resumed),
            }
        )
        if part.grant.direct:
            text = f"direct: {DIRECT_LABEL}"
        else:
            text = f"receipt: request {made.seq} in block {made.block}" if made else HELD_LABEL
            text += f"\n    {part.grant.text}: {MANY_LABEL}" if many else ""
        grant = part.grant.grant_id.hex()[: lookup.SHOWN]
        lines.append(f"  grant {grant}, {_faces(part.faces)}; {text}")
    data = {
        "capture": event.uid,
        "out": out,
        "layer": "flow" if flow else "exact",
        "faces": plan.faces,
        "closed": plan.closed,
        "grants": parts,
    }
    return Answer(data, [*lines, *_closed(plan)])


def fake(
    session: Session,
    capture: CaptureArgument,
    out: pictures.OutOption,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", help="0 (the average face) to 1 (the most varied).")
    ] = pictures.FAKE_TEMPERATURE,
    force: pictures.ForceOption = False,
    in_album: InAlbumOption = None,
    proof: ProofOption = None,
) -> Answer:
    """Draw a fake face over every sealed one. Needs no wallet and no key: anybody gets the same picture."""
    if not 0 <= temperature <= 1:
        raise InputError(f"the temperature is between 0 and 1, not {temperature}")
    pictures.check_out(out, force=force)
    from ffem_chain.capture.picture import encode
    from ffem_chain.roles.reading import load_registered

    event = lookup.capture_on_chain(session, capture, in_album, proof)
    found = load_registered(session.registry(), session.store(), event)
    model = session.model_of(found)
    from ffem_chain.faces.readers import fake as draw

    pictures.write_out(out, encode(draw(found, pictures.pixels_of(found), temperature, model)), force=force)
    fakes, covered = len(found.faces), len(found.public_faces) - len(found.faces)
    data = {"capture": event.uid, "out": out, "temperature": temperature, "faces": fakes, "covered": covered}
    lines = [f"{out}: {count(fakes, 'fake face')} at temperature {temperature}"]
    if covered:
        lines.append(f"  {count(covered, 'face')} smaller than 24 pixels: covered for ever, filled without a face")
    return Answer(data, tuple(lines))
