"""What was granted to a wallet: its keys, the grants sealed to them, and which of them open what."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from ffem_chain.chain.events import GrantCreated
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.signed import Wallet
from ffem_chain.chain.types import GrantStatus
from ffem_chain.errors import FfemError, FormatError, NotForMe, Refused, Tampered
from ffem_chain.keys.grants import Payload, parse_payload, read_scope
from ffem_chain.keys.scope import LEVEL_CAPTURE, LEVEL_FACE, Scope
from ffem_chain.keys.suites import SECP256K1
from ffem_chain.keys.vault import Vault
from ffem_chain.labels import DIRECT_LABEL
from ffem_chain.roles.keyring import KeyRecord, KeyRing
from ffem_chain.roles.ledger import Ledger, read_ledger, read_ledgers
from ffem_chain.roles.records import covers, describe, narrow
from ffem_chain.roles.registrations import Registrations


@dataclass(frozen=True)
class ReceivedGrant:
    """A grant to this wallet. `scope` is None where the private key for `key_version` is not in the vault.

    `held`: it was released before and its key is in the vault, so it opens without a request.
    """

    grant_id: bytes
    album: bytes
    status: GrantStatus
    key_version: int
    suite: int
    expiry: int
    keeper_set: int
    block: int
    scope: Scope | None
    text: str
    held: bool = False

    @property
    def direct(self) -> bool:
        """Opens without a request; leaves no receipt."""
        return self.keeper_set == 0

    @property
    def opens(self) -> bool:
        """Whether it opens now, or a request may open it."""
        return self.direct or self.held or self.status in (GrantStatus.LIVE, GrantStatus.OPENED)


class Received:
    """A wallet and what it was granted; `recipient.Recipient` opens it.

    `registrations` finds captures; None finds only those that are registered by themselves.
    """

    def __init__(
        self,
        registry: Registry,
        vault: Vault,
        account: Wallet,
        registrations: Registrations | None = None,
    ) -> None:
        self.registry = registry
        self.registrations = registrations or Registrations(registry, None)
        self.vault = vault
        self.account = account
        self.wallet: str = account.address
        self.ring = KeyRing(registry, vault, account)

    # ------------------------------------------------------------------ keys

    def register_key(self, suite: int = SECP256K1, wallet_key: bool = False) -> int:
        """Publish a new encryption key; returns its version. See `KeyRing.register`."""
        return self.ring.register(suite, wallet_key=wallet_key)

    def rotate_key(self, suite: int = SECP256K1) -> int:
        """Replace the active key; grants to the old version still open."""
        return self.ring.rotate(suite)

    def mark_compromised(self, version: int) -> None:
        """Declare a key compromised: keepers release nothing more to it."""
        self.ring.mark_compromised(version)

    def keys(self) -> list[KeyRecord]:
        """All published versions of this wallet."""
        return self.ring.keys()

    # ------------------------------------------------------------------ grants

    def grants(self, album: bytes | None = None) -> list[ReceivedGrant]:
        """All grants to this wallet (of one album), oldest first, with what each allows now."""
        only = {} if album is None else {"album": album}
        events = self.registry.events([GrantCreated], recipient=self.wallet, **only)  # type: ignore[arg-type]
        created = [event for event in events if isinstance(event, GrantCreated)]
        statuses = self.registry.openable_by(self.wallet, [event.grant_id for event in created])
        ledgers = read_ledgers(self.registry, [event.grant_id for event in created])
        held = set(self._held(self.vault.read()))
        return [
            self._received(event, status, ledgers.get(event.grant_id), held)
            for event, status in zip(created, statuses, strict=True)
        ]

    def _received(
        self, event: GrantCreated, status: GrantStatus, ledger: Ledger | None, held: Container[str]
    ) -> ReceivedGrant:
        scope: Scope | None = None
        try:
            if ledger is None:
                ledger = read_ledger(self.registry, event.grant_id)
            scope = self._scope(ledger)
            text = describe(scope)
        except (NotForMe, Tampered, FormatError) as error:
            text = error.message
        if event.keeper_set == 0:
            text += f" (direct: {DIRECT_LABEL})"
        return ReceivedGrant(
            grant_id=event.grant_id,
            album=event.album,
            status=status,
            key_version=event.key_version,
            suite=event.suite,
            expiry=event.expiry,
            keeper_set=event.keeper_set,
            block=event.block,
            scope=scope,
            text=text,
            held=event.grant_id.hex() in held,
        )

    def _held(self, data: dict[str, Any]) -> dict[str, bytes]:
        """Keys of released grants in the vault's content, by the grant's id; the layout is in `recipient.py`."""
        section: dict[str, Any] = data.setdefault("released", {})
        found: dict[str, bytes] = section.setdefault(self.registry.deployment_id.hex(), {})
        return found

    def find(self, uid: bytes, face: int | None = None, *, album: bytes | None = None) -> list[ReceivedGrant]:
        """Grants that open a face (or, with `face` None, the whole capture), best first.

        Direct and held ones come first (nothing to wait for), then opened and live ones with the smallest scope.
        Only grants that allow opening now are listed; where there is none, Refused or NotForMe says why.
        """
        if album is None:
            event = self.registrations.find_anywhere(uid, [grant.album for grant in self.grants()])
        else:
            event = self.registrations.find(album, uid)
        level = LEVEL_CAPTURE if face is None else LEVEL_FACE
        target = Scope(level, epoch=event.epoch, slot=event.slot, uid=uid, face=face or 0)
        mine = self.grants(event.album)
        covering = [grant for grant in mine if grant.scope and covers(grant.scope, target)]
        found = [grant for grant in covering if grant.opens]
        if not found:
            raise self._no_grant(describe(target), covering, mine)
        return sorted(found, key=lambda one: (not (one.direct or one.held), -narrow(one.scope), -one.block))

    def _no_grant(self, what: str, covering: list[ReceivedGrant], mine: list[ReceivedGrant]) -> FfemError:
        """Why nothing opens `what`."""
        if covering:
            newest = covering[-1]
            return Refused(
                f"the grant of {what} to {self.wallet} is {newest.status.name.lower()}",
                "ask the owner for a new grant",
            )
        unread = [grant for grant in mine if grant.scope is None]
        if unread:
            return NotForMe(
                f"{len(unread)} grants to {self.wallet} cannot be read here: {unread[-1].text}",
                "use the vault that holds the key, or ask the owner to grant again",
            )
        return Refused(f"{what} is not granted to {self.wallet}", "ask the album's owner for a grant")

    def _payload(self, ledger: Ledger) -> Payload:
        return parse_payload(ledger.created.payload, ledger.created.suite, len(ledger.keepers))

    def _scope(self, ledger: Ledger) -> Scope:
        created = ledger.created
        private = self.ring.private(created.key_version)
        context = ledger.context(self.registry.deployment_id)
        return read_scope(private, self._payload(ledger), context, created.scope_commit)
