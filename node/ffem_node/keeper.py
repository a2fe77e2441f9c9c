"""The keeper: watches the chain, answers live requests with its share, and never twice with other bytes.

A keeper holds a share of a pad for each grant of the albums it accepted. It can open nothing. Every step
looks at the chain anew: what it did before is in its vault and on the chain, so it may be stopped at any
moment.

It commits to its share at once, and shows it only when as many keepers have committed as the grant needs. A share
shown earlier would outlive a revocation that comes before the last commit: one keeper less would then have to be
dishonest for the key to be released off the record.

Its vault: `duties.py`. What it has to do: `docket.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from ffem_chain.chain.events import ReleaseCommitted
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantStatus, KeyStatus
from ffem_chain.errors import ChainUnavailable, FfemError, FormatError, NotForMe, Pending, Refused, Tampered
from ffem_chain.keys.grants import open_keeper_share, parse_payload, parse_request_key, seal_release
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.keyring import address_bytes
from ffem_chain.roles.ledger import Ledger, read_ledger
from ffem_node.docket import Action, Docket, Job
from ffem_node.duties import OtherDeployment

__all__ = ["Action", "Keeper", "OtherDeployment"]

_DELIVERIES = 4
# A step ends after so many transactions, so that requests that came meanwhile take their turn.
_TRANSACTIONS = 16
_LONGEST_PAUSE = 60.0


class Keeper(Docket):
    """One keeper's wallet, vault and view of the chain.

    `limit_per_wallet`: releases an hour to one recipient. `confirmations`: blocks on top of and including a
    request before it is answered, and the last commit that a grant needs before shares are delivered.
    `reorg_depth`: blocks read again each step.
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
        super().__init__(
            registry,
            vault,
            account,
            limit_per_wallet=limit_per_wallet,
            confirmations=confirmations,
            reorg_depth=reorg_depth,
        )

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
        sent = 0
        for name, job in self._due(head):
            try:
                done = self._advance(name, job, head)
            except ChainUnavailable:
                raise
            except FfemError as error:
                done = self._note(name, job, "failed", error.message)
            actions += done
            sent += sum(action.kind in ("committed", "delivered") for action in done)
            if sent >= _TRANSACTIONS:
                break
        return actions

    def _advance(self, name: str, job: Job, head: int) -> list[Action]:
        """Take one request one step further."""
        try:
            ledger = read_ledger(self.registry, job["grant"])
        except Refused:
            return self._note(name, job, "superseded", "the grant is no longer on the chain", head)
        request = ledger.requests.get(job["seq"])
        gone = request is None or request.request_key != job["request_key"]
        if gone or self.wallet not in ledger.keepers:
            return self._note(name, job, "superseded", "the request is no longer on the chain", head)
        assert request is not None
        index = ledger.keepers.index(self.wallet)
        commit = ledger.commit_of(job["seq"], index)
        if commit is not None:
            return self._fulfil(name, ledger, job, commit, head)
        if job["seq"] != ledger.state.seq:
            return self._note(name, job, "superseded", "a newer request supersedes it", head)
        if head - request.block + 1 < self._confirmations:
            return []
        reason = self._reason_against(ledger, job)
        if reason:
            return self._note(name, job, "refused", reason, head)
        if not job["sealed"]:
            free_at = self._room(job["recipient"])
            if free_at:
                self._rest(name, ledger.state, free_at)
                text = f"{self._limit} releases to {job['recipient']} in an hour: waits"
                return self._note(name, job, "limited", text)
            try:
                job = self._intend(name, ledger, job, index)
            except (FormatError, Tampered, NotForMe) as error:
                # the owner's doing, and nothing that looking again would change
                return self._note(name, job, "failed", error.message, head)
        try:
            self.registry.commit_release(job["grant"], job["seq"], index, job["digest"])
        except Refused as refusal:
            return self._note(name, job, "refused", refusal.message, head)
        return self._did(name, job, "committed", f"committed to release share {index}")

    def _fulfil(self, name: str, ledger: Ledger, job: Job, commit: ReleaseCommitted, head: int) -> list[Action]:
        """After the commit: deliver, as soon as the grant is opened."""
        if commit.digest != job["digest"]:
            text = "this wallet has committed to bytes that are not in this vault: cannot deliver"
            return self._note(name, job, "failed", text, head)
        if ledger.delivery_of(commit) is not None:
            return self._note(name, job, "done", "released", head)
        if not ledger.state.opened:
            reason = self._ended(ledger)
            if reason:
                return self._note(name, job, "refused", f"{reason}: the share is not shown", head)
            self._rest(name, ledger.state)
            missing = ledger.threshold - ledger.state.released.bit_count()
            return self._note(name, job, "waiting", f"committed; shares are shown after {missing} more commits")
        opened = ledger.opened.block if ledger.opened else 0
        if head - max(commit.block, opened) + 1 < self._confirmations:
            return []
        self._deliver(ledger, commit, job["sealed"])
        return self._did(name, job, "delivered", f"share {commit.index} delivered")

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

    @staticmethod
    def _ended(ledger: Ledger) -> str:
        """Why the grant takes no commits any more, empty where it does."""
        if ledger.state.revoked:
            return "the grant is revoked"
        if ledger.state.status not in (GrantStatus.LIVE, GrantStatus.OPENED):
            return f"the grant is {ledger.state.status.name.lower()}"
        return ""

    def _reason_against(self, ledger: Ledger, job: Job) -> str:
        """Why this request must not be answered, empty where it may."""
        created = ledger.created
        if ended := self._ended(ledger):
            return ended
        suite, _ = parse_request_key(job["request_key"])
        if suite != created.suite:
            return f"the request key is of suite {suite}, the grant of suite {created.suite}"
        before = (request.request_key for seq, request in ledger.requests.items() if seq < job["seq"])
        if job["request_key"] in before or self._answered_elsewhere(job):
            return "the request key was used before: each request needs a fresh one"
        recipient_key = self.registry.key(created.recipient, created.key_version)
        if recipient_key.status is KeyStatus.COMPROMISED:
            return f"the recipient's encryption key version {created.key_version} is compromised"
        return ""

    def _intend(self, name: str, ledger: Ledger, job: Job, index: int) -> Job:
        """Seal the share to the request key and write it down; the job as written."""
        created = ledger.created
        payload = parse_payload(created.payload, created.suite, len(ledger.keepers))
        context = ledger.context(self.registry.deployment_id)
        private = self.ring.private(payload.shares[index].version)
        share = open_keeper_share(private, payload, context, created.scope_commit, index, address_bytes(self.wallet))
        sealed = seal_release(share, job["request_key"], context, created.scope_commit, job["seq"], index)
        return self._write_intent(name, sealed, keccak(sealed))

    # ------------------------------------------------------------------ the process

    def run(
        self,
        stop: threading.Event,
        on_action: Callable[[Action], None] | None = None,
        *,
        poll: float = 1.0,
    ) -> None:
        """Step every `poll` seconds until `stop` is set; through an outage of the chain, a full disk or answers
        that make no sense it waits longer and longer.

        Raises OtherDeployment: a keeper never goes on silently on a chain that is not the one it served.
        """
        pause, trouble = poll, ""
        while not stop.is_set():
            actions: list[Action] = []
            try:
                actions = self.step()
                if trouble:
                    actions.insert(
                        0, Action("online", "the chain answers again" if trouble == "offline" else "goes on")
                    )
                pause, trouble = poll, ""
            except OtherDeployment:
                raise
            except FfemError as error:
                kind = "offline" if isinstance(error, (ChainUnavailable, Pending)) else "failed"
                if kind != trouble:
                    actions = [Action(kind, error.message)]
                pause, trouble = min(2 * pause, _LONGEST_PAUSE), kind
            for action in actions:
                if on_action is not None:
                    on_action(action)
            stop.wait(pause)
