"""A wallet's encryption keys, sealed on the chain to a recovery code that is kept on paper.

Vault layout: section `recovery` is {"<suite>": public key of the code}; in the key ring's entry of a deployment,

    "recovery": {"<version>": {"to": public key, "digest": SHA-256 of the sealed copy that was sent}}
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from eth_account import Account
from eth_utils.address import to_checksum_address

from ffem_chain.chain.events import KeyRegistered, RecoveryPublished
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.signed import Wallet
from ffem_chain.errors import FormatError, InputError, NotForMe, Tampered
from ffem_chain.keys.recovery import RecoveryCode, open_private, recovery_info, seal_private
from ffem_chain.keys.suites import SECP256K1, PrivateKey
from ffem_chain.keys.vault import Vault


@dataclass(frozen=True)
class Recovered:
    """Versions whose private halves a code gave back, those that were here already, and those that it cannot give."""

    found: tuple[int, ...]
    held: tuple[int, ...]
    missing: tuple[int, ...]


class RecoverableRing:
    """The private keys of one wallet on one deployment, and their copies for a recovery code."""

    def __init__(self, registry: Registry, vault: Vault, account: Wallet) -> None:
        self._registry = registry
        self._vault = vault
        self._account = account
        self.wallet: str = to_checksum_address(account.address)
        self._deployment = registry.deployment_id.hex()

    def _section(self, data: dict[str, Any]) -> dict[str, Any]:
        ring: dict[str, Any] = data.setdefault("keyring", {})
        section: dict[str, Any] = ring.setdefault(self._deployment, {"versions": {}, "pending": []})
        return section

    def _info(self, version: int, suite: int) -> bytes:
        wallet = bytes.fromhex(self.wallet[2:])
        return recovery_info(self._registry.deployment_id, wallet, version, suite)

    # ------------------------------------------------------------------ sealing

    def recovery_keys(self) -> dict[int, bytes]:
        """Public keys of the code that keys are sealed to, by suite; empty where there is none."""
        found: dict[str, bytes] = self._vault.read().get("recovery", {})
        return {int(suite): public for suite, public in found.items()}

    def set_recovery(self, code: RecoveryCode) -> None:
        """Seal keys to this code from now on (`publish_recovery`). Copies for a former code stay on the chain."""
        with self._vault.edit() as data:
            data["recovery"] = {str(suite): public for suite, public in code.publics().items()}

    def without_copy(self) -> list[int]:
        """Versions held here of which the chain has no copy for the present code, oldest first.

        Never the wallet's signing key, where that is an encryption key too: a code must not give the wallet itself.
        """
        section, keys = self._section(self._vault.read()), self.recovery_keys()
        if not keys:
            return []
        events = self._registry.events([RecoveryPublished], wallet=self.wallet)
        there = {
            (event.version, hashlib.sha256(event.sealed_key).digest())
            for event in events
            if isinstance(event, RecoveryPublished)
        }
        found = []
        for name, entry in section["versions"].items():
            note = section.get("recovery", {}).get(name)
            copied = note and note["to"] == keys[entry["suite"]] and (int(name), note["digest"]) in there
            if not copied and not self._is_signing_key(entry):
                found.append(int(name))
        return sorted(found)

    def _is_signing_key(self, entry: dict[str, Any]) -> bool:
        return entry["suite"] == SECP256K1 and bool(Account.from_key(entry["secret"]).address == self.wallet)

    def publish_recovery(self) -> list[int]:
        """Publish a sealed copy of every key that has none for the present code; the versions."""
        done = []
        for version in self.without_copy():
            with self._vault.edit() as data:
                section = self._section(data)
                entry = section["versions"][str(version)]
                private = PrivateKey.from_secret_bytes(entry["suite"], entry["secret"])
                public: bytes = data["recovery"][str(private.suite)]
                sealed = seal_private(private, public, self._info(version, private.suite))
                note = {"to": public, "digest": hashlib.sha256(sealed).digest()}
                section.setdefault("recovery", {})[str(version)] = note
            self._registry.publish_recovery(version, sealed)
            done.append(version)
        return done

    # ------------------------------------------------------------------ recovering

    def recover(self, code: RecoveryCode) -> Recovered:
        """Take back the private keys that are sealed to a code. Each must be the one that the wallet registered.

        The code is in use again afterwards. Raises InputError where the wallet has published no key, NotForMe where the
        code opens none of its copies.
        """
        registered = self._registry.events([KeyRegistered], wallet=self.wallet)
        copies = self._registry.events([RecoveryPublished], wallet=self.wallet)
        if not registered:
            raise InputError(
                f"{self.wallet} has registered no encryption key on this deployment",
                "a code gives back the keys of its own wallet: import or restore that first",
            )
        held = self._section(self._vault.read())["versions"]
        found: dict[int, dict[str, Any]] = {}
        notes: dict[str, dict[str, bytes]] = {}
        for event in registered:
            if isinstance(event, KeyRegistered):
                sealed = self._open_copy(code, event, copies)
                if sealed is not None:
                    private, digest = sealed
                    secret = private.to_secret_bytes()
                    found[event.version] = {"suite": event.suite, "secret": secret, "public": private.public}
                    notes[str(event.version)] = {"to": code.private(event.suite).public, "digest": digest}
        if not found:
            words = "published no copy of a key" if not copies else "published no copy that this code opens"
            raise NotForMe(f"{self.wallet} has {words}", "another code, wallet or deployment?")
        with self._vault.edit() as data:
            section = self._section(data)
            for version, entry in found.items():
                section["versions"].setdefault(str(version), entry)
            section.setdefault("recovery", {}).update(notes)
            data["recovery"] = {str(suite): public for suite, public in code.publics().items()}
        versions = {e.version for e in registered if isinstance(e, KeyRegistered)}
        here = {int(name) for name in held}
        return Recovered(
            tuple(sorted(set(found) - here)),
            tuple(sorted(here & versions)),
            tuple(sorted(versions - here - set(found))),
        )

    def _open_copy(self, code: RecoveryCode, key: KeyRegistered, copies: list[Any]) -> tuple[PrivateKey, bytes] | None:
        """The private half of a registered key from the newest copy that the code opens, and the copy's SHA-256."""
        public = self._registry.public_key(self.wallet, key.version)
        for copy in reversed(copies):
            if copy.version != key.version:
                continue
            try:
                private = open_private(code, key.suite, copy.sealed_key, self._info(key.version, key.suite))
            except (FormatError, NotForMe, Tampered):
                continue  # for another code, or bytes that are no copy
            if private.public == public:
                return private, hashlib.sha256(copy.sealed_key).digest()
        return None
