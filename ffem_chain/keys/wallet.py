"""Wallets in the Web3 Secret Storage format (version 3), and backups of encrypted files."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.address import is_address, to_checksum_address

from ffem_chain.errors import FormatError, InputError, NotForMe, Tampered
from ffem_chain.keys.files import read_file, write_private
from ffem_chain.keys.secret import Secret

_INDEX = "ffem-backup.json"
_MAX_BACKUP = 256 << 20


def save_wallet(path: Path, account: LocalAccount, passphrase: Secret) -> None:
    """Writes a new keystore file (scrypt, mode 0600). InputError where one exists or the passphrase is empty."""
    if not len(passphrase):
        raise InputError("the passphrase is empty", "choose one, or set FFEM_PASSPHRASE_FILE")
    keystore = Account.encrypt(bytes(account.key), passphrase.to_secret_bytes().decode(), kdf="scrypt")
    write_private(path, json.dumps(keystore).encode(), replace=False)


def wallet_address(path: Path) -> str:
    """The checksummed address that a keystore file names, without opening it. FormatError where it names none."""
    address = _parse(path).get("address")
    if not is_address(address):
        raise FormatError("the wallet file names no address", "restore a backup: `ffem wallet restore`")
    return str(to_checksum_address(str(address)))


def load_wallet(path: Path, passphrase: Secret) -> LocalAccount:
    """Opens a keystore file. NotForMe for a wrong passphrase, FormatError where it is damaged."""
    keystore = _parse(path)
    try:
        key = Account.decrypt(keystore, passphrase.to_secret_bytes().decode())
    except ValueError:
        raise NotForMe("the passphrase does not open this wallet", "check FFEM_PASSPHRASE, or type it again") from None
    except (KeyError, TypeError):
        raise FormatError("the wallet file is damaged", "restore a backup: `ffem wallet restore`") from None
    account: LocalAccount = Account.from_key(key)
    return account


def _parse(path: Path) -> dict[str, object]:
    try:
        keystore = json.loads(read_file(path, "wallet", 1 << 20))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        keystore = None
    if not isinstance(keystore, dict) or keystore.get("version") != 3 or "crypto" not in keystore:
        raise FormatError("this is not a wallet in the Web3 Secret Storage format", "restore a backup")
    return keystore


def backup(paths: Sequence[Path], out: Path) -> None:
    """Packs encrypted files with their digests into the new file `out`. They stay encrypted as they are."""
    contents = {path.name: read_file(path, "file to back up") for path in paths}
    if len(contents) != len(paths):
        raise InputError("two files to back up have the same name")
    index = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in {_INDEX: json.dumps({"v": 1, "files": index}).encode(), **contents}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
    write_private(out, packed.getvalue(), replace=False)


def restore(path: Path, folder: Path) -> list[Path]:
    """Unpacks a backup into `folder`; nothing is written unless every file is whole and none exists there yet."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(read_file(path, "backup", _MAX_BACKUP)), mode="r:") as tar:
            for entry in tar:
                stream = tar.extractfile(entry) if entry.isfile() else None
                if stream is None or entry.name != Path(entry.name).name or entry.name.startswith("."):
                    raise FormatError("the backup holds something that no backup of ours holds")
                contents[entry.name] = stream.read()
        index = json.loads(contents.pop(_INDEX))["files"]
    except (tarfile.TarError, KeyError, TypeError, ValueError):
        raise FormatError("this is not a backup, or it is damaged", "try another copy of it") from None
    found = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    if found != index:
        raise Tampered("the backup is damaged: a file does not match its digest", "try another copy of it")
    for name in contents:
        if (folder / name).exists():
            raise InputError(f"{name} exists already in {folder}", "move it away first; nothing was changed")
    for name, data in contents.items():
        write_private(folder / name, data, replace=False)
    return [folder / name for name in contents]
