"""The encryption keys of one wallet: as recipient of envelopes and, for keepers, of shares.

Vault layout, section `keyring`, one entry a deployment (hex of its id):

    {"versions": {"<version>": {"suite": int, "secret": bytes, "public": bytes}},
     "pending": [{"suite": int, "secret": bytes, "public": bytes}]}

A key is `pending` from before its transaction is sent until its version is known, so an interruption never
loses a private key whose public half others may already seal to.
"""

from __future__ import annotations

from dataclasses import dataclass

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from ffem_chain.chain.events import KeyRegistered
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import KeyStatus
from ffem_chain.errors import InputError, NotForMe, Refused
from ffem_chain.keys.suites import SECP256K1, PrivateKey
from ffem_chain.roles.recovery import RecoverableRing


@dataclass(frozen=True)
class KeyRecord:
    """One encryption key of this wallet: version on the chain, suite, status, and whether its secret is
    here."""

    version: int
    suite: int
    status: KeyStatus
    public: bytes
    held: bool


def address_bytes(address: str) -> bytes:
    """The 20 bytes of a 0x address. Raises InputError where it is none."""
    digits = address.removeprefix("0x")
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        raw = b""
    if len(raw) != 20 or not any(raw):
        raise InputError(f"{address} is not a wallet address", "an address is 0x and 40 hexadecimal digits")
    return raw


def checksum(address: str) -> str:
    """A wallet address in EIP-55 form. Raises InputError where it is none, or has capitals that do not check."""
    checked: str = to_checksum_address(address_bytes(address))
    mixed = address.removeprefix("0x") not in (checked[2:].lower(), checked[2:].upper())
    if mixed and address.removeprefix("0x") != checked[2:]:
        raise InputError(f"the checksum of address {address} is wrong", "copy the address again")
    return checked


class KeyRing(RecoverableRing):
    """Encryption keys of `account`, private halves in `vault`, public halves on the chain, and copies of the private
    halves for a recovery code where one is in use."""

    def register(self, suite: int = SECP256K1, *, wallet_key: bool = False) -> int:
        """Publish a new encryption key and return its version; an active one of that suite is retired by it.

        `wallet_key` uses the wallet's own signing key (suite 1 only): whoever gets one then has both.
        Where a recovery code is in use, the copy for it is published next.
        """
        if wallet_key and suite != SECP256K1:
            raise InputError("only suite 1 can use the wallet's signing key")
        if wallet_key:
            if not isinstance(self._account, LocalAccount):
                raise InputError("the wallet's signing key is not here", "register a key of its own")
            private = PrivateKey.from_secret_bytes(SECP256K1, bytes(self._account.key))
        else:
            private = PrivateKey.generate(suite)
        entry = {"suite": suite, "secret": private.to_secret_bytes(), "public": private.public}
        with self._vault.edit() as data:
            self._section(data)["pending"].append(entry)
        receipt = self._registry.register_key(suite, private.public)
        version: int = next(e.version for e in receipt.events if isinstance(e, KeyRegistered))
        self._settle({private.public: version})
        self.publish_recovery()
        return version

    def _settle(self, versions: dict[bytes, int]) -> None:
        """Move pending keys whose version is known to the ring."""
        with self._vault.edit() as data:
            section = self._section(data)
            for entry in list(section["pending"]):
                version = versions.get(entry["public"])
                if version is not None:
                    section["versions"][str(version)] = entry
                    section["pending"].remove(entry)

    def resume(self) -> None:
        """Find the versions of keys whose registration was interrupted."""
        if not self._section(self._vault.read())["pending"]:
            return
        events = self._registry.events([KeyRegistered], wallet=self.wallet)
        self._settle({e.public_key: e.version for e in events if isinstance(e, KeyRegistered)})

    def ensure(self, suite: int = SECP256K1) -> int:
        """Version of the active key of `suite` whose secret is held; registers one where there is none."""
        self.resume()
        version = self._registry.active_key(self.wallet, suite)
        if version and str(version) in self._section(self._vault.read())["versions"]:
            return version
        return self.register(suite)

    def rotate(self, suite: int = SECP256K1) -> int:
        """Replace the active key of `suite`; the old one opens what was sealed to it, nothing new is."""
        return self.register(suite)

    def mark_compromised(self, version: int) -> None:
        """Declare a key compromised, for ever: keepers release nothing more to it."""
        self._registry.set_key_status(version, KeyStatus.COMPROMISED)

    def private(self, version: int) -> PrivateKey:
        """Private half of a version. Raises NotForMe where this vault does not hold it."""
        self.resume()
        entry = self._section(self._vault.read())["versions"].get(str(version))
        if entry is None:
            raise NotForMe(
                f"this vault holds no private half of encryption key version {version} of {self.wallet}",
                "ask the owner to grant again: new grants go to your active key",
            )
        return PrivateKey.from_secret_bytes(entry["suite"], entry["secret"])

    def keys(self) -> list[KeyRecord]:
        """All versions published by this wallet, oldest first."""
        self.resume()
        held = self._section(self._vault.read())["versions"]
        records = []
        for event in self._registry.events([KeyRegistered], wallet=self.wallet):
            if isinstance(event, KeyRegistered):
                status = self._registry.key(self.wallet, event.version).status
                secret_held = str(event.version) in held
                record = KeyRecord(event.version, event.suite, status, event.public_key, secret_held)
                records.append(record)
        return records

    def destroy(self, version: int) -> None:
        """Delete the private half of a version that is no longer active. What was sealed to it stays
        closed."""
        if self._registry.key(self.wallet, version).status is KeyStatus.ACTIVE:
            raise Refused(f"key version {version} is active", "rotate first")
        with self._vault.edit() as data:
            self._section(data)["versions"].pop(str(version), None)


def published_key(registry: Registry, wallet: str, suite: int, role: str) -> tuple[int, bytes]:
    """Active (version, public key) of `wallet` for `suite`, read from the chain.

    Raises Refused naming `role` where the wallet has none.
    """
    version = registry.active_key(wallet, suite)
    if not version:
        raise Refused(
            f"{role} {wallet} has no active encryption key of suite {suite}",
            f"it has to publish one first: ffem key register --suite {suite}",
        )
    return version, registry.public_key(wallet, version)
