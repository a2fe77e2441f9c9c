"""How the `kubo` store talks to a daemon: one question over HTTP, one bounded answer, within a fixed time.

`ipfshttpclient` words the questions. Its own transport trusts whoever answers: it reads answers of any size, waits for
as long as single bytes trickle in, follows redirects, and takes proxies and passwords from the environment. The one
here does none of that, and what it says about a failure holds neither password nor path of the address.
"""

from __future__ import annotations

import io
import ipaddress
import os
import queue
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import ipfshttpclient
import requests
import urllib3
from ipfshttpclient import exceptions
from ipfshttpclient.http_requests import ClientSync

from ffem_chain.errors import FfemError, InputError, StoreUnavailable

_T = TypeVar("_T")
_MULTIADDR = re.compile(r"/(ip4|ip6|dns)/([^/]+)/tcp/([0-9]{1,5})(?:/(https?))?/?")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
_HINT = "use http://127.0.0.1:5001, https://USER:PASSWORD@HOST:PORT or /ip4/127.0.0.1/tcp/5001"
_PIECE = 64 * 1024
# Answers other than blocks are JSON, the longest that of an upload of 64 files with names of 255 bytes. Nesting is
# bounded before anything is parsed: a library below web3 lifts Python's recursion limit beyond what the stack holds.
_LONGEST_JSON = 128 * 1024
_MOST_BRACKETS = 1_000
_WORKING_DAEMON = "check that the address and port are those of the RPC of an IPFS daemon (5001, not its gateway)"
# What the client library, or Python under it, raises over an answer that is no answer of the RPC.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError, exceptions.Error)


@dataclass(frozen=True)
class Address:
    """Where a daemon is. `shown` is what messages may say; path and (user, password) may be secret."""

    multiaddr: str
    shown: str
    base: str = field(repr=False)
    auth: tuple[bytes, bytes] | None = field(repr=False)


def parse_address(text: str) -> Address:
    """From a URL or a multiaddr. Raises InputError, whose message does not repeat the text."""
    match = _MULTIADDR.fullmatch(text)
    if match:
        _, host, port, scheme = match.groups()
        return _address(scheme or "http", host, int(port), "", None)
    try:
        parts = urlsplit(text)
        host, port_number = parts.hostname or "", parts.port
    except ValueError:
        raise InputError("the IPFS daemon's address is not a URL", _HINT) from None
    if parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise InputError("the IPFS daemon's address is neither a URL of HTTP(S) nor a multiaddr", _HINT)
    auth = None
    if parts.username is not None:
        auth = (unquote(parts.username).encode(), unquote(parts.password or "").encode())
    if port_number is None:
        port_number = 443 if parts.scheme == "https" else 80
    return _address(parts.scheme, host, port_number, parts.path, auth)


def _address(scheme: str, host: str, port: int, path: str, auth: tuple[bytes, bytes] | None) -> Address:
    loopback = host == "localhost"
    kind = "dns"
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        if not _HOST.fullmatch(host) or host.replace(".", "").isdigit():
            raise InputError("the IPFS daemon's address has no usable host", _HINT) from None
    else:
        kind, loopback = f"ip{number.version}", number.is_loopback
        if "%" in host:
            raise InputError("the IPFS daemon's address has no usable host", _HINT)
    if not 0 < port < 65_536:
        raise InputError("the IPFS daemon's address has no usable port", _HINT)
    if auth and scheme == "http" and not loopback:
        raise InputError("the password for the IPFS daemon would travel unencrypted", "use https, or a tunnel")
    base = path.rstrip("/").removesuffix("/api/v0") + "/api/v0"
    shown = f"{scheme}://{f'[{host}]' if kind == 'ip6' else host}:{port}"
    return Address(f"/{kind}/{host}/tcp/{port}/{scheme}", shown, base, auth)


class _Session(requests.Session):
    """HTTP with bounded answers (`limit` is for a block), read in at most `seconds`; no redirects, nothing from the
    environment but REQUESTS_CA_BUNDLE."""

    def __init__(self, limit: int, seconds: float) -> None:
        super().__init__()
        self._limit, self._seconds = limit, seconds
        self.trust_env = False
        self.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        self.headers["Accept-Encoding"] = "identity"

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        response = super().send(request, **{**kwargs, "stream": True})
        is_block = response.ok and urlsplit(request.url or "").path.endswith("/block/get")
        try:
            if 300 <= response.status_code < 400:
                raise ValueError("redirected")
            body = self._read(response.raw, self._limit if is_block else _LONGEST_JSON)
            if not is_block:
                if body.count(b"[") + body.count(b"{") > _MOST_BRACKETS:
                    raise ValueError("nested too deeply")
                body = body.replace(b"\n", b" ")  # the library parses all of a broken answer again for each line
        except BaseException:
            response.close()
            raise
        response.raw.release_conn()
        response.raw = io.BytesIO(body)
        return response

    def _read(self, raw: urllib3.HTTPResponse, limit: int) -> bytes:
        end, body = time.monotonic() + self._seconds, bytearray()
        while piece := raw.read1(_PIECE, decode_content=False):
            body += piece
            if len(body) > limit:
                raise ValueError("larger than any answer of the RPC")
            if time.monotonic() > end:
                raise requests.Timeout("trickled")
        return bytes(body)


