"""A store in a folder: one file a block, one file a pin.

    blocks/<two characters>/<cid>   verified whenever they are read
    pins/<cid>                      empty
    tmp/                            half-written files, removed by the next writer

Blocks and pins appear under their names only when they are complete and on the disk. A lock file keeps writers apart,
so that one process does not collect what another is about to pin.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ffem_chain.errors import FormatError, StoreUnavailable, Tampered
from ffem_chain.stores import unixfs
from ffem_chain.stores.blocks import BlockReader
from ffem_chain.stores.cid import Cid, digest_of_cid

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOCK_SECONDS = 60.0


class LocalStore(BlockReader):
    """Directories of files under `folder`, which is made when something is put there."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.name = f"local:{self.folder}"

    def put(self, files: Mapping[str, bytes]) -> str:
        """See `Store.put`. Where the disk fails, what this call wrote is removed again."""
        root, blocks = unixfs.build(files)
        written: list[Path] = []

        def save(path: Path, data: bytes) -> None:
            if not path.exists():
                written.append(path)
            self._save(path, data)

        with self._writing():
            try:
                for cid, block in blocks:
                    if not self._holds(cid, block):
                        save(self._path(cid), block)
                save(self.folder / "pins" / str(root), b"")
            except BaseException:
                for path in reversed(written):  # the pin first
                    with suppress(OSError):
                        path.unlink()
                raise
        return str(root)

    def has(self, cid: str) -> bool:
        """See `Store.has`. Damaged inner nodes count as missing."""
        digest_of_cid(cid)
        try:
            return all(self._path(one).is_file() for one in unixfs.block_ids(self._fetch, Cid.parse(cid)))
        except (StoreUnavailable, Tampered, FormatError):
            return False

    def pins(self) -> list[str]:
        """CIDs of what is pinned, sorted."""
        folder = self.folder / "pins"
        return sorted(path.name for path in folder.iterdir() if path.name.startswith("baf")) if folder.is_dir() else []

    def unpin(self, cid: str) -> None:
        """See `Store.unpin`. Blocks that no pin needs are deleted at once, also those that a killed writer left.

        Raises Tampered or StoreUnavailable, having deleted nothing, where another pinned directory is damaged:
        without its inner nodes nobody knows which blocks it needs.
        """
        digest_of_cid(cid)
        with self._writing():
            pin = self.folder / "pins" / cid
            if not pin.exists():
                return
            others = [Cid.parse(other) for other in self.pins() if other != cid]
            kept = {str(one) for other in others for one in unixfs.block_ids(self._fetch, other)}
            pin.unlink()
            for path in (self.folder / "blocks").glob("*/baf*"):
                if path.name not in kept:
                    path.unlink(missing_ok=True)

    def check(self) -> str:
        """See `Store.check`. Writes and removes a small file."""
        with self._writing():
            probe = self.folder / "tmp" / "probe"
            self._save(probe, b"probe")
            probe.unlink()
        return f"local store in {self.folder}, {len(self.pins())} pinned"

    # --- blocks on disk

    def _path(self, cid: Cid) -> Path:
        name = str(cid)
        return self.folder / "blocks" / name[-3:-1] / name  # the last character is not evenly spread

    def _fetch(self, cid: Cid) -> bytes:
        try:
            with self._path(cid).open("rb") as file:
                return file.read(unixfs.MAX_BLOCK + 1)
        except FileNotFoundError:
            raise StoreUnavailable(
                f"{self.name} does not have block {cid}", "put the capture again, or fetch it from another store"
            ) from None
        except OSError as error:
            raise StoreUnavailable(f"{self.name} cannot be read: {error.strerror}", "check the disk") from error

    def _holds(self, cid: Cid, block: bytes) -> bool:
        """Whether the block is there and undamaged; a damaged one is written again."""
        path = self._path(cid)
        return path.is_file() and path.stat().st_size == len(block) and cid.matches(path.read_bytes())

    def _save(self, path: Path, data: bytes) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            _sync_folder(path.parent.parent)
        descriptor, name = tempfile.mkstemp(dir=self.folder / "tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
        _sync_folder(path.parent)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the store's lock, with an empty tmp folder; OSErrors become StoreUnavailable."""
        try:
            temporary = self.folder / "tmp"
            temporary.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock", timeout=_LOCK_SECONDS):
                for stale in temporary.iterdir():
                    stale.unlink(missing_ok=True)
                yield
        except Timeout:
            raise StoreUnavailable(f"another process keeps {self.name} locked", "try again when it has ended") from None
        except OSError as error:
            hint = "free some space" if error.errno in _FULL else "check the folder and its permissions"
            raise StoreUnavailable(f"{self.name} cannot be written: {error.strerror}", hint) from error


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power cut. Not every system lets a folder be opened."""
    with suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
