"""The interface that every store has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

MAX_BYTES = 770 * 1024 * 1024  # of all files of a directory; the largest capture (`capture.format.LIMITS`) fits


class Store(Protocol):
    """A place for directories of files, each named by its CID. `name` is what messages call the store."""

    name: str

    def put(self, files: Mapping[str, bytes]) -> str:
        """Keep the files as one UnixFS directory and pin it; its CID.

        Raises StoreUnavailable, FormatError (names, number of files, more than `MAX_BYTES`).
        """

    def get(self, cid: str, *, max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
        """The files of a directory, every block verified against the CID.

        Raises StoreUnavailable (no answer, content missing), Tampered (other bytes than the CID names), FormatError
        (not a CID, not a flat directory of files, larger than `max_bytes`).
        """

    def get_file(self, cid: str, name: str, *, max_bytes: int = MAX_BYTES) -> tuple[bytes, bytes]:
        """The root block of a directory and one of its files, verified; nothing of the other files is fetched.

        The root block's sha2-256 is the digest in `cid`, and it names the file's CID. Raises like `get`.
        """

    def has(self, cid: str) -> bool:
        """Whether all of a directory's blocks are here, without fetching or verifying the files.

        False also for what `get` would refuse as damaged or no directory. Raises StoreUnavailable (no answer),
        FormatError (not a CID).
        """

    def unpin(self, cid: str) -> None:
        """No longer keep a directory; its blocks go when the store collects garbage. Not pinned: nothing happens."""

    def export_car(self, cid: str, path: Path) -> None:
        """Write a directory as CAR v1, verified, which any IPFS daemon imports. Raises like `get`."""

    def check(self) -> str:
        """One line that says where the store is and that it works. Raises StoreUnavailable."""
