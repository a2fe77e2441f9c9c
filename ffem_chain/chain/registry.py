"""The registry contract on a chain: views, transactions and events, with every refusal as a sentence.

Only a contract with exactly this library's code is talked to. What a view answers is what the endpoint says: callers
that must not trust it compare with the events (`ffem_chain.roles.ledger`, `ffem_chain.audit`).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from eth_abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils import keccak, to_checksum_address
from web3.types import TxReceipt

from ffem_chain.chain.artifact import artifact
from ffem_chain.chain.events import KINDS, Event, KeyRegistered, decode, layouts
from ffem_chain.chain.logs import read_logs
from ffem_chain.chain.rpc import Rpc
from ffem_chain.chain.sender import Sender
from ffem_chain.chain.types import (
    AlbumView,
    GrantParams,
    GrantStatus,
    GrantView,
    KeeperSetView,
    KeyStatus,
    KeyView,
)
from ffem_chain.errors import ChainUnavailable, FormatError, InputError, Tampered

# names by which callers filter -> fields of the events
_FILTERS = {"grant": "grant_id"}
_OPENABLE_AT_ONCE = 500
_Status = TypeVar("_Status", KeyStatus, GrantStatus)


@dataclass(frozen=True)
class Receipt:
    """A transaction that has its confirmations: 32-byte hash, block, gas used by all of it, and its events."""

    tx: bytes
    block: int
    gas_used: int
    events: list[Event]


class Registry:
    """One deployment. Without `account` it only reads.

    `confirmations`: blocks, its own included, after which a transaction counts. `timeout` in seconds for one answer.
    `nonce_folder`: see `Sender`. `from_block`: where reading logs begins. Raises ChainUnavailable where nothing answers
    or `address` does not hold this registry's code (not checked where `any_code`), InputError for a bad URL or address.
    """

    def __init__(
        self,
        url: str,
        address: str,
        *,
        account: LocalAccount | None = None,
        confirmations: int = 1,
        timeout: float = 30.0,
        nonce_folder: Path | None = None,
        from_block: int = 0,
        any_code: bool = False,
    ) -> None:
        self.rpc = Rpc(url, timeout)
        try:
            self.address = to_checksum_address(address)
        except ValueError:
            raise InputError(
                f"{address} is no contract address", "an address is 0x and 40 hexadecimal digits"
            ) from None
        self.from_block = from_block
        self._contract = self.rpc.w3.eth.contract(address=self.address, abi=artifact().abi)
        self._account, self._confirmations, self._nonces = account, confirmations, nonce_folder
        self._sender: Sender | None = None
        self._deployment = b"" if any_code else self.read_deployment()

    # ------------------------------------------------------------------ what it is

    def code(self, block: int | str = "latest") -> bytes:
        """The code at the address, empty where there is none."""
        return bytes(self.rpc.ask(lambda w3: w3.eth.get_code(self.address, block)))  # type: ignore[arg-type]

    @property
    def deployment_id(self) -> bytes:
        """Tells this registry from any other (32 bytes), as it was when it was last read."""
        if not self._deployment:
            self._deployment = self.read_deployment()
        return self._deployment

    def read_deployment(self) -> bytes:
        """The deployment id, read anew from the contract's code. Raises ChainUnavailable where that is not ours."""
        code = self.code()
        if not code:
            raise ChainUnavailable(
                f"there is no contract at {self.address} on the chain at {self.rpc.name}",
                "check the address and the RPC URL; a devnet that was started anew: ffem devnet up",
            )
        if not artifact().is_code(code):
            raise ChainUnavailable(
                f"the contract at {self.address} is not the registry that this version of ffem-chain knows",
                "check the address; another version's registry needs that version",
            )
        (found,) = artifact().immutable_values(code)
        self._deployment = found
        return found

    def latest_block(self) -> int:
        """Number of the chain's newest block."""
        return int(self.rpc.ask(lambda w3: w3.eth.block_number))

    # ------------------------------------------------------------------ events

    def events(
        self,
        kinds: Sequence[type[Event]] | None = None,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
        **filters: bytes | str | int,
    ) -> list[Event]:
        """Events in order of the chain, of some kinds (None: all), in blocks [from_block, to_block].

        `filters` compare indexed fields: album, grant, uid, wallet, recipient, owner, keeper, keeper_set, version,
        epoch, seq, suite, index. Raises ValueError where a kind has no such indexed field.
        """
        first = self.from_block if from_block is None else from_block
        last = self.latest_block() if to_block is None else to_block
        groups: dict[tuple[bytes | None, ...], list[bytes]] = {}
        for kind in KINDS if kinds is None else kinds:
            layout = layouts()[kind]
            groups.setdefault(_topics(layout.indexed, dict(filters), kind.__name__), []).append(layout.topic)
        found = []
        for values, signatures in groups.items():
            topics = [signatures, *(None if value is None else [value] for value in values)]
            found += [decode(log) for log in read_logs(self.rpc, self.address, topics, first, last)]
        return sorted(found, key=lambda event: (event.block, event.log_index))

    # ------------------------------------------------------------------ views

    def _view(self, name: str, *values: Any, block: int | str = "latest") -> Any:
        function = self._contract.get_function_by_name(name)(*values)
        return self.rpc.ask(lambda _: function.call(block_identifier=block))

    def _status(self, kind: type[_Status], number: int) -> _Status:
        """A status of the contract's. ChainUnavailable for a number that it cannot give."""
        with self.rpc.guard():
            return kind(number)

    def key(self, wallet: str, version: int, *, block: int | str = "latest") -> KeyView:
        """One encryption key of a wallet."""
        suite, status, key_hash = self._view("key", wallet, version, block=block)
        return KeyView(suite, self._status(KeyStatus, status), key_hash)

    def active_key(self, wallet: str, suite: int, *, block: int | str = "latest") -> int:
        """Version of the wallet's active key of a suite, 0 where there is none."""
        return int(self._view("activeKey", wallet, suite, block=block))

    def public_key(self, wallet: str, version: int) -> bytes:
        """The public key of a version, from the log, checked against the hash in the storage. Raises Tampered."""
        stored = self.key(wallet, version).key_hash
        for event in self.events([KeyRegistered], wallet=wallet, version=version):
            if isinstance(event, KeyRegistered) and keccak(event.public_key)[:30] == stored:
                return event.public_key
        raise Tampered(
            f"the logs lack encryption key version {version} of {wallet}, or give another one",
            "the RPC leaves out or alters logs; use another one",
        )

    def album(self, album: bytes, *, block: int | str = "latest") -> AlbumView:
        """An album; all fields are zero where there is none."""
        return AlbumView(*self._view("album", album, block=block))

    def epoch_key_commit(self, album: bytes, epoch: int, *, block: int | str = "latest") -> bytes:
        """Commitment to an epoch's secret (32 bytes), zero where there is no such epoch."""
        return bytes(self._view("epochKeyCommit", album, epoch, block=block))

    def keeper_set(self, number: int, *, block: int | str = "latest") -> KeeperSetView:
        """A keeper set; who is in it never changes."""
        album, threshold, accepted, keepers = self._view("keeperSet", number, block=block)
        return KeeperSetView(album, threshold, accepted, tuple(keepers))

    def capture_hash(self, album: bytes, uid: bytes, *, block: int | str = "latest") -> bytes:
        """Hash of a capture's registration (32 bytes), zero where there is none."""
        return bytes(self._view("captureHash", album, uid, block=block))

    def grant_state(self, grant: bytes, *, block: int | str = "latest") -> GrantView:
        """State of a grant; status NONE where there is no such grant."""
        status, *rest = self._view("grantState", grant, block=block)
        return GrantView(self._status(GrantStatus, status), *rest)

    def openable_by(self, wallet: str, grants: Sequence[bytes], *, block: int | str = "latest") -> list[GrantStatus]:
        """Status of each grant, NONE where it is not the wallet's."""
        found: list[GrantStatus] = []
        for at in range(0, len(grants), _OPENABLE_AT_ONCE):
            part = list(grants[at : at + _OPENABLE_AT_ONCE])
            answers = self._view("openableBy", wallet, part, block=block)
            found += [self._status(GrantStatus, status) for status in answers]
        return found

    # ------------------------------------------------------------------ transactions

    def _send(self, name: str, *values: Any) -> Receipt:
        if self._account is None:
            raise InputError("this needs a wallet, and the registry was opened for reading")
        if self._sender is None:
            self._sender = Sender(self.rpc, self._account, confirmations=self._confirmations, folder=self._nonces)
        function = self._contract.get_function_by_name(name)
        return self._receipt(
            self._sender.send(self.address, bytes.fromhex(function(*values)._encode_transaction_data()[2:]))
        )

    def _receipt(self, mined: TxReceipt) -> Receipt:
        events = [decode(log) for log in mined["logs"] if log["address"] == self.address]
        return Receipt(bytes(mined["transactionHash"]), int(mined["blockNumber"]), int(mined["gasUsed"]), events)

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

    def grant(self, params: GrantParams) -> Receipt:
        """Grant; the payload travels in the log."""
        values = (
            params.album,
            params.salt,
            params.scope_commit,
            params.recipient,
            params.key_version,
            params.expiry,
            params.keeper_set,
            params.payload,
        )
        return self._send("grant", values)

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


def _topics(indexed: tuple[tuple[str, str], ...], filters: dict[str, Any], kind: str) -> tuple[bytes | None, ...]:
    """Topics after the first that a filter asks for, trailing Nones left out."""
    wanted = {_FILTERS.get(name, name): value for name, value in filters.items()}
    absent = set(wanted) - {name for name, _ in indexed}
    if absent:
        raise ValueError(f"{kind} cannot be filtered by {', '.join(sorted(absent))}")
    values = [encode([abi_type], [wanted[name]]) if name in wanted else None for name, abi_type in indexed]
    while values and values[-1] is None:
        values.pop()
    return tuple(values)


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
