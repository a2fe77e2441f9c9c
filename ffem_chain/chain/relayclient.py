"""Asking a relay over HTTP. Its answers are a stranger's: bounded, and a hint at most (`relayed.await_call`)."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import urlsplit

import requests

from ffem_chain import boundedjson
from ffem_chain.chain.rpc import BACKOFF_SECONDS, RETRIES, endpoint
from ffem_chain.chain.signed import Call
from ffem_chain.errors import ChainUnavailable, FfemError, FormatError, InputError, NotForMe, Pending, Refused

PATH = "/v1/calls"
_MOST_BYTES = 16 << 10
_LONGEST_TEXT = 500
_TX = re.compile("0x[0-9a-f]{64}")
# What a relay may say went wrong. Anything else it says is its own trouble.
_KINDS: dict[str, type[FfemError]] = {
    kind.__name__: kind for kind in (ChainUnavailable, FormatError, InputError, NotForMe, Pending, Refused)
}


class RelayClient:
    """A relay at a base URL. `timeout` in seconds for one answer. Raises InputError for a URL that is none."""

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.query or parts.fragment:
            raise InputError("the relay's URL is not an http or https URL", "for example https://relay.example")
        self.name = endpoint(url)
        self._url, self._timeout = url.rstrip("/") + PATH, timeout

    def submit(self, call: Call) -> bytes | None:
        """Hand a signed call over; the hash of the transaction that the relay names for it, None where it has none yet.

        The same call may be handed over again. Raises what the relay says, ChainUnavailable where it does not answer or
        is no relay.
        """
        for attempt in range(RETRIES):
            try:
                return self._ask(call.to_json())
            except requests.RequestException as error:
                if attempt + 1 == RETRIES:
                    raise ChainUnavailable(
                        f"the relay at {self.name} does not answer ({type(error).__name__})",
                        "check its URL; the signed call can be handed over again, or to another relay",
                    ) from None
                time.sleep(BACKOFF_SECONDS * 2**attempt)
        raise AssertionError("unreachable")

    def _ask(self, body: bytes) -> bytes | None:
        headers = {"Content-Type": "application/json"}
        with requests.post(
            self._url, body, headers=headers, timeout=self._timeout, allow_redirects=False, stream=True
        ) as answer:
            raw, status, end = b"", answer.status_code, time.monotonic() + self._timeout
            while len(raw) <= _MOST_BYTES and (part := answer.raw.read1(_MOST_BYTES)):
                raw += part
                if time.monotonic() > end:
                    raise requests.ReadTimeout
        try:
            if len(raw) > _MOST_BYTES:
                raise ValueError("too long")
            document = boundedjson.loads(raw, 4)
            if status in (200, 202):
                return self._transaction(document)
            error = self._error(document)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ChainUnavailable(
                f"the server at {self.name} is no relay (HTTP {status})", "check the relay's URL"
            ) from None
        raise error

    @staticmethod
    def _transaction(document: Any) -> bytes | None:
        tx = document["tx"]
        if tx is None:
            return None
        if not _TX.fullmatch(tx):
            raise ValueError("tx")
        return bytes.fromhex(tx[2:])

    @staticmethod
    def _error(document: Any) -> FfemError:
        kind = _KINDS.get(str(document["kind"]), ChainUnavailable)
        message, hint = str(document["error"])[:_LONGEST_TEXT], str(document["hint"])[:_LONGEST_TEXT]
        return kind(f"the relay says: {message}", hint)
