"""Making wallets and vaults, importing keys, and funding on a development chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffem_chain.errors import FormatError, InputError
from ffem_cli.passphrases import read_secret
from ffem_cli.session import Session

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

_LOW, _GIFT = 10**18, 10**20  # wei


def new_account(*, import_key: bool = False, keystore: Path | None = None) -> LocalAccount:
    """A fresh account, or one from a typed private key or from a keystore file with a passphrase of its own.

    Raises InputError for a bad key, FormatError for a bad file, NotForMe for a wrong passphrase.
    """
    from eth_account import Account
    from eth_keys.exceptions import ValidationError

    if keystore is not None:
        from ffem_chain.keys.wallet import load_wallet

        if not keystore.is_file():
            raise InputError(f"there is no keystore file {keystore}")
        return load_wallet(keystore, read_secret("passphrase of the keystore file", "FFEM_KEYSTORE_PASSPHRASE"))
    account: LocalAccount
    if not import_key:
        account = Account.create()
        return account
    secret = read_secret("private key (64 hexadecimal digits)", "FFEM_PRIVATE_KEY")
    try:
        raw = bytes.fromhex(secret.to_secret_bytes().decode().strip().removeprefix("0x"))
        account = Account.from_key(raw)
    except (ValueError, ValidationError):
        raise InputError(
            "this is not a private key of secp256k1", "64 hexadecimal digits, with or without 0x"
        ) from None
    return account


def make_wallet(session: Session, account: LocalAccount | None, name: str | None = None) -> list[str]:
    """Make the wallet and the vault where they are missing; what was made, as words.

    `account` None takes a fresh one. One passphrase opens both: where one of the two is there already, it must open
    that. Raises InputError where the wallet is there with another address than `account`. A wallet whose key is
    elsewhere (`external`) gets a vault only.
    """
    from ffem_chain.keys.vault import Vault
    from ffem_chain.keys.wallet import load_wallet, save_wallet, wallet_address

    path, vault = session.wallet_path(name), session.vault_path(name)
    external = session.external() is not None and name is None
    if external and account is not None:
        raise InputError("the key of an external wallet stays elsewhere", "leave --import or --external out")
    if path.exists() and account is not None and wallet_address(path) != account.address:
        raise InputError(
            f"wallet {path.stem!r} exists already, with address {wallet_address(path)}",
            "choose another name, or another profile; nothing was changed",
        )
    if vault.exists() and (external or path.exists()):
        return []
    passphrase = session.passphrase(new=not path.exists() and not vault.exists())
    made = []
    if vault.exists():
        Vault.open(vault, passphrase)
    if path.exists():
        load_wallet(path, passphrase)
    elif not external:
        save_wallet(path, account or new_account(), passphrase)
        made.append("wallet")
    if not vault.exists():
        Vault.create(vault, passphrase)
        made.append("vault")
    return made


def fund(url: str, rich: LocalAccount, address: str, timeout: float) -> bool:
    """Give a wallet of a development chain 100 ether where it has less than one; whether it was given."""
    from ffem_chain.chain.rpc import Rpc

    rpc = Rpc(url, timeout)
    if rpc.ask(lambda w3: w3.eth.get_balance(address)) >= _LOW:  # type: ignore[arg-type]
        return False
    nonce = rpc.ask(lambda w3: w3.eth.get_transaction_count(rich.address, "pending"))
    transaction: dict[str, Any] = {
        "to": address,
        "value": _GIFT,
        "nonce": nonce,
        "gas": 21_000,
        "chainId": rpc.chain_id,
        **rpc.fees(),
    }
    signed = rich.sign_transaction(transaction)
    sent = rpc.ask(lambda w3: w3.eth.send_raw_transaction(signed.raw_transaction))
    receipt = rpc.ask(lambda w3: w3.eth.wait_for_transaction_receipt(sent, timeout=timeout))
    if receipt["status"] != 1:
        raise FormatError("the development chain refused to fund the wallet", "ffem devnet status")
    return True
