"""A store in memory, for tests of what is built on stores. It builds and verifies the same blocks as the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ffem_chain.errors import FormatError, StoreUnavailable, Tampered
from ffem_chain.stores import car, unixfs
from ffem_chain.stores.base import MAX_BYTES
from ffem_chain.stores.cid import Cid, digest_of_cid


class MemoryStore:
    """Blocks in a dictionary (`blocks`, by CID), which tests may damage."""

    def __init__(self) -> None:
        self.name = "memory"
        self.blocks: dict[Cid, bytes] = {}
        self.pins: set[str] = set()

    def put(self, files: Mapping[str, bytes]) -> str:
        """See `Store.put`."""
        root, blocks = unixfs.build(files)
        self.blocks.update(blocks)
        self.pins.add(str(root))
        return str(root)

    def get(self, cid: str, *, max_bytes: int = MAX_BYTES) -> dict[str, bytes]:
        """See `Store.get`."""
        digest_of_cid(cid)
        return unixfs.Reader(self._fetch, max_bytes).files(Cid.parse(cid))

    def has(self, cid: str) -> bool:
        """See `Store.has`."""
        digest_of_cid(cid)
        try:
            return all(one in self.blocks for one in unixfs.block_ids(self._fetch, Cid.parse(cid)))
        except (StoreUnavailable, Tampered, FormatError):
            return False

    def unpin(self, cid: str) -> None:
        """See `Store.unpin`."""
        digest_of_cid(cid)
        self.pins.discard(cid)
        kept = {one for pin in self.pins for one in unixfs.block_ids(self._fetch, Cid.parse(pin))}
        self.blocks = {one: block for one, block in self.blocks.items() if one in kept}

    def export_car(self, cid: str, path: Path) -> None:
        """See `Store.export_car`."""
        digest_of_cid(cid)
        car.export(self._fetch, Cid.parse(cid), path)

    def check(self) -> str:
        """See `Store.check`."""
        return f"store in memory, {len(self.pins)} pinned"

    def _fetch(self, cid: Cid) -> bytes:
        if cid not in self.blocks:
            raise StoreUnavailable(f"the store does not have block {cid}")
        return self.blocks[cid]
