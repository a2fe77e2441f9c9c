"""What an album's owner does. Albums, captures and keys: `archive.py`; the rest: `granting.py`, `revocation.py`,
`rotation.py`.

A grant's record is in the vault before its transaction: one that was interrupted shows as not `sent`.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypedDict, Unpack

from ffem_chain.chain.types import GrantStatus
from ffem_chain.errors import InputError, Refused
from ffem_chain.keys.scope import LEVEL_CAPTURE, LEVEL_EPOCH, LEVEL_FACE, LEVEL_RANGE, Scope
from ffem_chain.keys.tree import LAST_SLOT
from ffem_chain.roles.archive import Archive
from ffem_chain.roles.granting import Granting, OnPage, Prepared, Wanted, resumed, send
from ffem_chain.roles.keyring import checksum
from ffem_chain.roles.records import Album, GrantRecord, grant_from_vault, grant_to_vault
from ffem_chain.roles.revocation import RevokeResult, Route, open_routes, revoke_all, revoke_grants, sent_states
from ffem_chain.roles.rotation import RotateResult, not_held, rotate

_MOST_NAMED = 5


class Options(TypedDict, total=False):
    """How a grant is made. Without a capture: `album` (name or id), `epoch` (default: the present one) and `slots`, the
    first and the last minute of a range of it. `expires`: no request from then on. `direct` seals the key itself:
    openings leave no receipt and cannot be revoked. `suite` None takes suite 2 where the recipient and all keepers have
    it, else suite 1.
    """

    album: str | bytes | None
    epoch: int | None
    slots: tuple[int, int] | None
    expires: datetime | None
    direct: bool
    suite: int | None


class Owner(Archive):
    """An album owner: archives, grants, revokes, rotates."""

    # ------------------------------------------------------------------ grants

    def grants(self) -> list[GrantRecord]:
        """All grants of this deployment in the vault. One not `sent` was interrupted and may have no
        effect."""
        found = self._section(self.vault.read())["grants"].get(self._deployment(), {})
        return [grant_from_vault(key, entry) for key, entry in found.items()]

    def grant(self, uid: bytes | None, face: int | None, wallet: str, **options: Unpack[Options]) -> GrantRecord:
        """Let `wallet` open a face, a capture (`face` None) or, with `uid` None, an epoch of `album`; see `Options`.

        The record is in the vault before the transaction. Raises Refused where the recipient or a keeper has no key, or
        the keepers have not all accepted.
        """
        return self.grant_many(uid, face, [wallet], **options)[0]

    def grant_many(
        self,
        uid: bytes | None,
        face: int | None,
        wallets: Sequence[str],
        *,
        on_page: OnPage | None = None,
        **options: Unpack[Options],
    ) -> list[GrantRecord]:
        """The same to several wallets, in as few transactions as hold them; `on_page` gets the grants done and all of
        them after each. Nothing is sent unless all can be granted: Refused names who cannot. Called again after an
        interruption, it goes on with those that are missing."""
        scope, album = self._scope(uid, face, options)
        expires = options.get("expires")
        expiry = 0 if expires is None else int(expires.timestamp())
        if expires is not None and expiry <= time.time():
            raise InputError(f"the grant would have expired already, at {expires.isoformat()}")
        granting, prepared, refused = Granting(self, album), list[Prepared](), list[Refused]()
        direct, suite = options.get("direct", False), options.get("suite")
        addresses = dict.fromkeys(checksum(wallet) for wallet in wallets)
        done, left = resumed(self, album, [Wanted(scope, wallet, expiry, direct, suite) for wallet in addresses])
        for one in left:
            try:
                prepared.append(granting.prepare(one))
            except Refused as error:
                refused.append(error)
        if len(refused) > 1:
            shown = "; ".join(error.message for error in refused[:_MOST_NAMED])
            more = f"; and {len(refused) - _MOST_NAMED} more" if len(refused) > _MOST_NAMED else ""
            raise Refused(f"{len(refused)} of {len(wallets)} cannot be granted: {shown}{more}", refused[0].hint)
        if refused:
            raise refused[0]
        return send(self, prepared, on_page, done)

    def save_grants(self, records: Sequence[GrantRecord]) -> None:
        """Write grants to the vault, over those of the same id."""
        with self.vault.edit() as data:
            grants = self._section(data)["grants"].setdefault(self._deployment(), {})
            grants.update((record.grant_id.hex(), grant_to_vault(record)) for record in records)

    def _scope(self, uid: bytes | None, face: int | None, options: Options) -> tuple[Scope, Album]:
        """What is granted, and its album."""
        if uid is None:
            named = options.get("album")
            if named is None or face is not None:
                raise InputError("a grant names a capture, a face of a capture, or an album")
            owned = self.album(named)
            asked, slots = options.get("epoch"), options.get("slots")
            number = owned.epoch if asked is None else asked
            if not 1 <= number <= owned.epoch:
                raise InputError(
                    f"album {owned.name!r} has no epoch {number} yet, its present one is {owned.epoch}",
                    "an earlier epoch, or leave it out; the next one begins with: ffem rotate",
                )
            if slots is None or slots == (0, LAST_SLOT):
                return Scope(LEVEL_EPOCH, epoch=number), owned
            if not 0 <= slots[0] <= slots[1] <= LAST_SLOT:
                raise InputError("a range of time ends after it begins", "--from 2026-06-01 --to 2026-06-08")
            return Scope(LEVEL_RANGE, epoch=number, slot=slots[0], last=slots[1]), owned
        record = self.capture(uid)
        level = LEVEL_CAPTURE if face is None else LEVEL_FACE
        scope = Scope(level, epoch=record.epoch, slot=record.slot, uid=uid, face=face or 0)
        return scope, self.album(record.album_id)

    # ------------------------------------------------------------------ epochs

    def rotate(
        self,
        name_or_id: str | bytes,
        revoke: Sequence[bytes] = (),
        *,
        leave_out: Collection[str] = (),
        grant: bool = True,
        on_page: OnPage | None = None,
    ) -> RotateResult:
        """Begin the album's next epoch, revoke these grants (ids) of it, and grant the new epoch to who had the former
        one, in one transaction where it holds all; see `rotation.rotate`."""
        records = [self._grant(one) for one in revoke]
        sent_states(self, records)
        return rotate(self, name_or_id, records, leave_out=leave_out, grant=grant, on_page=on_page)

    def holds_epoch(self, album: Album, epoch: int) -> bool:
        """Whether the vault has the secret of an epoch that this deployment knows."""
        try:
            commit = self.epoch_commit(album, epoch)
        except InputError:
            return False
        return commit == self.registry.epoch_key_commit(album.album_id, epoch)

    def enter_epoch(self, album: Album, epoch: int) -> Album:
        """What is sealed from now on is of this epoch."""
        with self.vault.edit() as data:
            self.album_entry(data, album)["epoch"] = epoch
        return replace(album, epoch=epoch)

    def follow_epoch(self, album: Album) -> Album:
        """The album at the epoch where the chain is, so that nothing is sealed under one that has ended.

        Raises Refused where the chain is ahead and the vault has not that epoch's secret: it was rotated elsewhere.
        """
        there = self.registry.album(album.album_id).epoch
        if there <= album.epoch:
            return album
        if not self.holds_epoch(album, there):
            raise not_held(album, there)
        return self.enter_epoch(album, there)

    def album_entry(self, data: dict[str, Any], album: Album) -> dict[str, Any]:
        """An album's entry in the vault's content."""
        entry: dict[str, Any] = self._section(data)["albums"][album.album_id.hex()]
        return entry

    # ------------------------------------------------------------------ revocation

    def revoke(self, grant: bytes) -> RevokeResult:
        """Revoke a grant; see `revocation.revoke_grants`."""
        return self.revoke_many([grant])[0]

    def revoke_many(self, grants: Sequence[bytes]) -> list[RevokeResult]:
        """Revoke grants, those of an album in one transaction; see `revocation.revoke_grants`."""
        return revoke_grants(self, [self._grant(one) for one in grants])

    def revoke_all(self, uid: bytes, wallet: str | None = None) -> list[RevokeResult]:
        """Revoke all grants of a capture and its faces (to one wallet); see `revocation.revoke_all`."""
        return revoke_all(self, uid, wallet)

    def routes(self, uid: bytes, face: int | None, wallet: str) -> list[Route]:
        """Every way still open by which `wallet` can obtain the key of a capture or face, or part of it."""
        scope, owned = self._scope(uid, face, {})
        return open_routes(self, owned.album_id, scope, wallet)

    def _grant(self, grant: bytes) -> GrantRecord:
        for record in self.grants():
            if record.grant_id == grant:
                return record
        raise InputError(f"grant {grant.hex()[:16]} is not in this vault", "ffem ls --grants")

    def unsent(self) -> list[GrantRecord]:
        """Grants whose sending was interrupted and that the chain does not know."""
        waiting = [record for record in self.grants() if not record.sent]
        states = self.registry.grant_states([record.grant_id for record in waiting])
        return [one for one, state in zip(waiting, states, strict=True) if state.status is GrantStatus.NONE]
