"""Backups: encrypted files with their digests in one archive. What is in them stays encrypted as it is."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

from ffem_chain import boundedjson
from ffem_chain.errors import FfemError, FormatError, InputError, Tampered
from ffem_chain.keys.files import read_file, write_private
from ffem_chain.keys.vault import check_vault
from ffem_chain.keys.wallet import parse_keystore

MAX_BYTES = 128 << 20
MAX_FILES = 64
_VERSION = 1
_INDEX = "ffem-backup.json"
_NAME = re.compile(r"[^./\\:\x00-\x1f\x7f][^/\\:\x00-\x1f\x7f]{0,199}\.(json|vault)")
_DAMAGED = "this is not a backup, or it is damaged"


def backup(paths: Sequence[Path], out: Path) -> None:
    """Packs wallets (*.json) and vaults (*.vault) into the new file `out`. InputError for anything else."""
    contents = {path.name: read_file(path, "file to back up", MAX_BYTES) for path in paths}
    if len(contents) != len(paths):
        raise InputError("two files to back up have the same name")
    for name, data in contents.items():
        _check_file(name, data)
    index = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in {_INDEX: json.dumps({"v": _VERSION, "files": index}).encode(), **contents}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o600
            tar.addfile(entry, io.BytesIO(data))
    if packed.tell() > MAX_BYTES or len(contents) >= MAX_FILES:
        raise InputError(f"a backup holds at most {MAX_FILES - 1} files and {MAX_BYTES >> 20} MiB")
    write_private(out, packed.getvalue(), replace=False)


def restore(path: Path, folder: Path) -> list[Path]:
    """Unpacks a backup into `folder`; nothing is written unless every file is whole and none exists there yet.

    FormatError for anything that `backup` does not write, Tampered where a file does not match its digest, InputError
    where one exists.
    """
    contents = _unpack(read_file(path, "backup", MAX_BYTES))
    for name in contents:
        if (folder / name).exists():
            raise InputError(f"{name} exists already in {folder}", "move it away first; nothing was changed")
    written: list[Path] = []
    try:
        for name, data in contents.items():
            write_private(folder / name, data, replace=False)
            written.append(folder / name)
    except FfemError:
        for done in written:
            done.unlink(missing_ok=True)
        raise
    return written


def _unpack(data: bytes) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for entry in tar:
                # no links or devices, and no sparse entries, whose sizes the archive need not hold
                plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
                stream = tar.extractfile(entry) if plain and 0 <= entry.size <= len(data) else None
                if stream is None or entry.name in contents or len(contents) >= MAX_FILES:
                    raise FormatError("the backup holds something that no backup of ours holds")
                contents[entry.name] = stream.read()
        index = boundedjson.loads(contents.pop(_INDEX), 4)
        version, files = index["v"], dict(index["files"])
    except (tarfile.TarError, KeyError, TypeError, ValueError, OverflowError):
        raise FormatError(_DAMAGED, "try another copy of it") from None
    if version != _VERSION:
        raise FormatError(f"unknown version {version!r} of a backup"[:80], "update ffem-chain")
    if {name: hashlib.sha256(part).hexdigest() for name, part in contents.items()} != files:
        raise Tampered("the backup is damaged: a file does not match its digest", "try another copy of it")
    for name, part in contents.items():
        _check_file(name, part)
    return contents


def _check_file(name: str, data: bytes) -> None:
    """Only what these files are goes in and comes out: a backup from elsewhere cannot plant settings or programs."""
    if not _NAME.fullmatch(name):
        raise FormatError("only wallets (.json) and vaults (.vault) are backed up and restored")
    if name.endswith(".json"):
        parse_keystore(data)
    else:
        check_vault(data)
