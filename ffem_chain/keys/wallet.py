"""Wallets in the Web3 Secret Storage format (version 3)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import is_address, to_checksum_address

from ffem_chain import boundedjson
from ffem_chain.errors import FormatError, InputError, NotForMe, Tampered
from ffem_chain.keys.files import read_file, write_private
from ffem_chain.keys.secret import Secret

MAX_BYTES = 1 << 20
# Limits for what a file may ask of scrypt and PBKDF2: four times what wallets in use ask for.
_MAX_SCRYPT_BYTES = 512 << 20
_MAX_SCRYPT_WORK = 1 << 23
_MAX_PBKDF2_ROUNDS = 10_000_000
_MOST_BRACKETS = 64
_RESTORE = "restore a backup: `ffem wallet restore`"


def save_wallet(path: Path, account: LocalAccount, passphrase: Secret) -> None:
    """Writes a new keystore file (scrypt, mode 0600). InputError where one exists or the passphrase is empty."""
    if not len(passphrase):
        raise InputError("the passphrase is empty", "choose one, or set FFEM_PASSPHRASE_FILE")
    keystore = Account.encrypt(bytes(account.key), _text(passphrase), kdf="scrypt")
    write_private(path, json.dumps(keystore).encode(), replace=False)


def wallet_address(path: Path) -> str:
    """The checksummed address that a keystore file names, without opening it. FormatError where it names none."""
    address = _named_address(parse_keystore(read_file(path, "wallet", MAX_BYTES)))
    if not address:
        raise FormatError("the wallet file names no address", _RESTORE)
    return address


def load_wallet(path: Path, passphrase: Secret) -> LocalAccount:
    """Opens a keystore file. NotForMe for a wrong passphrase, FormatError where it is damaged, Tampered where it names
    the address of another wallet."""
    keystore, text = parse_keystore(read_file(path, "wallet", MAX_BYTES)), _text(passphrase)
    try:
        key = Account.decrypt(keystore, text)
    except ValueError:
        raise NotForMe(
            "the passphrase does not open this wallet",
            "check FFEM_PASSPHRASE, or type it again; a damaged file looks the same",
        ) from None
    try:
        account: LocalAccount = Account.from_key(key)
    except ValueError:
        raise FormatError("the wallet file holds no private key", _RESTORE) from None
    if "address" in keystore and account.address != _named_address(keystore):
        raise Tampered("the wallet file names an address that is not its key's", _RESTORE)
    return account


def _named_address(keystore: dict[str, Any]) -> str:
    """Checksummed; empty where the keystore names none."""
    address = keystore.get("address")
    return str(to_checksum_address(str(address))) if is_address(address) else ""


def _text(passphrase: Secret) -> str:
    try:
        return passphrase.to_secret_bytes().decode()
    except UnicodeDecodeError:
        raise InputError("the passphrase of a wallet has to be text (UTF-8)") from None


def parse_keystore(data: bytes) -> dict[str, Any]:
    """The keystore in `data`, with lower-case names; what it asks of the key derivation is bounded before any memory is
    taken for it. FormatError for anything else."""
    try:
        keystore = _lower(boundedjson.loads(data, _MOST_BRACKETS))
        crypto = _lower(keystore["crypto"])
        # every level: the library lower-cases names, and of "n" and "N" it takes the last
        crypto.update({name: _lower(crypto[name]) for name in ("cipherparams", "kdfparams")})
        if keystore["version"] != 3:
            raise KeyError("version")
    except (ValueError, KeyError, TypeError):
        raise FormatError("this is not a wallet in the Web3 Secret Storage format", _RESTORE) from None
    try:
        _check_crypto(crypto)
    except (ValueError, KeyError, TypeError):
        raise FormatError("the wallet file is damaged, or asks for too much memory or time", _RESTORE) from None
    return {**keystore, "crypto": crypto}


def _lower(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len({name.lower() for name in value}) != len(value):
        raise TypeError("not an object, or a name twice")
    return {name.lower(): part for name, part in value.items()}


def _check_crypto(crypto: dict[str, Any]) -> None:
    kdf = crypto["kdfparams"]
    sizes = (crypto["cipherparams"]["iv"], 16), (crypto["ciphertext"], 32), (crypto["mac"], 32)
    if crypto["cipher"] != "aes-128-ctr" or any(len(bytes.fromhex(text)) != size for text, size in sizes):
        raise ValueError("cipher")
    if type(kdf["dklen"]) is not int or kdf["dklen"] != 32 or len(bytes.fromhex(kdf["salt"])) > 1024:
        raise ValueError("kdfparams")
    if crypto["kdf"] == "scrypt":
        n, r, p = (kdf[name] for name in "nrp")
        if not all(type(value) is int and 1 <= value <= _MAX_SCRYPT_WORK for value in (n, r, p)):
            raise ValueError("scrypt")
        if n < 2 or n & (n - 1) or 128 * r * (n + p) > _MAX_SCRYPT_BYTES or n * r * p > _MAX_SCRYPT_WORK:
            raise ValueError("scrypt")
    elif crypto["kdf"] == "pbkdf2":
        if kdf["prf"] != "hmac-sha256" or type(kdf["c"]) is not int or not 1 <= kdf["c"] <= _MAX_PBKDF2_ROUNDS:
            raise ValueError("pbkdf2")
    else:
        raise ValueError("kdf")
