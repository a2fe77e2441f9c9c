"""What a keeper is: its vault, its deployment, the albums it serves and the keys it holds shares with.

Vault layout, besides the key ring, section `keeper`:

    {"deployment": hex of the deployment served,
     "deployments": {hex: {
        "cursor": last block whose requests were read,
        "jobs": {"<grant>:<seq>:<request key digest>":
                 {grant, seq, request_key, block, sealed, digest, note, final}},
        "seen": {sha256 of a request key: "<grant>:<seq>"},
        "commits": {wallet: [unix seconds of each release in the last hour]}}}}

`sealed` and `digest` are the intent: written before `commitRelease` is sent and never replaced. `final` is
the block at which a job was found finished; it is looked at again for `reorg_depth` blocks more, since a
block may go away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount

from ffem_chain.chain.events import GrantCreated, KeeperSetProposed
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantStatus, KeeperSetView, KeyStatus
from ffem_chain.errors import ChainUnavailable, Refused
from ffem_chain.keys.grants import parse_payload
from ffem_chain.keys.suites import SECP256K1
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.keyring import KeyRing

_HOUR = 3600
_DELIVERIES = 4
_LONGEST_PAUSE = 60.0


class OtherDeployment(ChainUnavailable):
    """The registry is not the deployment that this keeper serves: a devnet started anew, or another
    address."""


@dataclass(frozen=True)
class Proposal:
    """A keeper set that names this wallet; `accepted` whether this wallet has accepted it."""

    keeper_set: int
    album: bytes
    threshold: int
    keepers: tuple[str, ...]
    accepted: bool


class Duties:
    """A keeper's standing state; `keeper.Keeper` acts on it."""

    def __init__(self, registry: Registry, vault: Vault, account: LocalAccount) -> None:
        self.registry = registry
        self.vault = vault
        self.account = account
        self.wallet: str = account.address
        self.ring = KeyRing(registry, vault, account)
        self._sets: dict[int, KeeperSetView] = {}

    # ------------------------------------------------------------------ serving an album

    def proposals(self) -> list[Proposal]:
        """Keeper sets that name this wallet, oldest first."""
        found = []
        for event in self.registry.events([KeeperSetProposed]):
            if isinstance(event, KeeperSetProposed) and self.wallet in event.keepers:
                view = self.registry.keeper_set(event.keeper_set)
                accepted = bool(view.accepted >> event.keepers.index(self.wallet) & 1)
                found.append(Proposal(event.keeper_set, event.album, event.threshold, event.keepers, accepted))
        return found

    def accept(self, keeper_set: int) -> Proposal:
        """Accept to serve a keeper set; publishes a share-sealing key of suite 1 where there is none.

        Raises Refused where the set does not name this wallet or was superseded.
        """
        self._check_deployment()
        view = self.registry.keeper_set(keeper_set)
        if self.wallet not in view.keepers:
            raise Refused(f"keeper set {keeper_set} does not name {self.wallet}")
        self.ring.ensure(SECP256K1)
        if not view.accepted >> view.keepers.index(self.wallet) & 1:
            self.registry.accept_keeper_set(keeper_set)
        return Proposal(keeper_set, view.album, view.threshold, view.keepers, True)

    def rotate_key(self, suite: int = SECP256K1) -> int:
        """Publish a new share-sealing key; new grants use it, the old one serves the grants made before."""
        return self.ring.rotate(suite)

    def destroy_unused_keys(self) -> list[int]:
        """Delete private keys that are no longer active and that no live grant uses; returns their versions.

        After that, nobody who takes this vault can release, off the record, a share of a revoked or expired
        grant.
        """
        published = self.ring.keys()
        idle = {k.version for k in published if k.held and k.status is not KeyStatus.ACTIVE}
        if not idle:
            return []
        albums = {p.album for p in self.proposals() if p.accepted}
        events = [e for album in albums for e in self.registry.events([GrantCreated], album=album)]
        for event in [*events, *self.registry.events([GrantCreated], recipient=self.wallet)]:
            if not idle or not isinstance(event, GrantCreated):
                continue
            state = self.registry.grant_state(event.grant_id)
            over = state.revoked or state.status is GrantStatus.EXPIRED
            if event.recipient == self.wallet and (event.keeper_set == 0 or not over):
                idle.discard(event.key_version)
            if event.keeper_set and not over:
                view = self._set(event.keeper_set)
                if self.wallet in view.keepers:
                    payload = parse_payload(event.payload, event.suite, len(view.keepers))
                    idle.discard(payload.shares[view.keepers.index(self.wallet)].version)
        for version in idle:
            self.ring.destroy(version)
        return sorted(idle)

    # ------------------------------------------------------------------ deployment

    def _check_deployment(self) -> str:
        """Hex of the deployment served. Raises OtherDeployment where the chain answers for another one."""
        here = self.registry.read_deployment().hex()
        section = self.vault.read().get("keeper", {})
        served = section.get("deployment", "")
        if not served:
            self.adopt_deployment()
        elif served != here:
            raise OtherDeployment(
                f"this keeper serves deployment {served[:16]}, and the chain answers for {here[:16]}: "
                "it was started anew, or the address is another contract's",
                "check the URL and the address; to serve this one: ffem keeper accept",
            )
        return here

    def adopt_deployment(self) -> None:
        """Serve the registry's present deployment from now on. What is kept of others stays in the vault."""
        here = self.registry.deployment_id.hex()
        with self.vault.edit() as data:
            section = data.setdefault("keeper", {})
            section["deployment"] = here
            empty = {"cursor": 0, "jobs": {}, "seen": {}, "commits": {}}
            section.setdefault("deployments", {}).setdefault(here, empty)

    def _state(self, data: dict[str, Any]) -> dict[str, Any]:
        section: dict[str, Any] = data["keeper"]
        state: dict[str, Any] = section["deployments"][section["deployment"]]
        return state

    def _set(self, number: int) -> KeeperSetView:
        """A keeper set; who is in it never changes."""
        if number not in self._sets:
            self._sets[number] = self.registry.keeper_set(number)
        return self._sets[number]
