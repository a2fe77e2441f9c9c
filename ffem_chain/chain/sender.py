"""Sends the transactions of one wallet: nonces, gas, fees, confirmations, and what a reorganisation takes back.

Processes that share a wallet agree on nonces through a lock file and a note of the last one sent; a wallet that is
used on another machine at the same time is noticed by the node's refusal, and the transaction is signed anew. Bytes
that were signed once are sent again only as they are, so nothing can happen twice.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from eth_account.datastructures import SignedTransaction
from eth_account.signers.local import LocalAccount
from filelock import FileLock, Timeout
from web3.exceptions import Web3Exception, Web3RPCError
from web3.types import TxParams, TxReceipt

from ffem_chain.chain.reverts import refused
from ffem_chain.chain.rpc import RETRIES, Rpc, revert_data
from ffem_chain.errors import ChainUnavailable, InputError, Pending, Refused
from ffem_chain.keys.files import write_private

MINING_SECONDS = 180.0
_LOCK_SECONDS = 60.0
_ATTEMPTS = 6
_POLL, _LONGEST_POLL = 0.02, 1.0
_TAKEN = ("nonce too low", "replacement transaction underpriced", "nonce is too low", "correct nonce", "oldnonce")
_KNOWN = ("already known", "already imported", "known transaction", "already in mempool")
_BROKE = (
    "insufficient funds",
    "insufficient balance",
    "exceeds allowance",
    "doesn't have enough funds",
    "upfront cost",
)

# Wallets without a folder for nonces are shared within this process only.
_locks: dict[tuple[int, str], threading.Lock] = {}
_locks_lock = threading.Lock()


@dataclass(frozen=True)
class Draft:
    """A transaction before it has a nonce: a call of the wallet with its gas limit and fees."""

    fields: dict[str, Any]

    @property
    def gas(self) -> int:
        """Gas limit."""
        return int(self.fields["gas"])

    @property
    def most(self) -> int:
        """The most that it can cost, in wei."""
        return self.gas * int(self.fields.get("maxFeePerGas", self.fields.get("gasPrice", 0)))


@dataclass(frozen=True)
class Sent:
    """A transaction that the node has taken. `announce` is told the hash (32 bytes) of each signed form of it, before
    that is sent: a reorganisation can make another one necessary."""

    draft: Draft
    signed: SignedTransaction
    nonce: int
    announce: Callable[[bytes], None]

    @property
    def tx(self) -> bytes:
        """Hash, 32 bytes."""
        return bytes(self.signed.hash)


def _nobody(_: bytes) -> None:
    pass


class Sender:
    """The wallet `account` on one chain.

    `confirmations`: blocks, the transaction's own included, after which a transaction counts. `folder` is where
    processes that share the wallet keep its lock and last nonce; None: the wallet is used by this process alone.
    """

    def __init__(self, rpc: Rpc, account: LocalAccount, *, confirmations: int = 1, folder: Path | None = None) -> None:
        self._rpc, self._account, self._folder = rpc, account, folder
        self._confirmations = max(1, confirmations)
        self._chain = rpc.chain_id

    def send(self, to: str | None, data: bytes) -> TxReceipt:
        """Send a call (`to` None creates a contract) and wait until it has its confirmations.

        Raises Refused where the chain reverts it, InputError where the wallet cannot pay, Pending where it is sent but
        not mined in time, ChainUnavailable.
        """
        return self.wait(self.submit(self.prepare(to, data)))

    def prepare(self, to: str | None, data: bytes) -> Draft:
        """Try the call on the chain's present state: its gas and fees. Raises like `send`; nothing is sent."""
        if self._rpc.chain_id != self._chain:
            raise ChainUnavailable(f"{self._rpc.name} answers for another chain than before", "check the RPC URL")
        call: TxParams = {"from": self._account.address, "data": data, "value": 0}  # type: ignore[typeddict-item]
        if to is not None:
            call["to"] = to
        with self._explained():
            needed = self._rpc.w3.eth.estimate_gas(call)
        # What others do until it is mined may add an event or a first write.
        return Draft({**call, "chainId": self._chain, "gas": needed + needed // 4 + 10_000, **self._rpc.fees()})

    def submit(self, draft: Draft, announce: Callable[[bytes], None] = _nobody) -> Sent:
        """Sign with the next nonce and send; see `Sent` for `announce`. Raises like `send`."""
        for _ in range(_ATTEMPTS):
            with self._turn():
                nonce = self._next_nonce()
                fields = {**draft.fields, "nonce": nonce}
                fields.pop("from")
                signed: SignedTransaction = self._account.sign_transaction(fields)
                announce(bytes(signed.hash))
                if self._push(signed):
                    self._note(nonce, bytes(signed.hash))
                    return Sent(draft, signed, nonce, announce)
        raise ChainUnavailable(
            f"the nonces of {self._account.address} stay taken", "stop what else sends with this wallet, or try later"
        )

    # ------------------------------------------------------------------ submitting

    def _push(self, signed: SignedTransaction) -> bool:
        """Send signed bytes; False where their nonce is taken. A lost answer is followed by a look, then by another
        try with the same bytes."""
        for attempt in range(RETRIES):
            try:
                with self._explained(passing=(requests.RequestException, Web3RPCError)):
                    self._rpc.w3.eth.send_raw_transaction(signed.raw_transaction)
                return True
            except Web3RPCError as error:
                words = str(error).lower()
                if any(known in words for known in _KNOWN) or self._rpc.knows(bytes(signed.hash)):
                    return True
                if any(taken in words for taken in _TAKEN):
                    return False
                with self._explained():
                    raise
            except requests.RequestException:
                time.sleep(0.2 * 2**attempt)
                if self._rpc.knows(bytes(signed.hash)):
                    return True
        raise ChainUnavailable(f"the chain at {self._rpc.name} does not take transactions", "try again later")

    @contextmanager
    def _explained(self, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Failures of the node in words. `passing` are left to the caller, except for an empty purse and reverts."""
        with self._rpc.guard(passing):
            try:
                yield
            except Web3Exception as error:
                if any(broke in str(error).lower() for broke in _BROKE) and not revert_data(error):
                    raise InputError(
                        f"wallet {self._account.address} has too little ether for this transaction",
                        f"send some to {self._account.address}, or --relay URL; on the devnet: ffem init --devnet",
                    ) from None
                raise

    # ------------------------------------------------------------------ nonces

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Only one sender of this wallet at a time."""
        if self._folder is None:
            with _locks_lock:
                lock = _locks.setdefault((self._chain, self._account.address), threading.Lock())
            with lock:
                yield
            return
        try:
            with FileLock(f"{self._path}.lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout:
            raise InputError("another process keeps sending with this wallet", "wait for it, or stop it") from None

    @property
    def _path(self) -> Path:
        return (self._folder or Path()) / f"{self._chain}-{self._account.address}.json"

    def _next_nonce(self) -> int:
        """The node's next nonce, or the one after ours where the node has not counted that yet."""
        waiting = int(self._rpc.ask(lambda w3: w3.eth.get_transaction_count(self._account.address, "pending")))
        if self._folder is not None:
            with suppress(OSError, ValueError, KeyError, TypeError):
                last = json.loads(self._path.read_text("utf-8"))
                if last["nonce"] >= waiting and self._rpc.knows(bytes.fromhex(last["tx"])):
                    return int(last["nonce"]) + 1
        return waiting

    def _note(self, nonce: int, tx: bytes) -> None:
        if self._folder is not None:
            write_private(self._path, json.dumps({"nonce": nonce, "tx": tx.hex()}).encode())

    # ------------------------------------------------------------------ waiting

    def wait(self, sent: Sent) -> TxReceipt:
        """Wait for the confirmations; what a reorganisation or the node drops is sent again. Raises like `send`."""
        end, pause = time.monotonic() + MINING_SECONDS, _POLL
        while True:
            tx = sent.tx
            receipt = self._rpc.receipt(tx)
            if receipt is not None:
                if receipt["status"] != 1:
                    raise self._reason(sent.draft, receipt)
                deep = self._confirmations
                if deep == 1 or self._head() - receipt["blockNumber"] + 1 >= deep:
                    return receipt
            elif not self._rpc.knows(tx) and self._rpc.receipt(tx) is None:
                if self._mined_count() > sent.nonce:  # another transaction has its nonce: it can never be mined
                    sent = self.submit(sent.draft, sent.announce)
                else:
                    self._push(sent.signed)
            if time.monotonic() > end:
                raise Pending(
                    f"transaction 0x{tx.hex()} is sent, and has not its {self._confirmations} confirmations yet",
                    "look again later: what was begun goes on when it is called again",
                )
            time.sleep(pause)
            pause = min(1.5 * pause, _LONGEST_POLL)

    def _head(self) -> int:
        return int(self._rpc.ask(lambda w3: w3.eth.block_number))

    def _mined_count(self) -> int:
        return int(self._rpc.ask(lambda w3: w3.eth.get_transaction_count(self._account.address, "latest")))

    def _reason(self, draft: Draft, receipt: TxReceipt) -> Refused:
        """Why a mined transaction reverted: the same call on the state before its block, or as it is now."""
        call = {name: value for name, value in draft.fields.items() if name != "chainId"}
        for block in (receipt["blockNumber"] - 1, receipt["blockNumber"]):
            try:
                self._rpc.ask(lambda w3, at=block: w3.eth.call(call, at))  # type: ignore[misc]
            except Refused as reason:
                return reason
            except ChainUnavailable:
                continue
        return refused(None)
