"""A bundle as one file: a tar of which every byte follows from the names and contents of its files (POSIX ustar)."""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ffem_chain.audit.bundle.format import HEAD, MAX_FILE, MAX_FILES, Files
from ffem_chain.errors import FormatError, InputError

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(2 * _BLOCK)


def _header(name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry.tobuf(tarfile.USTAR_FORMAT)


def write(path: Path, files: Iterable[tuple[str, bytes]]) -> int:
    """Write a new file, all or nothing; its size in bytes. Raises InputError (exists, disk full)."""
    temporary = ""
    try:
        if path.exists():
            raise FileExistsError
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as out:
            for name, data in files:
                out.write(_header(name, len(data)) + data + bytes(-len(data) % _BLOCK))
            out.write(_END)
            size = out.tell()
            out.flush()
            os.fsync(out.fileno())
        os.link(temporary, path)  # never in place of a file that came meanwhile
        return size
    except FileExistsError:
        raise InputError(f"{path} exists already", "move it away first, or choose another name") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}", "free some space or choose another folder"
        ) from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


class Archive(Files):
    """The files of a bundle on disk, in their order; the whole container is checked when it is opened.

    Raises FormatError, naming file or offset, InputError (cannot be read).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        try:
            with path.open("rb") as stream:
                self._read_index(stream, path.stat().st_size)
        except FileNotFoundError:
            raise InputError(f"there is no bundle at {path}", "make one: ffem audit export -o FILE") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        if next(iter(self._places), "") != HEAD:
            raise FormatError(f"the bundle does not begin with {HEAD}", "check that this is the whole file")

    def _read_index(self, stream: object, size: int) -> None:
        at, before = 0, "the beginning"
        read = stream.read  # type: ignore[attr-defined]
        while True:
            block = read(_BLOCK)
            if block == bytes(_BLOCK):
                if read(_BLOCK + 1) != bytes(_BLOCK):
                    raise FormatError(f"the bundle does not end as it should, at byte {at}")
                return
            name, length = _entry(block, at, before)
            if name in self._places or len(self._places) > MAX_FILES or at + _BLOCK + length > size:
                raise FormatError(f"the bundle is cut short, or has {name} twice, at byte {at}")
            self._places[name] = (at + _BLOCK, length)
            stream.seek(length, os.SEEK_CUR)  # type: ignore[attr-defined]
            if any(read(-length % _BLOCK)):
                raise FormatError(f"there are bytes behind the end of {name}, at byte {at + _BLOCK + length}")
            at, before = at + _BLOCK + length + -length % _BLOCK, name

    def __getitem__(self, name: str) -> bytes:
        at, length = self._places[name]
        try:
            with self._path.open("rb") as stream:
                stream.seek(at)
                data = stream.read(length)
        except OSError as error:
            raise InputError(f"{self._path} cannot be read: {error.strerror}") from None
        if len(data) != length:
            raise FormatError(f"the bundle was cut short while it was read, in {name}")
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _entry(block: bytes, at: int, before: str) -> tuple[str, int]:
    """Name and length of a file, from its header. Raises FormatError unless it is the header that `write` gives."""
    where = f"the header behind {before}, at byte {at} of the bundle, is damaged or of another program"
    if at == 0:
        where = "this is no bundle of ffem audit export, or its beginning is damaged"
    try:
        entry = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if not 0 <= entry.size <= MAX_FILE or _header(entry.name, entry.size) != block:
            raise FormatError(where, "get the bundle again: every byte of it counts")
    except (tarfile.TarError, ValueError, UnicodeError):
        raise FormatError(where, "get the bundle again: every byte of it counts") from None
    return entry.name, entry.size


class InMemory(Files):
    """Files that are at hand: what export verifies before it writes, and tests."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)

    def __getitem__(self, name: str) -> bytes:
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
