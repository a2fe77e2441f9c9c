"""The state of the registry, rebuilt from its events and nothing else.

`rebuild` applies the rules of `KeyRegistry.sol`. What the events cannot have happened like is a `Gap`: logs are missing
or altered. Whether the state is the contract's is for `check` to prove.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ffem_chain.chain import events as ev
from ffem_chain.chain.types import GrantStatus, GrantView, KeyStatus
from ffem_chain.roles.ledger import GrantLogs, Ledger, chain_head

GrantEvent = (
    ev.AccessRequested | ev.ReleaseCommitted | ev.GrantOpened | ev.ShareDelivered | ev.GrantRevoked | ev.GrantCreated
)


@dataclass(frozen=True)
class Gap:
    """Something that the logs contradict: a sentence, and what it is about (empty where that is unknown)."""

    text: str
    block: int
    grant: bytes = b""
    album: bytes = b""


@dataclass
class KeyHistory:
    """One version of a wallet's encryption key; `status` after all its changes."""

    registered: ev.KeyRegistered
    status: KeyStatus = KeyStatus.ACTIVE
    changes: list[ev.KeyStatusChanged] = field(default_factory=list)

    @property
    def compromised(self) -> ev.KeyStatusChanged | None:
        """Its being declared compromised."""
        return next((change for change in self.changes if change.status is KeyStatus.COMPROMISED), None)

    @property
    def compromised_block(self) -> int | None:
        """Block in which it was declared compromised."""
        return self.compromised.block if self.compromised else None


@dataclass
class KeeperSetHistory:
    """A keeper set; `accepted` by the keepers' indices."""

    proposed: ev.KeeperSetProposed
    accepted: dict[int, ev.KeeperAccepted] = field(default_factory=dict)

    @property
    def waiting(self) -> tuple[str, ...]:
        """Keepers that have not accepted."""
        return tuple(keeper for index, keeper in enumerate(self.proposed.keepers) if index not in self.accepted)


@dataclass
class AlbumHistory:
    """An album with its epochs, keeper sets (`current` 0 until one is accepted), captures by uid, and grants by id."""

    created: ev.AlbumCreated
    epochs: dict[int, ev.EpochOpened] = field(default_factory=dict)
    keeper_sets: list[int] = field(default_factory=list)
    current: int = 0
    captures: dict[bytes, ev.CaptureRegistered] = field(default_factory=dict)
    grants: list[bytes] = field(default_factory=list)


@dataclass
class History:
    """All that the events of one registry tell. `keys` by wallet and version; `grants` in order of creation."""

    events: tuple[ev.Event, ...]
    keys: dict[tuple[str, int], KeyHistory] = field(default_factory=dict)
    albums: dict[bytes, AlbumHistory] = field(default_factory=dict)
    keeper_sets: dict[int, KeeperSetHistory] = field(default_factory=dict)
    grants: dict[bytes, Ledger] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)

    def captures(self, uid: bytes) -> list[ev.CaptureRegistered]:
        """Registrations of a capture; uids are random, but any owner may repeat one in an album of its own."""
        return [album.captures[uid] for album in self.albums.values() if uid in album.captures]

    def owner_of(self, album: bytes) -> str:
        """Owner of an album, empty where the logs do not say."""
        return self.albums[album].created.owner if album in self.albums else ""


def rebuild(events: Iterable[ev.Event], now: int) -> History:
    """The state after `events`, which are in order of the chain. `now`, unix seconds, decides what is expired."""
    history = History(tuple(events))
    of_grant: dict[bytes, list[GrantEvent]] = {}
    for event in history.events:
        match event:
            case ev.KeyRegistered() | ev.KeyStatusChanged():
                _key(history, event)
            case ev.AlbumCreated():
                history.albums[event.album] = AlbumHistory(event)
            case ev.EpochOpened() | ev.CaptureRegistered() | ev.KeeperSetProposed():
                _album(history, event)
            case ev.KeeperAccepted() | ev.KeeperSetActivated():
                _keepers(history, event)
            case (
                ev.GrantCreated()
                | ev.AccessRequested()
                | ev.ReleaseCommitted()
                | ev.GrantOpened()
                | ev.ShareDelivered()
                | ev.GrantRevoked()
            ):
                of_grant.setdefault(event.grant_id, []).append(event)
    for grant, own in of_grant.items():
        _grant(history, grant, own, now)
    _counts(history)
    return history


def _key(history: History, event: ev.KeyRegistered | ev.KeyStatusChanged) -> None:
    place = (event.wallet, event.version)
    if isinstance(event, ev.KeyRegistered):
        history.keys[place] = KeyHistory(event)
        if event.version > 1 and (event.wallet, event.version - 1) not in history.keys:
            text = f"the logs lack encryption key version {event.version - 1} of {event.wallet}"
            history.gaps.append(Gap(text, event.block))
    elif place in history.keys:
        history.keys[place].status = event.status
        history.keys[place].changes.append(event)
    else:
        text = f"key version {event.version} of {event.wallet} changes, and the logs never show it registered"
        history.gaps.append(Gap(text, event.block))


