"""What all stores read alike: they only differ in where a block comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from ffem_chain.stores import car, unixfs
from ffem_chain.stores.base import MAX_BYTES
from ffem_chain.stores.cid import Cid, digest_of_cid


class BlockReader(ABC):
    """Directories read from blocks, each of which is verified."""

    @abstractmethod
    def _fetch(self, cid: Cid) -> bytes:
        """The bytes of a block as the store gives them, not verified. Raises StoreUnavailable where it has none."""

    def get(self, cid: str, *, max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
        """See `Store.get`."""
        digest_of_cid(cid)
        return unixfs.Reader(self._fetch, max_bytes).files(Cid.parse(cid))

    def get_file(self, cid: str, name: str, *, max_bytes: int = MAX_BYTES) -> tuple[bytes, bytes]:
        """See `Store.get_file`."""
        digest_of_cid(cid)
        root = Cid.parse(cid)
        blocks: dict[Cid, bytes] = {}
        data = unixfs.Reader(self._fetch, max_bytes, blocks.__setitem__).file(root, name)
        return blocks[root], data

    def export_car(self, cid: str, path: Path) -> None:
        """See `Store.export_car`."""
        digest_of_cid(cid)
        car.export(self._fetch, Cid.parse(cid), path)
