"""What is out of the ordinary in a history, as far as the chain shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eth_utils import keccak

from ffem_chain.audit.history import History
from ffem_chain.audit.model import DIRECT_LABEL, OWNER_KEEPER_LABEL, Anomaly, Kind, Severity
from ffem_chain.chain.events import AccessRequested
from ffem_chain.chain.types import GrantStatus, KeyStatus
from ffem_chain.errors import FfemError, FormatError
from ffem_chain.keys.grants import Payload, parse_payload, parse_request_key
from ffem_chain.roles.ledger import Ledger
from ffem_chain.stores.base import Store
from ffem_chain.stores.cid import cid_of_digest

USABLE = (GrantStatus.LIVE, GrantStatus.OPENED)


@dataclass(frozen=True)
class Scene:
    """A history at one moment: `now` in unix seconds, `times` of the blocks with events, `patience` in seconds after
    which a request without an answer or a commit without a delivery counts as left alone."""

    history: History
    now: int
    times: dict[int, int]
    patience: int

    def age(self, block: int, end: int | None = None) -> int:
        """Seconds from a block to `end` (None: now)."""
        last = self.now if end is None else end
        return last - self.times.get(block, last)


def findings(scene: Scene) -> list[Anomaly]:
    """Everything that the chain alone shows, worst first."""
    found: list[Anomaly] = []
    seen: dict[bytes, AccessRequested] = {}
    for ledger in scene.history.grants.values():
        found += _deliveries(scene, ledger)
        found += _requests(scene, ledger, seen)
        found += _grant(ledger)
        found += _keys(scene, ledger)
    found += _albums(scene)
    return sorted(found, key=lambda a: -a.severity.value)


def _name(ledger: Ledger) -> str:
    return f"grant {ledger.created.grant_id.hex()[:16]} to {ledger.created.recipient}"


def _anomaly(
    ledger: Ledger, kind: Kind, severity: Severity, text: str, hint: str, block: int = 0, wallet: str = ""
) -> Anomaly:
    created = ledger.created
    place = block or created.block
    return Anomaly(kind, severity, text, hint, place, created.grant_id, created.album, wallet=wallet)


def _keeper(ledger: Ledger, index: int) -> str:
    return ledger.keepers[index] if index < len(ledger.keepers) else f"keeper {index}"


def span(seconds: int) -> str:
    """A duration in words."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


# ---------------------------------------------------------------------- releases


def _deliveries(scene: Scene, ledger: Ledger) -> Iterator[Anomaly]:
    for delivery in ledger.deliveries:
        commit = ledger.commit_of(delivery.seq, delivery.index)
        if commit is None or keccak(delivery.sealed_share) != commit.digest:
            text = (
                f"{_name(ledger)}: the log shows a delivery of {_keeper(ledger, delivery.index)} that its commit does "
                "not cover; the contract lets none pass, so the log is forged or the commit is missing"
            )
            hint = "use another RPC; do not open what this log delivers"
            yield _anomaly(ledger, Kind.DELIVERY_MISMATCH, Severity.BROKEN, text, hint, delivery.block)
    for commit in ledger.commits:
        waited = scene.age(commit.block)
        if ledger.delivery_of(commit) is None and waited > scene.patience:
            keeper = _keeper(ledger, commit.index)
            text = (
                f"{_name(ledger)}: {keeper} committed to request {commit.seq} at block {commit.block} and has "
                f"delivered nothing for {span(waited)}"
            )
            hint = "ask the keeper to run; only logs show deliveries: another RPC may have it"
            yield _anomaly(ledger, Kind.UNDELIVERED_COMMIT, Severity.WARNING, text, hint, commit.block, keeper)


