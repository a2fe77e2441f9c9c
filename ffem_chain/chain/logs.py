"""Logs of one contract over any range of blocks, in pieces where a node limits what it gives at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import requests
from web3.exceptions import Web3RPCError
from web3.types import FilterParams, LogReceipt

from ffem_chain.chain.rpc import Rpc

# What nodes say when a range or an answer is too large for them; there is no common error code.
_LIMITS = ("range", "limit", "too many", "too large", "more than", "exceed", "timeout", "timed out", "10000 results")

Topics = Sequence[Sequence[bytes] | None]


def read_logs(rpc: Rpc, address: str, topics: Topics, first: int, last: int) -> Iterator[LogReceipt]:
    """Logs of `address` in blocks [first, last] in order of the chain; `topics` as eth_getLogs takes them.

    A node that refuses a range as too large is asked for halves of it, and from then on for ranges of that size.
    Raises ChainUnavailable.
    """
    span = last - first + 1
    while first <= last:
        end = min(last, first + span - 1)
        try:
            yield from _ask(rpc, address, topics, first, end)
        except _TooMuch:
            span = (end - first + 1) // 2
            continue
        first = end + 1


class _TooMuch(Exception):
    """The node wants a smaller range."""


def _ask(rpc: Rpc, address: str, topics: Topics, first: int, last: int) -> list[LogReceipt]:
    question: dict[str, Any] = {"address": address, "fromBlock": first, "toBlock": last, "topics": topics}
    with rpc.guard():
        try:
            return list(rpc.w3.eth.get_logs(FilterParams(**question)))  # type: ignore[typeddict-item]
        except (Web3RPCError, requests.HTTPError, requests.Timeout) as error:
            if first < last and any(word in str(error).lower() for word in _LIMITS):
                raise _TooMuch from None
            raise
