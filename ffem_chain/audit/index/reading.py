"""A registry for reading whose events come from the index, where this machine keeps one, and else from the node.

What a node's logs would have to be compared with is compared as before: callers do not see the difference, but in time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ffem_chain.audit.index import links
from ffem_chain.audit.index.store import FILE
from ffem_chain.audit.index.update import Index
from ffem_chain.audit.proofs import read_header
from ffem_chain.audit.run import at_block
from ffem_chain.chain import events as ev
from ffem_chain.chain.connection import Filter, alternatives
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import InputError
from ffem_chain.roles.lists import Lists

Answer = TypeVar("Answer")
_MOST = 50  # captures that a name may mean
_FIELDS = {"grant": "grant_id"}
# Filters whose name alone finds the events, whatever their kind.
_PLAIN: dict[str, Callable[[Any], bytes]] = {
    "grant": links.grant,
    "uid": links.capture,
    "recipient": links.granted_to,
    "owner": links.owned_by,
}
_OF_ALBUM: dict[type[ev.Event], Callable[[bytes], bytes]] = {
    ev.GrantCreated: links.grants_of,
    ev.CaptureRegistered: links.captures_of,
    ev.CapturesRegistered: links.captures_of,
    ev.AlbumCreated: links.frame,
    ev.EpochOpened: links.frame,
    ev.KeeperSetProposed: links.frame,
    ev.KeeperSetActivated: links.frame,
}
_OF_KEYS = (ev.KeyRegistered, ev.KeyStatusChanged, ev.RecoveryPublished)


class IndexedRegistry(Registry):
    """`copies` is the folder in which a registry's logs are kept under its deployment id, `lists` gives the lists of
    batches that are kept beside it; other parameters as `Registry`."""

    def __init__(self, *given: Any, copies: Path, lists: Lists | None = None, **options: Any) -> None:
        super().__init__(*given, **options)
        self._copies = copies
        self._lists = lists
        self._index: Index | None = None

    def events(
        self,
        kinds: Sequence[type[ev.Event]] | None = None,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
        **filters: Filter,
    ) -> list[ev.Event]:
        """See `Registry.events`."""
        names = None if kinds is None or from_block is not None or to_block is not None else _names(kinds, filters)
        found = None if names is None else self._ask(lambda index: index.store.named(names))
        if kinds is None or found is None:
            return super().events(kinds, from_block=from_block, to_block=to_block, **filters)
        wanted = {_FIELDS.get(name, name): value for name, value in filters.items()}
        return [
            event
            for _, event in sorted(found.items())
            if isinstance(event, tuple(kinds))
            and all(getattr(event, name) in alternatives(value) for name, value in wanted.items())
        ]

    def named(self, *, prefix: str = "", digest: bytes = b"") -> list[tuple[bytes, bytes]] | None:
        """(album, uid) of the captures whose uid begins with these hexadecimal digits, or whose files have this digest,
        by themselves and in the batches whose lists are known. None where there is no index; nothing is checked yet."""

        def captures(index: Index) -> list[ev.Event]:
            if digest:
                alone = list(index.store.named([links.content(digest)]).values())
            else:
                alone = index.store.beginning(b"U", prefix, _MOST)
            return [*alone, *(one.event() for one in index.lists.find(prefix=prefix, digest=digest, limit=_MOST))]

        found = self._ask(captures)
        if found is None:
            return None
        return list(dict.fromkeys((one.album, one.uid) for one in found if isinstance(one, ev.CaptureRegistered)))

    def batches_with(self, album: bytes, uid: bytes) -> set[bytes] | None:
        """See `Registry.batches_with`: those that list it, and those whose lists the index lacks."""
        return self._ask(lambda index: index.lists.roots(album, uid))

    def _ask(self, question: Callable[[Index], Answer]) -> Answer | None:
        """What the index says, as of the newest block. None where there is none, or where it cannot be brought up to
        date (full disk, another process that reads into it for long): the node is asked then, as without one."""
        index = self._opened()
        if index is None:
            return None
        try:
            with self._current(index):
                return question(index)
        except InputError:
            return None

    @contextmanager
    def _current(self, index: Index) -> Iterator[None]:
        """The index as of the newest block, for this process alone."""
        with index.locked():
            if read_header(self.rpc, "latest").hash != index.block_hash:
                at_block(self, lambda header: index.update(header), None, 1, None)
            if self._lists is not None:
                index.lists.take_kept(self._lists)
            yield

    def _opened(self) -> Index | None:
        folder = self._copies / self.deployment_id.hex()
        if self._index is None and (folder / FILE).exists():
            self._index = Index(folder, self)
        return self._index


def _names(kinds: Sequence[type[ev.Event]], filters: dict[str, Any]) -> set[bytes] | None:
    """Names under which the events lie, None where the index does not find them by these filters."""
    fields = {_FIELDS.get(name, name) for name in filters}
    if any(fields - {name for name, _ in ev.layouts()[kind].indexed} for kind in kinds):
        return None  # that is an error, which `Registry.events` names
    for name, value in filters.items():
        if name in _PLAIN:
            return {_PLAIN[name](one) for one in alternatives(value)}
    if "album" in filters and all(kind in _OF_ALBUM for kind in kinds):
        return {_OF_ALBUM[kind](one) for kind in kinds for one in alternatives(filters["album"])}
    if "wallet" in filters and all(kind in _OF_KEYS for kind in kinds):
        return {links.keys(one) for one in alternatives(filters["wallet"])}
    if "keeper_set" in filters and not {ev.GrantCreated} & set(kinds):
        return {links.keeper_set(one) for one in alternatives(filters["keeper_set"])}
    return None
