"""What an unfinished export has read, in a folder beside the bundle: an interrupted one goes on from there."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cbor2
from filelock import FileLock, Timeout

from ffem_chain.audit.bundle.format import MAX_FILE, dump
from ffem_chain.errors import FfemError, InputError
from ffem_chain.keys.files import read_file, write_private

_BEGUN, _LOCK = "begun.cbor", "lock"


class Work:
    """The folder. Its content is trusted no more than a node: the finished bundle is verified as a whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    @contextmanager
    def at(cls, folder: Path) -> Iterator[Work]:
        """The folder, made where there is none, for one process at a time. Raises InputError."""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(folder / _LOCK, timeout=0)
            lock.acquire()
        except Timeout:
            raise InputError(f"another process exports into {folder}", "wait for it, or stop it") from None
        except OSError as error:
            raise InputError(f"{folder} cannot be used: {error.strerror}", "choose another folder") from None
        work = cls(folder)
        try:
            yield work
        finally:
            lock.release()
            if not (folder / _BEGUN).exists():
                shutil.rmtree(folder, ignore_errors=True)

    def begun(self, settings: Sequence[str]) -> bytes | None:
        """Header of the block of an export with these settings that was begun here, None where there is none."""
        try:
            said, header = cbor2.loads(read_file(self._folder / _BEGUN, "begun export", 1 << 20))
        except (FfemError, cbor2.CBORError, ValueError, TypeError):
            return None
        return bytes(header) if said == list(settings) else None

    def begin(self, settings: Sequence[str], header: bytes) -> None:
        """Begin anew: what was read for another block or with other settings is dropped."""
        self.clear()
        write_private(self._folder / _BEGUN, dump([list(settings), header]))

    def clear(self) -> None:
        """Drop everything that was read."""
        for path in [self._folder / _BEGUN, *self._folder.glob("*.cbor")]:
            path.unlink(missing_ok=True)

    def keep(self, name: str, make: Callable[[], bytes]) -> bytes:
        """A file that is here already, else what `make` gives, kept."""
        path = self._folder / name
        if path.exists():
            return read_file(path, "part of an export", MAX_FILE)
        data = make()
        write_private(path, data)
        return data
