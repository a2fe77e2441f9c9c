"""The IPFS daemon for development: private, restartable, stopped by its process id."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from pathlib import Path

import psutil
import pytest
import requests

from ffem_chain.errors import InputError, MissingExtra, StoreUnavailable
from ffem_chain.stores.kubo import KuboStore
from ffem_devnet import ipfs as module
from ffem_devnet.ipfs import IpfsDaemon
from ffem_devnet.processes import ServerFailed
from ffem_devnet.tools import VARIABLE

FILES = {"image.png": b"picture", "manifest.json": b"{}"}


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def test_it_listens_on_the_loopback_interface_only_and_talks_to_nobody(ipfs: IpfsDaemon) -> None:
    KuboStore(ipfs.url).check()
    sockets = [one for process in _family(ipfs.pid) for one in process.net_connections("inet")]
    listening = [one.laddr for one in sockets if one.status == psutil.CONN_LISTEN]
    assert [tuple(one) for one in listening] == [("127.0.0.1", ipfs.port)]  # one: no gateway, no swarm
    for one in sockets:
        assert one.laddr.ip == "127.0.0.1" and (not one.raddr or one.raddr.ip == "127.0.0.1"), one
    assert ipfs.url == f"http://127.0.0.1:{ipfs.port}"

    def ask(command: str) -> dict[str, object]:
        found: dict[str, object] = requests.post(f"{ipfs.url}/api/v0/{command}", timeout=20).json()
        return found

    assert not ask("swarm/peers")["Peers"]
    assert not ask("bootstrap/list")["Peers"]
    assert not ask("id")["Addresses"]


def test_a_killed_daemon_starts_again_at_once_with_its_pins_and_private_settings(tmp_path: Path) -> None:
    repo = tmp_path / "daemon" / "repo"
    first = IpfsDaemon.start(repo=repo)
    try:
        cid = KuboStore(first.url).put(FILES)
        assert first.log == tmp_path / "daemon" / "ipfs.log" and "ready" in first.log.read_text().lower()
        assert not list(repo.parent.glob("*.json"))
        assert repo.stat().st_mode & 0o077 == 0  # its settings hold a key
        os.kill(first.pid, signal.SIGKILL)
    finally:
        first.stop()
    settings = json.loads((repo / "config").read_text())
    peer = "/dns4/example.org/tcp/4001/p2p/12D3KooWHizvhW1zY3BhPGSeWDEwj5uBqyMXDEwhQYrtpg4k9JVB"
    settings |= {"Bootstrap": [peer], "Addresses": {**settings["Addresses"], "Swarm": ["/ip4/127.0.0.1/tcp/0"]}}
    (repo / "config").write_text(json.dumps(settings))

    # Its lock still counts for js-ipfs, for 20 s: without more ado this would fail as that of a third one does below.
    with IpfsDaemon.start(repo=repo, port=first.port) as second:
        assert second.url == first.url and second.pid != first.pid
        assert second.identity.listening() == [second.port]
        kept = json.loads((repo / "config").read_text())
        assert kept["Bootstrap"] == [] and kept["Addresses"]["Swarm"] == []
        assert kept["Identity"] == settings["Identity"]

        store = KuboStore(second.url)
        requests.post(f"{second.url}/api/v0/repo/gc", timeout=60).raise_for_status()
        assert store.get(cid) == FILES
        with pytest.raises(ServerFailed, match=r"[Ll]ock"):
            IpfsDaemon.start(repo=repo)  # the lock of one that lives is respected
        assert store.get(cid) == FILES
    assert not second.identity.running
    with pytest.raises(StoreUnavailable, match="cannot be reached"):
        store.get(cid)
    second.stop()  # twice is harmless


def test_a_port_in_use_is_said_so(ipfs: IpfsDaemon, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"port {ipfs.port} for the IPFS daemon is in use"):
        IpfsDaemon.start(port=ipfs.port, repo=tmp_path / "repo")
    assert not (tmp_path / "repo").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not json", "cannot be read"),
        ("[]", "holds no settings"),
        ('{"Addresses": {"API": "x"}}', "another kind"),
    ],
)
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "config").write_text(content)
    with pytest.raises(InputError, match=words):
        IpfsDaemon.start(repo=tmp_path)
    assert (tmp_path / "config").read_text() == content
    assert [path.name for path in tmp_path.iterdir()] == ["config"]


def test_without_a_daemon_the_installation_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_kubo", lambda: None)
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(MissingExtra, match="IPFS daemon is not installed") as caught:
        IpfsDaemon.start()
    assert "make setup" in caught.value.hint


def _program(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "ipfs").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "ipfs").chmod(0o755)


def test_kubo_on_path_is_preferred_and_another_program_of_that_name_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    _program(tmp_path / "bin", "echo 'js-ipfs version: 0.18.1'")
    assert module.find_kubo() is None
    _program(tmp_path / "bin", "exit 3")
    assert module.find_kubo() is None
    _program(tmp_path / "bin", "echo 'ipfs version 0.38.1'")
    assert module.find_kubo() == tmp_path / "bin" / "ipfs"


def test_kubo_is_started_with_private_settings_on_a_repo_that_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kubo itself is not among the pinned packages: a program in its place records how it is called, and ends."""
    repo = tmp_path / "repo"
    made = {"Identity": {"PeerID": "x"}, "Bootstrap": ["auto"], "Addresses": {"Swarm": ["/ip4/0.0.0.0/tcp/4001"]}}
    _program(
        tmp_path / "bin",
        f"""case "$1" in
version) echo 'ipfs version 0.38.1' ;;
init) echo '{json.dumps(made)}' > "$IPFS_PATH/config" ;;
*) echo "$@" "telemetry=$IPFS_TELEMETRY"; exit 1 ;;
esac""",
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(ServerFailed, match="daemon --offline telemetry=off"):
        IpfsDaemon.start(repo=repo)
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    with pytest.raises(ServerFailed):
        IpfsDaemon.start()
    assert list((tmp_path / "scratch").iterdir()) == []  # a repo of its own goes with the daemon
    settings = json.loads((repo / "config").read_text())
    assert settings["Identity"] == made["Identity"] and settings["Bootstrap"] == []
    assert settings["Addresses"]["Swarm"] == [] and settings["Addresses"]["Gateway"] == []
    assert settings["Addresses"]["API"].startswith("/ip4/127.0.0.1/")
    assert settings["Discovery"]["MDNS"]["Enabled"] is False and settings["Routing"]["Type"] == "none"
    assert settings["AutoConf"]["Enabled"] is False
