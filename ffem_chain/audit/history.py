"""The state of the registry, rebuilt from its events and nothing else.

`rebuild` applies the rules of `KeyRegistry.sol`. What the events cannot have happened like is a `Gap`: logs are missing
or altered. Whether the state is the contract's is for `check` to prove.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ffem_chain.chain import events as ev
from ffem_chain.chain.types import GrantStatus, GrantView, KeyStatus, batch_head
from ffem_chain.roles.ledger import GrantLogs, Ledger, chain_head, own_head

GrantEvent = (
    ev.AccessRequested | ev.ReleaseCommitted | ev.GrantOpened | ev.ShareDelivered | ev.GrantRevoked | ev.GrantCreated
)
_OF_KEYS = ev.KeyRegistered | ev.KeyStatusChanged | ev.RecoveryPublished


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
class BatchHistory:
    """Grants that were made as one batch; `head` follows from the logs of all of them, `keeper_set` was the album's."""

    logged: ev.GrantsBatched
    keeper_set: int
    head: bytes = bytes(32)


@dataclass
class AlbumHistory:
    """An album with its epochs, keeper sets (`current` 0 until one is accepted), captures that are registered by
    themselves by uid, batches of captures by root, and grants by id."""

    created: ev.AlbumCreated
    epochs: dict[int, ev.EpochOpened] = field(default_factory=dict)
    keeper_sets: list[int] = field(default_factory=list)
    current: int = 0
    captures: dict[bytes, ev.CaptureRegistered] = field(default_factory=dict)
    batches: dict[bytes, ev.CapturesRegistered] = field(default_factory=dict)
    grants: list[bytes] = field(default_factory=list)


@dataclass
class History:
    """All that the events of one registry tell, or those of one album where `whole` is false.

    `keys` by wallet and version; `grants` in order of creation; `batches` of grants by number; `nonces` of signed calls
    that are used up, a bitmap by wallet and word.
    """

    events: tuple[ev.Event, ...]
    whole: bool = True
    keys: dict[tuple[str, int], KeyHistory] = field(default_factory=dict)
    albums: dict[bytes, AlbumHistory] = field(default_factory=dict)
    keeper_sets: dict[int, KeeperSetHistory] = field(default_factory=dict)
    grants: dict[bytes, Ledger] = field(default_factory=dict)
    batches: dict[int, BatchHistory] = field(default_factory=dict)
    nonces: dict[tuple[str, int], int] = field(default_factory=dict)
    recoveries: list[ev.RecoveryPublished] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def captures(self, uid: bytes) -> list[ev.CaptureRegistered]:
        """Registrations of a capture; uids are random, but any owner may repeat one in an album of its own."""
        return [album.captures[uid] for album in self.albums.values() if uid in album.captures]

    def owner_of(self, album: bytes) -> str:
        """Owner of an album, empty where the logs do not say."""
        return self.albums[album].created.owner if album in self.albums else ""


def rebuild(events: Iterable[ev.Event], now: int, *, whole: bool = True) -> History:
    """The state after `events`, which are in order of the chain. `now`, unix seconds, decides what is expired.

    `whole` False: they are those of one album (see `of_album`).
    """
    history = History(tuple(events), whole)
    of_grant: dict[bytes, list[GrantEvent]] = {}
    for event in history.events:
        match event:
            case ev.KeyRegistered() | ev.KeyStatusChanged() | ev.RecoveryPublished():
                _key(history, event)
            case ev.NoncesUsed():
                place = event.wallet, event.word
                history.nonces[place] = history.nonces.get(place, 0) | event.mask
            case ev.AlbumCreated():
                history.albums[event.album] = AlbumHistory(event)
            case ev.EpochOpened() | ev.CaptureRegistered() | ev.CapturesRegistered() | ev.KeeperSetProposed():
                _album(history, event)
            case ev.GrantsBatched():
                album = history.albums.get(event.album)
                history.batches[event.batch] = BatchHistory(event, album.current if album else 0)
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
    batched = _batches(history, of_grant)
    for grant, own in of_grant.items():
        _grant(history, grant, own, batched.get(grant), now)
    if whole:
        _counts(history)
    return history


