"""Starts, recognises and stops the processes of the development servers.

A process is known by its id and its start time together, so that an id which the system gave to another program in
the meantime is never taken for ours, let alone stopped.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from ffem_chain.errors import FfemError, InputError

LOOPBACK = "127.0.0.1"
_POLL = 0.05
_TAIL = 2_000


class ServerFailed(FfemError):
    """A development server did not start, or did not stop."""

    exit_status = 8


@dataclass(frozen=True)
class Identity:
    """A process: id, and start time in seconds since 1970."""

    pid: int
    created: float

    @property
    def running(self) -> bool:
        """Whether this very process runs; one that has ended and waits for its parent does not."""
        try:
            process = psutil.Process(self.pid)
            same = abs(float(process.create_time()) - self.created) < 1.0
            return same and bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:
            return False  # somebody else's: never ours

    def listening(self) -> list[int]:
        """Ports of the loopback interface on which it accepts connections."""
        try:
            found = psutil.Process(self.pid).net_connections("tcp")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return []
        return sorted(one.laddr.port for one in found if one.status == psutil.CONN_LISTEN and one.laddr)

    def stop(self, *, patience: float) -> None:
        """Ask it to end, wait `patience` seconds, then end it by force. Raises ServerFailed where it stays."""
        if not self.running:
            return
        process = psutil.Process(self.pid)
        for act, seconds in ((process.terminate, patience), (process.kill, 10.0)):
            try:
                act()
                process.wait(seconds)
                return
            except psutil.NoSuchProcess:
                return
            except psutil.TimeoutExpired:
                continue
        raise ServerFailed(f"process {self.pid} does not end", "end it by hand")


@dataclass(frozen=True)
class Launched:
    """A running server. `child` is its handle in this process, which reaps it."""

    identity: Identity
    child: subprocess.Popen[bytes]
    log: Path

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float) -> None:
        """Polls `ready`. Raises ServerFailed with the end of the log where the process ends or the time is over."""
        end = time.monotonic() + seconds
        while not ready():
            if self.child.poll() is not None:
                raise ServerFailed(f"{what} ended while it started: {tail(self.log)}", f"its log: {self.log}")
            if time.monotonic() > end:
                self.identity.stop(patience=5.0)
                self.child.wait()
                raise ServerFailed(f"{what} was not ready after {seconds:.0f} s: {tail(self.log)}", f"log: {self.log}")
            time.sleep(_POLL)


def launch(
    command: Sequence[str | Path], log: Path, *, detached: bool, environment: Mapping[str, str] | None = None
) -> Launched:
    """Start a server with its output appended to `log`.

    `detached` servers outlive this process and its terminal; others stay in its group, and end with it on Ctrl-C or
    `timeout`. Our own variables, a passphrase among them, are not passed on. Raises ServerFailed where the program
    cannot be started.
    """
    passed = {name: text for name, text in (environment or os.environ).items() if not name.startswith("FFEM_")}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        try:
            child = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=detached,
                env=passed,
                cwd=log.parent,
            )
        except OSError as error:
            raise ServerFailed(f"{command[0]} cannot be started: {error.strerror}") from error
    try:
        created = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:  # ended and reaped in between: wait_until tells
        created = 0.0
    return Launched(Identity(child.pid, created), child, log)


def tail(log: Path) -> str:
    """The last words of a log, in one line."""
    try:
        words = log.read_bytes()[-_TAIL:].decode("utf-8", "replace").split()
    except OSError:
        return "no log"
    return " ".join(words)[-500:] or "it said nothing"


def free_port() -> int:
    """A port of the loopback interface that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def lasting_port() -> int:
    """A free port below those that systems give to outgoing connections, so that it is likely free later, too; 0 where
    none was found."""
    for port in random.sample(range(20_000, 32_000), 50):
        try:
            check_port_free(port, "")
        except InputError:
            continue
        return port
    return 0


def check_port_free(port: int, what: str) -> None:
    """Raises InputError where another program listens on a loopback port."""
    with socket.socket() as probe:
        # Connections that wait to be forgotten do not count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            raise InputError(
                f"port {port} for {what} is in use by another program", "stop that program, or choose another port"
            ) from error
