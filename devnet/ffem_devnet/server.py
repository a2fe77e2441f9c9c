"""What the development servers have in common: a process, a URL, a log, and an end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from eth_account.signers.local import LocalAccount

from ffem_devnet.accounts import accounts
from ffem_devnet.processes import LOOPBACK, Identity, Launched, launch

START_SECONDS = 60.0
STOP_SECONDS = 60.0  # a large state takes a while to write


class Server:
    """A running server that listens on the loopback interface only. Leaving its context stops it."""

    def __init__(self, launched: Launched, port: int, scratch: Path | None) -> None:
        self._launched, self._scratch = launched, scratch
        self.port = port

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._launched.identity.pid

    @property
    def identity(self) -> Identity:
        """Its process, recognisable after this one has ended."""
        return self._launched.identity

    @property
    def log(self) -> Path:
        """File with its output."""
        return self._launched.log

    def stop(self) -> None:
        """Stop it and wait until it has ended (and written its state). Stopping twice does nothing."""
        self._launched.identity.stop(patience=STOP_SECONDS)
        self._launched.child.wait()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Chain(Server):
    """A development chain with ten funded wallets."""

    def __init__(self, launched: Launched, port: int, scratch: Path | None, chain_id: int) -> None:
        super().__init__(launched, port, scratch)
        self.chain_id = chain_id

    @property
    def accounts(self) -> list[LocalAccount]:
        """The funded wallets."""
        return list(accounts())


def scratch_folder(what: str) -> Path:
    """A folder for a server that is to leave nothing behind."""
    return Path(tempfile.mkdtemp(prefix=f"ffem-{what}-"))


def rpc(url: str, method: str, parameters: Sequence[Any] = (), *, timeout: float = 10.0) -> Any:
    """One JSON-RPC answer, None where nothing (or no chain) answers."""
    question: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
    try:
        answer = requests.post(url, json=question, timeout=timeout).json()
    except (requests.RequestException, ValueError):
        return None
    return answer.get("result") if isinstance(answer, dict) else None


def run_chain(
    command: Sequence[str | Path], what: str, log: Path, *, chain_id: int, port: int, detached: bool
) -> tuple[Launched, int]:
    """Start a chain and wait until the process itself answers for `chain_id`; its port. Raises ServerFailed.

    The port is read from the process, so an answer of another program on the same port is never mistaken for ours.
    """
    launched = launch(command, log, detached=detached)
    found: list[int] = []

    def ready() -> bool:
        ports = [one for one in launched.identity.listening() if port in (0, one)]
        if not ports or rpc(f"http://{LOOPBACK}:{ports[0]}", "eth_chainId") != hex(chain_id):
            return False
        found.append(ports[0])
        return True

    launched.wait_until(ready, what, START_SECONDS)
    return launched, found[0]
