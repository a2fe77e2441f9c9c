"""The same history, looked at from one capture or from one wallet.

What a grant is for is a salted commitment on the chain. Where the caller's vault knows it (an owner's, or the
recipient's own), `scopes` resolves it; otherwise every grant of the album may be for the capture, and the view says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ffem_chain.audit.findings import USABLE
from ffem_chain.audit.history import History, KeyHistory
from ffem_chain.audit.model import Anomaly, Report
from ffem_chain.chain.events import CaptureRegistered
from ffem_chain.chain.types import GrantStatus, KeyStatus
from ffem_chain.errors import InputError, Refused
from ffem_chain.keys.scope import LEVEL_CAPTURE, Scope
from ffem_chain.labels import DIRECT_LABEL
from ffem_chain.roles.ledger import Ledger
from ffem_chain.roles.records import covers, describe
from ffem_chain.stores.cid import cid_of_digest

Scopes = Mapping[bytes, Scope]
CANNOT_TELL = (
    "the chain does not say what a grant is for (a salted commitment): each grant of the album without a resolved "
    "scope may be for this capture, a face of it, its whole epoch, or for something else; the owner's vault knows, and "
    "each recipient knows its own"
)


class Coverage(Enum):
    """What a grant is for, as seen from a capture."""

    WHOLE = "all of it"
    PART = "a part of it"
    UNKNOWN = "not known here"


@dataclass(frozen=True)
class Receipt:
    """A step of a release: block, time (unix seconds), transaction, and what it shows."""

    block: int
    time: int
    tx: bytes
    text: str


_Steps = dict[bytes, list[Receipt]]


@dataclass(frozen=True)
class GrantLine:
    """A grant as an audit shows it. `now` says in words what it allows, `steps` how it got there.

    `may_open`: the recipient can obtain the key now, or has been able to. `scope` in words, empty where not resolved.
    """

    grant: bytes
    album: bytes
    owner: str
    recipient: str
    key_version: int
    key_status: KeyStatus
    suite: int
    status: GrantStatus
    direct: bool
    expiry: int
    threshold: int
    keepers: tuple[str, ...]
    opened_block: int | None
    revoked_block: int | None
    may_open: bool
    now: str
    scope: str
    coverage: Coverage
    steps: tuple[Receipt, ...]


@dataclass(frozen=True)
class CaptureView:
    """One capture: what is registered, and every grant that may be for it. `cannot_tell` is empty where all is told."""

    uid: bytes
    album: bytes
    owner: str
    digest: bytes
    cid: str
    epoch: int
    slot: int
    block: int
    time: int
    tx: bytes
    grants: tuple[GrantLine, ...]
    elsewhere: int
    cannot_tell: str
    anomalies: tuple[Anomaly, ...]


@dataclass(frozen=True)
class KeyLine:
    """One encryption key of a wallet."""

    version: int
    suite: int
    status: KeyStatus
    block: int
    compromised_block: int | None


@dataclass(frozen=True)
class WalletView:
    """One wallet: its keys, the grants it received, and whether the chain shows it as owner or keeper."""

    wallet: str
    keys: tuple[KeyLine, ...]
    grants: tuple[GrantLine, ...]
    owns: tuple[bytes, ...]
    keeps: tuple[int, ...]
    cannot_tell: str
    anomalies: tuple[Anomaly, ...]


def capture_view(report: Report, capture: CaptureRegistered, scopes: Scopes) -> CaptureView:
    """Who may open a capture now, who did, and by which grant."""
    history = report.history
    target = Scope(LEVEL_CAPTURE, epoch=capture.epoch, slot=capture.slot, uid=capture.uid)
    steps, lines, elsewhere = _steps(report), [], 0
    for grant in history.albums[capture.album].grants:
        scope = scopes.get(grant)
        coverage = Coverage.UNKNOWN
        if scope is not None:
            if covers(scope, target):
                coverage = Coverage.WHOLE
            elif covers(target, scope):
                coverage = Coverage.PART
            else:
                elsewhere += 1
                continue
        lines.append(_line(report, steps, history.grants[grant], scope, coverage))
    shown = {line.grant for line in lines}
    anomalies = tuple(
        a
        for a in report.anomalies
        if a.uid == capture.uid or a.grant in shown or (a.album == capture.album and not (a.uid or a.grant))
    )
    return CaptureView(
        uid=capture.uid,
        album=capture.album,
        owner=history.owner_of(capture.album),
        digest=capture.digest,
        cid=cid_of_digest(capture.digest),
        epoch=capture.epoch,
        slot=capture.slot,
        block=capture.block,
        time=report.times.get(capture.block, 0),
        tx=capture.tx,
        grants=tuple(lines),
        elsewhere=elsewhere,
        cannot_tell=CANNOT_TELL if any(line.coverage is Coverage.UNKNOWN for line in lines) else "",
        anomalies=anomalies,
    )


@dataclass(frozen=True)
class GrantView:
    """One grant: what it allows, how it got there, and what is out of the ordinary about it."""

    line: GrantLine
    anomalies: tuple[Anomaly, ...]


def grant_view(report: Report, text: str, scopes: Scopes) -> GrantView:
    """The grant that `text` names: its id, or the first digits of it (6 or more).

    Raises Refused where there is none (saying whether that is proven), InputError where several are meant.
    """
    wanted = text.removeprefix("0x").lower()
    found = [ledger for grant, ledger in report.history.grants.items() if grant.hex().startswith(wanted)]
    if not found:
        proof = "proven by the storage root" if report.complete else "as far as the logs show"
        raise Refused(f"there is no grant {text[:64]} at block {report.block} ({proof})", "ffem ls --grants")
    if len(found) > 1:
        names = ", ".join(ledger.created.grant_id.hex()[:24] for ledger in found[:5])
        raise InputError(f"{text[:64]} names {len(found)} grants: {names}", "give more digits")
    (ledger,) = found
    line = _line(report, _steps(report), ledger, scopes.get(ledger.created.grant_id))
    return GrantView(line, tuple(a for a in report.anomalies if a.grant == line.grant))


def grant_lines(report: Report, scopes: Scopes) -> tuple[GrantLine, ...]:
    """All grants, in order of creation."""
    steps = _steps(report)
    return tuple(_line(report, steps, one, scopes.get(name)) for name, one in report.history.grants.items())


def wallet_view(report: Report, wallet: str, scopes: Scopes) -> WalletView:
    """What a wallet was granted, what it asked for, and what was released to it. `wallet` in checksummed form."""
    history = report.history
    received = [ledger for ledger in history.grants.values() if ledger.created.recipient == wallet]
    steps = _steps(report)
    lines = tuple(_line(report, steps, ledger, scopes.get(ledger.created.grant_id)) for ledger in received)
    shown = {line.grant for line in lines}
    keys = [key for (owner, _), key in sorted(history.keys.items()) if owner == wallet]
    return WalletView(
        wallet=wallet,
        keys=tuple(_key(key) for key in keys),
        grants=lines,
        owns=tuple(name for name, album in history.albums.items() if album.created.owner == wallet),
        keeps=tuple(n for n, keepers in history.keeper_sets.items() if wallet in keepers.proposed.keepers),
        cannot_tell=CANNOT_TELL.replace("this capture", "any capture") if any(not line.scope for line in lines) else "",
        anomalies=tuple(a for a in report.anomalies if a.grant in shown or a.wallet == wallet),
    )


def _key(key: KeyHistory) -> KeyLine:
    registered = key.registered
    return KeyLine(registered.version, registered.suite, key.status, registered.block, key.compromised_block)


def _line(
    report: Report, steps: _Steps, ledger: Ledger, scope: Scope | None, coverage: Coverage = Coverage.UNKNOWN
) -> GrantLine:
    created, state = ledger.created, ledger.state
    key = report.history.keys.get((created.recipient, created.key_version))
    return GrantLine(
        grant=created.grant_id,
        album=created.album,
        owner=report.history.owner_of(created.album),
        recipient=created.recipient,
        key_version=created.key_version,
        key_status=key.status if key else KeyStatus.NONE,
        suite=created.suite,
        status=state.status,
        direct=ledger.direct,
        expiry=created.expiry,
        threshold=ledger.threshold,
        keepers=ledger.keepers,
        opened_block=ledger.opened_block,
        revoked_block=ledger.revoked.block if ledger.revoked else None,
        may_open=state.opened or state.status in USABLE,
        now=standing(report.history, ledger),
        scope=describe(scope) if scope else "",
        coverage=coverage,
        steps=tuple(steps.get(created.grant_id, ())),
    )


def standing(history: History, ledger: Ledger) -> str:
    """How far a grant got, and what it allows now, in words."""
    created, state = ledger.created, ledger.state
    if ledger.direct:
        revoked = f"; revoked at block {ledger.revoked.block}, which takes nothing back" if ledger.revoked else ""
        return f"direct: may open since block {created.block}, {DIRECT_LABEL}{revoked}"
    if state.opened:
        text = f"opened at block {ledger.opened_block}, cannot be recalled"
        if ledger.revoked is not None:
            return f"{text}; revoked at block {ledger.revoked.block}: no further request is answered"
        return f"{text}; expired" if state.status is GrantStatus.EXPIRED else f"{text}; may ask again"
    if ledger.revoked is not None:
        return f"revoked at block {ledger.revoked.block}, before it was opened"
    if state.status is GrantStatus.EXPIRED:
        return "expired, not opened"
    if not state.seq:
        return "may ask its keepers, has not"
    answered = len({commit.index for commit in ledger.commits if commit.seq == state.seq})
    asked = ledger.requests.get(state.seq)
    since = f" at block {asked.block}" if asked else ""
    return f"asked{since}: {answered} of {ledger.threshold} keepers have committed"


def _steps(report: Report) -> _Steps:
    found: _Steps = {}
    for moment in report.timeline:
        if moment.grant:
            found.setdefault(moment.grant, []).append(Receipt(moment.block, moment.time, moment.tx, moment.text))
    return found
