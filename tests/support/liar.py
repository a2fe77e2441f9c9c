"""A node that lies: a proxy before a real one, which edits what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ffem_chain.chain.events import Event, decode
from tests.support.rpc_proxy import RpcProxy, error

# (method, parameters, the honest result) -> what is answered instead
Edit = Callable[[str, list[Any], Any], Any]


class Refuses(Exception):
    """Raised by an edit: the node answers with an error."""


@contextmanager
def lying(url: str, edit: Edit) -> Iterator[str]:
    """URL of a node that answers like `url`, edited."""

    def hook(question: dict[str, Any], ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        answer = ask()
        if "result" not in answer:
            return answer
        try:
            return {**answer, "result": edit(question["method"], question.get("params", []), answer["result"])}
        except Refuses as refusal:
            return error(question, str(refusal), -32601)

    with RpcProxy(url, hook) as proxy:
        yield proxy.url


def on_logs(change: Callable[[dict[str, Any], Event], dict[str, Any] | None]) -> Edit:
    """Edit each log of the registry: what `change` gives of it (None: it is left out)."""

    def edit(method: str, _: list[Any], result: Any) -> Any:
        if method != "eth_getLogs":
            return result
        changed = [change(log, event_of(log)) for log in result]
        return [log for log in changed if log is not None]

    return edit


def event_of(log: dict[str, Any]) -> Event:
    """The event in a log as JSON-RPC gives it."""
    raw = bytes.fromhex
    return decode(
        {
            "topics": [raw(topic[2:]) for topic in log["topics"]],
            "data": raw(log["data"][2:]),
            "blockNumber": int(log["blockNumber"], 16),
            "blockHash": raw(log["blockHash"][2:]),
            "transactionHash": raw(log["transactionHash"][2:]),
            "logIndex": int(log["logIndex"], 16),
        }
    )


def dropping(unwanted: Callable[[Event], bool]) -> Edit:
    """Leave out events."""
    return on_logs(lambda log, event: None if unwanted(event) else log)


def without_proofs(inner: Edit) -> Edit:
    """Also refuse eth_getProof."""

    def edit(method: str, parameters: list[Any], result: Any) -> Any:
        if method == "eth_getProof":
            raise Refuses("the method eth_getProof does not exist")
        return inner(method, parameters, result)

    return edit


def honest(_: str, __: list[Any], result: Any) -> Any:
    """Change nothing."""
    return result
