"""An IPFS daemon that talks to nobody: its RPC on the loopback interface, no swarm, no discovery, no gateway.

Kubo, where `ipfs` on PATH is one, else the pinned npm package `ipfs` (js-ipfs, which has the same RPC). The settings
that keep it private are written into its repo before every start.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from ffem_chain.errors import InputError
from ffem_chain.keys.files import write_private
from ffem_devnet.processes import LOOPBACK, Identity, Launched, ServerFailed, check_port_free, tail
from ffem_devnet.server import Server
from ffem_devnet.server import start as launch_server
from ffem_devnet.tools import node, package_file

_PRELOAD = Path(__file__).with_name("with_resolvers.cjs")
_STALE_LOCK_SECONDS = 25.0  # js-ipfs refreshes its lock every few seconds and takes over one of 20 s


def find_kubo() -> Path | None:
    """Kubo on PATH; None where there is none, or `ipfs` is another program."""
    found = shutil.which("ipfs")
    if not found:
        return None
    try:
        answer = subprocess.run([found, "version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return Path(found) if re.match(r"ipfs version \d", answer) else None


class IpfsDaemon(Server):
    """A running daemon. Use it as a context manager, or call `stop`. `kubo` says which of the two it is."""

    def __init__(self, launched: Launched, port: int, scratch: Path | None, kubo: bool) -> None:
        super().__init__(launched, port, scratch)
        self.kubo = kubo

    @classmethod
    def start(
        cls,
        *,
        port: int = 0,
        repo: Path | None = None,
        log: Path | None = None,
        detached: bool = False,
        launched: Callable[[Identity], None] | None = None,
    ) -> IpfsDaemon:
        """Start a daemon on the loopback interface and wait until its RPC answers.

        `repo` is where blocks and pins stay, made where it does not exist; None is a repo that goes with the daemon.
        `port` 0 takes a free one. `launched` is told the process before it answers. Raises MissingExtra (no daemon, or
        no Node 20), InputError (port in use, a repo of the other kind of daemon), ServerFailed.
        """
        if port:
            check_port_free(port, "the IPFS daemon")
        program = find_kubo()
        kubo = program is not None
        own = None if repo else Path(_scratch())
        folder = (repo or own or Path()).absolute()
        try:
            command = _prepare_kubo(program, folder, port) if program else _prepare_js(folder, port)
            path = log or folder.parent / "ipfs.log"
            process, found, _ = _launch_again(command, folder, port, path, detached, launched)
        except BaseException:
            if own is not None:
                shutil.rmtree(own.parent, ignore_errors=True)
            raise
        return cls(process, found, own.parent if own else None, kubo)


def _scratch() -> Path:
    import tempfile

    return Path(tempfile.mkdtemp(prefix="ffem-devnet-")) / "repo"


def _environment(repo: Path) -> dict[str, str]:
    return {**os.environ, "IPFS_PATH": str(repo), "NO_UPDATE_NOTIFIER": "1", "IPFS_TELEMETRY": "off"}


def answers(port: int) -> bool:
    """Whether a daemon's RPC answers on a port."""
    try:
        return requests.post(f"http://{LOOPBACK}:{port}/api/v0/version", timeout=5.0).status_code == 200
    except requests.RequestException:
        return False


def _launch_again(
    command: list[str | Path],
    repo: Path,
    port: int,
    log: Path,
    detached: bool,
    started: Callable[[Identity], None] | None,
) -> tuple[Launched, int, Path | None]:
    """Start it; after a daemon that was killed, wait until its lock on the repo counts as abandoned."""
    end = time.monotonic() + _STALE_LOCK_SECONDS
    while True:
        try:
            return launch_server(
                command,
                "the IPFS daemon",
                answers,
                port=port,
                log=log,
                detached=detached,
                environment=_environment(repo),
                launched=started,
            )
        except ServerFailed:
            if "lock" not in tail(log).lower() or time.monotonic() > end:
                raise
            time.sleep(1.0)


