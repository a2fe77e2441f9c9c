"""What a recipient does: request access, collect shares, open. Its keys and grants: `received.py`.

Vault layout, besides the key ring (`keyring.py`), section `recipient`:

    {deployment id in hex: {grant id in hex: [{"secret": bytes, "public": bytes, "suite": int}, ...]}}

One entry a request: its one-time private key, written before the transaction is sent and deleted when the
grant has been opened, so that the next opening needs a new request and leaves a new receipt. Shares that
keepers released to an older request of the same grant count too, while its key is here.

Section `released`: {deployment id in hex: {grant id in hex: K}}, the keys of grants that open many captures (an epoch,
a range of time). One release, and its receipt, is for all of them, so the next capture needs no request.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ffem_chain.chain.events import AccessRequested
from ffem_chain.chain.types import GrantStatus
from ffem_chain.errors import FormatError, NotForMe, Pending, Refused, Tampered
from ffem_chain.keys.grants import OpenedGrant, Payload, open_grant, open_release, reopen_grant
from ffem_chain.keys.scope import LEVEL_EPOCH
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import PrivateKey
from ffem_chain.keys.tree import key_commit
from ffem_chain.roles.ledger import Ledger, read_ledger
from ffem_chain.roles.received import Received

_POLL = 0.5


@dataclass(frozen=True)
class Request:
    """A request on the chain: its number for the grant, its block, and whether an interrupted one was
    resumed."""

    grant_id: bytes
    seq: int
    block: int
    resumed: bool


@dataclass(frozen=True)
class Progress:
    """Where a collection stands: keepers needed, good shares so far, who answered wrongly or not at all, and who
    committed: those deliver when as many have committed as are needed."""

    needed: int
    good: tuple[str, ...]
    wrong: tuple[str, ...]
    silent: tuple[str, ...]
    committed: tuple[str, ...] = ()


class Recipient(Received):
    """A wallet that opens what it was granted."""

    # ------------------------------------------------------------------ requests

    def _requests(self, data: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
        section: dict[str, Any] = data.setdefault("recipient", {})
        found: dict[str, list[dict[str, Any]]] = section.setdefault(self.registry.deployment_id.hex(), {})
        return found

    def _ledger(self, grant: bytes) -> Ledger:
        """The grant's checked history. Raises Refused or NotForMe where it is not this wallet's."""
        ledger = read_ledger(self.registry, grant)
        if ledger.created.recipient != self.wallet:
            raise NotForMe(
                f"grant {grant.hex()[:16]} is for {ledger.created.recipient}, not for {self.wallet}",
                "use the wallet it was granted to",
            )
        return ledger

    def _check_open(self, ledger: Ledger) -> None:
        """Raise Refused where no further request can succeed."""
        name = ledger.created.grant_id.hex()[:16]
        if ledger.state.revoked and ledger.revoked is not None:
            when = "after it had been opened" if ledger.state.opened else "before it was opened"
            raise Refused(
                f"grant {name} was revoked at block {ledger.revoked.block}, {when}",
                "ask the owner for a new grant",
            )
        if ledger.state.status is GrantStatus.EXPIRED:
            raise Refused(f"grant {name} has expired", "ask the owner for a new grant")

    def request(self, grant: bytes) -> Request:
        """Ask the keepers for their shares; supersedes an older request.

        The fresh one-time key is in the vault before the transaction. Where an interrupted request is the
        newest on the chain and still unanswered, that one is resumed instead.
        """
        ledger = self._ledger(grant)
        if ledger.direct:
            raise Refused("a direct grant opens without a request")
        self._check_open(ledger)
        self.ring.private(ledger.created.key_version)
        resumed = self._resumable(ledger)
        if resumed is not None:
            return Request(grant, resumed.seq, resumed.block, True)
        private = PrivateKey.generate(ledger.created.suite)
        entry = {"secret": private.to_secret_bytes(), "public": private.public, "suite": private.suite}
        with self.vault.edit() as data:
            self._requests(data).setdefault(grant.hex(), []).append(entry)
        receipt = self.registry.request_access(grant, bytes([private.suite]) + private.public)
        event = next(e for e in receipt.events if isinstance(e, AccessRequested))
        return Request(grant, event.seq, event.block, False)

    def outstanding(self, grant: bytes) -> Request | None:
        """The grant's newest request, where this vault holds its one-time key: what `collect` can wait for.

        None also where wrong shares leave too few keepers for it and a new request is possible.
        """
        ledger = self._ledger(grant)
        newest = ledger.requests.get(ledger.state.seq)
        held = self._request_keys(ledger)
        if newest is None or newest.seq not in held:
            return None
        if ledger.state.status in (GrantStatus.LIVE, GrantStatus.OPENED):
            answered = self._shares(ledger, self._payload(ledger), {newest.seq: held[newest.seq]})[1]
            if len(ledger.keepers) - len(answered.wrong) < ledger.threshold:
                return None
        return Request(grant, newest.seq, newest.block, True)

    def _resumable(self, ledger: Ledger) -> AccessRequested | None:
        newest = ledger.requests.get(ledger.state.seq)
        if newest is None or any(commit.seq == newest.seq for commit in ledger.commits):
            return None
        held = self._request_keys(ledger)
        return newest if newest.seq in held else None

    def _request_keys(self, ledger: Ledger) -> dict[int, PrivateKey]:
        """Private keys held, by number of the request that published them."""
        entries = self._requests(self.vault.read()).get(ledger.created.grant_id.hex(), [])
        by_public = {bytes([e["suite"]]) + e["public"]: e for e in entries}
        keys = {}
        for seq, request in ledger.requests.items():
            entry = by_public.get(request.request_key)
            if entry is not None:
                keys[seq] = PrivateKey.from_secret_bytes(entry["suite"], entry["secret"])
        return keys

    # ------------------------------------------------------------------ opening

    def collect(
        self,
        grant: bytes,
        timeout: float = 120.0,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        keep: bool = False,
    ) -> OpenedGrant:
        """Wait for a threshold of delivered shares and open the grant. `timeout` in seconds, 0 looks once.

        Each share is checked against the grant's digests; a keeper that released a wrong one is named and
        skipped. Raises Refused (no grant, no request, revoked or expired before it was opened), NotForMe
        (key not here), Tampered (wrong shares leave too few keepers, an envelope of another deployment, or a
        key that is not the epoch's), Pending (silent keepers). With `keep` the request can be collected again,
        until `forget`. The key of a grant that opens many captures stays in the vault, see `held`.
        """
        deadline = time.monotonic() + timeout
        shown: Progress | None = None
        while True:
            ledger = self._ledger(grant)
            payload = self._payload(ledger)
            held = self._request_keys(ledger)
            if not held:
                raise Refused(f"there is no request of this vault for grant {grant.hex()[:16]}", "ffem request")
            shares, progress = self._shares(ledger, payload, held)
            if on_progress is not None and progress != shown:
                on_progress(progress)
                shown = progress
            if len(shares) >= ledger.threshold:
                opened = self._open(ledger, payload, shares)
                if opened.scope.many:
                    with self.vault.edit() as data:
                        self._held(data)[grant.hex()] = opened.key.to_secret_bytes()
                if not keep:
                    self.forget(grant)
                return opened
            if not ledger.state.opened:
                self._check_open(ledger)
            if len(ledger.keepers) - len(progress.wrong) < ledger.threshold:
                raise Tampered(
                    f"wrong shares from {', '.join(progress.wrong)}: too few keepers are left to open it",
                    "tell the owner; the receipts prove who released them",
                )
            if time.monotonic() >= deadline:
                raise Pending(self._waiting(progress), "the request stays valid: try again later")
            time.sleep(min(_POLL, max(0.0, deadline - time.monotonic())))

    def forget(self, grant: bytes) -> None:
        """Delete the one-time keys of a grant's requests: the next opening leaves a new receipt."""
        with self.vault.edit() as data:
            self._requests(data).pop(grant.hex(), None)

    def open_direct(self, grant: bytes) -> OpenedGrant:
        """Open a direct grant, without a receipt. Raises Refused where it is not direct."""
        ledger = self._ledger(grant)
        if not ledger.direct:
            raise Refused(f"grant {grant.hex()[:16]} opens through its keepers", "ffem request")
        return self._open(ledger, self._payload(ledger), {})

    def held(self, grant: bytes) -> OpenedGrant | None:
        """A grant of many captures that was released to this vault before, opened without a request and without another
        receipt; None where it was not."""
        key = self._held(self.vault.read()).get(grant.hex())
        if key is None:
            return None
        ledger = self._ledger(grant)
        created, context = ledger.created, ledger.context(self.registry.deployment_id)
        private = self.ring.private(created.key_version)
        return reopen_grant(private, self._payload(ledger), context, created.scope_commit, Secret(key))

    def _open(self, ledger: Ledger, payload: Payload, shares: dict[int, Secret]) -> OpenedGrant:
        created = ledger.created
        private = self.ring.private(created.key_version)
        chosen = dict(sorted(shares.items())[: ledger.threshold])
        context = ledger.context(self.registry.deployment_id)
        opened = open_grant(private, payload, context, created.scope_commit, chosen)
        if opened.scope.level == LEVEL_EPOCH:
            committed = self.registry.epoch_key_commit(created.album, opened.scope.epoch)
            if not hmac.compare_digest(key_commit(opened.key, "epoch"), committed):
                raise Tampered(
                    f"the granted key does not match the commitment of epoch {opened.scope.epoch} on the chain",
                    "the owner granted a wrong key: ask for a new grant",
                )
        return opened

    def _shares(
        self, ledger: Ledger, payload: Payload, held: dict[int, PrivateKey]
    ) -> tuple[dict[int, Secret], Progress]:
        """Good shares by keeper index, and who answered how."""
        context, commit = ledger.context(self.registry.deployment_id), ledger.created.scope_commit
        shares: dict[int, Secret] = {}
        wrong: set[int] = set()
        for delivery in ledger.deliveries:
            private = held.get(delivery.seq)
            if private is None or delivery.index in shares or delivery.index >= len(ledger.keepers):
                continue
            try:
                shares[delivery.index] = open_release(
                    private, delivery.sealed_share, payload, context, commit, delivery.seq, delivery.index
                )
            except (Tampered, FormatError, NotForMe):
                wrong.add(delivery.index)
        wrong -= set(shares)
        names = ledger.keepers
        left = [i for i in range(len(names)) if i not in shares and i not in wrong]
        bound = {commit.index for commit in ledger.commits if commit.seq in held}
        return shares, Progress(
            needed=ledger.threshold,
            good=tuple(names[i] for i in sorted(shares)),
            wrong=tuple(names[i] for i in sorted(wrong)),
            silent=tuple(names[i] for i in left if i not in bound),
            committed=tuple(names[i] for i in left if i in bound),
        )

    @staticmethod
    def _waiting(progress: Progress) -> str:
        text = f"{len(progress.good)} of {progress.needed} shares"
        for title, wallets in (
            ("committed, not delivered yet:", progress.committed),
            ("no answer from", progress.silent),
            ("wrong shares from", progress.wrong),
        ):
            if wallets:
                text += f"; {title} {', '.join(wallets)}"
        return text
