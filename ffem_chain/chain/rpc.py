"""One JSON-RPC endpoint: retries, timeouts, and every failure as an error that says what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
from web3 import HTTPProvider, Web3
from web3.exceptions import (
    BadFunctionCallOutput,
    BadResponseFormat,
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.middleware import ExtraDataToPOAMiddleware
from web3.providers.rpc.utils import REQUEST_RETRY_ALLOWLIST, ExceptionRetryConfiguration
from web3.types import BlockData, RPCResponse, TxReceipt

from ffem_chain import boundedjson
from ffem_chain.chain.reverts import refused
from ffem_chain.errors import ChainUnavailable, InputError

RETRIES = 4
BACKOFF_SECONDS = 0.2
_BATCH = 100
_OTHER = "use another RPC"
Answer = TypeVar("Answer")


def endpoint(url: str) -> str:
    """The URL without path, query and password, which may hold an access key."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


def revert_data(error: Exception) -> bytes | None:
    """The revert data that an exception of web3 carries, None where it is no revert.

    Nodes differ: geth and Anvil send hex text, Ganache a mapping with `result`, others prefix "Reverted ".
    """
    if isinstance(error, ContractLogicError):
        raw: Any = error.data
    elif isinstance(error, Web3RPCError) and isinstance(error.rpc_response, dict):
        answer = error.rpc_response.get("error")
        raw = answer.get("data") if isinstance(answer, dict) else None
        if raw is None and "revert" not in str(error).lower():
            return None
    else:
        return None
    if isinstance(raw, dict):
        raw = next((raw[name] for name in ("result", "data", "originalError") if raw.get(name)), None)
        if isinstance(raw, dict):
            raw = raw.get("data")
    text = str(raw or "").removeprefix("Reverted ").strip()
    if not text.startswith("0x"):
        return b"" if isinstance(error, ContractLogicError) or "revert" in str(error).lower() else None
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        return b""


class _Provider(HTTPProvider):
    """A node can answer anything: nesting is bounded before the JSON parser recurses into it."""

    @staticmethod
    def decode_rpc_response(raw_response: bytes) -> RPCResponse:
        return HTTPProvider.decode_rpc_response(boundedjson.check_depth(raw_response))


