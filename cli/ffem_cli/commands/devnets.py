"""`ffem devnet` and `ffem deploy`: a chain for development, and the registry on any chain."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import FfemError, InputError
from ffem_cli import config, shell
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_devnet.devnet import DevnetStatus

_LABEL = "development wallets: their keys are public, never use them on a chain with value"


class Engine(StrEnum):
    """Program that runs the chain."""

    ANVIL = "anvil"
    GANACHE = "ganache"


class Use(StrEnum):
    """Whether `devnet up` writes to the profile."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("devnet", "A chain (and an IPFS daemon) for development, on this machine only.")
    shell.command(group, "up", example="ffem devnet up --ipfs")(up)
    shell.command(group, "down", example="ffem devnet down")(down)
    shell.command(group, "status", example="ffem devnet status --json")(show_status)
    app.add_typer(group)
    shell.command(app, "deploy", example="ffem --rpc-url http://127.0.0.1:8545 deploy")(deploy)


def _answer(status: DevnetStatus, keys: bool) -> Answer:
    wallets = [
        {"address": account.address, **({"private_key": account.key.hex()} if keys else {})}
        for account in status.accounts
    ]
    data: dict[str, Any] = {
        "running": status.running,
        "engine": status.engine,
        "url": status.url,
        "registry": status.registry,
        "chain_id": status.chain_id,
        "pid": status.pid,
        "ipfs_url": status.ipfs_url,
        "ipfs_running": status.ipfs_running,
        "wallets": wallets,
        "note": _LABEL,
    }
    if not status.running:
        return Answer({**data, "wallets": []}, ("no devnet is running",))
    blocks: list[str | Table] = [
        f"chain     {status.url} ({status.engine}, id {status.chain_id}, process {status.pid})"
    ]
    blocks.append(f"registry  {status.registry or 'none'}")
    blocks.append(f"store     {status.ipfs_url if status.ipfs_running else 'no IPFS daemon; local folders work'}")
    blocks.append(f"{_LABEL}:")
    columns = ("address", "private key (public, for development)") if keys else ("address",)
    blocks.append(Table(columns, [tuple(wallet.values()) for wallet in wallets]))
    return Answer(data, blocks)


KeysOption = Annotated[bool, typer.Option("--keys", help="Print the private keys of the development wallets, too.")]


def up(
    session: Session,
    ipfs: Annotated[bool, typer.Option("--ipfs", help="Start an IPFS daemon, too.")] = False,
    engine: Annotated[Engine, typer.Option(help="Program that runs the chain.")] = Engine.ANVIL,
    use: Annotated[
        Use, typer.Option("--use", help="Write rpc_url and registry to the profile; auto: where none is set.")
    ] = Use.AUTO,
    keys: KeysOption = False,
) -> Answer:
    """Start the devnet, or go on with it: chain, registry, and wallets with ether. State survives `down`.

    Where the profile's store is the devnet's IPFS daemon, that is started, too.
    """
    from ffem_devnet import devnet

    folder = session.config.home / "devnet"
    before, section = devnet.status(folder), _section(session)
    with session.out.progress() as progress:
        status = devnet.up(
            folder,
            ipfs=ipfs or (before.ipfs_url is not None and section.get("store") == before.ipfs_url),
            engine=engine.value,
            progress=lambda text: progress(text, 0),
        )
    changes = _settings(section, before, status, use)
    answer = _answer(status, keys)
    if changes:
        config.save(session.config, changes)
        session.out.note(f"profile {session.config.profile} uses it: {', '.join(sorted(changes))}")
    elif use is Use.AUTO and section.get("registry") != status.registry:
        session.out.note("the profile has other settings; to use the devnet: ffem devnet up --use yes")
    if use is not Use.NO:
        _others_follow(session, before, status)
    return Answer({**answer.data, "profile_changes": changes}, answer.blocks)


def _section(session: Session) -> dict[str, Any]:
    """The profile's own settings, without environment and options."""
    return config.profiles(session.config.home).get(session.config.profile, {})


def _others_follow(session: Session, before: DevnetStatus, status: DevnetStatus) -> None:
    """Other profiles that use this devnet get its new address and registry, too, or their commands would fail."""
    for name, section in config.profiles(session.config.home).items():
        changes = _settings(section, before, status, Use.AUTO) if "rpc_url" in section else {}
        if changes and name != session.config.profile:
            config.save(replace(session.config, profile=name), changes)
            session.out.note(f"profile {name} uses it: {', '.join(sorted(changes))}")


def _settings(section: dict[str, Any], before: DevnetStatus, status: DevnetStatus, use: Use) -> dict[str, str | int]:
    """What `up` changes in the profile.

    Everything where it is asked to; on its own only where the profile names no chain, or the devnet as it was before:
    its port and its registry are new where another program took the port, or the chain is another one.
    """
    wanted: dict[str, str | int] = {"rpc_url": status.url or "", "registry": status.registry or "", "from_block": 0}
    unset = "rpc_url" not in section and "registry" not in section
    ours = section.get("rpc_url") in (before.url, status.url) and section.get("rpc_url") is not None
    if use is Use.NO or (use is Use.AUTO and not unset and not ours):
        return {}
    if status.ipfs_running and status.ipfs_url and (use is Use.YES or section.get("store") in (None, before.ipfs_url)):
        wanted["store"] = status.ipfs_url
    return {name: value for name, value in wanted.items() if section.get(name) != value}


def down(session: Session) -> Answer:
    """Stop the devnet. Its state stays for the next `up`."""
    from ffem_devnet import devnet

    folder = session.config.home / "devnet"
    was = devnet.status(folder).running
    devnet.down(folder)
    return Answer({"stopped": bool(was)}, ("the devnet is stopped" if was else "no devnet was running",))


def show_status(session: Session, keys: KeysOption = False) -> Answer:
    """Say whether the devnet runs, and where."""
    from ffem_devnet import devnet

    return _answer(devnet.status(session.config.home / "devnet"), keys)


def deploy(
    session: Session,
    force: Annotated[bool, typer.Option("--force", help="Deploy although the profile has a registry.")] = False,
) -> Answer:
    """Deploy the registry with the wallet, and write its address and block to the profile."""
    from ffem_chain.chain.registry import deploy as send

    settings = session.config
    if settings.text("registry") and not force:
        raise InputError(
            f"profile {settings.profile} has registry {settings.text('registry')}",
            "to deploy another one: ffem deploy --force",
        )
    rpc = session.rpc()
    block, chain = int(rpc.block("latest")["number"]), rpc.chain_id
    session.out.note(f"deploying to {rpc.name}, chain {chain}, with {session.address()}")
    address = send(
        settings.text("rpc_url"),
        session.account(),
        confirmations=settings.whole("confirmations"),
        timeout=settings.number("timeout"),
        nonce_folder=session.nonce_folder(),
    )
    # Whoever deployed with --rpc-url means to use the registry there.
    changes: dict[str, str | int] = {"registry": address, "from_block": block}
    if settings.source.get("rpc_url") != "default":
        changes["rpc_url"] = settings.text("rpc_url")
    failure = None
    try:
        config.save(settings, changes)
    except FfemError as error:  # it is deployed and paid for: its address is printed nevertheless
        failure = error
    data = {"registry": address, "chain_id": chain, "from_block": block, "profile": settings.profile}
    return Answer(data, (address,), failure)
