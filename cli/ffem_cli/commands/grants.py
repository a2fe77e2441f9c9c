"""`ffem grant` and `ffem revoke`: letting a wallet open, and taking that back as far as it can be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError, Refused
from ffem_cli import lookup, shell
from ffem_cli.output import DIRECT_LABEL, OWNER_KEEPER_LABEL, Answer, Table, count, moment
from ffem_cli.session import Session
from ffem_cli.times import parse_moment

if TYPE_CHECKING:
    from ffem_chain.chain.registry import Registry
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.records import CaptureRecord
    from ffem_chain.roles.revocation import RevokeResult, Route

FaceOption = Annotated[int | None, typer.Option("--face", "-f", min=0, max=65_535, help="One face, counted from 0.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    shell.command(app, "grant", example="ffem grant 1f2e3d 0x7099... --face 0 --expires 30d")(grant)
    shell.command(app, "revoke", example="ffem revoke 1f2e3d --wallet 0x7099...")(revoke)


def grant(
    session: Session,
    target: Annotated[
        str, typer.Argument(metavar="CAPTURE", help="uid, its first digits, or CID; with --album, the wallet.")
    ],
    wallet: Annotated[str | None, typer.Argument(metavar="WALLET", help="Address that may open it.")] = None,
    album: Annotated[
        str | None, typer.Option("--album", "-a", help="Grant all of the album's present epoch, no single capture.")
    ] = None,
    face: FaceOption = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="90min, 12h, 30d, 2026-12-31 or an ISO time (UTC). Default: never.")
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help=f"Seal the key itself, without keepers: {DIRECT_LABEL}.")
    ] = False,
    suite: Annotated[
        int | None, typer.Option("--suite", min=1, max=2, help="1: secp256k1, 2: post-quantum. Default: 2 if all can.")
    ] = None,
    keepers: Annotated[
        str | None, typer.Option("--keepers", metavar="T/N", help="Only if T of N keepers are the album's present set.")
    ] = None,
) -> Answer:
    """Let a wallet open a capture, one face of it, or an album's present epoch.

    The wallet must have published an encryption key (`ffem key register`). What was opened once cannot be recalled.
    """
    if album is None and wallet is None:
        raise InputError("who may open it?", "ffem grant CAPTURE WALLET, or ffem grant --album NAME WALLET")
    if album is not None and wallet is not None:
        raise InputError("--album grants the whole album: name no capture", "leave --album or CAPTURE out")
    if album is not None and face is not None:
        raise InputError("--face needs a capture", "leave --album out")
    if direct and keepers is not None:
        raise InputError("a direct grant has no keepers", "leave --direct or --keepers out")
    until = None if expires is None else parse_moment(expires)
    expected = None if keepers is None else _expected(keepers)
    recipient = target if wallet is None else wallet
    owner = session.owner()
    uid = None
    if album is None:
        record = _registered(owner, target)
        uid, owned = record.uid, owner.album(record.album_id)
    else:
        owned = owner.album(album)
    if expected is not None:
        _check_keepers(owner.registry, owned.album_id, owned.name, expected)
    made = owner.grant(
        uid,
        face,
        recipient,
        album=owned.album_id if uid is None else None,
        expires=until,
        direct=direct,
        suite=suite,
    )
    from ffem_chain.roles.records import describe

    members, threshold = tuple[str, ...](), 0
    if made.keeper_set:
        pinned = owner.registry.keeper_set(made.keeper_set)
        members, threshold = pinned.keepers, pinned.threshold
    label = DIRECT_LABEL if direct else OWNER_KEEPER_LABEL if members == (owner.wallet,) else None
    data = {
        "grant": made.grant_id,
        "album": owned.album_id,
        "capture": uid,
        "face": face,
        "scope": describe(made.scope),
        "recipient": made.recipient,
        "key_version": made.key_version,
        "suite": made.suite,
        "expiry": made.expiry,
        "direct": direct,
        "label": label,
        "keeper_set": made.keeper_set or None,
        "threshold": threshold,
        "keepers": members,
        "block": made.block,
    }
    lines = [
        f"grant      {made.grant_id.hex()}",
        f"opens      {describe(made.scope)}",
        f"recipient  {made.recipient}, key version {made.key_version}, suite {made.suite}",
        f"expires    {moment(made.expiry)}",
    ]
    if direct:
        lines.append(f"direct     {DIRECT_LABEL}")
    else:
        lines.append(f"keepers    {threshold} of {len(members)}, set {made.keeper_set}")
        if label:
            lines.append(f"           the owner is the only keeper: {label}")
    return Answer(data, lines)


def _registered(owner: Owner, text: str) -> CaptureRecord:
    record = lookup.own_capture(owner, text)
    if not record.registered:
        raise Refused(
            f"capture {record.uid.hex()[: lookup.SHOWN]} is not registered on this deployment", "ffem seal --resume"
        )
    return record


def _expected(text: str) -> tuple[int, int]:
    found = re.fullmatch("([1-8])/([1-8])", text)
    if found is None or int(found[1]) > int(found[2]):
        raise InputError(f"{text[:20]!r} is no set of keepers", "threshold/number, for example 2/3; at most 8 keepers")
    return int(found[1]), int(found[2])


def _check_keepers(registry: Registry, album: bytes, name: str, expected: tuple[int, int]) -> None:
    """Refused where the album's present keeper set is not of the expected size and threshold."""
    number = registry.album(album).current_keeper_set
    view = registry.keeper_set(number) if number else None
    present = (view.threshold, len(view.keepers)) if view else (0, 0)
    if present != expected:
        words = f"{present[0]} of {present[1]} keepers" if view else "no accepted keepers"
        raise Refused(
            f"album {name!r} has {words}, not {expected[0]} of {expected[1]}",
            f"propose others: ffem album keepers {name} --keeper 0x... --threshold {expected[0]}",
        )


# ---------------------------------------------------------------------- revoking


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
    from ffem_chain.keys.grants import LEVEL_FACE
    from ffem_chain.roles.keyring import checksum

    if face >= record.faces:
        raise InputError(
            f"capture {record.uid.hex()[: lookup.SHOWN]} has {record.faces} faces, there is no face {face}"
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
    else:
        blocks.append("no other route that this deployment records stays open; copies are out of reach")
    return Answer(data, blocks)