class Rpc:
    """A connection that survives restarts of the endpoint. `timeout` is in seconds, per request.

    Errors: ChainUnavailable when nothing (or nothing sensible) answers, Refused when a call reverts.
    """

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise InputError("the RPC URL is not an http or https URL", "for example http://127.0.0.1:8545")
        self.url = url
        self.name = endpoint(url)
        # A transaction is never sent twice without looking first: see sender.py.
        allowed = [method for method in REQUEST_RETRY_ALLOWLIST if method != "eth_sendRawTransaction"]
        retry = ExceptionRetryConfiguration(
            errors=(requests.ConnectionError, requests.Timeout),
            retries=RETRIES,
            backoff_factor=BACKOFF_SECONDS,
            method_allowlist=allowed,
        )
        self.provider = _Provider(url, request_kwargs={"timeout": timeout}, exception_retry_configuration=retry)
        self.w3 = Web3(self.provider)
        self.w3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        # It asks for the chain id twice with every eth_call, two of three requests; the sender compares that itself.
        self.w3.middleware_onion.remove("validation")

    @contextmanager
    def guard(self, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Translates what web3 raises inside the block. `passing` come through as they are, unless they are reverts."""
        try:
            yield
        except passing as error:
            data = revert_data(error)
            if data is not None:
                raise refused(data) from None
            raise
        except requests.RequestException as error:
            raise ChainUnavailable(
                f"the chain at {self.name} does not answer ({type(error).__name__})",
                "start it (ffem devnet up) or check the RPC URL",
            ) from None
        except BadFunctionCallOutput:
            raise ChainUnavailable(
                f"the contract at the chain {self.name} does not answer as the registry does",
                "check the registry's address and the chain",
            ) from None
        except Web3Exception as error:
            data = revert_data(error)
            if data is not None:
                raise refused(data) from None
            what = error.message if isinstance(error, Web3RPCError) else f"{type(error).__name__}: {error}"
            raise ChainUnavailable(
                f"the chain at {self.name} answers with an error: {str(what)[:300]}", "check the RPC URL"
            ) from None
        except (BadResponseFormat, ValueError) as error:
            raise ChainUnavailable(
                f"the server at {self.name} is no JSON-RPC node ({type(error).__name__})",
                "check the RPC URL",
            ) from None

    def ask(self, question: Callable[[Web3], Answer]) -> Answer:
        """`question(web3)` with its failures translated."""
        with self.guard():
            return question(self.w3)

    def batch(self, questions: Sequence[tuple[str, list[Any]]]) -> list[Any]:
        """Answers to many JSON-RPC calls (method, parameters), in batches. Raises ChainUnavailable where one fails."""
        found: list[Any] = []
        for start in range(0, len(questions), _BATCH):
            found += self._batch(list(questions[start : start + _BATCH]))
        return found

    def _batch(self, part: list[tuple[str, list[Any]]]) -> list[Any]:
        """Answers to one batch, in smaller ones where the node takes only those."""
        try:
            with self.guard():
                answers: Any = self.provider.make_batch_request(part)  # type: ignore[arg-type]
            listed = answers if isinstance(answers, list) else [answers]
            if len(listed) != len(part):
                raise ChainUnavailable(f"the chain at {self.name} answers {len(listed)} of {len(part)} calls", _OTHER)
            return [self._result(method, answer) for (method, _), answer in zip(part, listed, strict=True)]
        except ChainUnavailable:
            if len(part) == 1:
                raise
            half = len(part) // 2
            return self._batch(part[:half]) + self._batch(part[half:])

    def _result(self, method: str, answer: Any) -> Any:
        if isinstance(answer, dict) and answer.get("error") is None and "result" in answer:
            return answer["result"]
        error = answer.get("error") if isinstance(answer, dict) else None
        words = error.get("message") if isinstance(error, dict) else error
        raise ChainUnavailable(f"the chain at {self.name} refuses {method}: {str(words)[:200]}", _OTHER)

    @property
    def chain_id(self) -> int:
        """The chain id that the endpoint answers for."""
        return self.ask(lambda w3: w3.eth.chain_id)

    def block(self, number: int | str) -> BlockData:
        """The header of a block by number or tag."""
        return self.ask(lambda w3: w3.eth.get_block(number))  # type: ignore[arg-type]

    def receipt(self, tx: bytes) -> TxReceipt | None:
        """The receipt of a transaction, None while it has none."""
        try:
            with self.guard():
                return self._receipt(tx)
        except _Absent:
            return None

    def _receipt(self, tx: bytes) -> TxReceipt:
        try:
            return self.w3.eth.get_transaction_receipt(tx)  # type: ignore[arg-type]
        except TransactionNotFound:
            raise _Absent from None

    def knows(self, tx: bytes) -> bool:
        """Whether the node has the transaction, mined or waiting."""
        try:
            self.ask(lambda w3: self._transaction(w3, tx))
        except _Absent:
            return False
        return True

    @staticmethod
    def _transaction(w3: Web3, tx: bytes) -> None:
        try:
            w3.eth.get_transaction(tx)  # type: ignore[arg-type]
        except TransactionNotFound:
            raise _Absent from None

    def fees(self) -> dict[str, int]:
        """Fee fields of a transaction in wei: EIP-1559 where blocks have a base fee, else a gas price."""
        base = self.block("latest").get("baseFeePerGas")
        if base is None:
            return {"gasPrice": int(self.ask(lambda w3: w3.eth.gas_price))}
        try:
            tip = int(self.ask(lambda w3: w3.eth.max_priority_fee))
        except ChainUnavailable:
            tip = 10**9  # Some nodes lack eth_maxPriorityFeePerGas; 1 gwei is the usual least.
        # Twice the base fee stays valid through six full blocks (it grows at most 12.5 % a block).
        return {"maxPriorityFeePerGas": tip, "maxFeePerGas": 2 * int(base) + tip}


class _Absent(Exception):
    """A transaction that the node does not know: an answer, not a failure."""


def wait_until(done: Callable[[], bool], seconds: float, first: float = 0.02, longest: float = 1.0) -> bool:
    """Polls `done` with growing pauses, for at most `seconds`."""
    end, pause = time.monotonic() + seconds, first
    while not done():
        if time.monotonic() + pause > end:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, longest)
    return True