# --- js-ipfs


def _prepare_js(repo: Path, port: int) -> list[str | Path]:
    """Command of the daemon on a repo with private settings."""
    program = package_file("ipfs/src/cli.js", "the IPFS daemon")
    settings = repo / "config"
    wanted = _private_js(port)
    command: list[str | Path] = [
        node(),
        "--require",
        _PRELOAD,
        program,
        "daemon",
        "--offline",
        "--enable-preload=false",
    ]
    if settings.exists():
        current = _read(settings)
        if "Delegates" not in current.get("Addresses", {}):
            raise InputError(f"{repo} is the repo of another kind of IPFS daemon", "use another folder, or that daemon")
        _write(settings, {**current, **wanted})
        return command
    repo.parent.mkdir(parents=True, exist_ok=True)
    first = repo.parent / "ipfs-settings.json"
    first.write_text(json.dumps(wanted))
    return [*command, "--init-config", first]


def _private_js(port: int) -> dict[str, Any]:
    return {
        "Addresses": {
            "API": f"/ip4/{LOOPBACK}/tcp/{port}",
            "Announce": [],
            "Delegates": [],
            "Gateway": [],
            "NoAnnounce": [],
            "RPC": "",
            "Swarm": [],
        },
        "Bootstrap": [],
        "Discovery": {"MDNS": {"Enabled": False, "Interval": 10}, "webRTCStar": {"Enabled": False}},
        "Pubsub": {"Enabled": False, "Router": "gossipsub"},
        "Routing": {"Type": "none"},
        "Swarm": {"ConnMgr": {"HighWater": 0, "LowWater": 0}, "DisableNatPortMap": True},
    }


# --- Kubo


def _prepare_kubo(program: Path, repo: Path, port: int) -> list[str | Path]:
    """Command of the daemon on a repo with private settings, which is initialised where it is new."""
    settings = repo / "config"
    if not settings.exists():
        repo.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(
            [program, "init", "--empty-repo"], capture_output=True, text=True, timeout=120, env=_environment(repo)
        )
        if made.returncode != 0:
            raise ServerFailed(f"ipfs init failed: {made.stderr.strip()[-300:]}", f"{program} init")
    current = _read(settings)
    if "Delegates" in current.get("Addresses", {}):
        raise InputError(f"{repo} is the repo of js-ipfs, and `ipfs` on PATH is Kubo", "use another folder")
    addresses = {**current.get("Addresses", {}), "API": f"/ip4/{LOOPBACK}/tcp/{port}", "Gateway": [], "Swarm": []}
    addresses |= {"Announce": [], "AppendAnnounce": []}
    current |= {"Addresses": addresses, "Bootstrap": []}
    for section, values in _PRIVATE_KUBO.items():
        current[section] = {**(current.get(section) or {}), **values}
    _write(settings, current)
    return [program, "daemon", "--offline"]


_PRIVATE_KUBO: dict[str, dict[str, Any]] = {
    "AutoConf": {"Enabled": False},  # it would fetch bootstrap peers and delegated routers
    "AutoTLS": {"Enabled": False},
    "DNS": {"Resolvers": {}},
    "Discovery": {"MDNS": {"Enabled": False}},
    "Ipns": {"DelegatedPublishers": []},
    "Routing": {"DelegatedRouters": [], "Type": "none"},
    "Swarm": {"DisableNatPortMap": True},
}


def _read(settings: Path) -> dict[str, Any]:
    try:
        found = json.loads(settings.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{settings} cannot be read", "repair it, or use another folder for the daemon") from error
    if not isinstance(found, dict):
        raise InputError(f"{settings} holds no settings", "repair it, or use another folder for the daemon")
    return found


def _write(settings: Path, values: dict[str, Any]) -> None:
    write_private(settings, json.dumps(values, indent=2).encode())  # it holds the daemon's identity key
