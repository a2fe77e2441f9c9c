"""Receipts of a block: as the node tells them, as consensus encodes them (EIP-2718, EIP-658), and the logs in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp  # type: ignore[import-untyped]
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from ffem_chain.audit.proofs import Header
from ffem_chain.audit.tries import Trie, nodes_of
from ffem_chain.chain.rpc import Rpc
from ffem_chain.errors import ChainUnavailable, FormatError, Tampered

_POSITIONS = 1 << 20  # more logs than a block's gas pays for


@dataclass(frozen=True)
class Log:
    """A log and its place: index of its transaction in the block, and its own among those of that transaction."""

    tx: int
    position: int
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes

    @property
    def order(self) -> int:
        """A number that orders the logs of a block (not the chain's log index, which needs all receipts before)."""
        return self.tx * _POSITIONS + self.position


def place_of(order: int) -> tuple[int, int]:
    """Index of the transaction and position of the log in it, from `Log.order`."""
    return divmod(order, _POSITIONS)


def path_of(tx: int) -> str:
    """Path of a transaction's receipt in the trie."""
    return str(rlp.encode(tx).hex())


def logs_in(trie: Trie) -> list[Log]:
    """Logs of the receipts that a trie shows, in order. Raises FormatError where a receipt is none."""
    found = []
    for path, value in trie.values.items():
        try:
            tx = rlp.decode(bytes.fromhex(path), rlp.sedes.big_endian_int)
            found += [Log(tx, position, *log) for position, log in enumerate(_logs(value))]
        except (RLPException, ValueError, TypeError):
            raise FormatError(f"receipt {path} is of a form that this version does not know") from None
    return sorted(found, key=lambda log: log.order)


def _logs(receipt: bytes) -> list[tuple[bytes, tuple[bytes, ...], bytes]]:
    payload = receipt[1:] if receipt and receipt[0] < 0x80 else receipt
    fields = rlp.decode(payload)
    if not isinstance(fields, list) or len(fields) != 4 or not isinstance(fields[3], list):
        raise ValueError
    logs = []
    for address, topics, data in fields[3]:
        if len(address) != 20 or not isinstance(data, bytes) or not isinstance(topics, list):
            raise ValueError
        logs.append((address, tuple(topics), data))
    return logs


# ---------------------------------------------------------------------- from a node


def read_receipts(rpc: Rpc, headers: Sequence[Header]) -> list[dict[bytes, bytes]]:
    """Nodes of the receipts trie of each block, by hash; the root is checked against the header.

    Raises Tampered where a node gives other receipts, ChainUnavailable.
    """
    answers: list[Any]
    try:
        answers = rpc.batch([("eth_getBlockReceipts", [hex(header.number)]) for header in headers])
    except ChainUnavailable:
        answers = [_one_by_one(rpc, header) for header in headers]
    return [_pool(header, answer) for header, answer in zip(headers, answers, strict=True)]


def _one_by_one(rpc: Rpc, header: Header) -> list[Any]:
    """For nodes without eth_getBlockReceipts."""
    (block,) = rpc.batch([("eth_getBlockByHash", ["0x" + header.hash.hex(), False])])
    listed = block.get("transactions") if isinstance(block, Mapping) else None
    if not isinstance(listed, list):
        raise ChainUnavailable(f"the chain at {rpc.name} does not list block {header.number}", "use another RPC")
    return rpc.batch([("eth_getTransactionReceipt", [tx]) for tx in listed])


def _pool(header: Header, answer: Any) -> dict[bytes, bytes]:
    _, root, _ = header.logging()
    try:
        leaves = sorted((path_of(int(one["transactionIndex"], 16)), _encoded(one)) for one in answer)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FormatError("the RPC gives something that is no receipt", "check the RPC URL") from None
    pool = nodes_of(leaves)
    if root not in pool:
        raise Tampered(
            f"the receipts that the node gives for block {header.number} are not those of the block",
            "use another RPC; a chain whose receipts have other fields than Ethereum's cannot be exported",
        )
    return pool


def _encoded(answer: Mapping[str, Any]) -> bytes:
    raw = bytes.fromhex
    outcome: Any = int(answer["status"], 16) if answer.get("status") is not None else raw(answer["root"][2:])
    logs = [
        [raw(log["address"][2:]), [raw(t[2:]) for t in log["topics"]], raw(log["data"][2:])] for log in answer["logs"]
    ]
    encoded: bytes = rlp.encode([outcome, int(answer["cumulativeGasUsed"], 16), raw(answer["logsBloom"][2:]), logs])
    kind = int(answer.get("type") or "0x0", 16)
    return encoded if kind == 0 else bytes([kind]) + encoded
