"""A registry whose transactions somebody else sends: each is a signed call, which a relay takes or a file keeps.

What a relay says is not believed. A call counts as done when the node of this side shows a transaction that used its
nonce and did what was signed, with its confirmations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from eth_account.signers.local import LocalAccount

from ffem_chain.chain.connection import Receipt
from ffem_chain.chain.events import (
    AccessRequested,
    Event,
    GrantCreated,
    GrantRevoked,
    KeyRegistered,
    KeyStatusChanged,
    NoncesUsed,
    RecoveryPublished,
)
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.relayclient import RelayClient
from ffem_chain.chain.sender import MINING_SECONDS
from ffem_chain.chain.signed import BY_FUNCTION, LIFETIME_SECONDS, Call, Wallet, new_call, sign
from ffem_chain.chain.types import GrantParams, grant_id
from ffem_chain.errors import FfemError, InputError, Pending, Refused, Tampered

_POLL, _LONGEST_POLL = 0.05, 1.0


class HandedOut(Pending):
    """A call was signed, or made ready to be signed elsewhere, and not sent: `call`."""

    def __init__(self, call: Call) -> None:
        super().__init__("signed, and not sent", "send it before its deadline: ffem relay submit")
        self.call = call


class Carrier(Protocol):
    """Brings signed calls to the chain."""

    def carry(self, call: Call, registry: Registry) -> Receipt:
        """Have the call sent, and see on the `registry`'s own node that it was done."""


class Paper:
    """Keeps calls instead of sending them: `keep` is given each, then HandedOut ends what was under way."""

    def __init__(self, keep: Callable[[Call], None]) -> None:
        self._keep = keep

    def carry(self, call: Call, registry: Registry) -> Receipt:
        """Raises HandedOut, always."""
        self._keep(call)
        raise HandedOut(call)


class Relayed:
    """Sends calls through the relay of `client`. `seconds`: how long to wait until a call is done."""

    def __init__(self, client: RelayClient, seconds: float = MINING_SECONDS) -> None:
        self._client, self._seconds = client, seconds

    def carry(self, call: Call, registry: Registry) -> Receipt:
        """Raises Refused where the relay or the chain refuses, ChainUnavailable where the relay does not answer,
        Tampered where it names a transaction that does something else, Pending where nothing happens in time."""
        first, tx = registry.latest_block(), None
        try:
            tx = self._client.submit(call)
        except FfemError:
            if not registry.nonce_used(call.signer, call.nonce):
                raise
        return await_call(registry, call, first, self._seconds, tx)


class SignedRegistry(Registry):
    """One deployment, written to by signed calls of `wallet` only. Other parameters: `Connection`'s.

    `carrier` brings them to the chain; `lifetime`: seconds after the chain's newest block in which a call can be mined.
    The calls of a wallet that is no LocalAccount are not signed here: only Paper takes those.
    """

    def __init__(
        self,
        url: str,
        address: str,
        *,
        wallet: Wallet,
        carrier: Carrier,
        lifetime: int = LIFETIME_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(url, address, **options)
        self._wallet, self._carrier, self._lifetime = wallet, carrier, lifetime

    def grant_batch(self, grants: Sequence[GrantParams]) -> Receipt:
        """Grant many: each is a call of its own, so this is not all or none."""
        return _one_by_one(lambda params=params: self.grant(params) for params in grants)  # type: ignore[misc]

    def revoke_batch(self, album: bytes, salts: Sequence[bytes]) -> Receipt:
        """Revoke many: each is a call of its own, so this is not all or none."""
        return _one_by_one(lambda salt=salt: self.revoke(album, salt) for salt in salts)  # type: ignore[misc]

    def check_sends(self, name: str) -> None:
        """Only what can be signed is sent by somebody else."""
        if name not in BY_FUNCTION:
            raise InputError(
                f"no relay can do this for a wallet ({name}): it needs a transaction of the wallet's own",
                "leave --relay and --sign-only out, and have ether in the wallet",
            )

    def _send(self, name: str, *values: Any) -> Receipt:
        self.check_sends(name)
        kind = BY_FUNCTION[name]
        # The deadline is compared with the time of blocks, which need not be that of this machine.
        deadline = int(self.rpc.block("latest")["timestamp"]) + self._lifetime
        given = tuple(values[0]) if kind.struct else values
        call = new_call(self.domain(), kind, given, self._wallet.address, deadline)
        if isinstance(self._wallet, LocalAccount):
            call = sign(call, self._wallet)
        return self._carrier.carry(call, self)


def _one_by_one(calls: Iterable[Callable[[], Receipt]]) -> Receipt:
    """Make signed calls in turn; the last one's receipt with the gas and the events of all. Where they are handed out
    instead, all are."""
    receipts: list[Receipt] = []
    handed: HandedOut | None = None
    for call in calls:
        try:
            receipts.append(call())
        except HandedOut as error:
            handed = error
    if handed is not None:
        raise handed
    if not receipts:
        raise InputError("there is nothing to send")
    events = [event for receipt in receipts for event in receipt.events]
    last = receipts[-1]
    return Receipt(last.tx, last.block, sum(receipt.gas_used for receipt in receipts), events)


def send_call(registry: Registry, call: Call) -> Receipt:
    """Send somebody's signed call with the registry's own wallet, which pays. Raises like `Sender.send`, Tampered where
    the call is for another deployment."""
    check_domain(registry, call)
    return registry.carry_out(call)


def check_domain(registry: Registry, call: Call) -> None:
    """Raises Refused where the call is for another chain, registry or deployment."""
    if call.domain != registry.domain():
        raise Refused(
            f"the call is signed for registry {call.domain.registry} on chain {call.domain.chain_id}, deployment "
            f"{call.domain.deployment.hex()[:16]}, and not for this one",
            "it is of use only there",
        )


def done_before(registry: Registry, call: Call) -> Receipt | None:
    """The transaction that made a call already, None where its nonce is unused. Raises Refused for a cancelled one."""
    return _done(registry, call, registry.from_block)


def await_call(
    registry: Registry, call: Call, first: int, seconds: float = MINING_SECONDS, tx: bytes | None = None
) -> Receipt:
    """Wait until the registry's own node shows that a call was done, in block `first` or later, and is confirmed.

    `tx`: the transaction that a relay names for it. Raises Tampered where that did something else, Refused where the
    nonce was used without the call (cancelled), or the deadline passed, Pending after `seconds`.
    """
    end, pause = time.monotonic() + seconds, _POLL
    while True:
        receipt = _done(registry, call, first)
        if receipt is not None and registry.latest_block() - receipt.block + 1 >= registry.confirmations:
            return receipt
        if receipt is None:
            _check_named(registry, call, tx)
            if registry.rpc.block("latest")["timestamp"] > call.deadline:
                raise Refused("the signature expired before anybody sent it", "sign it again, with another relay")
        if time.monotonic() > end:
            raise Pending(
                "the relay has taken the call, and the chain does not show it yet",
                "look again later; the signature ends at its deadline, or with: ffem relay cancel",
            )
        time.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_POLL)


