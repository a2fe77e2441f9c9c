"""`ffem key`: the wallet's encryption keys, to which grants and keepers' shares are sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import shell
from ffem_cli.commands import recovery
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.chain.registry import Registry

SuiteOption = Annotated[
    int, typer.Option("--suite", min=1, max=2, help="1: secp256k1, 2: X-Wing (post-quantum hybrid).")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("key", "Encryption keys: grants to this wallet are sealed to them.")
    shell.command(group, "register", example="ffem key register --suite 2")(register)
    shell.command(group, "show", example="ffem key show --json")(show)
    shell.command(group, "rotate", example="ffem key rotate")(rotate)
    shell.command(group, "compromised", example="ffem key compromised 1")(compromised)
    recovery.add_to(group)
    app.add_typer(group)


def register(
    session: Session,
    suite: SuiteOption = 1,
    wallet_key: Annotated[
        bool,
        typer.Option("--wallet-key", help="Use the wallet's signing key itself: whoever gets one then has both."),
    ] = False,
) -> Answer:
    """Publish an encryption key on the chain, where this wallet has no active one of the suite.

    The private half is in the vault before the transaction is sent, so an interruption loses nothing.
    """
    if wallet_key and suite != 1:
        raise InputError("only suite 1 can use the wallet's signing key", "leave --wallet-key or --suite out")
    ring = session.ring()
    published = ring.keys()
    version = ring.register(1, wallet_key=True) if wallet_key else ring.ensure(suite)
    made = version not in {record.version for record in published}
    words = f"key version {version} of suite {suite} is {'published' if made else 'active already'}"
    data = {"wallet": ring.wallet, "version": version, "suite": suite, "published": made, "wallet_key": wallet_key}
    return Answer(data, (words,))


def rotate(session: Session, suite: SuiteOption = 1) -> Answer:
    """Publish a new key of the suite; the old one is retired and still opens what was sealed to it."""
    ring = session.ring()
    old = session.registry().active_key(ring.wallet, suite)
    version = ring.rotate(suite)
    words = f"key version {version} of suite {suite} is active" + (f", version {old} is retired" if old else "")
    return Answer({"wallet": ring.wallet, "version": version, "suite": suite, "retired": old or None}, (words,))


def show(
    session: Session,
    wallet: Annotated[str | None, typer.Argument(help="Another wallet's address; nothing is unlocked then.")] = None,
) -> Answer:
    """Show the keys that a wallet has published, and which private halves this vault holds."""
    from ffem_chain.keys.suites import SUITE_NAMES

    if wallet is None:
        ring = session.ring()
        address = ring.wallet
        records = ring.keys()
        keys: list[dict[str, Any]] = [
            {"version": one.version, "suite": one.suite, "status": one.status, "public": one.public, "held": one.held}
            for one in records
        ]
    else:
        from ffem_chain.roles.keyring import checksum

        address = checksum(wallet)
        keys = _published(session.registry(), address)
    rows = [
        (
            one["version"],
            SUITE_NAMES.get(one["suite"], one["suite"]),
            one["status"].name.lower(),
            {True: "yes", False: "no", None: "-"}[one["held"]],
            one["public"].hex() if len(one["public"]) <= 33 else one["public"].hex()[:64] + "...",
        )
        for one in keys
    ]
    empty = f"{address} has published no encryption key: ffem key register"
    table = Table(("version", "suite", "status", "in vault", "public key"), rows, empty)
    return Answer({"wallet": address, "keys": keys}, (table,))


def _published(registry: Registry, wallet: str) -> list[dict[str, Any]]:
    from ffem_chain.chain.events import KeyRegistered

    return [
        {
            "version": event.version,
            "suite": event.suite,
            "status": registry.key(wallet, event.version).status,
            "public": event.public_key,
            "held": None,
        }
        for event in registry.events([KeyRegistered], wallet=wallet)
        if isinstance(event, KeyRegistered)
    ]


def compromised(
    session: Session,
    version: Annotated[int, typer.Argument(min=1, help="Version of the key, see `ffem key show`.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> Answer:
    """Declare a key compromised, for ever: keepers release nothing more to it. Says first what that affects."""
    from ffem_chain.chain.types import KeyStatus

    registry, address = session.registry(), session.address()
    view = registry.key(address, version)
    if not view.suite:
        raise InputError(f"{address} has no key version {version}", "ffem key show")
    if view.status is KeyStatus.COMPROMISED:
        known: dict[str, Any] = {"wallet": address, "version": version, "changed": False, "affected": []}
        return Answer(known, (f"key version {version} is marked compromised already",))
    affected = affected_grants(registry, address, version)
    for line in _explain(version, affected):
        session.out.note(line)
    if not yes:
        session.confirm(f"Mark key version {version} of {address} as compromised, for ever?")
    session.ring().mark_compromised(version)
    if view.status is KeyStatus.ACTIVE:
        session.out.note(f"publish a new one: ffem key register{' --suite 2' if view.suite == 2 else ''}")
    data = {"wallet": address, "version": version, "changed": True, "affected": affected}
    return Answer(data, (f"key version {version} is marked compromised",))


def affected_grants(registry: Registry, wallet: str, version: int) -> list[dict[str, Any]]:
    """Grants to `wallet` that are sealed to a key version, and grants whose share for it as a keeper is.

    `role` is recipient or keeper, `status` what the grant allows now.
    """
    from ffem_chain.chain.events import GrantCreated, KeeperSetProposed
    from ffem_chain.chain.types import GrantStatus
    from ffem_chain.errors import FormatError
    from ffem_chain.keys.grants import parse_payload

    sealed: list[tuple[str, GrantCreated]] = []
    for event in registry.events([GrantCreated], recipient=wallet):
        if isinstance(event, GrantCreated) and event.key_version == version:
            sealed.append(("recipient", event))
    sets = {
        event.keeper_set: event
        for event in registry.events([KeeperSetProposed])
        if isinstance(event, KeeperSetProposed) and wallet in event.keepers
    }
    for album in {event.album for event in sets.values()}:
        for event in registry.events([GrantCreated], album=album):
            if not isinstance(event, GrantCreated) or event.keeper_set not in sets:
                continue
            keepers = sets[event.keeper_set].keepers
            try:
                share = parse_payload(event.payload, event.suite, len(keepers)).shares[keepers.index(wallet)]
            except FormatError:
                continue  # Anybody may write a payload that nobody can read; no share of ours is in it.
            if share.version == version:
                sealed.append(("keeper", event))
    states = registry.grant_states([event.grant_id for _, event in sealed])
    return [
        {"role": role, "grant": event.grant_id, "album": event.album, "status": state.status}
        for (role, event), state in zip(sealed, states, strict=True)
        if role == "recipient" or state.status in (GrantStatus.LIVE, GrantStatus.OPENED)
    ]


def _explain(version: int, affected: list[dict[str, Any]]) -> list[str]:
    """What marking a key compromised means for the grants it is named in."""
    from ffem_chain.chain.types import GrantStatus

    received = [one for one in affected if one["role"] == "recipient"]
    live = [one for one in received if one["status"] is GrantStatus.LIVE]
    opened = [one for one in received if one["status"] is GrantStatus.OPENED]
    kept = [one for one in affected if one["role"] == "keeper"]
    lines = [f"key version {version}: {len(received)} grants are sealed to it"]
    if live:
        lines.append(f"  {len(live)} not opened: keepers will release nothing, ask the owners to grant again")
        lines += [f"    {one['grant'].hex()}" for one in live]
    if opened:
        lines.append(f"  {len(opened)} opened before: whoever has the key can open them, that cannot be recalled")
    if kept:
        lines.append(f"  as a keeper, {len(kept)} shares are sealed to it: their owners should grant again")
        lines += [f"    {one['grant'].hex()}" for one in kept]
    return lines