def _album(history: History, event: ev.EpochOpened | ev.CaptureRegistered | ev.KeeperSetProposed) -> None:
    album = history.albums.get(event.album)
    if isinstance(event, ev.KeeperSetProposed):
        history.keeper_sets[event.keeper_set] = KeeperSetHistory(event)
    if album is None:
        text = f"album {event.album.hex()[:16]} is used, and the logs never show it created"
        history.gaps.append(Gap(text, event.block, album=event.album))
        return
    if isinstance(event, ev.EpochOpened):
        if event.epoch != len(album.epochs) + 1:
            text = f"the logs lack epoch {len(album.epochs) + 1} of album {event.album.hex()[:16]}"
            history.gaps.append(Gap(text, event.block, album=event.album))
        album.epochs[event.epoch] = event
    elif isinstance(event, ev.CaptureRegistered):
        album.captures[event.uid] = event
    else:
        album.keeper_sets.append(event.keeper_set)


def _keepers(history: History, event: ev.KeeperAccepted | ev.KeeperSetActivated) -> None:
    keepers = history.keeper_sets.get(event.keeper_set)
    if keepers is None:
        text = f"keeper set {event.keeper_set} is accepted, and the logs never show it proposed"
        history.gaps.append(Gap(text, event.block))
        return
    if isinstance(event, ev.KeeperAccepted):
        keepers.accepted[event.index] = event
        return
    if event.album in history.albums:
        history.albums[event.album].current = event.keeper_set
    if keepers.waiting:
        text = f"keeper set {event.keeper_set} is active, and the logs lack the consent of {', '.join(keepers.waiting)}"
        history.gaps.append(Gap(text, event.block, album=event.album))


def _counts(history: History) -> None:
    """Keeper sets are numbered from 1 over all albums."""
    missing = set(range(1, max(history.keeper_sets, default=0) + 1)) - set(history.keeper_sets)
    for number in sorted(missing):
        history.gaps.append(Gap(f"the logs lack keeper set {number}", 0))


def _grant(history: History, grant: bytes, events: list[GrantEvent], now: int) -> None:
    """Add the ledger of a grant, or a gap where the logs never show it created."""
    created = events[0]
    if not isinstance(created, ev.GrantCreated):
        text = f"grant {grant.hex()[:16]} is used, and the logs never show it created"
        history.gaps.append(Gap(text, created.block, grant=grant))
        return

    def gap(text: str, block: int = created.block) -> None:
        history.gaps.append(Gap(f"grant {grant.hex()[:16]}: {text}", block, grant=grant, album=created.album))

    album = history.albums.get(created.album)
    if album is not None:
        album.grants.append(grant)
    else:
        gap("the logs never show its album created")
    keepers: tuple[str, ...] = ()
    threshold = 0
    if created.keeper_set in history.keeper_sets:
        proposed = history.keeper_sets[created.keeper_set].proposed
        keepers, threshold = proposed.keepers, proposed.threshold
    elif created.keeper_set:
        gap(f"the logs lack its keeper set {created.keeper_set}")
    if (created.recipient, created.key_version) not in history.keys:
        gap(f"the logs lack the recipient's encryption key version {created.key_version}")
    logs = GrantLogs.of(events)
    requests, commits, opened, revoked = logs.requests, logs.commits, logs.opened, logs.revoked
    state = grant_view(created, max(requests, default=0), commits, threshold, revoked is not None, now)
    for seq in sorted({*range(1, state.seq + 1), *(commit.seq for commit in commits)} - set(requests)):
        gap(f"the logs lack request {seq}")
    if created.keeper_set in history.keeper_sets and state.opened != (opened is not None or created.keeper_set == 0):
        gap("the commits in the logs and the log of its opening contradict each other")
    if revoked is not None and (revoked.opened, revoked.released) != (state.opened, state.released):
        gap("the commits in the logs are not those that its revocation names", revoked.block)
    history.grants[grant] = Ledger(created=created, state=state, keepers=keepers, threshold=threshold, **vars(logs))


def grant_view(
    created: ev.GrantCreated, seq: int, commits: list[ev.ReleaseCommitted], threshold: int, revoked: bool, now: int
) -> GrantView:
    """What `grantState` answers at `now` (unix seconds) for a grant with these events."""
    released = 0
    for commit in commits:
        released |= 1 << commit.index
    opened = created.keeper_set == 0 or (threshold > 0 and released.bit_count() >= threshold)
    if revoked:
        status = GrantStatus.REVOKED
    elif created.expiry and created.expiry <= now:
        status = GrantStatus.EXPIRED
    else:
        status = GrantStatus.OPENED if opened else GrantStatus.LIVE
    return GrantView(
        status=status,
        recipient=created.recipient,
        expiry=created.expiry,
        keeper_set=created.keeper_set,
        seq=seq,
        released=released,
        opened=opened,
        revoked=revoked,
        head=chain_head(created, commits),
    )
