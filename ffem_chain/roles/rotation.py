"""Rotating an album: a new epoch secret, revocations, and new grants for who stays, in one transaction.

The new secret and what was asked for are in the vault before anything is sent, under `rotation` in the album's entry:
{"epoch": int, "revoke": [grant ids], "leave_out": [wallets]}. Called again after an interruption, a rotation goes on:
where the transaction was not mined, with who has a live grant then; where it was, with the grants that are missing.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ffem_chain.chain.events import GrantCreated
from ffem_chain.chain.reverts import ChainRefused
from ffem_chain.chain.types import GrantStatus
from ffem_chain.errors import Refused
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import XWING
from ffem_chain.roles.granting import Granting, OnPage, Prepared, Wanted, note_sent, pages
from ffem_chain.roles.records import Album, GrantRecord

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner

_LIVE = (GrantStatus.LIVE, GrantStatus.OPENED)
# A grant that expires in so many seconds is not made anew: it could be over before the transaction is mined.
_ABOUT_TO_EXPIRE = 60
# so many revocations, of about 10,000 gas each, fit into a rotation's transaction beside grants
_MOST_REVOKED = 200
# what the registry says to a rotation that it has had
_SENT_BEFORE = ("EpochExists", "GrantExists", "GrantIsRevoked")


@dataclass(frozen=True)
class RotateResult:
    """A rotation. `album` is at the new epoch; `granted` the grants made anew; `left_out` wallets whose grants were
    not, and why; `unknown` grants of the album are not in this vault, and not made anew whatever they are of.

    `resumed`: an interrupted call had begun it.
    """

    album: Album
    granted: tuple[GrantRecord, ...]
    revoked: tuple[bytes, ...]
    left_out: tuple[tuple[str, str], ...]
    unknown: int
    transactions: int
    resumed: bool


@dataclass(frozen=True)
class _Plan:
    """A rotation as it is in the vault."""

    epoch: int
    revoke: frozenset[bytes]
    leave_out: frozenset[str]
    resumed: bool


def rotate(
    owner: Owner,
    name_or_id: str | bytes,
    revoke: Sequence[GrantRecord] = (),
    *,
    leave_out: Collection[str] = (),
    grant: bool = True,
    on_page: OnPage | None = None,
) -> RotateResult:
    """Revoke `revoke` (grants of the album), begin its next epoch, and grant that to who had the former one.

    Who has a live grant of the whole former epoch, or of a range of it that is not over, gets the same of the new one,
    with the same expiry and as direct as before; not the wallets in `leave_out`, nor where `grant` is false. Where more
    is granted than a transaction holds, the first one rotates and the others follow; `on_page` gets the grants done and
    all of them after each. Where an interrupted call left something to do after its epoch had begun, that is done, and
    another epoch begins only for what it was not told to revoke. Raises Refused where the album is not on this
    deployment, or is at an epoch there whose secret this vault does not hold.
    """
    album, registry, wanted = owner.album(name_or_id), owner.registry, {one.grant_id for one in revoke}
    registry.check_sends("rotate")
    there = registry.album(album.album_id).epoch
    if not there:
        raise Refused(f"album {album.name!r} is not on this deployment", f"ffem album create {album.name}")
    if not owner.holds_epoch(album, there):
        raise not_held(album, there)
    for epoch in range(there + 1, album.epoch + 1):  # an interrupted `create_album` on a new deployment
        registry.open_epoch(album.album_id, owner.epoch_commit(album, epoch))
    album = owner.follow_epoch(album)
    begun = _planned(owner, album)
    if begun is not None and begun.epoch == album.epoch:
        begun = replace(begun, leave_out=begun.leave_out.union(leave_out))
        finished = _carry_out(owner, album, begun, grant, on_page)
        if wanted <= begun.revoke:
            return finished
    return _carry_out(owner, album, _plan(owner, album, wanted, set(leave_out)), grant, on_page)


def not_held(album: Album, epoch: int) -> Refused:
    """The chain is at an epoch that this vault cannot seal under."""
    return Refused(
        f"album {album.name!r} is at epoch {epoch} on the chain, whose secret this vault does not hold",
        "it was rotated with another vault: copy that here (ffem wallet backup, ffem wallet restore)",
    )


def _planned(owner: Owner, album: Album) -> _Plan | None:
    found = owner.album_entry(owner.vault.read(), album).get("rotation")
    return _Plan(found["epoch"], frozenset(found["revoke"]), frozenset(found["leave_out"]), True) if found else None


def _plan(owner: Owner, album: Album, revoke: set[bytes], leave_out: set[str]) -> _Plan:
    """Write secret and plan of the next epoch to the vault, with what an interrupted call had planned."""
    before, epoch = _planned(owner, album), album.epoch + 1
    if before is not None:
        revoke, leave_out = revoke | before.revoke, leave_out | before.leave_out
    with owner.vault.edit() as data:
        entry = owner.album_entry(data, album)
        entry["epochs"].setdefault(str(epoch), Secret.random().to_secret_bytes())
        entry["rotation"] = {"epoch": epoch, "revoke": sorted(revoke), "leave_out": sorted(leave_out)}
    return _Plan(epoch, frozenset(revoke), frozenset(leave_out), before is not None)


def _carry_out(owner: Owner, album: Album, plan: _Plan, grant: bool, on_page: OnPage | None) -> RotateResult:
    """Do what is left of a plan: all of it, or what comes after its epoch has begun."""
    registry, after = owner.registry, replace(album, epoch=plan.epoch)
    prepared, left_out = _regrants(owner, after, plan) if grant else ([], [])
    owner.save_grants([one.record for one in prepared])
    records = [one for one in owner.grants() if one.grant_id in plan.revoke]
    states = registry.grant_states([one.grant_id for one in records])
    open_still = (*_LIVE, GrantStatus.EXPIRED)
    salts = [one.salt for one, state in zip(records, states, strict=True) if state.status in open_still]
    parts, granted, transactions = pages(owner, prepared), list[GrantRecord](), 0
    # What does not fit beside the grants is revoked before: nobody is revoked later than the epoch begins.
    begins = album.epoch < plan.epoch
    beside = _MOST_REVOKED if begins else 0
    for at in range(beside, len(salts), _MOST_REVOKED):
        registry.revoke_batch(album.album_id, salts[at : at + _MOST_REVOKED])
        transactions += 1
    if begins:
        page = parts.pop(0) if parts else []
        params = [one.params for one in page]
        try:
            mined = registry.rotate(album.album_id, owner.epoch_commit(album, plan.epoch), salts[:beside], params)
        except ChainRefused as error:
            if error.name not in _SENT_BEFORE or registry.album(album.album_id).epoch != plan.epoch:
                raise
            # An interrupted call had sent it, and it was mined meanwhile: on with what that did not hold.
            return _carry_out(owner, owner.follow_epoch(album), plan, grant, on_page)
        granted += note_sent(owner, page, mined.block)
        transactions += 1
        owner.enter_epoch(album, plan.epoch)
    for page in parts:
        _tell(on_page, granted, prepared)
        granted += note_sent(owner, page, registry.grant_batch([one.params for one in page]).block)
        transactions += 1
    _tell(on_page, granted, prepared)
    with owner.vault.edit() as data:
        owner.album_entry(data, album).pop("rotation", None)
    return RotateResult(
        album=after,
        granted=tuple(granted),
        revoked=tuple(one.grant_id for one in records),
        left_out=tuple(left_out),
        unknown=_unknown(owner, album),
        transactions=transactions,
        resumed=plan.resumed,
    )


def _tell(on_page: OnPage | None, granted: Sequence[GrantRecord], prepared: Sequence[Prepared]) -> None:
    if on_page is not None:
        on_page(len(granted), len(prepared))


def _regrants(owner: Owner, album: Album, plan: _Plan) -> tuple[list[Prepared], list[tuple[str, str]]]:
    """Grants of the album's epoch for who has the former one, sealed, and who is left out and why."""
    granting = Granting(owner, album)
    now, soon = tree.slot_of(time.time()), int(owner.registry.rpc.block("latest")["timestamp"]) + _ABOUT_TO_EXPIRE
    wide = [one for one in owner.grants() if one.album_id == album.album_id and one.scope.many]
    states = owner.registry.grant_states([one.grant_id for one in wide])
    status = {one.grant_id: state.status for one, state in zip(wide, states, strict=True)}
    made = {_same(one): one for one in wide if one.scope.epoch == album.epoch}
    there = {what for what, one in made.items() if status[one.grant_id] is not GrantStatus.NONE}
    best: dict[tuple[object, ...], GrantRecord] = {}
    left_out: dict[str, str] = {}
    for one in wide:
        if one.scope.epoch != album.epoch - 1 or one.grant_id in plan.revoke or one.scope.span[1] < now:
            continue
        if 0 < one.expiry <= soon or status[one.grant_id] not in _LIVE:
            continue
        if one.recipient in plan.leave_out:
            left_out[one.recipient] = "a grant of it is revoked by this"
        elif _same(one) not in best or _later(one.expiry, best[_same(one)].expiry):
            best[_same(one)] = one
    prepared = []
    for what, one in best.items():
        if what in there:
            continue
        scope, suite = replace(one.scope, epoch=album.epoch), XWING if one.suite == XWING else None
        salt = made[what].salt if what in made else b""
        try:
            prepared.append(granting.prepare(Wanted(scope, one.recipient, one.expiry, one.direct, suite, salt)))
        except Refused as error:
            left_out[one.recipient] = error.message
    return prepared, sorted(left_out.items())


def _same(record: GrantRecord) -> tuple[object, ...]:
    """What a grant and the one that follows it in the next epoch have in common."""
    return record.recipient, record.direct, record.scope.span


def _later(expiry: int, other: int) -> bool:
    return other != 0 and (expiry == 0 or expiry > other)


def _unknown(owner: Owner, album: Album) -> int:
    known = {one.grant_id for one in owner.grants()}
    events = owner.registry.events([GrantCreated], album=album.album_id)
    return sum(isinstance(one, GrantCreated) and one.grant_id not in known for one in events)
