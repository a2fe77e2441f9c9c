"""What the development servers have in common: a process, a URL, a log, and an end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
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


def rpc(url: str, method: str, parameters: Sequence[Any] = (), *, timeout: float = 10.0) -> Any:
    """One JSON-RPC answer, None where nothing (or no chain) answers."""
    question: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
    try:
        answer = requests.post(url, json=question, timeout=timeout).json()
    except (requests.RequestException, ValueError):
        return None
    return answer.get("result") if isinstance(answer, dict) else None


def start(
    command: Sequence[str | Path],
    what: str,
    answers: Callable[[int], bool],
    *,
    port: int = 0,
    log: Path | None,
    detached: bool,
    environment: Mapping[str, str] | None = None,
    launched: Callable[[Identity], None] | None = None,
) -> tuple[Launched, int, Path | None]:
    """Start a server and wait until `answers(port)` on a port on which this very process listens.

    Gives the process, the port and the folder that is to go with the server (where `log` is None). The port is read
    from the process, so an answer of another program is never mistaken for ours. `launched` is told the process
    before it answers; whatever interrupts the wait ends it. Raises ServerFailed.
    """
    scratch = None if log else Path(tempfile.mkdtemp(prefix="ffem-devnet-"))
    found: list[int] = []
    process: Launched | None = None
    try:
        path = log.absolute() if log else (scratch or Path()) / "log"
        process = launch(command, path, detached=detached, environment=environment)
        if launched is not None:
            launched(process.identity)
        identity = process.identity

        def ready() -> bool:
            found[:] = [one for one in identity.listening() if port in (0, one) and answers(one)]
            return bool(found)

        process.wait_until(ready, what, START_SECONDS)
    except BaseException:
        if process is not None:
            process.identity.stop(patience=5.0)
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    return process, found[0], scratch


def is_chain(chain_id: int, timeout: float = 10.0) -> Callable[[int], bool]:
    """Whether a chain with this id answers on a port."""
    return lambda port: bool(rpc(f"http://{LOOPBACK}:{port}", "eth_chainId", timeout=timeout) == hex(chain_id))
