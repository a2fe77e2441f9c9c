"""Revoking, and saying honestly what stays open.

A route is another way by which a wallet can still obtain a key: a live grant that covers the same face
(epoch ⊃ range ⊃ capture ⊃ face) or a part of the same capture, a direct grant, or a grant that was opened before.
Opened means that the threshold of keepers had committed, so revoking it later recalls nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ffem_chain.chain.events import GrantCreated, GrantOpened, GrantRevoked
from ffem_chain.chain.types import GrantStatus, GrantView
from ffem_chain.errors import InputError, Refused
from ffem_chain.keys.scope import LEVEL_CAPTURE, Scope
from ffem_chain.labels import DIRECT_LABEL
from ffem_chain.roles.keyring import checksum
from ffem_chain.roles.records import GrantRecord, covers, describe, overlaps

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner

# revocations in one transaction, of about 10,000 gas each
_AT_ONCE = 200


@dataclass(frozen=True)
class Route:
    """One way that stays open. `kind`: live, opened, direct or unknown; `block`: since when it is open.

    `whole` says whether it covers all that was asked for, or a part. `text` is for people.
    """

    kind: str
    grant_id: bytes
    recipient: str
    scope: Scope | None
    whole: bool
    block: int
    text: str


@dataclass(frozen=True)
class RevokeResult:
    """A revocation in `block`. Where `opened`, it came too late: the key was released in `opened_block`.

    `direct`: the revocation changes nothing, the wallet opens as before.
    """

    grant_id: bytes
    recipient: str
    scope: Scope
    opened: bool
    opened_block: int | None
    block: int
    routes: tuple[Route, ...]
    direct: bool = False

    @property
    def text(self) -> str:
        """The outcome in words."""
        if self.direct:
            since = f"opened at block {self.opened_block}, cannot be recalled"
            return f"{since}: a direct grant, {DIRECT_LABEL}; its wallet opens as before"
        if self.opened and self.scope.many:
            what = describe(self.scope)
            return (
                f"opened at block {self.opened_block}, cannot be recalled: {what} stay open to its wallet, also those "
                "sealed later; what is sealed after ffem rotate does not"
            )
        if self.opened:
            return f"opened at block {self.opened_block}, cannot be recalled; no further request is answered"
        return f"revoked at block {self.block}, before it was opened"


def revoke_grants(owner: Owner, records: Sequence[GrantRecord]) -> list[RevokeResult]:
    """Revoke grants and list what stays open to the wallet of each.

    Several of an album go in one transaction for each 200. A grant revoked before gives the recorded outcome again (a
    resumed call). Routes are computed after the last revocation. Raises Refused, and revokes none, where one never
    reached the chain.
    """
    registry, waiting = owner.registry, dict[bytes, list[bytes]]()
    for record, state in zip(records, sent_states(owner, records), strict=True):
        if not state.revoked:
            waiting.setdefault(record.album_id, []).append(record.salt)
    for album, salts in waiting.items():
        if len(salts) == 1:
            registry.revoke(album, salts[0])
            continue
        for at in range(0, len(salts), _AT_ONCE):
            registry.revoke_batch(album, salts[at : at + _AT_ONCE])
    return [outcome(owner, record) for record in records]


def sent_states(owner: Owner, records: Sequence[GrantRecord]) -> list[GrantView]:
    """State of each grant. Raises Refused where one never reached the chain."""
    states = owner.registry.grant_states([record.grant_id for record in records])
    for record, state in zip(records, states, strict=True):
        if state.status is GrantStatus.NONE:
            raise Refused(f"grant {record.grant_id.hex()[:16]} never reached the chain: there is nothing to revoke")
    return states


def outcome(owner: Owner, record: GrantRecord) -> RevokeResult:
    """How the revocation of a grant, which is on the chain, came out."""
    events = owner.registry.events([GrantCreated, GrantOpened, GrantRevoked], grant=record.grant_id)
    revoked = next(e for e in events if isinstance(e, GrantRevoked))
    opened_block = next((e.block for e in events if isinstance(e, GrantOpened)), None)
    if record.direct:
        opened_block = next(e.block for e in events if isinstance(e, GrantCreated))
    routes = open_routes(owner, record.album_id, record.scope, record.recipient)
    return RevokeResult(
        grant_id=record.grant_id,
        recipient=record.recipient,
        scope=record.scope,
        opened=revoked.opened,
        opened_block=opened_block,
        block=revoked.block,
        routes=tuple(route for route in routes if route.grant_id != record.grant_id),
        direct=record.direct,
    )


def revoke_all(owner: Owner, uid: bytes, wallet: str | None = None) -> list[RevokeResult]:
    """Revoke every grant of a capture and of its faces, to one wallet or to all.

    Grants of a whole epoch are not touched; they show among the routes. Routes are computed after the last
    revocation. Raises InputError where there is nothing to revoke.
    """
    capture = owner.capture(uid)
    target = Scope(LEVEL_CAPTURE, epoch=capture.epoch, slot=capture.slot, uid=uid)
    found = revocable(owner, capture.album_id, target, wallet)
    if not found:
        raise InputError(f"there is no grant of capture {uid.hex()[:16]} to revoke")
    return revoke_grants(owner, found)


def revocable(owner: Owner, album: bytes, target: Scope | None, wallet: str | None) -> list[GrantRecord]:
    """Grants of an album that are on the chain and not revoked: of `target` or a part of it (None: all), to one wallet
    (None: to all)."""
    only = None if wallet is None else checksum(wallet)
    meant = [
        record
        for record in owner.grants()
        if record.album_id == album
        and only in (None, record.recipient)
        and (target is None or covers(target, record.scope))
    ]
    states, over = owner.registry.grant_states([one.grant_id for one in meant]), (GrantStatus.NONE, GrantStatus.REVOKED)
    return [record for record, state in zip(meant, states, strict=True) if state.status not in over]


def open_routes(owner: Owner, album: bytes, target: Scope, wallet: str) -> list[Route]:
    """Every route by which `wallet` can still obtain the key of `target` or of a part of it.

    Grants on the chain whose scope this vault does not know (made elsewhere) are listed as `unknown`.
    """
    registry = owner.registry
    recipient = checksum(wallet)
    known = {record.grant_id: record for record in owner.grants()}
    routes = []
    events = registry.events([GrantCreated], album=album, recipient=recipient)
    made = [event for event in events if isinstance(event, GrantCreated)]
    states = registry.grant_states([created.grant_id for created in made])
    for created, state in zip(made, states, strict=True):
        record = known.get(created.grant_id)
        scope = record.scope if record else None
        if scope is not None and not overlaps(scope, target):
            continue
        route = _route(owner, created, state, scope, scope is not None and covers(scope, target))
        if route is not None:
            routes.append(route)
    return routes


def _route(owner: Owner, created: GrantCreated, state: GrantView, scope: Scope | None, whole: bool) -> Route | None:
    what = "a grant that this vault does not know" if scope is None else describe(scope)
    if created.keeper_set == 0:
        kind, block = "direct", created.block
        text = f"{what}: direct grant since block {block}; {DIRECT_LABEL}"
    elif state.opened:
        opened = owner.registry.events([GrantOpened], grant=created.grant_id)
        kind, block = "opened", opened[0].block
        text = f"{what}: opened at block {block}, cannot be recalled"
    elif state.status is GrantStatus.LIVE:
        kind, block = "live", created.block
        text = f"{what}: live since block {block}, can be requested; revoke it too"
    else:
        return None
    if scope is None:
        kind = "unknown"
    return Route(kind, created.grant_id, created.recipient, scope, whole, block, text)
