"""`ffem wallet`: keystore files in FFEM_HOME/wallets, each with the vault of the same name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ffem_chain.errors import FfemError, InputError
from ffem_cli import shell
from ffem_cli.config import NAME, check_name
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session

NameArgument = Annotated[str | None, typer.Argument(help="Name of the wallet (default: that of the settings).")]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("wallet", "Wallets: keystore files in the Web3 Secret Storage format, and their vaults.")
    shell.command(group, "new", example="ffem wallet new alice")(new)
    shell.command(group, "show", example="ffem wallet show --balance")(show)
    shell.command(group, "list", example="ffem wallet list --json")(list_all)
    shell.command(group, "import", example="FFEM_PRIVATE_KEY_FILE=key.txt ffem wallet import alice")(import_one)
    shell.command(group, "backup", example="ffem wallet backup alice.ffem-backup")(backup)
    shell.command(group, "restore", example="ffem wallet restore alice.ffem-backup")(restore)
    app.add_typer(group)


def _name(session: Session, name: str | None) -> str:
    return session.config.text("wallet") if name is None else check_name(name, "wallet")


def _make(session: Session, name: str, account: Any) -> Answer:
    from ffem_chain.keys.wallet import wallet_address
    from ffem_cli.making import make_wallet

    if session.wallet_path(name).exists():
        raise InputError(f"wallet {name!r} exists already", "choose another name; nothing was changed")
    make_wallet(session, account, name)
    address = wallet_address(session.wallet_path(name))
    session.out.note(f"use it: ffem config set wallet {name}\nkeep a copy: ffem wallet backup FILE")
    data = {"wallet": name, "address": address, "path": session.wallet_path(name), "vault": session.vault_path(name)}
    return Answer(data, (f"{name} {address}",))


def new(session: Session, name: NameArgument = None) -> Answer:
    """Make a wallet and its vault, encrypted with one passphrase."""
    return _make(session, _name(session, name), None)


def import_one(
    session: Session,
    name: NameArgument = None,
    keystore: Annotated[
        Path | None,
        typer.Option(help="Keystore file; its passphrase: FFEM_KEYSTORE_PASSPHRASE_FILE or a prompt.", dir_okay=False),
    ] = None,
) -> Answer:
    """Import a private key, typed at a prompt or in the file that FFEM_PRIVATE_KEY_FILE names, or a keystore file.

    The wallet is encrypted with the passphrase of this program, never with that of the keystore file.
    """
    from ffem_cli.making import new_account

    if name is not None and not NAME.fullmatch(name) and Path(name).is_file():
        raise InputError(f"{name} is a file, no name for a wallet", "ffem wallet import NAME --keystore FILE")
    chosen = _name(session, name)
    if session.wallet_path(chosen).exists():
        raise InputError(f"wallet {chosen!r} exists already", "choose another name; nothing was changed")
    return _make(session, chosen, new_account(import_key=keystore is None, keystore=keystore))


def show(
    session: Session,
    name: NameArgument = None,
    balance: Annotated[bool, typer.Option("--balance", help="Ask the chain for its balance, too.")] = False,
) -> Answer:
    """Show a wallet's address and files. Nothing is unlocked."""
    from ffem_chain.keys.wallet import wallet_address

    chosen = _name(session, name)
    session.need(session.wallet_path(chosen), "wallet", chosen)
    address = wallet_address(session.wallet_path(chosen))
    has_vault = session.vault_path(chosen).exists()
    data: dict[str, Any] = {
        "wallet": chosen,
        "address": address,
        "path": session.wallet_path(chosen),
        "vault": session.vault_path(chosen) if has_vault else None,
    }
    words = [f"wallet   {chosen}", f"address  {address}", f"file     {session.wallet_path(chosen)}"]
    words.append(f"vault    {session.vault_path(chosen) if has_vault else 'none: ffem init makes it'}")
    if balance:
        wei = session.rpc().ask(lambda w3: w3.eth.get_balance(address))  # type: ignore[arg-type]
        data["balance_wei"] = wei
        words.append(f"balance  {wei / 10**18:.6f} ether")
    return Answer(data, words)


def list_all(session: Session) -> Answer:
    """List all wallets."""
    from ffem_chain.keys.wallet import wallet_address

    found: list[dict[str, Any]] = []
    for path in sorted(session.config.wallets.glob("*.json")):
        try:
            address = wallet_address(path)
        except FfemError as error:
            address = f"({error.message})"
        found.append({"wallet": path.stem, "address": address, "vault": path.with_suffix(".vault").exists()})
    used = session.config.text("wallet")
    rows = [
        ("*" if one["wallet"] == used else "", one["wallet"], one["address"], "yes" if one["vault"] else "no")
        for one in found
    ]
    table = Table(("", "wallet", "address", "vault"), rows, "there is no wallet yet: ffem init")
    return Answer({"wallets": found, "used": used}, (table,))


def backup(
    session: Session,
    file: Annotated[Path, typer.Argument(help="New file to write.", dir_okay=False)],
    name: Annotated[str | None, typer.Option("--name", help="Name of the wallet.")] = None,
) -> Answer:
    """Copy a wallet and its vault, encrypted as they are, into one file. Keep it away from this machine.

    The passphrase is not in it, and without the passphrase the copy opens nothing.
    """
    from ffem_chain.keys.backup import backup as pack
    from ffem_chain.keys.wallet import wallet_address

    chosen = _name(session, name)
    external = session.external() if name is None else None
    session.need(session.vault_path(chosen) if external else session.wallet_path(chosen), "wallet", chosen)
    address = external.address if external else wallet_address(session.wallet_path(chosen))
    paths = [path for path in (session.wallet_path(chosen), session.vault_path(chosen)) if path.exists()]
    pack(paths, file)
    words = f"{file}: {' and '.join(path.name for path in paths)} of {address}"
    return Answer({"file": file, "wallet": chosen, "address": address, "files": [p.name for p in paths]}, (words,))


def restore(
    session: Session, file: Annotated[Path, typer.Argument(help="File that `wallet backup` wrote.", dir_okay=False)]
) -> Answer:
    """Restore a wallet and its vault from a backup. Nothing that exists is overwritten."""
    from ffem_chain.keys.backup import restore as unpack
    from ffem_chain.keys.wallet import wallet_address

    paths = unpack(file, session.config.wallets)
    wallets = [path for path in paths if path.suffix == ".json"]
    names = [path.stem for path in wallets]
    if names and names[0] != session.config.text("wallet"):
        session.out.note(f"use it: ffem config set wallet {names[0]}")
    data = {
        "files": paths,
        "wallets": [{"wallet": path.stem, "address": wallet_address(path)} for path in wallets],
    }
    return Answer(data, [f"restored {path.name} to {path.parent}" for path in paths])
