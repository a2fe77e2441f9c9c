"""An owner's albums, captures and keys, and the vault they live in.

Vault layout, section `owner` (ids in hex are keys of the dictionaries):

    albums:   {album id: {name: str, salt: bytes32, owner: str, epoch: int, epochs: {"<epoch>": bytes32},
                          granting: {grants: [ids of one call under way], at: unix seconds}}}
    captures: {uid: {album, epoch, slot, cid, digest, key_commit, model_id, rotation, precision, faces,
                     sealed: [face index, ...], registered: [deployment id in hex, ...],
                     source: SHA-256 of the photo's file, root: of the batch it was planned for}}
    grants:   {deployment id: {grant id: {album, salt, scope, recipient, key_version, suite, expiry,
                                          keeper_set, sent, block}}}

Secrets and salts are written before the transaction that publishes anything derived from them, so an
interruption between the two loses nothing: calling again goes on from the vault. Albums and captures are
not bound to a deployment (ids depend on owner and salts alone); grants are.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from ffem_chain.capture.model import Capture
from ffem_chain.chain.events import AlbumCreated, CaptureRegistered, KeeperSetProposed
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.signed import Wallet
from ffem_chain.chain.types import album_id
from ffem_chain.errors import ChainUnavailable, InputError
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import SECP256K1
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.keyring import KeyRing, checksum
from ffem_chain.roles.records import Album, CaptureRecord, capture_from_vault, capture_to_vault


class Archive:
    """An owner's wallet with its vault. `registry` None works offline: sealing and key derivation only."""

    def __init__(self, registry: Registry | None, vault: Vault, account: Wallet) -> None:
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

        The epoch secret is in the vault before the transaction. Called again after an interruption, it goes
        on with the same secret and salt. Raises InputError where the name is taken by an album that exists
        on the chain.
        """
        members = self._members(keepers, threshold)
        self.registry.check_sends("createAlbum")
        if not name.strip() or len(name) > 200:
            raise InputError("an album needs a name of at most 200 characters")
        if not any(known.name == name for known in self.albums()):
            self._new_album(name)
        album = next(known for known in self.albums() if known.name == name)
        if album.owner != self.wallet:
            raise InputError(f"album {name!r} in this vault belongs to {album.owner}")
        if self.registry.events([AlbumCreated], album=album.album_id):
            raise InputError(f"album {name!r} exists already", f"ffem album show {name}")
        if self.wallet in members:
            KeyRing(self.registry, self.vault, self.account).ensure(SECP256K1)
        self.registry.create_album(album.salt, self.epoch_commit(album, 1), members, threshold)
        # On a new deployment an older album starts again at epoch 1; the later ones are published in order.
        for epoch in range(2, album.epoch + 1):
            self.registry.open_epoch(album.album_id, self.epoch_commit(album, epoch))
        return album

    def _new_album(self, name: str) -> None:
        """Write an album to the vault, unless another process has."""
        with self.vault.edit() as data:
            albums = self._section(data)["albums"]
            if any(entry["name"] == name for entry in albums.values()):
                return
            salt = secrets.token_bytes(32)
            albums[album_id(self.wallet, salt).hex()] = {
                "name": name,
                "salt": salt,
                "owner": self.wallet,
                "epoch": 1,
                "epochs": {"1": Secret.random().to_secret_bytes()},
            }

    def _members(self, keepers: Sequence[str], threshold: int) -> list[str]:
        """The wallets of a keeper set, the owner where none is named. Raises InputError."""
        members = [checksum(keeper) for keeper in keepers] or [self.wallet]
        if not 1 <= threshold <= len(members) <= 8 or len(set(members)) != len(members):
            raise InputError(f"{threshold} of {len(members)} keepers: 1 <= threshold <= keepers <= 8, all distinct")
        return members

    def propose_keepers(self, name_or_id: str | bytes, keepers: Sequence[str] = (), threshold: int = 1) -> int:
        """Propose a keeper set (default: the owner alone) for new grants; its number. Grants keep their set.

        Where the newest set is this one already, nothing is sent.
        """
        album, members = self.album(name_or_id), self._members(keepers, threshold)
        latest = self.registry.album(album.album_id).latest_keeper_set
        if latest:
            newest = self.registry.keeper_set(latest)
            if (newest.keepers, newest.threshold) == (tuple(members), threshold):
                return latest
        if self.wallet in members:
            KeyRing(self.registry, self.vault, self.account).ensure(SECP256K1)
        receipt = self.registry.propose_keepers(album.album_id, members, threshold)
        return next(event.keeper_set for event in receipt.events if isinstance(event, KeeperSetProposed))

    def epoch_commit(self, album: Album, epoch: int) -> bytes:
        """Commitment to the secret of an epoch (32 bytes). Raises InputError where the vault does not hold it."""
        return tree.key_commit(self.epoch_secret(album, epoch), "epoch")

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
            raise InputError(f"there is no face {index} in capture {uid.hex()[:16]}, which has {record.faces}")
        if index not in record.sealed:
            raise InputError(f"face {index} was too small: it was covered for ever, and no key opens it")
        context = tree.FaceContext(uid, index, record.model_id, record.rotation, record.precision)
        return tree.face_key(self.capture_key(uid), context)

    # ------------------------------------------------------------------ captures

    def record_capture(self, album: Album, capture: Capture, cid: str, source: bytes = b"") -> CaptureRecord:
        """Write a sealed capture to the vault, before it is registered. `capture` as read from its files; `source` is
        the SHA-256 of the photo's file, by which a resumed call knows it."""
        self.record_captures(album, [(capture, cid, source)])
        return self.capture(capture.manifest.uid)

    def record_captures(self, album: Album, sealed: Iterable[tuple[Capture, str, bytes]]) -> None:
        """Write many at once, as (capture, its CID, `source`), each as `record_capture` does."""
        entries = {
            capture.manifest.uid.hex(): capture_to_vault(album.album_id, capture, cid, source)
            for capture, cid, source in sealed
        }
        with self.vault.edit() as data:
            captures = self._section(data)["captures"]
            captures.update((uid, entry) for uid, entry in entries.items() if uid not in captures)

    def register_capture(self, uid: bytes) -> CaptureRecord:
        """Register a recorded capture on the chain, once: where it is there already, that is noted."""
        record = self.capture(uid)
        there = self.registry.events([CaptureRegistered], album=record.album_id, uid=uid)
        if not there:
            self.registry.register_capture(
                record.album_id, uid, record.digest, record.key_commit, record.epoch, record.slot
            )
        self.note_registered([uid])
        return replace(record, registered=True)

    def note_registered(self, uids: Iterable[bytes]) -> None:
        """Note that captures are registered on this deployment."""
        with self.vault.edit() as data:
            captures = self._section(data)["captures"]
            for uid in uids:
                registered = captures[uid.hex()]["registered"]
                if self._deployment() not in registered:
                    registered.append(self._deployment())

    def note_root(self, uids: Iterable[bytes], root: bytes) -> None:
        """Note the batch (32 bytes, its root) that captures are about to be registered in."""
        with self.vault.edit() as data:
            captures = self._section(data)["captures"]
            for uid in uids:
                captures[uid.hex()]["root"] = root

    def captures(self) -> list[CaptureRecord]:
        """All captures in the vault, oldest slot first."""
        found = self._section(self.vault.read())["captures"]
        records = [capture_from_vault(uid, entry, self._deployment()) for uid, entry in found.items()]
        return sorted(records, key=lambda record: (record.slot, record.uid))

    def capture(self, uid: bytes) -> CaptureRecord:
        """One capture. Raises InputError where it is not in the vault."""
        entry = self._section(self.vault.read())["captures"].get(uid.hex())
        if entry is None:
            raise InputError(f"capture {uid.hex()[:16]} is not in this vault", "ffem ls")
        return capture_from_vault(uid.hex(), entry, self._deployment())
