"""`ffem album`: albums, and the keepers that release the keys of what is in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.labels import OWNER_KEEPER_LABEL
from ffem_cli import lookup, shell
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.chain.registry import Registry

NameArgument = Annotated[str | None, typer.Argument(metavar="[NAME]", help="Name or id of the album.")]
KeeperOption = Annotated[
    list[str] | None, typer.Option("--keeper", metavar="0x...", help="Wallet of a keeper; may be given up to 8 times.")
]
ThresholdOption = Annotated[
    int, typer.Option("--threshold", "-t", min=1, max=8, help="Keepers that must release for a grant to open.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("album", "Albums: what is sealed together, under one owner and one set of keepers.")
    shell.command(group, "create", example="ffem album create family --keeper 0xA... --keeper 0xB... --threshold 2")(
        create
    )
    shell.command(group, "show", example="ffem album show family")(show)
    shell.command(group, "list", example="ffem album list --json")(list_all)
    shell.command(group, "keepers", example="ffem album keepers family --keeper 0xA... --keeper 0xB... -t 1")(keepers)
    app.add_typer(group)


def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the album; it stays in the vault.")],
    keeper: KeeperOption = None,
    threshold: ThresholdOption = 1,
) -> Answer:
    """Create an album. Without --keeper its owner is the only keeper, and this wallet runs `ffem keeper run`.

    The album's secret is in the vault before the transaction is sent: called again, an interrupted command goes on.
    """
    owner = session.owner()
    with session.out.progress() as progress:
        progress(f"creating album {name}", 0)
        album = owner.create_album(name, keeper or (), threshold)
    data = {"name": album.name, "salt": album.salt, **on_chain(session.registry(), album.album_id)}
    session.out.note("keep a copy of the vault, or the album is lost with it: ffem wallet backup FILE")
    if data["proposed"]:
        session.out.note(f"before the first grant, each keeper runs: ffem keeper accept {data['proposed']['number']}")
    return Answer(data, _lines(data))


def on_chain(registry: Registry, album: bytes) -> dict[str, Any]:
    """What the chain says of an album. `exists` False: nothing; `keeper_set` None until all keepers of one accepted.

    `proposed` is a set that waits for keepers; `owner_only` whether the owner is the only keeper.
    """
    from ffem_chain.chain.events import GrantCreated

    view = registry.album(album)
    exists = bool(int(view.owner, 16))
    current = _keeper_set(registry, view.current_keeper_set)
    waiting = view.latest_keeper_set if view.latest_keeper_set != view.current_keeper_set else 0
    proposed = _keeper_set(registry, waiting)
    newest = proposed or current
    owner_only = bool(newest) and [one["wallet"] for one in (newest or {})["keepers"]] == [view.owner]
    return {
        "album": album,
        "exists": exists,
        "owner": view.owner if exists else None,
        "epoch": view.epoch,
        "keeper_set": current,
        "proposed": proposed,
        "owner_only": owner_only,
        "label": OWNER_KEEPER_LABEL if owner_only else None,
        "captures": _captures(registry, album) if exists else 0,
        "grants": len(registry.events([GrantCreated], album=album)) if exists else 0,
    }


def _captures(registry: Registry, album: bytes) -> int:
    """Captures registered by themselves and in batches; one that is in both counts twice."""
    from ffem_chain.chain.events import CaptureRegistered, CapturesRegistered

    batches = registry.events([CapturesRegistered], album=album)
    counts = (event.count for event in batches if isinstance(event, CapturesRegistered))
    return len(registry.events([CaptureRegistered], album=album)) + sum(counts)


def _keeper_set(registry: Registry, number: int) -> dict[str, Any] | None:
    if not number:
        return None
    view = registry.keeper_set(number)
    members = [
        {"wallet": wallet, "accepted": bool(view.accepted >> index & 1)} for index, wallet in enumerate(view.keepers)
    ]
    return {"number": number, "threshold": view.threshold, "keepers": members}


def _lines(data: dict[str, Any]) -> list[str | Table]:
    """An album in words."""
    blocks: list[str | Table] = []
    if data.get("name"):
        blocks.append(f"name      {data['name']}")
    blocks.append(f"album     {data['album'].hex()}")
    if not data["exists"]:
        return [*blocks, "chain     not on this deployment yet: ffem album create NAME goes on with it"]
    blocks += [f"owner     {data['owner']}", f"epoch     {data['epoch']}"]
    for key, title in (("keeper_set", "keepers"), ("proposed", "proposed")):
        found = data[key]
        if found:
            words = f"{title:<8}  {found['threshold']} of {len(found['keepers'])}, set {found['number']}"
            blocks.append(words)
            blocks += [f"          {one['wallet']} {_accepted(one)}" for one in found["keepers"]]
    if not data["keeper_set"]:
        blocks.append("          no set is accepted yet: only direct grants are possible")
    if data["owner_only"]:
        blocks.append(f"          the owner is the only keeper: {OWNER_KEEPER_LABEL}")
    return [*blocks, f"captures  {data['captures']}", f"grants    {data['grants']}"]


def _accepted(keeper: dict[str, Any]) -> str:
    return "has accepted" if keeper["accepted"] else "has not accepted"


def show(session: Session, name: NameArgument = None) -> Answer:
    """Show an album: owner, epoch, keepers, and how much is in it. With an album's whole id nothing is unlocked."""
    if name and len(name.removeprefix("0x")) == 64 and lookup.parse_name(name).prefix:
        data = on_chain(session.registry(), bytes.fromhex(name.removeprefix("0x")))
        return Answer(data, _lines(data))
    album = lookup.own_album(session.owner(), name, session.config.text("album"))
    data = {"name": album.name, "salt": album.salt, **on_chain(session.registry(), album.album_id)}
    return Answer(data, _lines(data))


def list_all(session: Session) -> Answer:
    """List the albums in the vault."""
    registry = session.registry()
    found = [{"name": one.name, **on_chain(registry, one.album_id)} for one in session.owner().albums()]
    rows = [
        (one["name"], one["album"].hex()[: lookup.SHOWN], one["captures"], one["grants"], _keepers_in_short(one))
        for one in found
    ]
    table = Table(("name", "album", "captures", "grants", "keepers"), rows, "no album yet: ffem album create NAME")
    return Answer({"albums": found}, (table,))


def _keepers_in_short(data: dict[str, Any]) -> str:
    if not data["exists"]:
        return "not on this deployment"
    current = data["keeper_set"]
    words = f"{current['threshold']} of {len(current['keepers'])}" if current else "none has accepted"
    if data["owner_only"]:
        words += f" (the owner: {OWNER_KEEPER_LABEL})"
    return words + (f", set {data['proposed']['number']} is proposed" if data["proposed"] else "")


def keepers(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name or id of the album.")],
    keeper: KeeperOption = None,
    threshold: ThresholdOption = 1,
) -> Answer:
    """Propose a new set of keepers. It serves new grants once all of them have accepted.

    Grants made before stay with the keepers they were made with: revoke them and grant again to change that.
    """
    owner = session.owner()
    album = owner.album(name)
    number = owner.propose_keepers(album.album_id, keeper or (), threshold)
    data = {"name": album.name, **on_chain(session.registry(), album.album_id), "number": number}
    if data["proposed"]:
        session.out.note(f"each keeper that has not accepted runs: ffem keeper accept {number}")
    session.out.note("grants made before keep their keepers; to change that, revoke them and grant again")
    return Answer(data, _lines(data))
