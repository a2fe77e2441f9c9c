"""The history of one grant, rebuilt from logs and checked against the hash chain that the contract keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ffem_chain.chain.events import (
    AccessRequested,
    Event,
    GrantCreated,
    GrantOpened,
    GrantRevoked,
    GrantsBatched,
    ReleaseCommitted,
    ShareDelivered,
)
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import (
    GrantStatus,
    GrantView,
    KeeperSetView,
    batch_head,
    commit_leaf,
    first_head,
    next_head,
)
from ffem_chain.errors import Refused, Tampered
from ffem_chain.keys.grants import GrantContext
from ffem_chain.roles.keyring import address_bytes

_KINDS: list[type[Event]] = [
    GrantCreated,
    AccessRequested,
    ReleaseCommitted,
    GrantOpened,
    ShareDelivered,
    GrantRevoked,
]
# The state and the logs are read by two calls; a block may come in between.
_ATTEMPTS = 4
_AT_ONCE = 100  # grants whose logs one request asks for
# Heads of the grants of batches, by deployment, block and number: whoever looks at each grant of a batch of hundreds
# would read them all each time. They need no trust: what they lead to is compared with the contract's storage.
_BATCHES_KEPT = 64
_batches: dict[tuple[bytes, bytes, int], list[bytes]] = {}


@dataclass(frozen=True, kw_only=True)
class GrantLogs:
    """What happened to one grant: requests by number, the rest in order of the chain."""

    requests: dict[int, AccessRequested]
    commits: list[ReleaseCommitted]
    deliveries: list[ShareDelivered]
    opened: GrantOpened | None
    revoked: GrantRevoked | None

    @classmethod
    def of(cls, events: Sequence[Event]) -> GrantLogs:
        """From the events of one grant, in order of the chain."""
        return cls(
            requests={e.seq: e for e in events if isinstance(e, AccessRequested)},
            commits=[e for e in events if isinstance(e, ReleaseCommitted)],
            deliveries=[e for e in events if isinstance(e, ShareDelivered)],
            opened=next((e for e in events if isinstance(e, GrantOpened)), None),
            revoked=next((e for e in events if isinstance(e, GrantRevoked)), None),
        )


@dataclass(frozen=True, kw_only=True)
class Ledger(GrantLogs):
    """All that the chain says of one grant. `keepers` and `threshold` are empty and 0 for a direct grant.

    `genesis`: the head before any commit, where it is not the grant's own but that of its batch.
    """

    created: GrantCreated
    state: GrantView
    keepers: tuple[str, ...]
    threshold: int
    genesis: bytes = b""

    @property
    def direct(self) -> bool:
        """Whether the grant opens without keepers, and leaves no receipt."""
        return self.created.keeper_set == 0

    @property
    def opened_block(self) -> int | None:
        """Block from which the recipient could open it; None while it could not."""
        if self.direct:
            return self.created.block
        return self.opened.block if self.opened else None

    def context(self, deployment: bytes) -> GrantContext:
        """The context that the grant's envelopes are bound to on `deployment` (32 bytes)."""
        created = self.created
        return GrantContext(
            deployment=deployment,
            album=created.album,
            grant=created.grant_id,
            recipient=address_bytes(created.recipient),
            key_version=created.key_version,
            suite=created.suite,
            threshold=self.threshold,
            keepers=len(self.keepers),
        )

    def commit_of(self, seq: int, index: int) -> ReleaseCommitted | None:
        """The commit of keeper `index` to request `seq`."""
        return next((c for c in self.commits if (c.seq, c.index) == (seq, index)), None)

    def delivery_of(self, commit: ReleaseCommitted) -> ShareDelivered | None:
        """The delivery that fulfils a commit."""
        here = (commit.seq, commit.index)
        return next((d for d in self.deliveries if (d.seq, d.index) == here), None)

    def proof(self, commit: ReleaseCommitted) -> tuple[bytes, list[bytes]]:
        """Head before `commit` and the leaves after it, as `deliver` takes them."""
        position = self.commits.index(commit)
        leaves = [commit_leaf(c.seq, c.index, c.digest) for c in self.commits]
        head = self.genesis or own_head(self.created)
        for leaf in leaves[:position]:
            head = next_head(head, leaf)
        return head, leaves[position + 1 :]


def own_head(created: GrantCreated) -> bytes:
    """Head of a grant by itself before any commit (32 bytes)."""
    return first_head(
        created.grant_id,
        created.album,
        created.scope_commit,
        created.key_version,
        created.suite,
        created.payload,
    )


