"""The events that a question, or a change, is about: enough of them that the contract's rules can be followed.

A slice is closed: with a grant come its batch, its album, its keeper set and its recipient's keys, so `rebuild` and
everything that follows it work on a slice as on the whole history.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ffem_chain.audit.index import links
from ffem_chain.audit.index.store import Store, place_of
from ffem_chain.chain import events as ev


@dataclass
class Want:
    """What a slice must hold all of. `captures`: events of captures, as they are. `keepers`: also the keys of the
    keepers of everything in it."""

    albums: set[bytes] = field(default_factory=set)
    grants: set[bytes] = field(default_factory=set)
    sets: set[int] = field(default_factory=set)
    wallets: set[str] = field(default_factory=set)
    nonces: set[str] = field(default_factory=set)
    captures: list[ev.Event] = field(default_factory=list)
    keepers: bool = False

    @classmethod
    def of(cls, events: Iterable[ev.Event]) -> Want:
        """What the storage holds of the things that `events` are about."""
        want = cls()
        for event in events:
            match event:
                case ev.KeyRegistered() | ev.KeyStatusChanged():
                    want.wallets.add(event.wallet)
                case ev.NoncesUsed():
                    want.nonces.add(event.wallet)
                case ev.CaptureRegistered() | ev.CapturesRegistered():
                    want.captures.append(event)
                case ev.AlbumCreated() | ev.EpochOpened() | ev.KeeperSetProposed() | ev.KeeperSetActivated():
                    want.albums.add(event.album)
                case ev.KeeperAccepted():
                    want.sets.add(event.keeper_set)
                case ev.GrantsBatched():
                    want.grants.update(event.grant_ids)
                case ev.RecoveryPublished():
                    pass
                case _:
                    want.grants.add(event.grant_id)  # type: ignore[attr-defined]
        return want


def cut(store: Store, want: Want) -> list[ev.Event]:
    """The slice, in order of the chain."""
    found: dict[int, ev.Event] = {place_of(one.block, one.log_index): one for one in want.captures}
    albums, sets, wallets = set(want.albums), set(want.sets), set(want.wallets)
    albums.update(one.album for one in want.captures)  # type: ignore[attr-defined]
    grants: set[bytes] = set()
    more = set(want.grants)
    while more:
        grants |= more
        part = store.named(links.grant(one) for one in more)
        found |= part
        batches = [event for event in part.values() if isinstance(event, ev.GrantsBatched)]
        more = {one for event in batches for one in event.grant_ids} - grants
        for event in part.values():
            if isinstance(event, ev.GrantCreated):
                albums.add(event.album)
                wallets.add(event.recipient)
                sets.update({event.keeper_set} - {0})
    # The album of a set brings its other sets, since the album's own word names the newest.
    part = store.named(links.keeper_set(one) for one in sets)
    albums.update(event.album for event in part.values() if isinstance(event, ev.KeeperSetProposed))
    frames = store.named(links.frame(one) for one in albums)
    proposed = [event for event in (*part.values(), *frames.values()) if isinstance(event, ev.KeeperSetProposed)]
    found |= part | frames
    found |= store.named(links.keeper_set(event.keeper_set) for event in proposed if event.keeper_set not in sets)
    if want.keepers:
        wallets.update(keeper for event in proposed for keeper in event.keepers)
    found |= store.named(links.keys(wallet) for wallet in wallets)
    found |= store.named(links.nonces(wallet) for wallet in want.nonces)
    return [found[place] for place in sorted(found)]
