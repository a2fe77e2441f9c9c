"""What an album's owner does: create albums, derive keys, grant. Revocation and open routes: `revocation.py`.

Vault layout, section `owner` (ids in hex are keys of the dictionaries):

    albums:   {album id: {name: str, salt: bytes32, owner: str, epoch: int, epochs: {"<epoch>": bytes32 secret}}}
    captures: {uid: {album, epoch, slot, cid, digest, key_commit, model_id, rotation, precision, faces,
                     registered: [deployment id in hex, ...]}}
    grants:   {deployment id: {grant id: {album, salt, scope, recipient, key_version, suite, expiry, keeper_set,
                     sent, block}}}

Secrets and salts are written before the transaction that publishes anything derived from them, so an interruption
between the two loses nothing: calling again goes on from the vault. Albums and captures are not bound to a deployment
(ids depend on owner and salts alone); grants are.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_utils import to_checksum_address

from ffem_chain.capture.model import Manifest
from ffem_chain.chain.events import AlbumCreated, CaptureRegistered, EpochOpened
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantParams, GrantStatus, album_id, grant_id
from ffem_chain.errors import ChainUnavailable, InputError, Refused
from ffem_chain.keys import tree
from ffem_chain.keys.grants import (
    LEVEL_CAPTURE,
    LEVEL_EPOCH,
    LEVEL_FACE,
    GrantContext,
    KeeperKey,
    Scope,
    build_grant,
)
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import SECP256K1, XWING
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.keyring import KeyRing, address_bytes, published_key
from ffem_chain.roles.records import Album, CaptureRecord, GrantRecord, grant_from_vault, grant_to_vault
from ffem_chain.roles.revocation import RevokeResult, Route, open_routes, revoke_all, revoke_grant
from ffem_chain.stores.cid import digest_of_cid


class Owner:
    """An album owner's wallet with its vault. `registry` None works offline: sealing and key derivation only."""

    def __init__(self, registry: Registry | None, vault: Vault, account: LocalAccount) -> None:
        self._registry = registry
        self.vault = vault
        self.account = account
        self.wallet: str = account.address

    @property
    def registry(self) -> Registry:
        """The registry. Raises ChainUnavailable for an owner made offline."""
        if self._registry is None:
            raise ChainUnavailable("this needs the chain, and the owner works offline")
        return self._registry

    def _section(self, data: dict[str, Any]) -> dict[str, Any]:
        section: dict[str, Any] = data.setdefault("owner", {})
        for part in ("albums", "captures", "grants"):
            section.setdefault(part, {})
        return section

    def _deployment(self) -> str:
        return self.registry.deployment_id.hex() if self._registry is not None else ""

    # ------------------------------------------------------------------ albums

    def albums(self) -> list[Album]:
        """All albums in the vault, by name."""
        found = self._section(self.vault.read())["albums"]
        albums = [
            Album(entry["name"], bytes.fromhex(key), entry["salt"], entry["owner"], entry["epoch"])
            for key, entry in found.items()
        ]
        return sorted(albums, key=lambda album: album.name)

    def album(self, name_or_id: str | bytes) -> Album:
        """The album of a name, an id, or an id in hex. Raises InputError where the vault has none."""
        for album in self.albums():
            if name_or_id in (album.name, album.album_id, album.album_id.hex(), "0x" + album.album_id.hex()):
                return album
        shown = name_or_id.hex() if isinstance(name_or_id, bytes) else name_or_id
        raise InputError(f"there is no album {shown!r} in this vault", "ffem album create NAME")

    def create_album(self, name: str, keepers: Sequence[str] = (), threshold: int = 1) -> Album:
        """Create an album whose releases need `threshold` of `keepers` (default: the owner alone).

        The epoch secret is in the vault before the transaction. Called again after an interruption, it goes on with
        the same secret and salt. Raises InputError where the name is taken by an album that exists on the chain.
        """
        members = [to_checksum_address(address_bytes(keeper)) for keeper in keepers] or [self.wallet]
        if not 1 <= threshold <= len(members) <= 8 or len(set(members)) != len(members):
            raise InputError(f"{threshold} of {len(members)} keepers: 1 <= threshold <= keepers <= 8, all distinct")
        if not name.strip() or len(name) > 200:
            raise InputError("an album needs a name of at most 200 characters")
        with self.vault.edit() as data:
            albums = self._section(data)["albums"]
            key = next((k for k, entry in albums.items() if entry["name"] == name), None)
            if key is None:
                salt = secrets.token_bytes(32)
                key = album_id(self.wallet, salt).hex()
                epochs = {"1": Secret.random().to_secret_bytes()}
                albums[key] = {
                    "name": name,
                    "salt": salt,
                    "owner": self.wallet,
                    "epoch": 1,
                    "epochs": epochs,
                }
        album = self.album(bytes.fromhex(key))
        if album.owner != self.wallet:
            raise InputError(f"album {name!r} in this vault belongs to {album.owner}")
        if self.registry.events([AlbumCreated], album=album.album_id):
            raise InputError(f"album {name!r} exists already", f"ffem album show {name}")
        if self.wallet in members:
            KeyRing(self.registry, self.vault, self.account).ensure(SECP256K1)
        commit = tree.key_commit(self.epoch_secret(album, 1), "epoch")
        self.registry.create_album(album.salt, commit, members, threshold)
        # On a new deployment an older album starts again at epoch 1; the later ones are published in order.
        for epoch in range(2, album.epoch + 1):
            self.registry.open_epoch(album.album_id, tree.key_commit(self.epoch_secret(album, epoch), "epoch"))
        return album

    def open_epoch(self, name_or_id: str | bytes) -> Album:
        """Start the album's next epoch: what is sealed from now on derives from a new secret. Resumable."""
        album = self.album(name_or_id)
        following = str(album.epoch + 1)
        with self.vault.edit() as data:
            epochs = self._section(data)["albums"][album.album_id.hex()]["epochs"]
            epochs.setdefault(following, Secret.random().to_secret_bytes())
        commit = tree.key_commit(self.epoch_secret(album, album.epoch + 1), "epoch")
        opened = self.registry.events([EpochOpened], album=album.album_id)
        if not any(isinstance(e, EpochOpened) and e.key_commit == commit for e in opened):
            self.registry.open_epoch(album.album_id, commit)
        with self.vault.edit() as data:
            self._section(data)["albums"][album.album_id.hex()]["epoch"] = album.epoch + 1
        return replace(album, epoch=album.epoch + 1)

    # ------------------------------------------------------------------ keys

    def epoch_secret(self, album: Album, epoch: int) -> Secret:
        """Secret of one epoch. Raises InputError where the vault does not hold it."""
        entry = self._section(self.vault.read())["albums"].get(album.album_id.hex(), {})
        secret = entry.get("epochs", {}).get(str(epoch))
        if secret is None:
            raise InputError(f"the vault holds no secret for epoch {epoch} of album {album.name!r}")
        return Secret(secret)

    def derive_capture_key(self, album: Album, epoch: int, slot: int, uid: bytes) -> Secret:
        """Capture key of (album, epoch, slot, uid)."""
        context = tree.TreeContext(album.salt, epoch)
        slot_key = tree.slot_key(self.epoch_secret(album, epoch), context, slot)
        return tree.capture_key(slot_key, context, slot, uid)

    def capture_key(self, uid: bytes) -> Secret:
        """Capture key of a capture of this owner."""
        record = self.capture(uid)
        return self.derive_capture_key(self.album(record.album_id), record.epoch, record.slot, uid)

    def face_key(self, uid: bytes, index: int) -> Secret:
        """Face key of face `index` (from 0) of a capture of this owner."""
        record = self.capture(uid)
        if not 0 <= index < record.faces:
            raise InputError(f"capture {uid.hex()[:16]} has {record.faces} faces, there is no face {index}")
        context = tree.FaceContext(uid, index, record.model_id, record.rotation, record.precision)
        return tree.face_key(self.capture_key(uid), context)

    # ------------------------------------------------------------------ captures

    def record_capture(self, album: Album, manifest: Manifest, cid: str) -> CaptureRecord:
        """Write a sealed capture to the vault, before it is registered."""
        entry = {
            "album": album.album_id,
            "epoch": manifest.epoch,
            "slot": manifest.slot,
            "cid": cid,
            "digest": digest_of_cid(cid),
            "key_commit": manifest.key_commit,
            "model_id": manifest.model_id,
            "rotation": manifest.rotation,
            "precision": manifest.precision,
            "faces": manifest.faces,
            "registered": [],
        }
        with self.vault.edit() as data:
            self._section(data)["captures"].setdefault(manifest.uid.hex(), entry)
        return self.capture(manifest.uid)

    def register_capture(self, uid: bytes) -> CaptureRecord:
        """Register a recorded capture on the chain, once: where it is there already, that is noted."""
        record = self.capture(uid)
        there = self.registry.events([CaptureRegistered], album=record.album_id, uid=uid)
        if not there:
            self.registry.register_capture(
                record.album_id, uid, record.digest, record.key_commit, record.epoch, record.slot
            )
        with self.vault.edit() as data:
            registered = self._section(data)["captures"][uid.hex()]["registered"]
            if self._deployment() not in registered:
                registered.append(self._deployment())
        return replace(record, registered=True)

    def captures(self) -> list[CaptureRecord]:
        """All captures in the vault, oldest slot first."""
        deployment = self._deployment()
        records = []
        for uid, entry in self._section(self.vault.read())["captures"].items():
            values = {key: value for key, value in entry.items() if key not in ("album", "registered")}
            registered = deployment in entry["registered"]
            records.append(
                CaptureRecord(
                    uid=bytes.fromhex(uid), album_id=entry["album"], registered=registered, **values
                )
            )
        return sorted(records, key=lambda record: (record.slot, record.uid))

    def capture(self, uid: bytes) -> CaptureRecord:
        """One capture. Raises InputError where it is not in the vault."""
        for record in self.captures():
            if record.uid == uid:
                return record
        raise InputError(f"capture {uid.hex()[:16]} is not in this vault", "ffem ls")

    # ------------------------------------------------------------------ grants

    def grants(self) -> list[GrantRecord]:
        """All grants of this deployment in the vault. One not `sent` was interrupted and may have no effect."""
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

        `direct` seals the key itself: openings leave no receipt and cannot be revoked. `suite` None takes suite 2
        where the recipient and all keepers have it, else suite 1. The record is in the vault before the transaction.
        Raises Refused where the recipient or a keeper has no key, or the keepers have not all accepted.
        """
        scope, owned, key = self._scope(uid, face, album, epoch)
        recipient = to_checksum_address(address_bytes(wallet))
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
