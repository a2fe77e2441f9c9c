"""Loopback servers that stand between a store and the real daemon, or in its place, and misbehave."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Alter = Callable[[str, bytes], bytes]


@contextmanager
def proxy(port: int, alter: Alter) -> Iterator[str]:
    """URL of a proxy before the daemon on `port`; `alter` gets the path of a question and the body of its answer."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            upstream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            kind = self.headers.get("Content-Type")
            upstream.request("POST", self.path, self._body(), {"Content-Type": kind} if kind else {})
            answer = upstream.getresponse()
            body = alter(self.path, answer.read())
            upstream.close()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", "0")))
            whole = bytearray()
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return bytes(whole)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def raw(
    answer: Callable[[socket.socket, threading.Event], None],
    heads: list[str] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """URL of a server that reads the head of a question and lets `answer` do what it likes until the event is set.

    `heads` collects what was asked.
    """
    listener, end = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), tls.wrap_socket(connection, server_side=True) if tls else connection as connection:
            head = b""
            while b"\r\n\r\n" not in head and (piece := connection.recv(4096)):
                head += piece
            if heads is not None:
                heads.append(head.decode("latin-1"))
            answer(connection, end)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"http{'s' if tls else ''}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        end.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def page(status: str, body: bytes, kind: str = "text/html", *, extra: str = "") -> Callable[..., None]:
    """An answer of `raw` with the right length."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode()

    def answer(connection: socket.socket, end: threading.Event) -> None:
        connection.sendall(head + body)

    return answer
