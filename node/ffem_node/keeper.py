"""The keeper: watches the chain, answers live requests with its share, and never twice with other bytes.

A keeper holds a share of a pad for each grant of the albums it accepted. It can open nothing. Every step
looks at the chain anew: what it did before is in its vault and on the chain, so it may be stopped at any
moment.

Its vault: `duties.py`.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from ffem_chain.chain.events import AccessRequested, ReleaseCommitted
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantStatus, KeyStatus
from ffem_chain.errors import ChainUnavailable, FfemError, FormatError, Pending, Refused
from ffem_chain.keys.grants import open_keeper_share, parse_payload, parse_request_key, seal_release
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.keyring import address_bytes
from ffem_chain.roles.ledger import Ledger, read_ledger
from ffem_node.duties import Duties, OtherDeployment

_HOUR = 3600
_DELIVERIES = 4
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Action:
    """What a step did or decided. `kind`: requested, committed, delivered, refused, superseded, limited,
    failed, done, offline, online. `grant_id` is empty and `seq` 0 where it concerns no grant."""

    kind: str
    text: str
    grant_id: bytes = b""
    seq: int = 0


class Keeper(Duties):
    """One keeper's wallet, vault and view of the chain.

    `limit_per_wallet`: releases an hour to one recipient. `confirmations`: blocks on top of and including a
    request before it is answered, and a commit before its share is delivered. `reorg_depth`: blocks read
    again each step.
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
        super().__init__(registry, vault, account)
        self._limit = limit_per_wallet
        self._confirmations = max(1, confirmations)
        self._depth = max(reorg_depth, self._confirmations)

    # ------------------------------------------------------------------ one step

    def step(self) -> list[Action]:
        """Read new requests and take each open one as far as the chain allows now. Safe to repeat and to
        interrupt.

        Raises OtherDeployment and ChainUnavailable; what goes wrong with one request is an Action and stops
        no other.
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
        actions: list[Action] = []
        jobs: dict[str, dict[str, Any]] = {}
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
                # Requests read again below the cursor must find their finished jobs: keep those that long.
                over = {k for k, job in kept["jobs"].items() if 0 < job["final"] < head - 3 * self._depth}
                kept["jobs"] = {k: job for k, job in {**jobs, **kept["jobs"]}.items() if k not in over}
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
            self._deliver(ledger, commit, job["sealed"])
            return self._did(name, job, "delivered", f"share {index} delivered")
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
        return self._did(name, job, "committed", f"committed to release share {index}")

    def _deliver(self, ledger: Ledger, commit: ReleaseCommitted, sealed: bytes) -> None:
        """Publish committed bytes. Another keeper's commit may move the head meanwhile: look again."""
        for attempt in range(_DELIVERIES):
            before, later = ledger.proof(commit)
            try:
                self.registry.deliver(commit.grant_id, commit.seq, commit.index, before, later, sealed)
                return
            except Refused:
                ledger = read_ledger(self.registry, commit.grant_id)
                again = ledger.commit_of(commit.seq, commit.index)
                if attempt + 1 == _DELIVERIES or again is None:
                    raise
                commit = again

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
        return len([stamp for stamp in commits if stamp > since]) >= self._limit

    def _intend(self, name: str, ledger: Ledger, job: dict[str, Any], index: int) -> dict[str, Any]:
        """Seal the share to the request key and write it down, unless that was done before; the job as
        written."""
        created = ledger.created
        payload = parse_payload(created.payload, created.suite, len(ledger.keepers))
        context = ledger.context(self.registry.deployment_id)
        private = self.ring.private(payload.shares[index].version)
        share = open_keeper_share(private, payload, context, created.scope_commit, index, address_bytes(self.wallet))
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

    def _note(self, name: str, job: dict[str, Any], kind: str, text: str, final: int = 0) -> list[Action]:
        """Write down where a job stands; an Action where that is news. `final`: the block, where it is
        finished."""
        note = f"{kind}: {text}"
        if job["note"] == note and bool(job["final"]) == bool(final):
            return []
        if final and job["final"] and (kind == "superseded" or job["note"].startswith(f"{kind}:")):
            return []  # finished before; a newer request, or other words, change nothing about that
        with self.vault.edit() as data:
            kept = self._state(data)["jobs"][name]
            kept["note"], kept["final"] = note, final
        return [] if job["note"] == note else [Action(kind, text, job["grant"], job["seq"])]

    def _did(self, name: str, job: dict[str, Any], kind: str, text: str) -> list[Action]:
        """Write down a transaction. It is news also when it is the same as before: a reorganisation had taken that."""
        self._note(name, job, kind, text)
        return [Action(kind, text, job["grant"], job["seq"])]

    # ------------------------------------------------------------------ the process

    def run(
        self,
        stop: threading.Event,
        on_action: Callable[[Action], None] | None = None,
        *,
        poll: float = 1.0,
    ) -> None:
        """Step every `poll` seconds until `stop` is set; through an outage of the chain it waits longer and
        longer.

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
