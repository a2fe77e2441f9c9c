"""What an album's owner does. Albums, captures and keys: `archive.py`; revoking: `revocation.py`.

A grant's record is in the vault before its transaction: one that was interrupted shows as not `sent`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ffem_chain.chain.types import GrantParams, GrantStatus, grant_id
from ffem_chain.errors import InputError, Refused
from ffem_chain.keys.grants import GrantContext, KeeperKey, build_grant
from ffem_chain.keys.scope import LEVEL_CAPTURE, LEVEL_EPOCH, LEVEL_FACE, Scope
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import SECP256K1, XWING
from ffem_chain.roles.archive import Archive
from ffem_chain.roles.keyring import address_bytes, checksum, published_key
from ffem_chain.roles.records import Album, GrantRecord, grant_from_vault, grant_to_vault
from ffem_chain.roles.revocation import RevokeResult, Route, open_routes, revoke_all, revoke_grant


class Owner(Archive):
    """An album owner: archives, grants, revokes."""

    # ------------------------------------------------------------------ grants

    def grants(self) -> list[GrantRecord]:
        """All grants of this deployment in the vault. One not `sent` was interrupted and may have no
        effect."""
        found = self._section(self.vault.read())["grants"].get(self._deployment(), {})
        return [grant_from_vault(key, entry) for key, entry in found.items()]

    def grant(
        self,
        uid: bytes | None,
        face: int | None,
        wallet: str,
        *,
        album: str | bytes | None = None,
        epoch: int | None = None,
        expires: datetime | None = None,
        direct: bool = False,
        suite: int | None = None,
    ) -> GrantRecord:
        """Let `wallet` open a face, a capture (`face` None) or, with `uid` None, an epoch of `album`.

        `direct` seals the key itself: openings leave no receipt and cannot be revoked. `suite` None takes
        suite 2 where the recipient and all keepers have it, else suite 1. The record is in the vault before
        the transaction. Raises Refused where the recipient or a keeper has no key, or the keepers have not
        all accepted.
        """
        scope, owned, key = self._scope(uid, face, album, epoch)
        recipient = checksum(wallet)
        expiry = 0 if expires is None else int(expires.timestamp())
        if expires is not None and expiry <= time.time():
            raise InputError(f"the grant would have expired already, at {expires.isoformat()}")
        keeper_set, threshold, members = 0, 0, tuple[str, ...]()
        if not direct:
            keeper_set = self.registry.album(owned.album_id).current_keeper_set
            if not keeper_set:
                raise Refused(
                    f"the keepers of album {owned.name!r} have not all accepted",
                    "each keeper runs: ffem keeper accept",
                )
            pinned = self.registry.keeper_set(keeper_set)
            threshold, members = pinned.threshold, pinned.keepers
        chosen = self._suite(recipient, members) if suite is None else suite
        version, public = published_key(self.registry, recipient, chosen, "recipient")
        keepers = []
        for member in members:
            keeper_version, keeper_public = published_key(self.registry, member, chosen, "keeper")
            keepers.append(KeeperKey(address_bytes(member), keeper_version, keeper_public))
        salt = secrets.token_bytes(32)
        context = GrantContext(
            deployment=self.registry.deployment_id,
            album=owned.album_id,
            grant=grant_id(owned.album_id, salt),
            recipient=address_bytes(recipient),
            key_version=version,
            suite=chosen,
            threshold=threshold,
            keepers=len(members),
        )
        built = build_grant(key, scope, context, public, keepers)
        record = GrantRecord(
            grant_id=context.grant,
            album_id=owned.album_id,
            salt=salt,
            scope=scope,
            recipient=recipient,
            key_version=version,
            suite=chosen,
            expiry=expiry,
            keeper_set=keeper_set,
            sent=False,
            block=0,
        )
        self._save_grant(record)
        params = GrantParams(
            owned.album_id,
            salt,
            built.scope_commit,
            recipient,
            version,
            expiry,
            keeper_set,
            built.payload,
        )
        receipt = self.registry.grant(params)
        record = replace(record, sent=True, block=receipt.block)
        self._save_grant(record)
        return record

    def _save_grant(self, record: GrantRecord) -> None:
        with self.vault.edit() as data:
            grants = self._section(data)["grants"].setdefault(self._deployment(), {})
            grants[record.grant_id.hex()] = grant_to_vault(record)

    def _suite(self, recipient: str, members: Sequence[str]) -> int:
        wallets = (recipient, *members)
        return XWING if all(self.registry.active_key(wallet, XWING) for wallet in wallets) else SECP256K1

    def _scope(
        self, uid: bytes | None, face: int | None, album: str | bytes | None, epoch: int | None
    ) -> tuple[Scope, Album, Secret]:
        """What is granted, its album and its key."""
        if uid is None:
            if album is None or face is not None:
                raise InputError("a grant names a capture, a face of a capture, or an album")
            owned = self.album(album)
            number = owned.epoch if epoch is None else epoch
            if not 1 <= number <= owned.epoch:
                raise InputError(
                    f"album {owned.name!r} has no epoch {number} yet, its present one is {owned.epoch}",
                    "an earlier epoch, or leave it out; the next one begins with: ffem album rotate",
                )
            return Scope(LEVEL_EPOCH, epoch=number), owned, self.epoch_secret(owned, number)
        record = self.capture(uid)
        owned = self.album(record.album_id)
        if face is None:
            scope = Scope(LEVEL_CAPTURE, epoch=record.epoch, slot=record.slot, uid=uid)
            return scope, owned, self.capture_key(uid)
        scope = Scope(LEVEL_FACE, epoch=record.epoch, slot=record.slot, uid=uid, face=face)
        return scope, owned, self.face_key(uid, face)

    # ------------------------------------------------------------------ revocation

    def revoke(self, grant: bytes) -> RevokeResult:
        """Revoke a grant; see `revocation.revoke_grant`."""
        return revoke_grant(self, self._grant(grant))

    def revoke_all(self, uid: bytes, wallet: str | None = None) -> list[RevokeResult]:
        """Revoke all grants of a capture and its faces (to one wallet); see `revocation.revoke_all`."""
        return revoke_all(self, uid, wallet)

    def routes(self, uid: bytes, face: int | None, wallet: str) -> list[Route]:
        """Every way still open by which `wallet` can obtain the key of a capture or face, or part of it."""
        scope, owned, _ = self._scope(uid, face, None, None)
        return open_routes(self, owned.album_id, scope, wallet)

    def _grant(self, grant: bytes) -> GrantRecord:
        for record in self.grants():
            if record.grant_id == grant:
                return record
        raise InputError(f"grant {grant.hex()[:16]} is not in this vault", "ffem ls --grants")

    def unsent(self) -> list[GrantRecord]:
        """Grants whose sending was interrupted and that the chain does not know."""
        state = self.registry.grant_state
        waiting = [record for record in self.grants() if not record.sent]
        return [record for record in waiting if state(record.grant_id).status is GrantStatus.NONE]
