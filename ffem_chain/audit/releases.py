"""What is out of the ordinary about requests and their answers, as far as the chain shows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from eth_utils import keccak

from ffem_chain.audit.history import History
from ffem_chain.audit.model import Anomaly, Kind, Severity
from ffem_chain.chain.events import AccessRequested, Event, KeyStatusChanged
from ffem_chain.errors import FormatError
from ffem_chain.keys.grants import parse_request_key
from ffem_chain.roles.ledger import Ledger


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

    @cached_property
    def first_uses(self) -> dict[tuple[str, bytes], AccessRequested]:
        """The first request of each recipient with each request key, over all grants to it."""
        found: dict[tuple[str, bytes], AccessRequested] = {}
        for ledger in self.history.grants.values():
            for request in ledger.requests.values():
                key = ledger.created.recipient, request.request_key
                if key not in found or _before(request, found[key]):
                    found[key] = request
        return found


def title(ledger: Ledger) -> str:
    """A grant as sentences begin with it."""
    return f"grant {ledger.created.grant_id.hex()[:16]} to {ledger.created.recipient}"


def anomaly(
    ledger: Ledger, kind: Kind, severity: Severity, text: str, hint: str, block: int = 0, wallet: str = ""
) -> Anomaly:
    """An anomaly of a grant; `block` 0 is the block of its creation."""
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


def deliveries(scene: Scene, ledger: Ledger) -> Iterator[Anomaly]:
    """Deliveries that their commits do not cover, and commits without one, which keepers owe once the grant is
    opened: before that they wait for each other."""
    for delivery in ledger.deliveries:
        commit = ledger.commit_of(delivery.seq, delivery.index)
        if commit is None or keccak(delivery.sealed_share) != commit.digest:
            text = (
                f"{title(ledger)}: the log shows a delivery of {_keeper(ledger, delivery.index)} that its commit does "
                "not cover; the contract lets none pass, so the log is forged or the commit is missing"
            )
            hint = "use another RPC; do not open what this log delivers"
            yield anomaly(ledger, Kind.DELIVERY_MISMATCH, Severity.BROKEN, text, hint, delivery.block)
    opened = ledger.opened_block
    if opened is None:
        return
    for commit in ledger.commits:
        waited = scene.age(max(commit.block, opened))
        if ledger.delivery_of(commit) is None and waited > scene.patience:
            keeper = _keeper(ledger, commit.index)
            text = (
                f"{title(ledger)}: {keeper} committed to request {commit.seq} at block {commit.block} and has "
                f"delivered nothing for {span(waited)}"
            )
            hint = "ask the keeper to run; only logs show deliveries: another RPC may have it"
            yield anomaly(ledger, Kind.UNDELIVERED_COMMIT, Severity.WARNING, text, hint, commit.block, keeper)


def requests(scene: Scene, ledger: Ledger) -> Iterator[Anomaly]:
    """Requests left alone, requests that must be, and answers to those."""
    for seq, request in sorted(ledger.requests.items()):
        refusal = _refusal(scene, ledger, request)
        if refusal is not None:
            text = f"{title(ledger)}: honest keepers do not answer request {seq}: {refusal.text}"
            hint = "the recipient asks again with a fresh request key (ffem request)"
            yield anomaly(ledger, Kind.UNANSWERABLE_REQUEST, Severity.NOTICE, text, hint, request.block)
            yield from _improper(ledger, seq, refusal)
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
            text = f"{title(ledger)}: {keeper} left request {seq} unanswered for {span(waited)}{why}{others}"
            hint = (
                "ask the keeper to run (ffem keeper run; it answers one wallet only so often), or grant again with "
                "other keepers"
            )
            severity = Severity.NOTICE if enough or end is not None else Severity.WARNING
            yield anomaly(ledger, Kind.SILENT_KEEPER, severity, text, hint, request.block, keeper)


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


@dataclass(frozen=True)
class _Refusal:
    """Why keepers must not answer a request. `since`: they might before this; None: never, where they could know."""

    text: str
    since: KeyStatusChanged | None = None


def _refusal(scene: Scene, ledger: Ledger, request: AccessRequested) -> _Refusal | None:
    """Why keepers must not answer a request, None where they may, or did while they might."""
    created = ledger.created
    try:
        suite, _ = parse_request_key(request.request_key)
    except FormatError as error:
        return _Refusal(f"its request key is none ({error.message})")
    if suite != created.suite:
        return _Refusal(f"its request key is of suite {suite}, the grant of suite {created.suite}")
    first = scene.first_uses[created.recipient, request.request_key]
    if first != request:
        return _Refusal(f"its request key was used before, at block {first.block}")
    key = scene.history.keys.get((created.recipient, created.key_version))
    since = key.compromised if key is not None else None
    if since is None:
        return None
    in_time = {c.index for c in ledger.commits if c.seq == request.seq and _before(c, since)}
    if len(in_time) >= ledger.threshold:
        return None
    return _Refusal(f"the recipient's encryption key version {created.key_version} is compromised", since)


def _before(event: Event, other: Event) -> bool:
    return (event.block, event.log_index) < (other.block, other.log_index)


def _improper(ledger: Ledger, seq: int, refusal: _Refusal) -> Iterator[Anomaly]:
    """Keepers that answered a request although they must not."""
    for commit in ledger.commits:
        if commit.seq != seq or (refusal.since is not None and _before(commit, refusal.since)):
            continue
        keeper = _keeper(ledger, commit.index)
        text = f"{title(ledger)}: {keeper} answered request {seq} at block {commit.block}, although {refusal.text}"
        # That a key was used before in a grant which it does not serve, a keeper need not know.
        severity = Severity.NOTICE if refusal.since is None else Severity.WARNING
        hint = "ask the keeper why; grant through other keepers from now on"
        yield anomaly(ledger, Kind.IMPROPER_RELEASE, severity, text, hint, commit.block, keeper)
