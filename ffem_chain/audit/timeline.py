"""What happened, one sentence an event."""

from __future__ import annotations

from ffem_chain.audit.history import History
from ffem_chain.audit.model import Moment
from ffem_chain.chain import events as ev
from ffem_chain.chain.types import KeyStatus
from ffem_chain.keys.suites import SUITE_NAMES
from ffem_chain.labels import DIRECT_LABEL
from ffem_chain.roles.ledger import Ledger


def timeline(history: History, times: dict[int, int]) -> tuple[Moment, ...]:
    """All events in words, in order of the chain; `times` of their blocks in unix seconds."""
    return tuple(_moment(history, event, times.get(event.block, 0)) for event in history.events)


def short(name: bytes) -> str:
    """An id as people see it."""
    return name.hex()[:16]


def _moment(history: History, event: ev.Event, time: int) -> Moment:
    grant = getattr(event, "grant_id", b"")
    ledger = history.grants.get(grant)
    album = getattr(event, "album", b"") or (ledger.created.album if ledger else b"")
    wallet = getattr(event, "wallet", "") or getattr(event, "recipient", "") or getattr(event, "keeper", "")
    return Moment(
        block=event.block,
        time=time,
        tx=event.tx,
        log_index=event.log_index,
        kind=type(event).__name__,
        text=_words(history, event, ledger),
        album=album,
        grant=grant,
        uid=getattr(event, "uid", b""),
        wallet=wallet or (ledger.created.recipient if ledger else ""),
    )


def _words(history: History, event: ev.Event, ledger: Ledger | None) -> str:
    match event:
        case ev.KeyRegistered():
            suite = SUITE_NAMES.get(event.suite, f"suite {event.suite}")
            return f"{event.wallet} published encryption key version {event.version} ({suite})"
        case ev.KeyStatusChanged():
            what = "declared compromised" if event.status is KeyStatus.COMPROMISED else "retired"
            return f"encryption key version {event.version} of {event.wallet} was {what}"
        case ev.RecoveryPublished():
            what = f"the private half of encryption key version {event.version}"
            return f"{event.wallet} published {what}, sealed to its own recovery key"
        case ev.NoncesUsed():
            return _nonces(event)
        case ev.AlbumCreated():
            return f"{event.owner} created album {short(event.album)}"
        case ev.EpochOpened():
            return f"epoch {event.epoch} of album {short(event.album)} began"
        case ev.KeeperSetProposed():
            of = f"{event.threshold} of {len(event.keepers)}"
            return f"keeper set {event.keeper_set} was proposed for album {short(event.album)}: {of} keepers"
        case ev.KeeperAccepted():
            return f"{event.keeper} accepted to serve as keeper {event.index} of set {event.keeper_set}"
        case ev.KeeperSetActivated():
            return f"keeper set {event.keeper_set} serves album {short(event.album)}"
        case ev.CaptureRegistered():
            return f"capture {short(event.uid)} was registered in album {short(event.album)}, epoch {event.epoch}"
        case ev.CapturesRegistered():
            what = f"{event.count} captures were registered in album {short(event.album)}, epoch {event.epoch}"
            return f"{what}, as batch {short(event.root)}"
        case ev.GrantCreated():
            return _granted(history, event)
        case ev.GrantsBatched():
            what = f"{len(event.grant_ids)} grants of album {short(event.album)}"
            return f"{what} were made together, as batch {event.batch}"
        case _:
            return _of_grant(event, ledger)


def _nonces(event: ev.NoncesUsed) -> str:
    """A call by signature uses one nonce, and its own events follow; a cancellation may use several."""
    count = event.mask.bit_count()
    if count == 1:
        return f"a signature of {event.wallet} was used for a call, or cancelled (nonce {_first(event)})"
    return f"{event.wallet} cancelled signatures with {count} nonces from {256 * event.word} on"


def _first(event: ev.NoncesUsed) -> int:
    return 256 * event.word + event.mask.bit_length() - 1


def _granted(history: History, event: ev.GrantCreated) -> str:
    owner = history.owner_of(event.album) or "an unknown owner"
    what = f"{owner} granted {event.recipient} something of album {short(event.album)} (grant {short(event.grant_id)})"
    if event.keeper_set == 0:
        return f"{what}, directly: {DIRECT_LABEL}"
    return f"{what}, through keeper set {event.keeper_set}"


def _of_grant(event: ev.Event, ledger: Ledger | None) -> str:
    recipient = ledger.created.recipient if ledger else "the recipient"
    name = short(getattr(event, "grant_id", b""))

    def keeper(index: int) -> str:
        return ledger.keepers[index] if ledger and index < len(ledger.keepers) else f"keeper {index}"

    match event:
        case ev.AccessRequested():
            return f"{recipient} requested grant {name} (request {event.seq})"
        case ev.ReleaseCommitted():
            return f"{keeper(event.index)} committed to release its share of grant {name} to request {event.seq}"
        case ev.GrantOpened():
            return f"grant {name} was opened: enough keepers had committed; from here on it cannot be recalled"
        case ev.ShareDelivered():
            return f"the share of {keeper(event.index)} for request {event.seq} of grant {name} was delivered"
        case ev.GrantRevoked():
            late = "after it had been opened" if event.opened else "before it was opened"
            return f"grant {name} was revoked, {late}"
        case _:
            return type(event).__name__
