"""A registry client and a vault that live in memory, for the real keeper.

Both are branched at every step of an exploration: `registry.chain` and `vault.content` are put in before the keeper
steps and read out after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import cbor2
from eth_utils import keccak

from ffem_chain.chain.connection import Filter, Receipt, alternatives
from ffem_chain.chain.events import Event
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantView, KeeperSetView, KeyView
from ffem_chain.errors import ChainUnavailable
from ffem_chain.keys.vault import Vault
from formal.contract import Chain

Delivery = tuple[bytes, int, int, bytes]
Commit = tuple[str, bytes, int, int, bytes]
_keccak = cache(keccak)


class MemoryVault(Vault):
    """A vault whose content is canonical CBOR in memory, like the real one's before encryption."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = cbor2.dumps(content)

    def read(self) -> dict[str, Any]:
        """See `Vault.read`."""
        content: dict[str, Any] = cbor2.loads(self.content)
        return content

    @contextmanager
    def edit(self) -> Iterator[dict[str, Any]]:
        """See `Vault.edit`."""
        content = self.read()
        yield content
        self.content = cbor2.dumps(content)


class MemoryRegistry(Registry):
    """What a keeper asks and sends, answered by a `Chain`.

    `shown`: sealed shares that this wallet has handed to its node, which makes them public whether they are mined or
    not. `lost`: commits that were sent while `loses` is set: the node took them, and they are not mined yet.
    """

    def __init__(self, chain: Chain, wallet: str, deployment: bytes) -> None:
        self.chain, self.wallet, self.loses = chain, wallet, False
        self.from_block = 0
        self.shown: list[Delivery] = []
        self.lost: list[Commit] = []
        self._deployment = deployment

    def read_deployment(self) -> bytes:
        """See `Connection.read_deployment`."""
        return self._deployment

    def latest_block(self) -> int:
        """See `Connection.latest_block`."""
        return self.chain.height

    def events(
        self,
        kinds: Sequence[type[Event]] | None = None,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
        **filters: Filter,
    ) -> list[Event]:
        """See `Connection.events`."""
        first, last = from_block or 0, self.chain.height if to_block is None else to_block
        wanted = {"grant_id" if name == "grant" else name: value for name, value in filters.items()}
        return [
            event
            for event in self.chain.log
            if first <= event.block <= last
            and (kinds is None or type(event) in kinds)
            and all(getattr(event, name) in alternatives(value) for name, value in wanted.items())
        ]

    def grant_state(self, grant: bytes, *, block: int | str = "latest") -> GrantView:
        """See `Views.grant_state`."""
        return self.chain.view(grant)

    def keeper_set(self, number: int, *, block: int | str = "latest") -> KeeperSetView:
        """See `Views.keeper_set`."""
        return self.chain.sets[number]

    def key(self, wallet: str, version: int, *, block: int | str = "latest") -> KeyView:
        """See `Views.key`."""
        return self.chain.keys[wallet, version]

    def commit_release(self, grant: bytes, seq: int, index: int, digest: bytes) -> Receipt:
        """See `Registry.commit_release`."""
        if self.loses:
            self.lost.append((self.wallet, grant, seq, index, digest))
            raise ChainUnavailable("sent, and not mined yet")
        self.chain = self.chain.commit(self.wallet, grant, seq, index, digest)
        return self._mined()

    def deliver(
        self,
        grant: bytes,
        seq: int,
        index: int,
        previous_head: bytes,
        later_leaves: Sequence[bytes],
        sealed_share: bytes,
    ) -> Receipt:
        """See `Registry.deliver`."""
        self.shown.append((grant, seq, index, sealed_share))
        if self.loses:
            raise ChainUnavailable("sent, and not mined yet")
        digest = _keccak(sealed_share)
        self.chain = self.chain.deliver(grant, seq, index, previous_head, later_leaves, sealed_share, digest)
        return self._mined()

    def _mined(self) -> Receipt:
        return Receipt(bytes(32), self.chain.height, 0, [])