class _Transport(ClientSync):  # type: ignore[misc]
    """The library's transport with sessions of ours."""

    __slots__ = ("_bounds",)

    def __init__(self, address: Address, timeout: float, limit: int) -> None:
        self._bounds = (limit, timeout)
        super().__init__(
            address.multiaddr, address.base, offline=False, auth=address.auth, cookies=None, headers={}, timeout=timeout
        )

    def _make_session(self) -> _Session:
        session = _Session(*self._bounds)
        for name, value in self._session_props.items():
            setattr(session, name, value)
        return session


class Refusal(StoreUnavailable):
    """The daemon's own error. `words` is its text, which may name folders of its machine and is not shown."""

    def __init__(self, message: str, hint: str, words: str) -> None:
        super().__init__(message, hint)
        self.words = words


class Progress:
    """When something last moved: an upload gets `timeout` seconds for each step, not for the whole."""

    def __init__(self) -> None:
        self.at = time.monotonic()

    def mark(self) -> None:
        self.at = time.monotonic()


class Daemon:
    """A daemon's RPC. Every failure is a StoreUnavailable."""

    def __init__(self, address: str, timeout: float, limit: int) -> None:
        """`timeout` in seconds for one answer, `limit` for a block's bytes. Raises InputError. Connects to nothing."""
        if not 0 < timeout < 86_400:
            raise InputError("the time that an IPFS daemon gets for an answer must be above 0 s and below a day")
        self._address, self.timeout, self._limit = parse_address(address), timeout, limit
        self.name = f"the IPFS daemon at {self._address.shown}"
        self._client = self._connect()

    def _connect(self) -> Any:
        try:
            client = ipfshttpclient.Client(self._address.multiaddr, chunk_size=256 * 1024)
        except exceptions.AddressError:
            raise InputError("the IPFS daemon's address has no usable host", _HINT) from None
        client._client = _Transport(self._address, self.timeout, self._limit)
        client._client.open_session()
        return client

    def ask(self, question: Callable[[Any], _T], progress: Progress | None = None) -> _T:
        """The answer to `question`, which gets an ipfshttpclient.Client. Raises StoreUnavailable, Refusal."""
        for last in (False, True):
            value, error = self._in_time(question, progress or Progress())
            # A connection kept from before may have been closed by the daemon in the meantime: once more.
            if error is None or last or not isinstance(error, exceptions.ProtocolError):
                break
            self._client = self._connect()
        if error is not None:
            raise self._explain(error)
        return value  # type: ignore[return-value]

    def _in_time(self, question: Callable[[Any], _T], progress: Progress) -> tuple[_T | None, BaseException | None]:
        """Ask in a thread, since neither name look-ups nor headers that trickle in obey the timeout of a socket."""
        answers: queue.SimpleQueue[tuple[_T | None, BaseException | None]] = queue.SimpleQueue()
        client = self._client

        def work() -> None:
            try:
                answers.put((question(client), None))
            except BaseException as error:
                answers.put((None, error))

        progress.mark()
        threading.Thread(target=work, daemon=True, name="ipfs").start()
        while (left := progress.at + self.timeout - time.monotonic()) > 0:
            try:
                return answers.get(timeout=left)
            except queue.Empty:
                continue
        self._client = self._connect()  # the thread keeps the old one
        return None, requests.Timeout("no answer")

    def _explain(self, error: BaseException) -> FfemError:
        """What to tell the user. The causes are left out: they hold the path of the address."""
        if isinstance(error, FfemError):
            return error
        if isinstance(error, exceptions.StatusError):
            return self._explain_status(error)
        if isinstance(error, exceptions.TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError):
            hint = "try again later, or give it more time"
            return StoreUnavailable(f"{self.name} gave no answer within {self.timeout:g} s", hint)
        if isinstance(error, exceptions.ConnectionError):
            if isinstance(error.original, requests.exceptions.SSLError):
                hint = "use http for a daemon without TLS, or REQUESTS_CA_BUNDLE for your own certificates"
                return StoreUnavailable(f"{self.name} cannot be reached safely: TLS fails", hint)
            return StoreUnavailable(f"{self.name} cannot be reached", "start the daemon, or correct its address")
        if isinstance(
            error, exceptions.ProtocolError | urllib3.exceptions.HTTPError | requests.RequestException | OSError
        ):
            return StoreUnavailable(f"{self.name} broke off its answer", _WORKING_DAEMON)
        if isinstance(error, _NONSENSE):
            return StoreUnavailable(f"{self.name} does not answer as an IPFS daemon does", _WORKING_DAEMON)
        raise error

    def _explain_status(self, error: Any) -> FfemError:
        response = getattr(error.original, "response", None)
        status = 500 if response is None else response.status_code
        if status in (401, 403, 407):
            hint = "put USER:PASSWORD@ before the host in its address"
            return StoreUnavailable(f"{self.name} does not let us in (HTTP {status})", hint)
        if status in (404, 405):
            return StoreUnavailable(
                f"{self.name} does not answer as an IPFS daemon does (HTTP {status})", _WORKING_DAEMON
            )
        if not isinstance(error, exceptions.ErrorResponse):
            return StoreUnavailable(f"{self.name} answers with an error page (HTTP {status})", _WORKING_DAEMON)
        words = str(error).lower()
        if "no space left" in words or "enospc" in words or "quota" in words:
            return Refusal(f"{self.name} has no space left", "free some space on its disk", words)
        return Refusal(f"{self.name} refuses (HTTP {status})", "its log says why", words)
