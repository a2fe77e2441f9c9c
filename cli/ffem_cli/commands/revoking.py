"""`ffem revoke`: taking grants back as far as that goes, and saying what stays open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import lookup, shell
from ffem_cli.commands.grants import FaceOption
from ffem_cli.output import Answer, Table, count
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.records import CaptureRecord
    from ffem_chain.roles.revocation import RevokeResult, Route


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "revoke", example="ffem revoke 1f2e3d --wallet 0x7099...")(revoke)


def revoke(
    session: Session,
    target: Annotated[
        str, typer.Argument(metavar="CAPTURE|GRANT", help="Capture (uid, first digits, CID) or grant (id, digits).")
    ],
    wallet: Annotated[str | None, typer.Option("--wallet", "-w", help="Revoke this wallet's grants.")] = None,
    face: FaceOption = None,
    everybody: Annotated[bool, typer.Option("--all", help="Revoke the grants of all wallets.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> Answer:
    """Revoke a grant, or a capture's grants to one wallet or to all; says of each whether it came in time.

    Revoking touches no other grant, no direct grant and no copy. Every other route that stays open is listed.
    """
    from ffem_chain.roles.records import GrantRecord

    owner = session.owner()
    found = lookup.own_grant_or_capture(owner, target)
    others: list[Route] = []
    if isinstance(found, GrantRecord):
        if wallet is not None or face is not None or everybody:
            raise InputError("this is one grant", "leave --wallet, --face and --all out")
        results = [owner.revoke(found.grant_id)]
    else:
        if (wallet is None) is not everybody:
            raise InputError("whose grants of this capture?", "--wallet 0x..., or --all")
        if everybody and not yes:
            session.confirm(f"Revoke every grant of capture {found.uid.hex()[: lookup.SHOWN]}?")
        results = _revoke_capture(owner, found, wallet, face)
        if everybody:
            others = _others(owner, found, face, {one.recipient for one in results})
    return _revoked(results, others)


def _revoke_capture(owner: Owner, record: CaptureRecord, wallet: str | None, face: int | None) -> list[RevokeResult]:
    if face is None:
        return owner.revoke_all(record.uid, wallet)
    from ffem_chain.chain.types import GrantStatus
    from ffem_chain.keys.scope import LEVEL_FACE
    from ffem_chain.roles.keyring import checksum

    if face >= record.faces:
        raise InputError(
            f"there is no face {face} in capture {record.uid.hex()[: lookup.SHOWN]}, which has {record.faces}"
        )
    only = None if wallet is None else checksum(wallet)
    chosen = [
        one.grant_id
        for one in owner.grants()
        if (one.scope.level, one.scope.uid, one.scope.face) == (LEVEL_FACE, record.uid, face)
        and only in (None, one.recipient)
        and owner.registry.grant_state(one.grant_id).status not in (GrantStatus.NONE, GrantStatus.REVOKED)
    ]
    if not chosen:
        raise InputError(
            f"there is no grant of face {face} alone to revoke", "grants of the whole capture: leave --face out"
        )
    return [owner.revoke(one) for one in chosen]


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
