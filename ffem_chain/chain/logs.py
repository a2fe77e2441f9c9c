"""Logs of one contract over any range of blocks, in pieces as large as the node gives them at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import requests

from ffem_chain.chain.rpc import Rpc
from ffem_chain.errors import ChainUnavailable, FormatError

# What nodes say when a range or an answer is too large for them; there is no common error code.
_LIMITS = ("range", "limit", "too many", "too large", "more than", "exceed", "timeout", "timed out", "10000 results")
_FORGET = 16  # good answers after which a refused size is tried again

Topics = Sequence[Sequence[bytes] | None]
Log = dict[str, Any]


@dataclass(frozen=True)
class Piece:
    """Logs of the blocks `first` to `last`, in the form that `events.decode` takes."""

    first: int
    last: int
    logs: list[Log]


class LogReader:
    """Reads the logs of `address` with `topics` as eth_getLogs takes them.

    A range that the node refuses as too large is asked for in halves; good answers let ranges grow again, up to about
    `wanted` logs each (None: as much as the node gives). While a piece is worked on, the next one is on its way:
    `waited` are the seconds in which there was nothing to do but wait for the node.
    """

    def __init__(
        self, rpc: Rpc, address: str, topics: Topics = (), *, span: int | None = None, wanted: int | None = None
    ) -> None:
        self._rpc, self._address, self._span, self._wanted = rpc, address, span, wanted
        self._topics = [None if one is None else ["0x" + topic.hex() for topic in one] for one in topics]
        self._refused, self._good = 0, 0
        self.waited = 0.0

    def pieces(self, first: int, last: int) -> Iterator[Piece]:
        """Blocks [first, last] in order. Raises ChainUnavailable, FormatError (something that is no log)."""
        if first > last:
            return
        piece = self._timed(first, last)
        with ThreadPoolExecutor(1) as pool:
            while piece.last < last:
                ahead = pool.submit(self._next, piece.last + 1, last)
                yield piece
                start = time.perf_counter()
                piece = ahead.result()
                self.waited += time.perf_counter() - start
        yield piece

    def _timed(self, first: int, last: int) -> Piece:
        start = time.perf_counter()
        try:
            return self._next(first, last)
        finally:
            self.waited += time.perf_counter() - start

    def _next(self, first: int, last: int) -> Piece:
        """The piece that begins at `first`, as long as the node lets it be."""
        span = self._span or last - first + 1
        while True:
            end = min(last, first + span - 1)
            try:
                logs = _ask(self._rpc, self._address, self._topics, first, end)
            except _TooMuch:
                self._refused, self._good = end - first + 1, 0
                span = self._span = self._refused // 2
                continue
            self._adapt(span, len(logs))
            return Piece(first, end, logs)

    def _adapt(self, span: int, found: int) -> None:
        self._good += 1
        if self._good >= _FORGET:
            self._refused = 0
        if self._wanted is not None and found > 2 * self._wanted:
            self._span = max(1, span // 2)
        elif self._span is not None and (self._wanted is None or 2 * found <= self._wanted):
            self._span = 2 * span if not self._refused or 2 * span < self._refused else span


def read_logs(rpc: Rpc, address: str, topics: Topics, first: int, last: int) -> Iterator[Log]:
    """Logs of `address` in blocks [first, last] in order of the chain. Raises like `LogReader.pieces`."""
    for piece in LogReader(rpc, address, topics).pieces(first, last):
        yield from piece.logs


class _TooMuch(Exception):
    """The node wants a smaller range."""


def _ask(rpc: Rpc, address: str, topics: list[Any], first: int, last: int) -> list[Log]:
    question = {"address": address, "fromBlock": hex(first), "toBlock": hex(last), "topics": topics}
    try:
        answer: Any = rpc.provider.make_request("eth_getLogs", [question])
    except (requests.HTTPError, requests.Timeout) as error:
        if first < last and _is_limit(error):
            raise _TooMuch from None
        with rpc.guard():
            raise
    except Exception:
        with rpc.guard():
            raise
    if not isinstance(answer, Mapping) or answer.get("error") is not None or "result" not in answer:
        refusal = answer.get("error") if isinstance(answer, Mapping) else None
        words = refusal.get("message") if isinstance(refusal, Mapping) else refusal
        if first < last and _is_limit(words):
            raise _TooMuch
        raise ChainUnavailable(
            f"the chain at {rpc.name} answers with an error: {str(words)[:300]}", "check the RPC URL"
        )
    try:
        return [_parsed(log, address) for log in answer["result"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise FormatError(f"the chain at {rpc.name} gives something that is no log", "check the RPC URL") from None


def _is_limit(words: object) -> bool:
    return any(word in str(words).lower() for word in _LIMITS)


def _parsed(log: Mapping[str, Any], address: str) -> Log:
    """A log as JSON-RPC gives it, in bytes and numbers. Raises ValueError for one of another contract."""
    raw = bytes.fromhex
    if log["address"].lower() != address.lower():
        raise ValueError
    return {
        "topics": [raw(topic[2:]) for topic in log["topics"]],
        "data": raw(log["data"][2:]),
        "blockNumber": int(log["blockNumber"], 16),
        "blockHash": raw(log["blockHash"][2:]),
        "transactionHash": raw(log["transactionHash"][2:]),
        "logIndex": int(log["logIndex"], 16),
        "removed": log.get("removed", False),
    }
