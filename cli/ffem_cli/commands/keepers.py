"""`ffem keeper`: releasing shares on the chain's word. A keeper can open nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_chain.labels import OWNER_KEEPER_LABEL
from ffem_cli import lookup, shell
from ffem_cli.commands.keys import SuiteOption
from ffem_cli.output import Answer, Table, count
from ffem_cli.session import Session
from ffem_cli.signals import stopped_by_signals

if TYPE_CHECKING:
    from ffem_node.duties import Proposal
    from ffem_node.keeper import Action, Keeper

_MOST_ROUNDS = 32
SetArgument = Annotated[int, typer.Argument(metavar="SET", min=1, help="Number of the keeper set.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("keeper", "Keep shares for albums, and release them when the chain shows a live request.")
    shell.command(group, "accept", example="ffem keeper accept 3")(accept)
    shell.command(group, "list", example="ffem keeper list --json")(list_all)
    shell.command(group, "show", example="ffem keeper show 3")(show)
    shell.command(group, "run", example="ffem keeper run --limit 20")(run)
    shell.command(group, "rotate", example="ffem keeper rotate --destroy-unused")(rotate)
    app.add_typer(group)


def _described(session: Session, proposal: Proposal) -> dict[str, Any]:
    album = session.registry().album(proposal.album)
    number = proposal.keeper_set
    if number == album.current_keeper_set:
        state = "serves"
    elif number == album.latest_keeper_set:
        state = "waits for others" if proposal.accepted else "waits for this wallet"
    else:
        state = "superseded"
    return {
        "keeper_set": number,
        "album": proposal.album,
        "owner": album.owner,
        "threshold": proposal.threshold,
        "keepers": proposal.keepers,
        "accepted": proposal.accepted,
        "state": state,
        "label": OWNER_KEEPER_LABEL if proposal.keepers == (album.owner,) else None,
    }


def _all(session: Session, keeper: Keeper) -> list[dict[str, Any]]:
    return [_described(session, proposal) for proposal in keeper.proposals()]


def accept(
    session: Session,
    number: Annotated[
        int | None, typer.Argument(metavar="[SET]", min=1, help="Number of the keeper set; needed where several wait.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Accept every set that waits for this wallet.")] = False,
) -> Answer:
    """Agree to keep shares for an album; publishes an encryption key where this wallet has none.

    A keeper that served another deployment (a devnet started anew) serves this one from now on.
    """
    keeper = session.keeper()
    known = _all(session, keeper)
    waiting = [one for one in known if one["state"] == "waits for this wallet"]
    if number is not None:
        chosen = [number]
    elif everything or len(waiting) == 1:
        chosen = [one["keeper_set"] for one in waiting]
    else:
        chosen = []
    if not chosen and len(waiting) > 1:
        sets = ", ".join(f"{one['keeper_set']} (album {one['album'].hex()[:8]} of {one['owner']})" for one in waiting)
        raise InputError(f"{len(waiting)} keeper sets wait for this wallet: {sets}", "name one, or --all")
    serving = [one for one in known if one["accepted"] and one["state"] != "superseded"]
    if not chosen and not serving:
        raise InputError(
            f"no keeper set waits for {keeper.wallet}", "the album's owner names it: ffem album create, album keepers"
        )
    # Not before there is something to serve here: a wrong RPC URL must not move a keeper to another chain.
    keeper.adopt_deployment()
    done = [_described(session, keeper.accept(one)) for one in chosen]
    lines = [f"set {one['keeper_set']} of album {one['album'].hex()[: lookup.SHOWN]}: {one['state']}" for one in done]
    if not done:
        lines.append(f"nothing waits for {keeper.wallet}; it serves {count(len(serving), 'set')}")
    session.out.note("to release shares: ffem keeper run")
    return Answer({"wallet": keeper.wallet, "accepted": done}, lines)


def list_all(session: Session) -> Answer:
    """List the keeper sets that name this wallet."""
    keeper = session.keeper()
    found = _all(session, keeper)
    rows = [
        (
            one["keeper_set"],
            one["album"].hex()[: lookup.SHOWN],
            one["owner"],
            f"{one['threshold']} of {len(one['keepers'])}",
            one["state"],
        )
        for one in found
    ]
    empty = f"no album asks {keeper.wallet} to be its keeper"
    table = Table(("set", "album", "owner", "keepers", "state"), rows, empty)
    return Answer({"wallet": keeper.wallet, "keeper_sets": found}, (table,))


def show(session: Session, number: SetArgument) -> Answer:
    """Show one keeper set. Needs no wallet."""
    from ffem_node.duties import Proposal

    registry = session.registry()
    view = registry.keeper_set(number)
    if not view.keepers:
        raise InputError(f"there is no keeper set {number} on this deployment", "ffem keeper list, ffem album show")
    data = _described(session, Proposal(number, view.album, view.threshold, view.keepers, False))
    members = [
        {"wallet": wallet, "accepted": bool(view.accepted >> index & 1)} for index, wallet in enumerate(view.keepers)
    ]
    complete = all(one["accepted"] for one in members)
    if data["state"] == "waits for this wallet":
        data["state"] = "waits for keepers"
    data |= {"keepers": members, "accepted": complete}
    lines: list[str | Table] = [
        f"set       {number}: {data['state']}",
        f"album     {view.album.hex()} of {data['owner']}",
        f"keepers   {view.threshold} of {len(members)}",
        *(f"          {one['wallet']} has {'' if one['accepted'] else 'not '}accepted" for one in members),
    ]
    if data["label"]:
        lines.append(f"          the owner is the only keeper: {data['label']}")
    return Answer(data, lines)


def run(
    session: Session,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10**6, help="Releases an hour to one wallet.")] = 60,
    poll: Annotated[
        float, typer.Option("--poll", min=0.05, max=3600, help="Seconds between looks at the chain.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Answer what can be answered now, then stop.")] = False,
) -> None:
    """Watch the chain and answer live requests, until stopped (Ctrl-C or SIGTERM); safe to stop at any moment.

    Prints what it does, one line an action; with --json one JSON document a line.
    """
    keeper = session.keeper(limit=limit)

    def say(action: Action) -> None:
        _say(session, action)

    if once:
        for _ in range(_MOST_ROUNDS):
            actions = keeper.step()
            for action in actions:
                say(action)
            if not actions:
                break
        return
    with stopped_by_signals() as stop:
        session.out.note(f"{keeper.wallet} keeps for registry {session.registry().address}; Ctrl-C stops")
        keeper.run(stop, say, poll=poll)
    session.out.note("stopped")


def _say(session: Session, action: Action) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    where = f"  grant {action.grant_id.hex()[: lookup.SHOWN]} request {action.seq}" if action.grant_id else ""
    text = f"{now:%Y-%m-%d %H:%M:%S}Z  {action.kind:<10}{where}  {action.text}"
    grant = action.grant_id or None
    data = {"time": now, "kind": action.kind, "grant": grant, "seq": action.seq or None, "text": action.text}
    session.out.line(text, data)


def rotate(
    session: Session,
    suite: SuiteOption = 1,
    destroy_unused: Annotated[
        bool, typer.Option("--destroy-unused", help="Delete retired private keys that no live grant uses.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> Answer:
    """Publish a new key for shares. New grants use it; the old one serves the grants made before.

    With --destroy-unused, whoever takes this vault later can release no share of a revoked or expired grant.
    """
    keeper = session.keeper()
    if destroy_unused and not yes:
        session.confirm(f"Delete the retired private keys of {keeper.wallet} that no live grant uses, for ever?")
    version = keeper.rotate_key(suite)
    gone = keeper.destroy_unused_keys() if destroy_unused else []
    lines = [f"key version {version} of suite {suite} is active"]
    if destroy_unused:
        lines.append(f"deleted: {', '.join(f'version {one}' for one in gone) or 'nothing, all are in use'}")
    data = {"wallet": keeper.wallet, "version": version, "suite": suite, "destroyed": gone}
    return Answer(data, lines)
