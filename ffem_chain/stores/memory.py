"""A store in memory, for tests of what is built on stores. It builds and verifies the same blocks as the others."""

from __future__ import annotations

from collections.abc import Mapping

from ffem_chain.errors import FormatError, StoreUnavailable, Tampered
from ffem_chain.stores import unixfs
from ffem_chain.stores.blocks import BlockReader
from ffem_chain.stores.cid import Cid, digest_of_cid


class MemoryStore(BlockReader):
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

    def check(self) -> str:
        """See `Store.check`."""
        return f"store in memory, {len(self.pins)} pinned"

    def _fetch(self, cid: Cid) -> bytes:
        if cid not in self.blocks:
            raise StoreUnavailable(f"the store does not have block {cid}")
        return self.blocks[cid]
