"""The relay over HTTP. What comes in is bounded in size, in time and in number before anything looks at it.

    POST /v1/calls        a signed call (its JSON line) -> 202 {id, state, tx}
    GET  /v1/calls/{id}   -> 200 {id, state, tx, note}
    GET  /v1/relay        -> 200 {v, chain, registry, deployment, albums}

Errors are {error, hint, kind}, `kind` the name of the class in `ffem_chain.errors`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from aiohttp import web

from ffem_chain.chain.signed import MAX_BYTES, VERSION, Call
from ffem_chain.errors import (
    ChainUnavailable,
    FfemError,
    FormatError,
    InputError,
    NotForMe,
    Pending,
    Refused,
)
from ffem_node.relay import Relay
from ffem_node.relaystate import Entry

MOST_CONNECTIONS, CONNECTION_SECONDS = 256, 120.0
_BODY_SECONDS, _KEEPALIVE_SECONDS = 10.0, 15.0
_WORKERS, _MOST_WAITING = 8, 64
_STATUSES: tuple[tuple[type[FfemError], int], ...] = (
    (FormatError, 400),
    (Pending, 429),
    (Refused, 403),
    (NotForMe, 403),
    (InputError, 503),  # the relay's own trouble: its purse is empty
    (ChainUnavailable, 503),
)
Result = TypeVar("Result")


class _Handler(web.RequestHandler):
    """One of at most `most` connections at once: one too many is ended."""

    def __init__(self, server: web.Server, most: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, loop=loop, access_log=None, keepalive_timeout=_KEEPALIVE_SECONDS)  # type: ignore[arg-type]
        self._server, self._most = server, most

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._server.connections) > self._most:
            transport.close()


class RelayServer:
    """Serves a relay on `host` and `port` (0: a free one) until stopped.

    At most `connections` are open at once, and each at most `seconds`, whatever it is doing.
    """

    def __init__(
        self,
        relay: Relay,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        connections: int = MOST_CONNECTIONS,
        seconds: float = CONNECTION_SECONDS,
    ) -> None:
        self._relay, self._host, self._port = relay, host, port
        self._connections, self._seconds = connections, seconds
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="relay-call")
        self._waiting = 0

    def run(self, stop: threading.Event, started: Callable[[str], None] | None = None) -> None:
        """Serve until `stop` is set; then take no more calls, and finish those that were taken.

        `started` is told the URL. Raises InputError where the address cannot be used.
        """
        asyncio.run(self._serve(stop, started or (lambda _: None)))

    async def _serve(self, stop: threading.Event, started: Callable[[str], None]) -> None:
        app = web.Application(client_max_size=MAX_BYTES, middlewares=[self._explained])
        app.router.add_post("/v1/calls", self._post)
        app.router.add_get("/v1/calls/{id:[0-9a-f]{64}}", self._get)
        app.router.add_get("/v1/relay", self._about)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        server, loop = runner.server, asyncio.get_running_loop()
        assert server is not None
        try:
            listening = await loop.create_server(
                lambda: _Handler(server, self._connections, loop), self._host, self._port
            )
        except OSError as error:
            await runner.cleanup()
            raise InputError(
                f"nothing can be served at {self._host}:{self._port}: {error.strerror}", "choose another --port"
            ) from None
        ending = asyncio.create_task(self._end_old(server))
        try:
            started(f"http://{_shown(self._host)}:{listening.sockets[0].getsockname()[1]}")
            await loop.run_in_executor(None, stop.wait)
        finally:
            listening.close()
            ending.cancel()
            await runner.cleanup()
            self._workers.shutdown(wait=True)

    async def _end_old(self, server: web.Server) -> None:
        """End connections that are too old: whoever opens one and says nothing takes no place for ever."""
        loop = asyncio.get_running_loop()
        since: dict[web.RequestHandler, float] = {}
        while True:
            now = loop.time()
            since = {handler: since.get(handler, now) for handler in server.connections}
            for handler, begun in since.items():
                if now - begun > self._seconds and handler.transport is not None:
                    handler.transport.abort()
            await asyncio.sleep(min(5.0, self._seconds / 2))

    # ------------------------------------------------------------------ requests

    async def _post(self, request: web.Request) -> web.Response:
        async with asyncio.timeout(_BODY_SECONDS):
            body = await request.read()
        entry = await self._work(lambda: self._relay.submit(Call.from_json(body.strip())))
        return web.json_response(_entry(entry), status=202)

    async def _get(self, request: web.Request) -> web.Response:
        entry = await self._work(lambda: self._relay.state.known(bytes.fromhex(request.match_info["id"])))
        if entry is None:
            raise web.HTTPNotFound
        return web.json_response({**_entry(entry), "note": entry.note})

    async def _about(self, request: web.Request) -> web.Response:
        domain = await self._work(self._relay.registry.domain)
        return web.json_response(
            {
                "v": VERSION,
                "chain": domain.chain_id,
                "registry": domain.registry,
                "deployment": domain.deployment.hex(),
                "albums": [album.hex() for album in self._relay.albums],
            }
        )

    async def _work(self, job: Callable[[], Result]) -> Result:
        """Do something that waits for the chain. Raises Pending where too many wait already."""
        if self._waiting >= _MOST_WAITING:
            raise Pending("the relay is busy", "try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._workers, job)
        finally:
            self._waiting -= 1

    @web.middleware
    async def _explained(self, request: web.Request, handler: Callable[[web.Request], object]) -> web.StreamResponse:
        try:
            return await handler(request)  # type: ignore[misc,no-any-return]
        except FfemError as error:
            status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 500)
            return _failure(status, error.message, error.hint, _kind(error))
        except web.HTTPException as error:
            return _failure(error.status, error.reason, "", "FormatError" if error.status < 500 else "ChainUnavailable")
        except TimeoutError:
            return _failure(408, "the call did not arrive in time", "send it again", "Pending")
        except Exception as error:
            self._relay.failed(error)
            return _failure(500, "the relay has failed", "tell whoever runs it", "ChainUnavailable")


def _kind(error: FfemError) -> str:
    """Name of the class that the other side knows; the relay's own trouble is not the caller's input."""
    if isinstance(error, InputError):
        return ChainUnavailable.__name__
    return next(kind.__name__ for kind in (*(kind for kind, _ in _STATUSES), FfemError) if isinstance(error, kind))


def _failure(status: int, message: str, hint: str, kind: str) -> web.Response:
    return web.json_response({"error": message, "hint": hint, "kind": kind}, status=status)


def _entry(entry: Entry) -> dict[str, str | None]:
    return {"id": entry.id.hex(), "state": entry.state, "tx": None if entry.tx is None else "0x" + entry.tx.hex()}


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
