"""`ffem grant`: letting a wallet open a capture, a face, or an album's epoch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from ffem_chain.errors import InputError, Refused
from ffem_chain.labels import DIRECT_LABEL, OWNER_KEEPER_LABEL
from ffem_cli import lookup, shell
from ffem_cli.output import Answer, instant, moment
from ffem_cli.session import Session
from ffem_cli.times import parse_moment

if TYPE_CHECKING:
    from ffem_chain.chain.registry import Registry
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.records import CaptureRecord

FaceOption = Annotated[int | None, typer.Option("--face", "-f", min=0, max=65_535, help="One face, counted from 0.")]


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "grant", example="ffem grant 1f2e3d 0x7099... --face 0 --expires 30d")(grant)


def grant(
    session: Session,
    target: Annotated[
        str, typer.Argument(metavar="CAPTURE", help="uid, its first digits, or CID; with --album, the wallet.")
    ],
    wallet: Annotated[str | None, typer.Argument(metavar="WALLET", help="Address that may open it.")] = None,
    album: Annotated[
        str | None, typer.Option("--album", "-a", help="Grant an epoch of this album, no single capture.")
    ] = None,
    epoch: Annotated[
        int | None, typer.Option("--epoch", min=1, help="With --album: an earlier epoch instead of the present one.")
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
    """Let a wallet open a capture, one face of it, or an epoch of an album: all that is sealed in it, also later.

    The wallet must have published an encryption key (`ffem key register`). What was opened once cannot be recalled.
    """
    if album is None and wallet is None:
        raise InputError("who may open it?", "ffem grant CAPTURE WALLET, or ffem grant --album NAME WALLET")
    if album is not None and wallet is not None:
        raise InputError("--album grants the whole album: name no capture", "leave --album or CAPTURE out")
    if album is not None and face is not None:
        raise InputError("--face needs a capture", "leave --album out")
    if album is None and epoch is not None:
        raise InputError("--epoch needs an album", "ffem grant --album NAME --epoch N WALLET")
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
        epoch=epoch,
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
        "expires": instant(made.expiry),
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