def _done(registry: Registry, call: Call, first: int) -> Receipt | None:
    """The transaction that used the call's nonce, None where there is none yet."""
    if not registry.nonce_used(call.signer, call.nonce):
        return None
    word, bit = divmod(call.nonce, 256)
    uses = registry.events([NoncesUsed], wallet=call.signer, word=word, from_block=first)
    for use in uses:
        if isinstance(use, NoncesUsed) and use.mask >> bit & 1:
            receipt = registry.receipt_of(use.tx)
            if receipt is not None and (own := own_events(call, receipt.events)):
                return replace(receipt, events=own)
    if uses:
        raise Refused("the signature was cancelled: its nonce is used, and the call was not made", "sign it anew")
    return None  # the node knows the state before its logs, or a reorganisation took the block


def _check_named(registry: Registry, call: Call, tx: bytes | None) -> None:
    """Raises Tampered where the transaction that a relay named is on the chain and is not this call's."""
    named = registry.receipt_of(tx) if tx else None
    if named is not None and not own_events(call, named.events) and not registry.nonce_used(call.signer, call.nonce):
        raise Tampered(
            f"the relay names transaction 0x{(tx or b'').hex()} for this call, and that does something else",
            "use another relay; the signature is good until its deadline",
        )


def own_events(call: Call, events: Sequence[Event]) -> list[Event]:
    """Of the events of one transaction those of the call: from the use of its nonce to what was signed. Empty where it
    did not do that. A relay may have done other things, for others, in the same transaction."""
    word, bit = divmod(call.nonce, 256)
    own: list[Event] = []
    for event in events:
        if isinstance(event, NoncesUsed):
            mine = (event.wallet, event.word) == (call.signer, word) and event.mask >> bit & 1
            own = [event] if mine else []
        elif own:
            own.append(event)
            if _shows(call, event):
                return own
    return []


def _shows(call: Call, event: Event) -> bool:
    values, name = call.values, call.kind.name
    if isinstance(event, KeyRegistered):
        return name == "RegisterKey" and (call.signer, *values) == (event.wallet, event.suite, event.public_key)
    if isinstance(event, KeyStatusChanged):
        return name == "SetKeyStatus" and (call.signer, *values) == (event.wallet, event.version, int(event.status))
    if isinstance(event, RecoveryPublished):
        return name == "PublishRecovery" and (call.signer, *values) == (event.wallet, event.version, event.sealed_key)
    if isinstance(event, AccessRequested):
        return name == "RequestAccess" and values == (event.grant_id, event.request_key)
    if isinstance(event, GrantRevoked):
        return name == "Revoke" and grant_id(*values) == event.grant_id
    if isinstance(event, GrantCreated):
        album, salt, *rest = values if name == "Grant" else (b"", b"")
        logged = (event.scope_commit, event.recipient, event.key_version, event.expiry, event.keeper_set, event.payload)
        return name == "Grant" and grant_id(album, salt) == event.grant_id and tuple(rest) == logged
    return False
