"""`ffem ls`: what is sealed, and what was granted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_chain.labels import DIRECT_LABEL
from ffem_cli import lookup, shell
from ffem_cli.commands.captures import SLOT_SECONDS, recorded, standing
from ffem_cli.output import Answer, Table, instant, moment
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "ls", example="ffem ls --album family --json")(list_all)


def list_all(
    session: Session,
    album: Annotated[str | None, typer.Option("--album", "-a", help="Only what is in this album.")] = None,
    grants: Annotated[bool, typer.Option("--grants", help="The grants that this wallet has given.")] = False,
    received: Annotated[bool, typer.Option("--received", help="The grants that this wallet has received.")] = False,
) -> Answer:
    """List the captures in the vault; with --grants or --received, grants and what each allows now."""
    if grants and received:
        raise InputError("--grants and --received exclude each other")
    if received:
        return _received(session, album)
    owner = session.owner()
    only = owner.album(album).album_id if album else None
    names = {one.album_id: one.name for one in owner.albums()}
    if grants:
        return _given(owner, only, names)
    records = [one for one in owner.captures() if only in (None, one.album_id)]
    data = [{**recorded(one), "album_name": names.get(one.album_id)} for one in records]
    rows = [
        (
            one.uid.hex()[: lookup.SHOWN],
            names.get(one.album_id, one.album_id.hex()[: lookup.SHOWN]),
            moment(one.slot * SLOT_SECONDS),
            len(one.sealed),
            one.faces - len(one.sealed),
            "yes" if one.registered else "no: ffem seal --resume",
            one.cid,
        )
        for one in records
    ]
    columns = ("capture", "album", "sealed at", "faces", "covered", "registered", "cid")
    return Answer({"captures": data}, (Table(columns, rows, "nothing is sealed yet: ffem seal PHOTO"),))


def _grants(owner: Owner, album: bytes | None = None) -> list[dict[str, Any]]:
    """The grants in an owner's vault with what each allows now."""
    from ffem_chain.roles.records import describe

    records = [one for one in owner.grants() if album in (None, one.album_id)]
    states = owner.registry.grant_states([one.grant_id for one in records])
    return [
        {
            "grant": one.grant_id,
            "album": one.album_id,
            "capture": one.scope.uid if any(one.scope.uid) else None,
            "scope": describe(one.scope),
            "recipient": one.recipient,
            "status": state.status,
            "opened": state.opened,
            "expires": instant(one.expiry),
            "suite": one.suite,
            "key_version": one.key_version,
            "keeper_set": one.keeper_set or None,
            "label": DIRECT_LABEL if one.direct else None,
            "block": one.block or None,
        }
        for one, state in zip(records, states, strict=True)
    ]


def _given(owner: Owner, album: bytes | None, names: dict[bytes, str]) -> Answer:
    found = _grants(owner, album)
    columns = ("grant", "album", "opens", "recipient", "status", "expires", "remarks")
    rows = [
        (
            one["grant"].hex()[: lookup.SHOWN],
            names.get(one["album"], one["album"].hex()[: lookup.SHOWN]),
            one["scope"],
            one["recipient"],
            "never sent" if one["status"].name == "NONE" else standing(one),
            moment(one["expires"]),
            f"direct: {one['label']}" if one["label"] else "",
        )
        for one in found
    ]
    return Answer({"grants": found}, (Table(columns, rows, "nothing is granted yet: ffem grant CAPTURE WALLET"),))


def _received(session: Session, album: str | None) -> Answer:
    only = lookup.parse_name(album, hint="of a received grant, the album is known by its id only") if album else None
    found = [one for one in session.recipient().grants() if only is None or only.means(one.album)]
    data = [
        {
            "grant": one.grant_id,
            "album": one.album,
            "capture": one.scope.uid if one.scope and any(one.scope.uid) else None,
            "scope": one.text,
            "readable": one.scope is not None,
            "status": one.status,
            "expires": instant(one.expiry),
            "suite": one.suite,
            "key_version": one.key_version,
            "keeper_set": one.keeper_set or None,
            "label": DIRECT_LABEL if one.direct else None,
            "block": one.block,
        }
        for one in found
    ]
    columns = ("grant", "album", "opens", "status", "expires")
    rows = [
        (
            one.grant_id.hex()[: lookup.SHOWN],
            one.album.hex()[: lookup.SHOWN],
            one.text,
            one.status.name.lower(),
            moment(one.expiry),
        )
        for one in found
    ]
    return Answer({"grants": data}, (Table(columns, rows, "nothing is granted to this wallet"),))