def chain_head(created: GrantCreated, commits: Sequence[ReleaseCommitted], genesis: bytes = b"") -> bytes:
    """Head of the hash chain over a grant's payload and its commits, as the contract stores it (32 bytes)."""
    head = genesis or own_head(created)
    for commit in commits:
        head = next_head(head, commit_leaf(commit.seq, commit.index, commit.digest))
    return head


def _genesis(registry: Registry, created: GrantCreated, batch: int, anew: bool) -> bytes:
    """Head of a grant before any commit: of a batch, from the logs of all its grants. Empty where they are not all
    there, or do not name this grant as it is. `anew`: read the batch, even if it was read before."""
    own = own_head(created)
    if not batch:
        return own
    heads = _heads_of(registry, created, batch, anew)
    return batch_head(heads) if own in heads else b""


def _heads_of(registry: Registry, created: GrantCreated, batch: int, anew: bool) -> list[bytes]:
    """Heads of all grants of a batch, in order; empty where the logs are not all there."""
    album, block, place = created.album, created.block, (registry.deployment_id, created.block_hash, batch)
    kept = None if anew else _batches.get(place)
    if kept is not None:
        return kept
    batched = registry.events([GrantsBatched], album=album, batch=batch, from_block=block, to_block=block)
    beside = registry.events([GrantCreated], album=album, from_block=block, to_block=block)
    members = next((e.grant_ids for e in batched if isinstance(e, GrantsBatched)), ())
    logged = {e.grant_id: e for e in beside if isinstance(e, GrantCreated)}
    if any(member not in logged for member in members):
        return []
    while len(_batches) >= _BATCHES_KEPT:
        _batches.pop(next(iter(_batches)), None)
    _batches[place] = heads = [own_head(logged[member]) for member in members]
    return heads


def read_ledgers(registry: Registry, grants: Sequence[bytes]) -> dict[bytes, Ledger]:
    """The histories of many grants, read together and checked like `read_ledger`, which says what is wrong with those
    that are left out: or a block came in between."""
    found: dict[bytes, Ledger] = {}
    sets: dict[int, KeeperSetView] = {}
    for start in range(0, len(grants), _AT_ONCE):
        part = tuple(dict.fromkeys(grants[start : start + _AT_ONCE]))
        logged: dict[bytes, list[Event]] = {grant: [] for grant in part}
        for event in registry.events(_KINDS, grant=part):
            logged[event.grant_id].append(event)  # type: ignore[attr-defined]
        for grant, state in zip(part, registry.grant_states(part), strict=True):
            ledger = _checked(registry, logged[grant], state, sets, anew=False)
            if ledger is not None:
                found[grant] = ledger
    return found


def read_ledger(registry: Registry, grant: bytes) -> Ledger:
    """The grant's history, checked: payload and commits hash to the head in the contract's storage.

    Raises Refused where there is no such grant, Tampered where the RPC's logs do not match the contract's
    state.
    """
    for attempt in range(_ATTEMPTS):
        events = registry.events(_KINDS, grant=grant)
        state = registry.grant_state(grant)
        if state.status is GrantStatus.NONE:
            raise Refused(f"there is no grant {grant.hex()} on this deployment")
        ledger = _checked(registry, events, state, {}, anew=attempt > 0)
        if ledger is not None:
            return ledger
    raise Tampered(
        f"the logs of grant {grant.hex()} do not match the contract's state",
        "the RPC leaves out or alters logs; use another one",
    )


def _checked(
    registry: Registry, events: Sequence[Event], state: GrantView, sets: dict[int, KeeperSetView], *, anew: bool
) -> Ledger | None:
    """The ledger of a grant with these events, None where they are not those of its state. `sets`: keeper sets that
    were read, `anew`: read its batch, even if it was read before."""
    created = next((e for e in events if isinstance(e, GrantCreated)), None)
    logs = GrantLogs.of(events)
    genesis = b"" if created is None else _genesis(registry, created, state.batch, anew)
    if created is None or not genesis or chain_head(created, logs.commits, genesis) != state.head:
        return None
    if max(logs.requests, default=0) != state.seq:
        return None
    # The head covers neither of these, the contract's storage does.
    logged = (created.recipient, created.keeper_set, created.expiry)
    if logged != (state.recipient, state.keeper_set, state.expiry):
        return None
    keepers: tuple[str, ...] = ()
    threshold = 0
    if state.keeper_set:
        if state.keeper_set not in sets:
            sets[state.keeper_set] = registry.keeper_set(state.keeper_set)
        keepers, threshold = sets[state.keeper_set].keepers, sets[state.keeper_set].threshold
    return Ledger(created=created, state=state, keepers=keepers, threshold=threshold, genesis=genesis, **vars(logs))
