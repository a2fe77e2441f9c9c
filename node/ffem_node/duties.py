"""What a keeper is: its vault, its deployment, the albums it serves and the keys it holds shares with.

Vault layout, besides the key ring, section `keeper`:

    {"deployment": hex of the deployment served,
     "deployments": {hex: {
        "cursor": last block whose requests were read,
        "jobs": {"<grant>:<seq>:<request key digest>":
                 {grant, album, recipient, seq, request_key, sealed, digest, note, final}},
        "answered": {request mark (16 bytes): first 8 bytes of the grant whose share was sealed to that key},
        "commits": {wallet: [unix seconds of each release in the last hour]}}}}

`sealed` and `digest` are the intent: written before `commitRelease` is sent and never replaced. `final` is
the block at which a job was found finished; it is looked at again for `reorg_depth` blocks more, since a
block may go away, and forgotten after that. Only `answered` grows for ever, by 26 bytes a release.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount

from ffem_chain.chain.events import GrantCreated, KeeperSetProposed
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantStatus, KeeperSetView, KeyStatus
from ffem_chain.errors import ChainUnavailable, FormatError, NotForMe, Refused, Tampered
from ffem_chain.keys.grants import open_keeper_share, parse_payload
from ffem_chain.keys.suites import SECP256K1
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.keyring import KeyRing, address_bytes
from ffem_chain.roles.ledger import read_ledger


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
        events += self.registry.events([GrantCreated], recipient=self.wallet)
        made = [event for event in events if isinstance(event, GrantCreated)]
        states = self.registry.grant_states([event.grant_id for event in made])
        for event, state in zip(made, states, strict=True):
            if not idle:
                break
            over = state.revoked or state.status is GrantStatus.EXPIRED
            if event.recipient == self.wallet and (event.keeper_set == 0 or not over):
                idle.discard(event.key_version)
            if event.keeper_set and not over:
                idle.discard(self._share_key(event))
        for version in idle:
            self.ring.destroy(version)
        return sorted(idle)

    def _share_key(self, created: GrantCreated) -> int:
        """Version of this wallet's key that opens its share of a grant; 0 where none does.

        An owner can put any bytes into a grant: only a share that opens keeps its key alive. Raises Tampered where the
        RPC's logs are not what the contract holds: no key is deleted on its word.
        """
        if self.wallet not in self._set(created.keeper_set).keepers:
            return 0
        ledger = read_ledger(self.registry, created.grant_id)
        created, index, wallet = ledger.created, ledger.keepers.index(self.wallet), address_bytes(self.wallet)
        context = ledger.context(self.registry.deployment_id)
        try:
            payload = parse_payload(created.payload, created.suite, len(ledger.keepers))
            version = payload.shares[index].version
            open_keeper_share(self.ring.private(version), payload, context, created.scope_commit, index, wallet)
        except (FormatError, NotForMe, Tampered):
            return 0
        return version

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
        """Serve the registry's present deployment from now on. What is kept of others stays in the vault.

        Where the chain ends before what was read of it, it is read anew from its beginning: a node can have lied
        about its height.
        """
        here, head = self.registry.deployment_id.hex(), self.registry.latest_block()
        with self.vault.edit() as data:
            section = data.setdefault("keeper", {})
            section["deployment"] = here
            empty = {"cursor": 0, "jobs": {}, "answered": {}, "commits": {}}
            state = section.setdefault("deployments", {}).setdefault(here, empty)
            if state["cursor"] > head:
                state["cursor"] = 0

    def _state(self, data: dict[str, Any]) -> dict[str, Any]:
        section: dict[str, Any] = data["keeper"]
        state: dict[str, Any] = section["deployments"][section["deployment"]]
        return state

    def _set(self, number: int) -> KeeperSetView:
        """A keeper set; who is in it never changes."""
        if number not in self._sets:
            self._sets[number] = self.registry.keeper_set(number)
        return self._sets[number]
