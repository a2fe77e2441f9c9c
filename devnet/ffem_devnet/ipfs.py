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
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from ffem_chain.errors import InputError
from ffem_chain.keys.files import write_private
from ffem_devnet.processes import LOOPBACK, Identity, Launched, ServerFailed, check_port_free
from ffem_devnet.server import Server
from ffem_devnet.server import start as launch_server
from ffem_devnet.tools import node, package_file

_PRELOAD = Path(__file__).with_name("with_resolvers.cjs")


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
        `log` is ipfs.log beside the repo where it is not given. `port` 0 takes a free one. `launched` is told the
        process before it answers. Raises MissingExtra (no daemon, or no Node 20), InputError (port in use, a repo of
        the other kind of daemon), ServerFailed (another daemon uses the repo, or its log says why).
        """
        if port:
            check_port_free(port, "the IPFS daemon")
        program = find_kubo()
        kubo = program is not None
        scratch = None if repo else Path(tempfile.mkdtemp(prefix="ffem-devnet-"))
        folder = (repo or (scratch or Path()) / "repo").absolute()
        try:
            command = _prepare_kubo(program, folder, port) if program else _prepare_js(folder, port)
            process, found, _ = launch_server(
                command,
                "the IPFS daemon",
                answers,
                port=port,
                log=log or folder.parent / "ipfs.log",
                detached=detached,
                environment=_environment(folder),
                launched=launched,
            )
        except BaseException:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)
            raise
        finally:
            _first_settings(folder).unlink(missing_ok=True)
        return cls(process, found, scratch, kubo)


def _environment(repo: Path) -> dict[str, str]:
    return {**os.environ, "IPFS_PATH": str(repo), "NO_UPDATE_NOTIFIER": "1", "IPFS_TELEMETRY": "off"}


def answers(port: int) -> bool:
    """Whether a daemon's RPC answers on a port."""
    try:
        return requests.post(f"http://{LOOPBACK}:{port}/api/v0/version", timeout=5.0).status_code == 200
    except requests.RequestException:
        return False


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
        _remove_stale_lock(repo)
        return command
    repo.mkdir(parents=True, exist_ok=True, mode=0o700)  # the settings that js-ipfs writes hold its identity key
    first = _first_settings(repo)
    first.write_text(json.dumps(wanted))
    return [*command, "--init-config", first]


def _first_settings(repo: Path) -> Path:
    """File with the settings of a repo that js-ipfs is to make."""
    return repo.with_name(f"{repo.name}-settings.json")


def _remove_stale_lock(repo: Path) -> None:
    """After a daemon that was killed.

    js-ipfs keeps its lock, a folder, alive by touching it, so one that a killed daemon left counts for 20 s. The lock
    of the database inside ends with its process, and tells at once whether any daemon uses the repo. Where a system
    has no such locks, the daemon's log says that it has to wait.
    """
    try:
        import fcntl
    except ImportError:
        return
    with suppress(OSError), (repo / "datastore" / "LOCK").open("r+b") as database:
        fcntl.lockf(database, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (repo / "repo.lock").rmdir()


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
        repo.mkdir(parents=True, exist_ok=True, mode=0o700)
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