def _requests(scene: Scene, ledger: Ledger, seen: dict[bytes, AccessRequested]) -> Iterator[Anomaly]:
    for seq, request in sorted(ledger.requests.items()):
        reason = _unanswerable(scene, ledger, request, seen)
        seen.setdefault(request.request_key, request)
        if reason:
            text = f"{_name(ledger)}: honest keepers do not answer request {seq}: {reason}"
            hint = "the recipient asks again with a fresh request key (ffem request)"
            yield _anomaly(ledger, Kind.UNANSWERABLE_REQUEST, Severity.NOTICE, text, hint, request.block)
            continue
        answered = {commit.index for commit in ledger.commits if commit.seq == seq}
        end, why = _end(scene, ledger, seq)
        waited = scene.age(request.block, end)
        if waited <= scene.patience:
            continue
        enough = len(answered) >= ledger.threshold or (end is not None and ledger.state.opened)
        for index, keeper in enumerate(ledger.keepers):
            if index in answered:
                continue
            others = f"; {len(answered)} of the {ledger.threshold} needed had answered" if ledger.threshold > 1 else ""
            text = f"{_name(ledger)}: {keeper} left request {seq} unanswered for {span(waited)}{why}{others}"
            hint = "ask the keeper to run (ffem keeper run), or grant again with other keepers"
            severity = Severity.NOTICE if enough or end is not None else Severity.WARNING
            yield _anomaly(ledger, Kind.SILENT_KEEPER, severity, text, hint, request.block, keeper)


def _end(scene: Scene, ledger: Ledger, seq: int) -> tuple[int | None, str]:
    """When keepers could no longer answer a request (unix seconds, None while they can), and why in words."""
    ends: list[tuple[int, str]] = []
    newer = ledger.requests.get(seq + 1)
    if newer is not None:
        ends.append((scene.times.get(newer.block, scene.now), ", until a newer one superseded it"))
    if ledger.revoked is not None:
        ends.append((scene.times.get(ledger.revoked.block, scene.now), ", until the grant was revoked"))
    if ledger.created.expiry and ledger.created.expiry <= scene.now:
        ends.append((ledger.created.expiry, ", until the grant expired"))
    return min(ends) if ends else (None, "")


def _unanswerable(scene: Scene, ledger: Ledger, request: AccessRequested, seen: dict[bytes, AccessRequested]) -> str:
    """Why keepers must not answer a request, empty where they may."""
    try:
        suite, _ = parse_request_key(request.request_key)
    except FormatError as error:
        return f"its request key is none ({error.message})"
    if suite != ledger.created.suite:
        return f"its request key is of suite {suite}, the grant of suite {ledger.created.suite}"
    before = seen.get(request.request_key)
    if before is not None:
        return f"its request key was used before, at block {before.block}"
    key = scene.history.keys.get((ledger.created.recipient, ledger.created.key_version))
    if key is not None and key.status is KeyStatus.COMPROMISED:
        return f"the recipient's encryption key version {ledger.created.key_version} is compromised"
    return ""


# ---------------------------------------------------------------------- grants


def payload_of(ledger: Ledger) -> Payload | None:
    """The parsed payload, None where nobody can read it."""
    try:
        return parse_payload(ledger.created.payload, ledger.created.suite, len(ledger.keepers))
    except FormatError:
        return None


def _grant(ledger: Ledger) -> Iterator[Anomaly]:
    state, created = ledger.state, ledger.created
    if payload_of(ledger) is None:
        text = f"{_name(ledger)}: its payload does not have the form of a grant; nobody can open it"
        yield _anomaly(ledger, Kind.UNREADABLE_PAYLOAD, Severity.WARNING, text, "the owner grants again")
    if ledger.direct:
        text = f"{_name(ledger)} is direct since block {created.block}: {DIRECT_LABEL}"
        hint = "to protect what comes next, the owner starts a new epoch; what was granted stays open"
        yield _anomaly(ledger, Kind.DIRECT_GRANT, Severity.NOTICE, text, hint)
    elif ledger.revoked is not None and state.opened:
        text = (
            f"{_name(ledger)} was revoked at block {ledger.revoked.block}: opened at block {ledger.opened_block}, "
            "cannot be recalled"
        )
        hint = "treat what it covered as seen by the recipient"
        yield _anomaly(ledger, Kind.REVOKED_TOO_LATE, Severity.NOTICE, text, hint, ledger.revoked.block)
    elif state.status is GrantStatus.EXPIRED and not state.opened:
        text = f"{_name(ledger)} has expired without being opened"
        yield _anomaly(ledger, Kind.EXPIRED, Severity.NOTICE, text, "the owner grants again, where it is still wanted")
    if created.recipient in ledger.keepers:
        own = ledger.threshold == 1
        text = f"{_name(ledger)}: the recipient is one of its {len(ledger.keepers)} keepers"
        text += " and can open it without a receipt" if own else f", of which {ledger.threshold} are needed"
        severity = Severity.WARNING if own else Severity.NOTICE
        yield _anomaly(ledger, Kind.RECIPIENT_IS_KEEPER, severity, text, "grant through other keepers")


