"""The registry contract on a chain: views, transactions and events, with every refusal as a sentence.

Only a contract with exactly this library's code is talked to.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from eth_account.signers.local import LocalAccount

from ffem_chain.chain.artifact import artifact
from ffem_chain.chain.connection import Receipt
from ffem_chain.chain.rpc import Rpc
from ffem_chain.chain.sender import Sender
from ffem_chain.chain.signed import Call
from ffem_chain.chain.types import GrantParams, KeyStatus
from ffem_chain.chain.views import Views
from ffem_chain.errors import FormatError

__all__ = ["Receipt", "Registry", "deploy"]


class Registry(Views):
    """One deployment, and the transactions of its contract. The parameters are `Connection`'s."""

    def check_sends(self, name: str) -> None:
        """Raises InputError where this side cannot call a function of the contract, whatever the chain says to it: for
        callers who write down what they are about to do."""

    def batches_with(self, album: bytes, uid: bytes) -> set[bytes] | None:
        """Roots of the album's batches that may list a capture. None: any of them may; an index knows more."""
        del album, uid
        return None

    def register_key(self, suite: int, public: bytes) -> Receipt:
        """Publish the wallet's next encryption key; its active one of the suite is retired."""
        return self._send("registerKey", suite, public)

    def set_key_status(self, version: int, status: KeyStatus) -> Receipt:
        """Retire one of the wallet's keys, or declare it compromised."""
        return self._send("setKeyStatus", version, int(status))

    def create_album(self, salt: bytes, key_commit: bytes, keepers: Sequence[str], threshold: int) -> Receipt:
        """Create the wallet's album with epoch 1 and propose its keepers."""
        return self._send("createAlbum", salt, key_commit, list(keepers), threshold)

    def open_epoch(self, album: bytes, key_commit: bytes) -> Receipt:
        """Open the album's next epoch."""
        return self._send("openEpoch", album, key_commit)

    def rotate(
        self, album: bytes, key_commit: bytes, revoked_salts: Sequence[bytes], grants: Sequence[GrantParams]
    ) -> Receipt:
        """Revoke, open the next epoch and grant as one batch, in one transaction; both lists may be empty."""
        return self._send("rotate", album, key_commit, list(revoked_salts), [params.values for params in grants])

    def propose_keepers(self, album: bytes, keepers: Sequence[str], threshold: int) -> Receipt:
        """Propose a new keeper set; grants keep the set that they pinned."""
        return self._send("proposeKeepers", album, list(keepers), threshold)

    def accept_keeper_set(self, number: int) -> Receipt:
        """Accept to serve a keeper set."""
        return self._send("acceptKeeperSet", number)

    def register_capture(
        self, album: bytes, uid: bytes, digest: bytes, key_commit: bytes, epoch: int, slot: int
    ) -> Receipt:
        """Record a sealed capture."""
        return self._send("registerCapture", album, uid, digest, key_commit, epoch, slot)

    def register_captures(self, album: bytes, root: bytes, list_digest: bytes, count: int, epoch: int) -> Receipt:
        """Record 1 to 10,000 sealed captures of one epoch by the root of their Merkle tree."""
        return self._send("registerCaptures", album, root, list_digest, count, epoch)

    def grant(self, params: GrantParams) -> Receipt:
        """Grant; the payload travels in the log."""
        return self._send("grant", params.values)

    def grant_batch(self, grants: Sequence[GrantParams]) -> Receipt:
        """Grant many of one album in one transaction: all or none."""
        return self._send("grantBatch", [params.values for params in grants])

    def request_access(self, grant: bytes, request_key: bytes) -> Receipt:
        """Ask the keepers; `request_key` is the suite byte and a one-time public key."""
        return self._send("requestAccess", grant, request_key)

    def commit_release(self, grant: bytes, seq: int, index: int, digest: bytes) -> Receipt:
        """Commit, as keeper `index`, to the bytes with this keccak256."""
        return self._send("commitRelease", grant, seq, index, digest)

    def deliver(
        self,
        grant: bytes,
        seq: int,
        index: int,
        previous_head: bytes,
        later_leaves: Sequence[bytes],
        sealed_share: bytes,
    ) -> Receipt:
        """Publish committed bytes; the proof is of `Ledger.proof`."""
        return self._send("deliver", grant, seq, index, previous_head, list(later_leaves), sealed_share)

    def revoke(self, album: bytes, salt: bytes) -> Receipt:
        """Revoke the album's grant with this salt."""
        return self._send("revoke", album, salt)

    def revoke_batch(self, album: bytes, salts: Sequence[bytes]) -> Receipt:
        """Revoke the album's grants with these salts: all or none."""
        return self._send("revokeBatch", album, list(salts))

    def publish_recovery(self, version: int, sealed: bytes) -> Receipt:
        """Publish one of the wallet's private keys, sealed to its recovery key. It is in a log for ever."""
        return self._send("publishRecovery", version, sealed)

    def use_nonces(self, word: int, mask: int) -> Receipt:
        """Cancel the wallet's signed calls with nonces 256 * word + i, for each bit i of the mask."""
        return self._send("useNonces", word, mask)

    def carry_out(self, call: Call) -> Receipt:
        """Make somebody's signed call: `registerKeyFor` and the like. This wallet pays."""
        return self._send(call.kind.relayed, *call.arguments())


def deploy(
    url: str,
    account: LocalAccount,
    *,
    confirmations: int = 1,
    timeout: float = 30.0,
    nonce_folder: Path | None = None,
) -> str:
    """Deploy a registry with a random salt; its checksummed address. Raises like `Sender.send`, FormatError."""
    rpc = Rpc(url, timeout)
    sender = Sender(rpc, account, confirmations=confirmations, folder=nonce_folder)
    mined = sender.send(None, artifact().bytecode + secrets.token_bytes(32))
    address = mined["contractAddress"]
    if address is None:
        raise FormatError("the chain gave no address for the deployed contract", "check the RPC URL")
    return Registry(url, address, timeout=timeout).address
