"""A connection to one registry: that it is ours, its events, and how a transaction is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils import to_checksum_address
from web3.types import TxReceipt

from ffem_chain.chain.artifact import artifact
from ffem_chain.chain.events import KINDS, Event, decode, layouts
from ffem_chain.chain.logs import read_logs
from ffem_chain.chain.rpc import Rpc
from ffem_chain.chain.sender import Sender
from ffem_chain.chain.signed import Domain
from ffem_chain.errors import ChainUnavailable, InputError

Filter = bytes | str | int | tuple[bytes | str | int, ...]
# names by which callers filter -> fields of the events
_FILTERS = {"grant": "grant_id"}


@dataclass(frozen=True)
class Receipt:
    """A transaction that has its confirmations: 32-byte hash, block, gas used by all of it, and its events."""

    tx: bytes
    block: int
    gas_used: int
    events: list[Event]


class Connection:
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
        self._account, self.confirmations, self._nonces = account, max(1, confirmations), nonce_folder
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
                "check the address; another version's registry needs that version; a development chain gets this one's "
                "from: ffem devnet up",
            )
        (found,) = artifact().immutable_values(code)
        self._deployment = found
        return found

    def domain(self) -> Domain:
        """What binds signed calls to this deployment."""
        return Domain(self.rpc.chain_id, self.address, self.deployment_id)

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
        **filters: Filter,
    ) -> list[Event]:
        """Events in order of the chain, of some kinds (None: all), in blocks [from_block, to_block].

        `filters` compare indexed fields: album, grant, uid, wallet, recipient, owner, keeper, keeper_set, version,
        epoch, seq, suite, index; a tuple means one of its values, of which nodes take a hundred. Raises ValueError
        where a kind has no such indexed field.
        """
        first = self.from_block if from_block is None else from_block
        last = self.latest_block() if to_block is None else to_block
        groups: dict[tuple[tuple[bytes, ...] | None, ...], list[bytes]] = {}
        for kind in KINDS if kinds is None else kinds:
            layout = layouts()[kind]
            groups.setdefault(_topics(layout.indexed, dict(filters), kind.__name__), []).append(layout.topic)
        found = []
        for values, signatures in groups.items():
            topics = [signatures, *(None if value is None else list(value) for value in values)]
            found += [decode(log) for log in read_logs(self.rpc, self.address, topics, first, last)]
        return sorted(found, key=lambda event: (event.block, event.log_index))

    # ------------------------------------------------------------------ sending

    def _send(self, name: str, *values: Any) -> Receipt:
        return self._receipt(self.sender().send(self.address, self.encoded(name, *values)))

    def sender(self) -> Sender:
        """Sends the wallet's transactions. Raises InputError where the registry was opened for reading."""
        if self._account is None:
            raise InputError("this needs a wallet, and the registry was opened for reading")
        if self._sender is None:
            self._sender = Sender(self.rpc, self._account, confirmations=self.confirmations, folder=self._nonces)
        return self._sender

    def encoded(self, name: str, *values: Any) -> bytes:
        """The data of a transaction that calls a function of the contract."""
        function = self._contract.get_function_by_name(name)
        return bytes.fromhex(function(*values)._encode_transaction_data()[2:])

    def receipt_of(self, tx: bytes) -> Receipt | None:
        """A mined transaction that was not reverted, whoever sent it; None where there is none yet."""
        mined = self.rpc.receipt(tx)
        return self._receipt(mined) if mined is not None and mined["status"] == 1 else None

    def _receipt(self, mined: TxReceipt) -> Receipt:
        events = [decode(log) for log in mined["logs"] if log["address"] == self.address]
        return Receipt(bytes(mined["transactionHash"]), int(mined["blockNumber"]), int(mined["gasUsed"]), events)


def alternatives(value: Any) -> tuple[Any, ...]:
    """The values that a filter lets through."""
    return value if isinstance(value, tuple) else (value,)


def _topics(
    indexed: tuple[tuple[str, str], ...], filters: dict[str, Any], kind: str
) -> tuple[tuple[bytes, ...] | None, ...]:
    """Topics after the first that a filter asks for, trailing Nones left out."""
    values: list[tuple[bytes, ...] | None]
    wanted = {_FILTERS.get(name, name): value for name, value in filters.items()}
    absent = set(wanted) - {name for name, _ in indexed}
    if absent:
        raise ValueError(f"{kind} cannot be filtered by {', '.join(sorted(absent))}")
    values = [
        tuple(encode([abi_type], [one]) for one in alternatives(wanted[name])) if name in wanted else None
        for name, abi_type in indexed
    ]
    while values and values[-1] is None:
        values.pop()
    return tuple(values)