def of_album(events: Sequence[ev.Event], album: bytes) -> list[ev.Event]:
    """Events of one album: its own, those of its grants and keeper sets, and the keys of recipients and keepers."""
    sets: set[int] = set()
    grants: set[bytes] = set()
    wallets: set[str] = set()
    for event in events:
        if isinstance(event, ev.KeeperSetProposed) and event.album == album:
            sets.add(event.keeper_set)
            wallets.update(event.keepers)
        elif isinstance(event, ev.GrantCreated) and event.album == album:
            grants.add(event.grant_id)
            wallets.add(event.recipient)
    return [
        event
        for event in events
        if getattr(event, "album", None) == album
        or getattr(event, "grant_id", None) in grants
        or (isinstance(event, ev.KeeperAccepted) and event.keeper_set in sets)
        or (isinstance(event, _OF_KEYS) and event.wallet in wallets)
    ]


def _key(history: History, event: ev.KeyRegistered | ev.KeyStatusChanged | ev.RecoveryPublished) -> None:
    place = (event.wallet, event.version)
    if isinstance(event, ev.KeyRegistered):
        history.keys[place] = KeyHistory(event)
        if event.version > 1 and (event.wallet, event.version - 1) not in history.keys:
            text = f"the logs lack encryption key version {event.version - 1} of {event.wallet}"
            history.gaps.append(Gap(text, event.block))
    elif place not in history.keys:
        text = f"key version {event.version} of {event.wallet} is used, and the logs never show it registered"
        history.gaps.append(Gap(text, event.block))
    elif isinstance(event, ev.RecoveryPublished):
        history.recoveries.append(event)
    else:
        history.keys[place].status = event.status
        history.keys[place].changes.append(event)


def _album(
    history: History, event: ev.EpochOpened | ev.CaptureRegistered | ev.CapturesRegistered | ev.KeeperSetProposed
) -> None:
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
    elif isinstance(event, ev.CapturesRegistered):
        album.batches[event.root] = event
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
    """Keeper sets, and batches of grants, are numbered from 1 over all albums."""
    for what, there in (("keeper set", history.keeper_sets), ("batch of grants", history.batches)):
        for number in sorted(set(range(1, max(there, default=0) + 1)) - set(there)):
            history.gaps.append(Gap(f"the logs lack {what} {number}", 0))


def _batches(history: History, of_grant: dict[bytes, list[GrantEvent]]) -> dict[bytes, BatchHistory]:
    """The batch of each grant that is in one; their heads are computed from the logs of their grants."""
    found: dict[bytes, BatchHistory] = {}
    for number, batch in history.batches.items():
        logged, own = batch.logged, []
        for grant in logged.grant_ids:
            found[grant] = batch
            created = of_grant[grant][0] if grant in of_grant else None
            if isinstance(created, ev.GrantCreated):
                own.append(own_head(created))
        batch.head = batch_head(own)
        if batch.head != logged.head:
            text = f"the logs of the grants of batch {number} are not those of which it was made"
            history.gaps.append(Gap(text, logged.block, album=logged.album))
    return found


def _grant(history: History, grant: bytes, events: list[GrantEvent], batch: BatchHistory | None, now: int) -> None:
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
    state = grant_view(created, max(requests, default=0), commits, threshold, revoked is not None, now, batch)
    for seq in sorted({*range(1, state.seq + 1), *(commit.seq for commit in commits)} - set(requests)):
        gap(f"the logs lack request {seq}")
    if created.keeper_set in history.keeper_sets and state.opened != (opened is not None or created.keeper_set == 0):
        gap("the commits in the logs and the log of its opening contradict each other")
    if revoked is not None and (revoked.opened, revoked.released) != (state.opened, state.released):
        gap("the commits in the logs are not those that its revocation names", revoked.block)
    genesis = batch.head if batch else b""
    history.grants[grant] = Ledger(
        created=created, state=state, keepers=keepers, threshold=threshold, genesis=genesis, **vars(logs)
    )


def grant_view(
    created: ev.GrantCreated,
    seq: int,
    commits: list[ev.ReleaseCommitted],
    threshold: int,
    revoked: bool,
    now: int,
    batch: BatchHistory | None = None,
) -> GrantView:
    """What `grantState` answers at `now` (unix seconds) for a grant with these events; `batch` None: made alone."""
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
        head=chain_head(created, commits, batch.head if batch else b""),
        batch=batch.logged.batch if batch else 0,
    )
