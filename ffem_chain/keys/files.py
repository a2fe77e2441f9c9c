"""Writing files that must be whole or absent, readable by their owner only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from ffem_chain.errors import InputError


def write_private(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Writes `data` to `path` atomically, mode 0600. InputError where the disk is full or the folder not writable.

    With `replace` False an existing file is never touched (InputError).
    """
    part: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        part = Path(name)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        if replace:
            part.replace(path)
        else:
            _link(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():
            raise InputError(f"{path.name} exists already", "move it away first; nothing was changed") from None
        raise InputError(
            f"{path.name} cannot be written: {error.strerror}", "free some space or choose another folder"
        ) from None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def _link(part: Path, path: Path) -> None:
    """Gives `part` the name `path` unless that exists (FileExistsError)."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # memory sticks know no hard links: the name is taken first, then filled in one step
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        part.replace(path)


def _sync_folder(folder: Path) -> None:
    """Makes the new name outlive a power failure: a keeper must find again what it wrote before it sent it."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_file(path: Path, what: str, limit: int = 256 << 20) -> bytes:
    """The bytes of `path`, bounded. InputError where it is absent, unreadable or larger than `limit`."""
    try:
        with path.open("rb") as file:
            # not by the size that it names: devices name none and never end
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise InputError(f"there is no {what} at {path}") from None
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise InputError(f"{path.name} is too large for a {what}")
    return data
