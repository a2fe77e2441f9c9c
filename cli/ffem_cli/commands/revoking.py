"""`ffem revoke`: taking grants back as far as that goes, and saying what stays open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import lookup, shell
from ffem_cli.commands.grants import FaceOption, telling
from ffem_cli.commands.rotating import rotated
from ffem_cli.output import Answer, Table, count
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.records import CaptureRecord, GrantRecord
    from ffem_chain.roles.revocation import RevokeResult, Route
    from ffem_chain.roles.rotation import RotateResult


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "revoke", example="ffem revoke 1f2e3d --wallet 0x7099...")(revoke)


def revoke(
    session: Session,
    targets: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CAPTURE|GRANT]...", help="Captures (uid, first digits, CID) or grants (id, digits)."),
    ] = None,
    wallet: Annotated[str | None, typer.Option("--wallet", "-w", help="Revoke this wallet's grants.")] = None,
    face: FaceOption = None,
    album: Annotated[
        str | None, typer.Option("--album", "-a", help="Revoke grants of all that is in this album.")
    ] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Revoke the grants of all wallets.")] = False,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Begin the album's next epoch with it, as ffem rotate does for who stays.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> Answer:
    """Revoke grants, or the grants of captures or of an album to one wallet or to all; says of each whether in time.

    Revoking touches no other grant, no direct grant and no copy. Every other route that stays open is listed. With
    --rotate what is sealed from now on stays closed to the wallets whose grants are revoked, whatever they hold.
    """
    from ffem_chain.roles.revocation import outcome

    owner = session.owner()
    records, captures = _chosen(session, owner, targets or [], wallet, face, album, everybody, yes)
    if rotate:
        result = _rotate(session, owner, records)
        results = [outcome(owner, one) for one in records]
    else:
        result, results = None, owner.revoke_many([one.grant_id for one in records])
    others: list[Route] = []
    if everybody:
        asked = {one.recipient for one in results}
        others = [route for one in captures for route in _others(owner, one, face, asked)]
    answer = _revoked(results, others)
    if result is None:
        return answer
    data, blocks = rotated(session, owner, result)
    return Answer({**answer.data, "rotation": data}, [*answer.blocks, *blocks])


def _chosen(
    session: Session,
    owner: Owner,
    targets: list[str],
    wallet: str | None,
    face: int | None,
    album: str | None,
    everybody: bool,
    yes: bool,
) -> tuple[list[GrantRecord], list[CaptureRecord]]:
    """The grants that are meant, and the captures that were named; asks where they are of everybody and not `yes`.
    Raises InputError."""
    from ffem_chain.keys.scope import LEVEL_CAPTURE, LEVEL_FACE, Scope
    from ffem_chain.roles.records import GrantRecord
    from ffem_chain.roles.revocation import revocable

    if album is not None and (targets or face is not None):
        raise InputError("--album means all grants of the album", "leave the rest out, or --album")
    if album is None and not targets:
        raise InputError("what is revoked?", "ffem revoke GRANT, ffem revoke CAPTURE --wallet 0x..., or --album NAME")
    found = [lookup.own_grant_or_capture(owner, text) for text in targets]
    grants = [one for one in found if isinstance(one, GrantRecord)]
    captures = [one for one in found if not isinstance(one, GrantRecord)]
    if grants and (wallet is not None or face is not None or everybody):
        named = "this is one grant" if len(found) == 1 else "grants are named"
        raise InputError(named, "leave --wallet, --face and --all out")
    what = "this album" if album is not None else "this capture" if len(captures) == 1 else "these captures"
    if (captures or album is not None) and (wallet is None) is not everybody:
        raise InputError(f"whose grants of {what}?", "--wallet 0x..., or --all")
    if everybody and not yes:
        session.confirm(f"Revoke every grant of {what}?")
    if album is not None:
        grants = revocable(owner, owner.album(album).album_id, None, wallet)
        if not grants:
            raise InputError(f"there is no grant of album {album!r} to revoke", "ffem ls --grants")
    for one in captures:
        level = LEVEL_CAPTURE if face is None else LEVEL_FACE
        if face is not None and face >= one.faces:
            name = one.uid.hex()[: lookup.SHOWN]
            raise InputError(f"there is no face {face} in capture {name}, which has {one.faces}")
        scope = Scope(level, epoch=one.epoch, slot=one.slot, uid=one.uid, face=face or 0)
        of_it = revocable(owner, one.album_id, scope, wallet)
        if not of_it and face is not None:
            hint = "grants of the whole capture: leave --face out"
            raise InputError(f"there is no grant of face {face} alone to revoke", hint)
        if not of_it:
            raise InputError(f"there is no grant of capture {one.uid.hex()[: lookup.SHOWN]} to revoke")
        grants += of_it
    return list({one.grant_id: one for one in grants}.values()), captures


def _rotate(session: Session, owner: Owner, records: list[GrantRecord]) -> RotateResult:
    albums = {one.album_id for one in records}
    if len(albums) > 1:
        raise InputError("the grants are of several albums, and --rotate is for one", "revoke those of one album")
    without = {one.recipient for one in records}
    with session.out.progress() as say:
        return owner.rotate(albums.pop(), [one.grant_id for one in records], leave_out=without, on_page=telling(say))


def _others(owner: Owner, record: CaptureRecord, face: int | None, asked: set[str]) -> list[Route]:
    """What stays open to wallets from which nothing was revoked just now."""
    from ffem_chain.chain.events import GrantCreated

    events = owner.registry.events([GrantCreated], album=record.album_id)
    wallets = {one.recipient for one in events if isinstance(one, GrantCreated)} - asked
    return [route for wallet in sorted(wallets) for route in owner.routes(record.uid, face, wallet)]


def _revoked(results: list[RevokeResult], others: list[Route]) -> Answer:
    from ffem_chain.roles.records import describe

    done = {one.grant_id for one in results}
    every = [route for one in results for route in one.routes] + others
    # Of two grants revoked together, each was a route beside the other.
    routes = list({route.grant_id: route for route in every if route.grant_id not in done}.values())
    data: dict[str, Any] = {
        "revoked": [
            {
                "grant": one.grant_id,
                "recipient": one.recipient,
                "scope": describe(one.scope),
                "block": one.block,
                "opened": one.opened,
                "opened_block": one.opened_block,
                "direct": one.direct,
                "text": one.text,
            }
            for one in results
        ],
        "routes": [
            {
                "grant": route.grant_id,
                "kind": route.kind,
                "recipient": route.recipient,
                "whole": route.whole,
                "block": route.block,
                "text": route.text,
            }
            for route in routes
        ],
    }
    blocks: list[str | Table] = []
    for one in results:
        blocks.append(f"{one.grant_id.hex()[: lookup.SHOWN]}  {describe(one.scope)} to {one.recipient}")
        blocks.append(f"  {one.text}")
    if routes:
        blocks.append(f"still open: {count(len(routes), 'other route')}")
        blocks += [f"  {route.grant_id.hex()[: lookup.SHOWN]}  {route.recipient}  {route.text}" for route in routes]
    elif any(one.direct for one in results):
        blocks.append("the direct grants above stay open; no other route that this deployment records does")
    else:
        blocks.append("no other route that this deployment records stays open; copies are out of reach")
    return Answer(data, blocks)
