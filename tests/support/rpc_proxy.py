"""A JSON-RPC endpoint on the loopback interface that passes questions on, and lies where a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import requests

# (question, pass it on) -> answer; None closes the connection without one
Hook = Callable[[dict[str, Any], Callable[[], dict[str, Any]]], dict[str, Any] | bytes | None]


class RpcProxy:
    """Use as a context manager. `hook` may be replaced at any time; `methods` counts what was asked."""

    def __init__(self, target: str, hook: Hook | None = None) -> None:
        self.hook: Hook = hook or (lambda question, ask: ask())
        self.methods: list[str] = []
        proxy = self

        def answered(question: dict[str, Any]) -> Any:
            proxy.methods.append(question["method"])
            return proxy.hook(question, lambda: requests.post(target, json=question, timeout=30).json())

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = [answered(one) for one in question] if isinstance(question, list) else answered(question)
                if answer is None:
                    self.connection.close()
                    return
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> RpcProxy:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def error(question: dict[str, Any], message: str, code: int = -32000) -> dict[str, Any]:
    """An error answer."""
    return {"jsonrpc": "2.0", "id": question["id"], "error": {"code": code, "message": message}}


def result(question: dict[str, Any], value: Any) -> dict[str, Any]:
    """A good answer."""
    return {"jsonrpc": "2.0", "id": question["id"], "result": value}
