"""A node that lies: a proxy before a real one, which edits what it answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from ffem_chain.chain.events import Event, decode, layouts

# (method, parameters, the honest result) -> what is answered instead
Edit = Callable[[str, list[Any], Any], Any]


class Refuses(Exception):
    """Raised by an edit: the node answers with an error."""


@contextmanager
def lying(url: str, edit: Edit) -> Iterator[str]:
    """URL of a node that answers like `url`, edited."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answers = requests.post(url, json=asked, timeout=30).json()
            many = isinstance(asked, list)
            pairs = zip(asked, answers, strict=True) if many else [(asked, answers)]
            edited = [_edited(question, answer, edit) for question, answer in pairs]
            body = json.dumps(edited if many else edited[0]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _edited(question: dict[str, Any], answer: dict[str, Any], edit: Edit) -> dict[str, Any]:
    if "result" not in answer:
        return answer
    try:
        return {**answer, "result": edit(question["method"], question.get("params", []), answer["result"])}
    except Refuses as refusal:
        return {"jsonrpc": "2.0", "id": answer["id"], "error": {"code": -32601, "message": str(refusal)}}


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


def topic_of(kind: type[Event]) -> str:
    """First topic of an event, as in JSON."""
    return "0x" + layouts()[kind].topic.hex()
