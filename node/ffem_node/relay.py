"""A relay: sends signed calls of an album's people, and pays for them.

It can do nothing that was not signed, and is believed in nothing: the registry checks every signature, and those who
signed look at the chain themselves. What it has to protect is its purse, so strangers' calls are refused before
anything is sent, each call is tried on the chain's present state first, and what all and each may cost is limited.
State: `relaystate.py`. HTTP: `relayserver.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from web3.types import TxReceipt

from ffem_chain.chain.events import GrantCreated
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.relayed import check_domain
from ffem_chain.chain.rpc import wait_until
from ffem_chain.chain.sender import MINING_SECONDS, Draft, Sent
from ffem_chain.chain.signed import Call
from ffem_chain.chain.types import GrantStatus
from ffem_chain.errors import ChainUnavailable, FfemError, InputError, Pending, Refused
from ffem_node.relaystate import Entry, Limits, RelayState

# The dearest call of the formats: a grant of suite 2 to eight keepers, its payload in calldata and a log.
MOST_GAS = 2_000_000
_WATCHERS = 32
_REORG_DEPTH = 12


@dataclass(frozen=True)
class Action:
    """What the relay did. `kind`: sent, mined, failed, refused or lost; `id`: the call's digest; `wallet`: its signer;
    `cost` in wei, where it is known."""

    kind: str
    text: str
    id: bytes = b""
    wallet: str = ""
    tx: bytes | None = None
    cost: int | None = None


class Members:
    """Who was granted something in some albums, read from the chain as it grows."""

    def __init__(self, registry: Registry, albums: Sequence[bytes]) -> None:
        self._registry, self._albums = registry, tuple(albums)
        self._read = registry.from_block - 1
        self._recipients: dict[bytes, str] = {}
        self._lock = threading.Lock()

    def _refresh(self) -> dict[bytes, str]:
        with self._lock:
            head = self._registry.latest_block()
            if head > self._read:
                first = max(self._registry.from_block, self._read + 1 - _REORG_DEPTH)
                for album in self._albums:
                    for event in self._registry.events([GrantCreated], album=album, from_block=first, to_block=head):
                        if isinstance(event, GrantCreated):
                            self._recipients[event.grant_id] = event.recipient
                self._read = head
            return dict(self._recipients)

    def recipient(self, grant: bytes) -> str | None:
        """Whom a grant of the albums is for; None where it is none of them."""
        return self._refresh().get(grant)

    def has_grant(self, wallet: str) -> bool:
        """Whether some grant of the albums is the wallet's and allows opening now."""
        mine = [grant for grant, recipient in self._refresh().items() if recipient == wallet]
        usable = (GrantStatus.LIVE, GrantStatus.OPENED)
        return any(status in usable for status in self._registry.openable_by(wallet, mine))


