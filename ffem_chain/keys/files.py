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
    part = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        if replace:
            Path(part).replace(path)
        else:
            os.link(part, path)
            Path(part).unlink()
    except FileExistsError:
        Path(part).unlink(missing_ok=True)
        raise InputError(f"{path.name} exists already", "move it away first; nothing was changed") from None
    except OSError as error:
        if part:
            Path(part).unlink(missing_ok=True)
        raise InputError(
            f"{path.name} cannot be written: {error.strerror}", "free some space or choose another folder"
        ) from None


def read_file(path: Path, what: str, limit: int = 256 << 20) -> bytes:
    """The bytes of `path`, bounded. InputError where it is absent, unreadable or larger than `limit`."""
    try:
        if path.stat().st_size > limit:
            raise InputError(f"{path.name} is too large for a {what}")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no {what} at {path}") from None
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}") from None
