"""`ffem rotate`: a new secret for what is sealed from now on, granted to who stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.labels import DIRECT_LABEL
from ffem_cli import lookup, shell
from ffem_cli.commands.albums import NameArgument
from ffem_cli.commands.grants import telling
from ffem_cli.output import Answer, Table, count
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.rotation import RotateResult


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "rotate", example="ffem rotate family")(rotate)


def rotate(
    session: Session,
    name: NameArgument = None,
    without_grants: Annotated[
        bool, typer.Option("--without-grants", help="Grant the new epoch to nobody yet.")
    ] = False,
) -> Answer:
    """Begin an album's next epoch: what is sealed from now on has a new secret, and no grant given before opens it.

    Who has a live grant of the whole present epoch, or of a range of it that is not over, gets the same of the new one,
    in the same transaction as far as it holds them. What is sealed already, and the grants on it, stay as they are. The
    secret is in the vault before the transaction is sent: called again, an interrupted command goes on.
    """
    owner = session.owner()
    album = lookup.own_album(owner, name, session.config.text("album"))
    with session.out.progress() as say:
        result = owner.rotate(album.album_id, grant=not without_grants, on_page=telling(say))
    return Answer(*rotated(session, owner, result))


def rotated(session: Session, owner: Owner, result: RotateResult) -> tuple[dict[str, Any], list[str | Table]]:
    """A rotation as a document and in words; notes on what to do go to stderr."""
    from ffem_chain.roles.records import describe

    album, registry = result.album, owner.registry
    session.out.note("copies of the vault made before do not open what is sealed now: ffem wallet backup FILE")
    if result.unknown:
        session.out.note(f"not in this vault, and not made anew whatever they are of: {count(result.unknown, 'grant')}")
    data = {
        "name": album.name,
        "album": album.album_id,
        "epoch": album.epoch,
        "transactions": result.transactions,
        "resumed": result.resumed,
        "grants": [
            {
                "grant": one.grant_id,
                "recipient": one.recipient,
                "scope": describe(one.scope),
                "direct": one.direct,
                "label": DIRECT_LABEL if one.direct else None,
                "block": one.block,
            }
            for one in result.granted
        ],
        "left_out": [{"recipient": wallet, "why": why} for wallet, why in result.left_out],
        "epoch_key_commit": registry.epoch_key_commit(album.album_id, album.epoch),
    }
    sent = count(result.transactions, "transaction")
    blocks: list[str | Table] = [
        f"album     {album.name}, {album.album_id.hex()}",
        f"epoch     {album.epoch}{', which an interrupted call had begun' if result.resumed else ''}",
        f"sent      {count(len(result.granted), 'new grant')} in {sent}",
    ]
    if result.transactions > 1:
        blocks.append("          more than one transaction holds: the first began the epoch, the rest followed")
    rows = [
        (one.grant_id.hex()[: lookup.SHOWN], one.recipient, describe(one.scope), DIRECT_LABEL if one.direct else "")
        for one in result.granted
    ]
    if rows:
        blocks.append(Table(("grant", "recipient", "opens", "remarks"), rows))
    blocks += [f"not granted anew: {wallet}: {why}" for wallet, why in result.left_out]
    if not rows:
        blocks.append(f"nobody opens what is sealed now; to go on: ffem grant --album {album.name} WALLET")
    return data, blocks
