"""What is out of the ordinary in a history, as far as the chain shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ffem_chain.audit.bundle.captures import from_stores
from ffem_chain.audit.history import History
from ffem_chain.audit.model import Anomaly, Kind, Severity
from ffem_chain.audit.releases import Scene, anomaly, deliveries, requests, title
from ffem_chain.chain.types import GrantStatus, KeyStatus
from ffem_chain.errors import FfemError, FormatError
from ffem_chain.keys.grants import Payload, parse_payload
from ffem_chain.labels import DIRECT_LABEL, OWNER_KEEPER_LABEL
from ffem_chain.roles.ledger import Ledger
from ffem_chain.stores.base import Store
from ffem_chain.stores.cid import cid_of_digest

USABLE = (GrantStatus.LIVE, GrantStatus.OPENED)


def findings(scene: Scene) -> list[Anomaly]:
    """Everything that the chain alone shows, worst first."""
    found: list[Anomaly] = []
    for ledger in scene.history.grants.values():
        found += deliveries(scene, ledger)
        found += requests(scene, ledger)
        found += _grant(ledger)
        found += _keys(scene, ledger)
    found += _albums(scene)
    return sorted(found, key=lambda a: -a.severity.value)


def payload_of(ledger: Ledger) -> Payload | None:
    """The parsed payload, None where nobody can read it."""
    try:
        return parse_payload(ledger.created.payload, ledger.created.suite, len(ledger.keepers))
    except FormatError:
        return None


def _grant(ledger: Ledger) -> Iterator[Anomaly]:
    state, created = ledger.state, ledger.created
    if payload_of(ledger) is None:
        text = f"{title(ledger)}: its payload does not have the form of a grant; nobody can open it"
        yield anomaly(ledger, Kind.UNREADABLE_PAYLOAD, Severity.WARNING, text, "the owner grants again")
    if ledger.direct:
        text = f"{title(ledger)} is direct since block {created.block}: {DIRECT_LABEL}"
        hint = "to protect what comes next, the owner starts a new epoch; what was granted stays open"
        yield anomaly(ledger, Kind.DIRECT_GRANT, Severity.NOTICE, text, hint)
    elif ledger.revoked is not None and state.opened:
        text = (
            f"{title(ledger)} was revoked at block {ledger.revoked.block}: opened at block {ledger.opened_block}, "
            "cannot be recalled"
        )
        hint = "treat what it covered as seen by the recipient"
        yield anomaly(ledger, Kind.REVOKED_TOO_LATE, Severity.NOTICE, text, hint, ledger.revoked.block)
    elif state.status is GrantStatus.EXPIRED and not state.opened:
        text = f"{title(ledger)} has expired without being opened"
        yield anomaly(ledger, Kind.EXPIRED, Severity.NOTICE, text, "the owner grants again, where it is still wanted")
    if created.recipient in ledger.keepers:
        own = ledger.threshold == 1
        text = f"{title(ledger)}: the recipient is one of its {len(ledger.keepers)} keepers"
        text += " and can open it without a receipt" if own else f", of which {ledger.threshold} are needed"
        severity = Severity.WARNING if own else Severity.NOTICE
        yield anomaly(ledger, Kind.RECIPIENT_IS_KEEPER, severity, text, "grant through other keepers")


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
                f"{title(ledger)}: {what} is sealed to key version {version} of {wallet}, declared compromised at "
                f"block {key.compromised_block}; the grant can still be used"
            )
            hint = "the owner revokes it and grants again to a fresh key"
            block = key.compromised_block or 0
            yield anomaly(ledger, Kind.COMPROMISED_KEY, Severity.WARNING, text, hint, block, wallet)


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
    """Captures, and lists of batches, that none of `stores` serves; and what each store that does not answer says."""
    found: list[Anomaly] = []
    silent: dict[str, str] = {}
    names = ", ".join(store.name for store in stores)
    hint = "the owner puts it there again; ask another store"
    known = from_stores(history, stores)
    for event in known.unlisted:
        what = f"batch {event.root.hex()[:16]} of {event.count} captures"
        text = f"the list of {what} ({cid_of_digest(event.list_digest)}) is not served by {names}, or not the right one"
        found.append(Anomaly(Kind.NOT_SERVED, Severity.WARNING, text, hint, event.block, album=event.album))
    for one in known.captures:
        if any(_has(store, one.digest, silent) for store in stores):
            continue
        text = f"capture {one.uid.hex()[:16]} ({cid_of_digest(one.digest)}) is not served by {names}"
        found.append(Anomaly(Kind.NOT_SERVED, Severity.WARNING, text, hint, one.block, album=one.album, uid=one.uid))
    return found, [f"{name} does not answer: {words}" for name, words in silent.items()]


def _has(store: Store, digest: bytes, silent: dict[str, str]) -> bool:
    if store.name in silent:
        return False
    try:
        return store.has(cid_of_digest(digest))
    except FfemError as error:
        silent[store.name] = error.message
        return False