class Relay:
    """Relays for `albums` (ids) with the registry's wallet. `on_action` may be called by several threads.

    Raises InputError where an album does not exist.
    """

    def __init__(
        self,
        registry: Registry,
        state: RelayState,
        albums: Sequence[bytes],
        limits: Limits,
        on_action: Callable[[Action], None] | None = None,
    ) -> None:
        self.registry, self.state, self.limits = registry, state, limits
        self.albums = tuple(albums)
        self._owners = {album: registry.album(album).owner for album in self.albums}
        if absent := [album.hex() for album, owner in self._owners.items() if not int(owner, 16)]:
            raise InputError(f"there is no album {absent[0]} on this deployment", "ffem album list")
        self._members = Members(registry, albums)
        self._say = on_action or (lambda _: None)
        self._watchers = ThreadPoolExecutor(_WATCHERS, thread_name_prefix="relay")

    def resume(self) -> None:
        """Find out what became of calls that a former run has sent. Raises ChainUnavailable."""
        for entry in self.state.unsettled():
            if entry.tx is None:
                self.state.forget(entry.id)  # written down, and never sent
                continue
            receipt = self.registry.rpc.receipt(entry.tx)
            if receipt is not None:
                self._settle(entry.id, entry.wallet, receipt)
            elif not self.registry.rpc.knows(entry.tx):
                # It may still come back: what was set aside for it stays so.
                self.state.settle(entry.id, "failed", None, "lost")
                self._say(Action("lost", "the chain does not know its transaction", entry.id, entry.wallet, entry.tx))
            else:
                self._watchers.submit(self._look_for, entry)

    def close(self) -> None:
        """Wait for what was sent, as long as `Sender.wait` does."""
        self._watchers.shutdown(wait=True)

    def failed(self, error: Exception) -> None:
        """Say that something went wrong that nobody has foreseen: its kind only, for its words may hold anything."""
        self._say(Action("failed", f"an error of this program: {type(error).__name__}"))

    # ------------------------------------------------------------------ one call

    def submit(self, call: Call) -> Entry:
        """Send a signed call, unless that was done; where it stands. May be repeated with the same call.

        Raises Refused where the call is not one that this relay serves or the registry would revert it, Pending where a
        limit is reached, InputError where the relay cannot pay, ChainUnavailable.
        """
        try:
            return self._submit(call)
        except FfemError as error:
            self._say(Action("refused", f"{call.kind.name}: {error.message}", call.digest, call.signer))
            raise

    def _submit(self, call: Call) -> Entry:
        check_domain(self.registry, call)
        if not call.signature:
            raise Refused("the call is not signed", "its wallet signs it first")
        entry = self.state.known(call.digest)
        if entry is not None and self._stands(entry, call):
            return entry
        unlimited = self._check_served(call)
        sender = self.registry.sender()
        draft = sender.prepare(self.registry.address, self.registry.encoded(call.kind.relayed, *call.arguments()))
        if draft.gas > MOST_GAS:
            raise Refused(f"the call takes {draft.gas} gas, and {MOST_GAS} is the most that is relayed")
        if not self._reserve(call, draft, unlimited):
            return self._entry(call)
        try:
            sent = sender.submit(draft, lambda tx: self.state.sent(call.digest, tx))
        except ChainUnavailable:
            # Once it was signed it may have arrived all the same: what was set aside stays so, until `resume` or the
            # next try. Before that nothing was sent.
            if self._entry(call).state == "reserved":
                self.state.forget(call.digest)
            raise
        except FfemError as error:
            self.state.settle(call.digest, "failed", 0, error.message)
            raise
        self._say(Action("sent", call.kind.name, call.digest, call.signer, sent.tx, draft.most))
        self._watchers.submit(self._watch, call, sent)
        return self._entry(call)

    def _entry(self, call: Call) -> Entry:
        entry = self.state.known(call.digest)
        assert entry is not None
        return entry

    def _stands(self, entry: Entry, call: Call) -> bool:
        """Whether a call that was taken before needs no other try."""
        if entry.state == "mined":
            return self.registry.nonce_used(call.signer, call.nonce)  # else a reorganisation took it
        if entry.state == "sent" and entry.tx is not None:
            known = self.registry.rpc.receipt(entry.tx) is not None or self.registry.rpc.knows(entry.tx)
            if not known:
                self.state.settle(entry.id, "failed", None, "lost")
            return known
        return entry.state == "reserved"

    def _reserve(self, call: Call, draft: Draft, unlimited: bool) -> bool:
        now = int(time.time())
        entry = Entry(call.digest, call.signer, call.kind.name, "reserved", None, draft.most, now, "")
        return self.state.reserve(entry, self.limits, unlimited_wallet=unlimited)

    # ------------------------------------------------------------------ whom it serves

    def _check_served(self, call: Call) -> bool:
        """Whether the call is an owner's. Raises Refused where it is a stranger's."""
        name, signer = call.kind.name, call.signer
        owners = set(self._owners.values())
        if name in ("Grant", "Revoke"):
            album = call.value("album")
            if self._owners.get(album) != signer:
                raise Refused(f"album {album.hex()[:16]} is not one of {signer} that this relay serves")
        elif name == "RequestAccess":
            grant = call.value("grantId")
            if self._members.recipient(grant) != signer:
                raise Refused(f"grant {grant.hex()[:16]} is not one to {signer} in an album that this relay serves")
        elif signer not in owners and signer not in self.state.allowed() and not self._members.has_grant(signer):
            raise Refused(
                f"{signer} has no grant in an album that this relay serves, and was not invited",
                "ask the album's owner: ffem relay allow",
            )
        return signer in owners

    # ------------------------------------------------------------------ what became of it

    def _watch(self, call: Call, sent: Sent) -> None:
        """Wait for one transaction. Whatever happens is written down, or looked for at the next start."""
        try:
            self._settle(call.digest, call.signer, self.registry.sender().wait(sent))
        except Refused as error:
            tx = self._entry(call).tx
            self._settle(call.digest, call.signer, self.registry.rpc.receipt(tx or sent.tx), error.message)
        except (Pending, ChainUnavailable, InputError) as error:
            self._say(Action("lost", error.message, call.digest, call.signer, sent.tx))

    def _look_for(self, entry: Entry) -> None:
        """Wait for a transaction that a former run sent."""
        tx = entry.tx or b""
        try:
            if wait_until(lambda: self.registry.rpc.receipt(tx) is not None, MINING_SECONDS):
                self._settle(entry.id, entry.wallet, self.registry.rpc.receipt(tx))
        except ChainUnavailable as error:
            self._say(Action("lost", error.message, entry.id, entry.wallet, tx))

    def _settle(self, call: bytes, wallet: str, receipt: TxReceipt | None, note: str = "") -> None:
        done = receipt is not None and receipt["status"] == 1
        cost = None if receipt is None else int(receipt["gasUsed"]) * int(receipt["effectiveGasPrice"])
        self.state.settle(call, "mined" if done else "failed", cost, note)
        block = f"in block {receipt['blockNumber']}" if receipt is not None else "lost"
        tx = None if receipt is None else bytes(receipt["transactionHash"])
        self._say(Action("mined" if done else "failed", note or block, call, wallet, tx, cost))
