"""The devnet of a folder: what it holds survives `down` and every kind of crash; nothing foreign is ever stopped."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from ffem_chain.chain.events import AlbumCreated
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import InputError, MissingExtra
from ffem_devnet import devnet
from ffem_devnet.accounts import accounts
from ffem_devnet.devnet import STATE_INTERVAL, DevnetStatus
from ffem_devnet.processes import ServerFailed
from ffem_devnet.server import rpc


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose devnet is stopped in the end."""
    path = tmp_path / "devnet"
    yield path
    if path.is_dir() and os.access(path, os.W_OK):
        devnet.down(path)


def registry(status: DevnetStatus) -> Registry:
    """A fresh connection of the first wallet."""
    assert status.url and status.registry
    return Registry(status.url, status.registry, account=accounts()[0])


def make_album(status: DevnetStatus) -> bytes:
    """Create an album; its id."""
    keeper = accounts()[0].address
    receipt = registry(status).create_album(secrets.token_bytes(32), secrets.token_bytes(32), [keeper], 1)
    (created,) = [event for event in receipt.events if isinstance(event, AlbumCreated)]
    return created.album


def wait_for(condition, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def kill(pid: int | None) -> None:
    """As the system does when memory runs out."""
    assert pid
    os.kill(pid, signal.SIGKILL)
    process = psutil.Process(pid) if psutil.pid_exists(pid) else None
    wait_for(lambda: process is None or not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


def test_what_is_on_the_chain_survives_down_and_up(folder: Path) -> None:
    first = devnet.up(folder)
    album, deployment = make_album(first), registry(first).deployment_id

    devnet.down(folder)
    stopped = devnet.status(folder)
    assert not stopped.running and stopped.pid is None and stopped.accounts == ()
    assert rpc(first.url or "", "eth_chainId") is None

    again = devnet.up(folder)
    assert (again.url, again.registry, again.chain_id) == (first.url, first.registry, 31337)
    assert again.pid != first.pid
    assert registry(again).deployment_id == deployment
    assert registry(again).album(album).owner == accounts()[0].address
    assert [event.album for event in registry(again).events([AlbumCreated])] == [album]
    assert make_album(again) != album  # it goes on, too


def test_up_twice_only_says_where_it_is(folder: Path) -> None:
    said: list[str] = []
    first = devnet.up(folder)
    blocks = registry(first).latest_block()
    assert devnet.up(folder, progress=said.append) == first
    assert said == ["anvil runs already"]
    assert registry(first).latest_block() == blocks


def test_two_ups_at_once_start_one_chain(folder: Path) -> None:
    found: list[DevnetStatus] = []
    threads = [threading.Thread(target=lambda: found.append(devnet.up(folder))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and len(set(found)) == 1
    ours = [one for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]
    assert [one.pid for one in ours] == [found[0].pid]
    assert registry(found[0]).latest_block() == 1  # one deployment


def test_a_killed_chain_goes_on_from_its_last_state(folder: Path) -> None:
    first = devnet.up(folder)
    album = make_album(first)
    time.sleep(STATE_INTERVAL + 1)
    kill(first.pid)
    assert not devnet.status(folder).running

    again = devnet.up(folder)
    assert (again.url, again.registry) == (first.url, first.registry)
    assert registry(again).album(album).owner == accounts()[0].address


def test_a_chain_killed_while_it_wrote_goes_on_from_the_state_before(folder: Path) -> None:
    album = make_album(devnet.up(folder))
    devnet.down(folder)
    second = devnet.up(folder)
    later = make_album(second)
    kill(second.pid)
    state = folder / "anvil" / "state.json"
    state.write_bytes(state.read_bytes()[:-1000])

    said: list[str] = []
    third = devnet.up(folder, progress=said.append)
    assert "the chain was killed while it wrote its state: going on from the one before" in said
    assert third.registry == second.registry
    assert registry(third).album(album).owner == accounts()[0].address
    assert int(registry(third).album(later).owner, 16) == 0


def test_a_chain_that_lost_its_state_gets_a_new_registry(folder: Path) -> None:
    first = devnet.up(folder)
    deployment = registry(first).deployment_id
    devnet.down(folder)
    for file in (folder / "anvil").iterdir():
        file.unlink()
    said: list[str] = []
    again = devnet.up(folder, progress=said.append)
    assert any("deploying another one" in line for line in said)
    assert registry(again).deployment_id != deployment


def test_another_program_with_our_process_id_is_left_alone(folder: Path) -> None:
    devnet.up(folder)
    devnet.down(folder)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        record = folder / "devnet.json"
        started = psutil.Process(stranger.pid).create_time()
        stale = json.loads(record.read_text()) | {"chain": {"pid": stranger.pid, "created": started - 60}}
        record.write_text(json.dumps(stale))

        assert not devnet.status(folder).running
        status = devnet.up(folder)
        assert status.running and status.pid != stranger.pid
        devnet.down(folder)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_taken_port_makes_it_move(folder: Path) -> None:
    first = devnet.up(folder)
    album = make_album(first)
    devnet.down(folder)
    port = int((first.url or "").rpartition(":")[2])
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        again = devnet.up(folder)
    assert again.running and again.url != first.url
    assert registry(again).album(album).owner == accounts()[0].address


def test_an_up_that_dies_early_leaves_a_chain_that_is_found(folder: Path) -> None:
    """Killed right after it started the chain: the next one takes over that process, and starts no second one."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ffem_devnet import devnet\n"
        "save = devnet._save\n"
        "def then_die(folder, record):\n"
        "    save(folder, record)\n"
        "    os.kill(os.getpid(), 9)\n"
        "devnet._save = then_die\n"
        "devnet.up(Path(sys.argv[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, folder], check=False).returncode == -signal.SIGKILL
    orphan = json.loads((folder / "devnet.json").read_text())["chain"]["pid"]
    status = devnet.up(folder)
    assert status.pid == orphan and status.running
    make_album(status)


def test_a_chain_that_hangs_is_not_called_running(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devnet, "START_SECONDS", 1.0)
    monkeypatch.setattr(devnet, "ANSWER_SECONDS", 0.5)
    first = devnet.up(folder)
    time.sleep(STATE_INTERVAL + 1)
    assert first.pid
    os.kill(first.pid, signal.SIGSTOP)
    try:
        assert not devnet.status(folder).running
        again = devnet.up(folder)
    finally:
        with suppress(ProcessLookupError):
            os.kill(first.pid, signal.SIGCONT)
    assert again.running and again.pid != first.pid and again.registry == first.registry


def test_everything_listens_on_this_machine_only(folder: Path) -> None:
    status = devnet.up(folder, ipfs=True)
    record = json.loads((folder / "devnet.json").read_text())
    for name in ("chain", "ipfs"):
        process = psutil.Process(record[name]["pid"])
        listening = {one.laddr.ip for one in process.net_connections() if one.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}
    assert status.ipfs_running
    assert folder.stat().st_mode & 0o077 == 0


def test_the_ipfs_daemon_keeps_its_blocks_and_is_told_apart_from_the_chain(folder: Path) -> None:
    def cat(status: DevnetStatus, cid: str) -> bytes:
        return requests.post(f"{status.ipfs_url}/api/v0/cat", params={"arg": cid}, timeout=20).content

    chain_only = devnet.up(folder)
    assert not chain_only.ipfs_running and chain_only.ipfs_url is None
    first = devnet.up(folder, ipfs=True)
    assert first.ipfs_running and first.pid == chain_only.pid
    content = secrets.token_bytes(1000)
    part = {"file": ("blob", content, "application/octet-stream")}
    added = requests.post(f"{first.ipfs_url}/api/v0/add", files=part, timeout=20).json()["Hash"]
    assert devnet.up(folder, ipfs=True) == first

    devnet.down(folder)
    assert not devnet.status(folder).ipfs_running
    again = devnet.up(folder, ipfs=True)
    assert again.ipfs_url == first.ipfs_url
    assert cat(again, added) == content

    daemon = json.loads((folder / "devnet.json").read_text())["ipfs"]["pid"]
    kill(daemon)
    lost = devnet.status(folder)
    assert lost.running and not lost.ipfs_running


def test_ganache_runs_the_same_registry(folder: Path) -> None:
    first = devnet.up(folder, engine="ganache")
    assert (first.engine, first.chain_id) == ("ganache", 1337)
    album = make_album(first)
    with pytest.raises(InputError, match="the devnet runs with ganache"):
        devnet.up(folder, engine="anvil")
    devnet.down(folder)

    again = devnet.up(folder, engine="ganache")
    assert again.registry == first.registry
    assert registry(again).album(album).owner == accounts()[0].address
    assert [event.album for event in registry(again).events([AlbumCreated], album=album)] == [album]
    devnet.down(folder)

    other = devnet.up(folder, engine="anvil")  # a chain of its own
    assert other.chain_id == 31337
    assert int(registry(other).album(album).owner, 16) == 0


# ---------------------------------------------------------------------- bad input


def test_status_and_down_write_nothing_where_there_is_nothing(folder: Path) -> None:
    assert not devnet.status(folder).running
    devnet.down(folder)
    assert not folder.exists()


def test_an_unknown_engine(folder: Path) -> None:
    with pytest.raises(InputError, match="there is no engine 'hardhat'"):
        devnet.up(folder, engine="hardhat")
    assert not folder.exists()


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"v": 2}', b'{"v": 1, "engine": "anvil", "chain": 7, "ipfs": null}', b"\xff"]
)
def test_a_damaged_record_is_said_and_kept(folder: Path, content: bytes) -> None:
    folder.mkdir()
    record = folder / "devnet.json"
    record.write_bytes(content)
    for call in (devnet.up, devnet.down, devnet.status):
        with pytest.raises(InputError, match="damaged") as caught:
            call(folder)
        assert "remove it" in caught.value.hint
    assert record.read_bytes() == content
    record.unlink()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        devnet.up(path)
    assert path.read_text() == "mine"


def test_without_anvil_it_says_what_to_do(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFEM_NODE_MODULES", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtra, match="anvil is not installed") as caught:
        devnet.up(folder)
    assert "make setup" in caught.value.hint
    assert not devnet.status(folder).running


def test_a_chain_that_does_not_start_is_said_with_its_words(folder: Path) -> None:
    """Its state is JSON, and not a state."""
    state = folder / "anvil" / "state.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"accounts": 7}')
    with pytest.raises(ServerFailed, match=r"Anvil ended while it started: .*json"):
        devnet.up(folder)
    assert not devnet.status(folder).running