def _keys(scene: Scene, ledger: Ledger) -> Iterator[Anomaly]:
    """Usable grants that are sealed to keys which their owners have declared compromised."""
    created = ledger.created
    if ledger.state.status not in USABLE:
        return
    keys = scene.history.keys
    sealed_to = [(created.recipient, created.key_version, "the envelope")]
    payload = payload_of(ledger)
    if payload is not None:
        shares = zip(ledger.keepers, payload.shares, strict=True)
        sealed_to += [(keeper, share.version, "a keeper's share") for keeper, share in shares]
    for wallet, version, what in sealed_to:
        key = keys.get((wallet, version))
        if key is not None and key.status is KeyStatus.COMPROMISED:
            text = (
                f"{_name(ledger)}: {what} is sealed to key version {version} of {wallet}, declared compromised at "
                f"block {key.compromised_block}; the grant can still be used"
            )
            hint = "the owner revokes it and grants again to a fresh key"
            block = key.compromised_block or 0
            yield _anomaly(ledger, Kind.COMPROMISED_KEY, Severity.WARNING, text, hint, block, wallet)


def _albums(scene: Scene) -> Iterator[Anomaly]:
    for name, album in scene.history.albums.items():
        alone = [
            n for n in album.keeper_sets if scene.history.keeper_sets[n].proposed.keepers == (album.created.owner,)
        ]
        if alone:
            text = f"album {name.hex()[:16]}: the owner is its only keeper (set {alone[-1]}): {OWNER_KEEPER_LABEL}"
            hint = "an album with other keepers binds both"
            yield Anomaly(Kind.OWNER_ONLY_KEEPER, Severity.NOTICE, text, hint, album.created.block, album=name)
        latest = scene.history.keeper_sets.get(max(album.keeper_sets, default=0))
        if latest is None or not latest.waiting or scene.age(latest.proposed.block) <= scene.patience:
            continue
        proposed = latest.proposed
        effect = (
            f"grants still use keeper set {album.current}" if album.current else "no grant with keepers is possible"
        )
        text = (
            f"album {name.hex()[:16]}: keeper set {proposed.keeper_set}, proposed at block {proposed.block}, is not "
            f"accepted by {', '.join(latest.waiting)}; {effect}"
        )
        hint = "each of them runs: ffem keeper accept"
        yield Anomaly(Kind.KEEPERS_PENDING, Severity.NOTICE, text, hint, proposed.block, album=name)


# ---------------------------------------------------------------------- stores


def not_served(history: History, stores: Sequence[Store]) -> tuple[list[Anomaly], list[str]]:
    """Captures that none of `stores` serves, and what each store that does not answer says."""
    found: list[Anomaly] = []
    silent: dict[str, str] = {}
    names = ", ".join(store.name for store in stores)
    for album, entry in history.albums.items():
        for uid, capture in entry.captures.items():
            if any(_has(store, capture.digest, silent) for store in stores):
                continue
            text = f"capture {uid.hex()[:16]} ({cid_of_digest(capture.digest)}) is not served by {names}"
            hint = "the owner puts it there again; ask another store"
            found.append(Anomaly(Kind.NOT_SERVED, Severity.WARNING, text, hint, capture.block, album=album, uid=uid))
    return found, [f"{name} does not answer: {words}" for name, words in silent.items()]


def _has(store: Store, digest: bytes, silent: dict[str, str]) -> bool:
    if store.name in silent:
        return False
    try:
        return store.has(cid_of_digest(digest))
    except FfemError as error:
        silent[store.name] = error.message
        return False
