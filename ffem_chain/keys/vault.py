"""The vault: one encrypted file for what an owner, a recipient or a keeper must keep secret.

scrypt (RFC 7914) of the passphrase gives a key, that gives an AES-256-GCM key and a check value; docs/KEYS.md has the
layout. Every write draws a fresh nonce, replaces the file atomically and holds a lock, so that several processes can
share a vault.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from filelock import FileLock, Timeout

from ffem_chain import cborcheck
from ffem_chain.errors import FormatError, InputError, NotForMe, Tampered
from ffem_chain.keys.files import read_file, write_private
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.tree import hkdf

VERSION = 1
MAX_BYTES = 64 << 20
LOCK_SECONDS = 30.0
_KDF = {"n": 1 << 15, "r": 8, "p": 1}
# scrypt takes 128 n r bytes: 16 to 256 MiB
_ALLOWED_N = {1 << bits for bits in range(14, 19)}
_FIELDS = ("header", "check", "nonce", "data", "digest")


class Vault:
    """An open vault. `read` gives a copy of its content; `edit` changes it."""

    def __init__(self, path: Path, header: bytes, key: Secret) -> None:
        """Use `create` or `open`."""
        self.path = path
        self._header = header
        self._key = key
        # lock files hold nothing and stay: removing one would let two processes hold different ones
        self._lock = FileLock(f"{path}.lock", timeout=LOCK_SECONDS)

    def __repr__(self) -> str:
        return f"Vault({str(self.path)!r})"

    @classmethod
    def create(cls, path: Path, passphrase: Secret) -> Vault:
        """Makes an empty vault. InputError where there is a file already or the passphrase is empty."""
        if not len(passphrase):
            raise InputError("the passphrase is empty", "choose one, or set FFEM_PASSPHRASE_FILE")
        header = _header({**_KDF, "salt": secrets.token_bytes(16)})
        vault = cls(path, header, _derive(header, passphrase))
        write_private(path, vault._seal({}), replace=False)
        return vault

    @classmethod
    def open(cls, path: Path, passphrase: Secret) -> Vault:
        """Opens a vault. NotForMe for a wrong passphrase, Tampered or FormatError for a damaged file."""
        header, check, _, _ = _parse(read_file(path, "vault", MAX_BYTES))
        key = _derive(header, passphrase)
        if not hmac.compare_digest(check, _passphrase_check(key, header)):
            raise NotForMe("the passphrase does not open this vault", "check FFEM_PASSPHRASE, or type it again")
        vault = cls(path, header, key)
        vault.read()
        return vault

    def read(self) -> dict[str, Any]:
        """The content as it is now: text, numbers, bytes, lists and dicts. The caller may change its copy."""
        header, _, nonce, sealed = _parse(read_file(self.path, "vault", MAX_BYTES))
        if header != self._header:
            raise Tampered("the vault was replaced by another one meanwhile", "start again")
        try:
            plain = AESGCM(_data_key(self._key, header)).decrypt(nonce, sealed, header)
        except InvalidTag:
            raise Tampered("the vault is damaged", "restore a backup: `ffem wallet restore`") from None
        content: dict[str, Any] = cbor2.loads(plain)
        return content

    @contextmanager
    def edit(self) -> Iterator[dict[str, Any]]:
        """`with vault.edit() as data:` locks, reads, writes back what `data` became. Exceptions write nothing."""
        if self._lock.is_locked:
            raise RuntimeError("an edit within an edit: the outer one would write over the inner one")
        try:
            with self._lock:
                content = self.read()
                yield content
                write_private(self.path, self._seal(content))
        except Timeout:
            raise InputError("another process is holding the vault", "wait for it, or stop it") from None

    def _seal(self, content: dict[str, Any]) -> bytes:
        plain, nonce = cbor2.dumps(content), secrets.token_bytes(12)
        sealed = AESGCM(_data_key(self._key, self._header)).encrypt(nonce, plain, self._header)
        parts = self._header, _passphrase_check(self._key, self._header), nonce, sealed
        data = cbor2.dumps(dict(zip(_FIELDS, (*parts, _digest(parts)), strict=True)))
        if len(data) > MAX_BYTES:
            raise InputError(f"the vault would have more than {MAX_BYTES >> 20} MiB", "nothing was changed")
        return data


def check_vault(data: bytes) -> None:
    """FormatError unless `data` is a whole vault, as far as that shows without its passphrase."""
    _parse(data)


def _header(kdf: dict[str, Any]) -> bytes:
    return cbor2.dumps({"v": VERSION, "kdf": kdf})


def _derive(header: bytes, passphrase: Secret) -> Secret:
    kdf = cbor2.loads(header)["kdf"]
    scrypt = Scrypt(salt=kdf["salt"], length=32, n=kdf["n"], r=kdf["r"], p=kdf["p"])
    return Secret(scrypt.derive(passphrase.to_secret_bytes()))


def _data_key(key: Secret, header: bytes) -> bytes:
    return hkdf(key, "vault/data", header)


def _passphrase_check(key: Secret, header: bytes) -> bytes:
    """Tells a wrong passphrase from damage on purpose, which a failing tag alone does not."""
    return hkdf(key, "vault/check", header)


def _digest(parts: tuple[bytes, bytes, bytes, bytes]) -> bytes:
    """Tells damage by accident before the passphrase is tried. Lengths are fixed by the fields' own."""
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def _parse(data: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """(header, check, nonce, sealed content); every field bounded before it is used."""
    damaged = FormatError("this is not a vault, or it is damaged", "restore a backup: `ffem wallet restore`")
    try:
        cborcheck.check("the vault", data, max_items=11, max_depth=1)
        outer = cbor2.loads(data)
        header, check, nonce, sealed, digest = (outer[name] for name in _FIELDS)
        cborcheck.check("the vault's header", header, max_items=13, max_depth=2)
        inner = cbor2.loads(header)
        version, kdf = inner["v"], inner["kdf"]
        canonical = tuple(outer) == _FIELDS and cbor2.dumps(outer) == data and cbor2.dumps(inner) == header
    except (FormatError, cbor2.CBORError, KeyError, TypeError, ValueError):
        raise damaged from None
    if version != VERSION:
        raise FormatError(f"the vault is of version {version}, this program reads {VERSION}"[:80], "update ffem-chain")
    parts = header, check, nonce, sealed
    if not canonical or not all(type(part) is bytes for part in parts) or digest != _digest(parts):
        raise damaged
    if not isinstance(kdf, dict) or set(kdf) != {"n", "r", "p", "salt"} or (len(check), len(nonce)) != (32, 12):
        raise damaged
    if type(kdf["n"]) is not int or kdf["n"] not in _ALLOWED_N or (kdf["r"], kdf["p"]) != (8, 1):
        raise damaged
    if type(kdf["salt"]) is not bytes or len(kdf["salt"]) != 16:
        raise damaged
    return parts
