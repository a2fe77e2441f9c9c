"""The keeper: watches the chain, answers live requests with its share, and never twice with other bytes.

A keeper holds a share of a pad for each grant of the albums it accepted. It can open nothing. Every step looks at the
chain anew: what it did before is in its vault and on the chain, so it may be stopped at any moment.

Vault layout, besides the key ring, section `keeper`:

    {"deployment": hex of the deployment served,
     "deployments": {hex: {
        "cursor": last block whose requests were read,
        "jobs": {"<grant>:<seq>:<request key digest>": {grant, seq, request_key, block, sealed, digest, note, final}},
        "seen": {sha256 of a request key: "<grant>:<seq>"},
        "commits": {wallet: [unix seconds of each release, last hour]}}}}

`sealed` and `digest` are the intent: written before `commitRelease` is sent and never replaced. `final` is the block at
which a job was found finished; it is looked at again for `reorg_depth` blocks more, since a block may go away.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_utils import keccak

from ffem_chain.chain.events import AccessRequested, GrantCreated, KeeperAccepted, KeeperSetProposed
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantStatus, KeeperSetView, KeyStatus
from ffem_chain.errors import ChainUnavailable, FfemError, FormatError, Pending, Refused
from ffem_chain.keys.grants import open_keeper_share, parse_payload, parse_request_key, seal_release
from ffem_chain.keys.suites import SECP256K1
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.keyring import KeyRing, address_bytes
from ffem_chain.roles.ledger import Ledger, read_ledger

_HOUR = 3600
_LONGEST_PAUSE = 60.0


class OtherDeployment(ChainUnavailable):
    """The registry is not the deployment that this keeper serves: a devnet started anew, or another address."""


@dataclass(frozen=True)
class Action:
    """What a step did or decided. `kind`: requested, committed, delivered, refused, superseded, limited, failed, done,
    offline, online. `grant_id` is empty and `seq` 0 where it concerns no grant."""

    kind: str
    text: str
    grant_id: bytes = b""
    seq: int = 0


@dataclass(frozen=True)
class Proposal:
    """A keeper set that names this wallet; `accepted` whether this wallet has accepted it."""

    keeper_set: int
    album: bytes
    threshold: int
    keepers: tuple[str, ...]
    accepted: bool


class Keeper:
    """One keeper's wallet, vault and view of the chain.

    `limit_per_wallet`: releases an hour to one recipient. `confirmations`: blocks on top of and including a request
    before it is answered, and a commit before its share is delivered. `reorg_depth`: blocks read again each step.
    """

    def __init__(
        self,
        registry: Registry,
        vault: Vault,
        account: LocalAccount,
        *,
        limit_per_wallet: int = 60,
        confirmations: int = 1,
        reorg_depth: int = 12,
    ) -> None:
        self.registry = registry
        self.vault = vault
        self.account = account
        self.wallet: str = account.address
        self.ring = KeyRing(registry, vault, account)
        self._limit = limit_per_wallet
        self._confirmations = max(1, confirmations)
        self._depth = max(reorg_depth, self._confirmations)
        self._sets: dict[int, KeeperSetView] = {}

    # ------------------------------------------------------------------ serving an album

    def proposals(self) -> list[Proposal]:
        """Keeper sets that name this wallet, oldest first."""
        found = []
        for event in self.registry.events([KeeperSetProposed]):
            if isinstance(event, KeeperSetProposed) and self.wallet in event.keepers:
                view = self.registry.keeper_set(event.keeper_set)
                accepted = bool(view.accepted >> event.keepers.index(self.wallet) & 1)
                found.append(
                    Proposal(event.keeper_set, event.album, event.threshold, event.keepers, accepted)
                )
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

        After that, nobody who takes this vault can release, off the record, a share of a revoked or expired grant.
        """
        idle = {k.version for k in self.ring.keys() if k.held and k.status is not KeyStatus.ACTIVE}
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
        here = self.registry.deployment_id.hex()
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

    # ------------------------------------------------------------------ one step

    def step(self) -> list[Action]:
        """Read new requests and take each open one as far as the chain allows now. Safe to repeat and to interrupt.

        Raises OtherDeployment and ChainUnavailable; what goes wrong with one request is an Action and stops no other.
        """
        self._check_deployment()
        head = self.registry.latest_block()
        actions = self._archive(head)
        for name, job in list(self._state(self.vault.read())["jobs"].items()):
            if job["final"] and head - job["final"] > self._depth:
                continue
            try:
                actions += self._advance(name, job, head)
            except ChainUnavailable:
                raise
            except FfemError as error:
                actions += self._note(name, job, "failed", error.message)
        return actions

    def _archive(self, head: int) -> list[Action]:
        """Write new requests to the vault."""
        state = self._state(self.vault.read())
        if head + self._depth < state["cursor"]:
            raise OtherDeployment(
                f"the chain ends at block {head}, and this keeper has read block {state['cursor']}",
                "the chain was cut or started anew; check the URL",
            )
        first = max(0, state["cursor"] + 1 - self._depth)
        actions, jobs = [], {}
        for event in self.registry.events([AccessRequested], from_block=first, to_block=head):
            if not isinstance(event, AccessRequested):
                continue
            digest = hashlib.sha256(event.request_key).hexdigest()
            name = f"{event.grant_id.hex()}:{event.seq}:{digest[:16]}"
            if name in state["jobs"] or name in jobs or not self._serves(event.grant_id):
                continue
            jobs[name] = {
                "grant": event.grant_id,
                "seq": event.seq,
                "request_key": event.request_key,
                "block": event.block,
                "sealed": b"",
                "digest": b"",
                "note": "requested",
                "final": 0,
            }
            actions.append(
                Action("requested", f"request {event.seq} in block {event.block}", event.grant_id, event.seq)
            )
        if jobs or head - state["cursor"] >= self._depth // 2:
            with self.vault.edit() as data:
                kept = self._state(data)
                kept["jobs"] = {**jobs, **kept["jobs"]}
                for job in jobs.values():
                    digest = hashlib.sha256(job["request_key"]).hexdigest()
                    kept["seen"].setdefault(digest, f"{job['grant'].hex()}:{job['seq']}")
                kept["cursor"] = max(kept["cursor"], head)
        return actions

    def _serves(self, grant: bytes) -> bool:
        number = self.registry.grant_state(grant).keeper_set
        return bool(number) and self.wallet in self._set(number).keepers

    def _advance(self, name: str, job: dict[str, Any], head: int) -> list[Action]:
        """Take one request one step further."""
        ledger = read_ledger(self.registry, job["grant"])
        index = ledger.keepers.index(self.wallet)
        request = ledger.requests.get(job["seq"])
        if request is None or request.request_key != job["request_key"]:
            return self._note(name, job, "superseded", "the request is no longer on the chain", head)
        commit = ledger.commit_of(job["seq"], index)
        if commit is not None:
            if commit.digest != job["digest"]:
                text = "this wallet has committed to bytes that are not in this vault: cannot deliver"
                return self._note(name, job, "failed", text, head)
            if ledger.delivery_of(commit) is not None:
                return self._note(name, job, "done", "released", head)
            if head - commit.block + 1 < self._confirmations:
                return []
            before, later = ledger.proof(commit)
            self.registry.deliver(job["grant"], job["seq"], index, before, later, job["sealed"])
            return self._note(name, job, "delivered", f"share {index} delivered")
        if job["seq"] != ledger.state.seq:
            return self._note(name, job, "superseded", "a newer request supersedes it", head)
        if head - request.block + 1 < self._confirmations:
            return []
        reason = self._reason_against(ledger, job)
        if reason:
            return self._note(name, job, "refused", reason, head)
        if not job["sealed"]:
            if self._limited(ledger.created.recipient):
                text = f"{self._limit} releases to {ledger.created.recipient} in an hour: waits"
                return self._note(name, job, "limited", text)
            job = self._intend(name, ledger, job, index)
        try:
            self.registry.commit_release(job["grant"], job["seq"], index, job["digest"])
        except Refused as refusal:
            return self._note(name, job, "refused", refusal.message, head)
        return self._note(name, job, "committed", f"committed to release share {index}")

    def _reason_against(self, ledger: Ledger, job: dict[str, Any]) -> str:
        """Why this request must not be answered, empty where it may."""
        created, state = ledger.created, ledger.state
        if state.revoked:
            return "the grant is revoked"
        if state.status not in (GrantStatus.LIVE, GrantStatus.OPENED):
            return f"the grant is {state.status.name.lower()}"
        try:
            suite, _ = parse_request_key(job["request_key"])
        except FormatError as error:
            return f"the request key is not one: {error.message}"
        if suite != created.suite:
            return f"the request key is of suite {suite}, the grant of suite {created.suite}"
        digest = hashlib.sha256(job["request_key"]).hexdigest()
        first = self._state(self.vault.read())["seen"].get(digest)
        if first != f"{created.grant_id.hex()}:{job['seq']}":
            return "the request key was used before: each request needs a fresh one"
        recipient_key = self.registry.key(created.recipient, created.key_version)
        if recipient_key.status is KeyStatus.COMPROMISED:
            return f"the recipient's encryption key version {created.key_version} is compromised"
        return ""

    def _limited(self, recipient: str) -> bool:
        since = time.time() - _HOUR
        commits = self._state(self.vault.read())["commits"].get(recipient, [])
        return sum(stamp > since for stamp in commits) >= self._limit

    def _intend(self, name: str, ledger: Ledger, job: dict[str, Any], index: int) -> dict[str, Any]:
        """Seal the share to the request key and write it down, unless that was done before; the job as written."""
        created = ledger.created
        payload = parse_payload(created.payload, created.suite, len(ledger.keepers))
        context = ledger.context(self.registry.deployment_id)
        private = self.ring.private(payload.shares[index].version)
        share = open_keeper_share(
            private, payload, context, created.scope_commit, index, address_bytes(self.wallet)
        )
        sealed = seal_release(share, job["request_key"], context, created.scope_commit, job["seq"], index)
        with self.vault.edit() as data:
            state = self._state(data)
            kept: dict[str, Any] = state["jobs"][name]
            if not kept["sealed"]:
                kept["sealed"], kept["digest"] = sealed, keccak(sealed)
                now = int(time.time())
                stamps = [s for s in state["commits"].get(created.recipient, []) if s > now - _HOUR]
                state["commits"][created.recipient] = [*stamps, now]
            return dict(kept)

    def _note(
        self, name: str, job: dict[str, Any], kind: str, text: str, final: int = 0
    ) -> list[Action]:
        """Write down where a job stands; an Action where that is news. `final`: the block, where it is finished."""
        note = f"{kind}: {text}"
        if job["note"] == note and bool(job["final"]) == bool(final):
            return []
        with self.vault.edit() as data:
            kept = self._state(data)["jobs"][name]
            kept["note"], kept["final"] = note, final
        return [] if job["note"] == note else [Action(kind, text, job["grant"], job["seq"])]

    # ------------------------------------------------------------------ the process

    def run(
        self,
        stop: threading.Event,
        on_action: Callable[[Action], None] | None = None,
        *,
        poll: float = 1.0,
    ) -> None:
        """Step every `poll` seconds until `stop` is set; through an outage of the chain it waits longer and longer.

        Raises OtherDeployment: a keeper never goes on silently on a chain that is not the one it served.
        """
        pause, offline = poll, False
        while not stop.is_set():
            actions: list[Action] = []
            try:
                actions = self.step()
                if offline:
                    actions.insert(0, Action("online", "the chain answers again"))
                pause, offline = poll, False
            except OtherDeployment:
                raise
            except (ChainUnavailable, Pending) as error:
                if not offline:
                    actions = [Action("offline", error.message)]
                pause, offline = min(2 * pause, _LONGEST_PAUSE), True
            for action in actions:
                if on_action is not None:
                    on_action(action)
            stop.wait(pause)
