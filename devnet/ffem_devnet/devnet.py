"""The devnet of a folder: a chain with the registry and funded wallets, and where asked for an IPFS daemon.

Its processes outlive the one that started them, and what they hold survives `down` and a crash:

    devnet.json         the processes (id and start time), ports and registries, so that it is found again
    anvil/state.json    the chain, written when it stops and every few seconds; good.json: as the last `up` found it
    ganache/            the chain's database, where that engine was used
    ipfs/               blocks and pins
    chain.log, ipfs.log

Everything listens on the loopback interface only.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount
from filelock import FileLock, Timeout

from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.errors import ChainUnavailable, InputError
from ffem_chain.keys.files import write_private
from ffem_devnet import anvil, ganache
from ffem_devnet.accounts import accounts
from ffem_devnet.ipfs import IpfsDaemon
from ffem_devnet.ipfs import answers as ipfs_answers
from ffem_devnet.processes import LOOPBACK, Identity, check_port_free, lasting_port
from ffem_devnet.server import START_SECONDS, STOP_SECONDS, Chain, is_chain

CHAIN_IDS = {"anvil": anvil.CHAIN_ID, "ganache": ganache.CHAIN_ID}
# A killed Anvil loses what it did since it last wrote its state, which takes milliseconds.
STATE_INTERVAL = 2
ANSWER_SECONDS = 5.0
_VERSION = 1
_TURN_SECONDS = 2 * (START_SECONDS + STOP_SECONDS)
_RELEASE_SECONDS = 2.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class DevnetStatus:
    """What there is. Where nothing runs, the URLs say where it was last, None where it never was.

    `accounts` are the wallets with ether, none where the chain does not run. Their keys are public.
    """

    running: bool
    url: str | None
    registry: str | None
    chain_id: int | None
    pid: int | None
    engine: str
    ipfs_url: str | None
    ipfs_running: bool
    accounts: tuple[LocalAccount, ...] = field(repr=False)


@dataclass
class _Record:
    """Content of devnet.json. `ports` and `registries` by engine; the daemon's port is that of `ipfs`."""

    engine: str = "anvil"
    chain: Identity | None = None
    ipfs: Identity | None = None
    ports: dict[str, int] = field(default_factory=dict)
    registries: dict[str, str] = field(default_factory=dict)


def up(folder: Path, *, ipfs: bool = False, engine: str = "anvil", progress: Say | None = None) -> DevnetStatus:
    """Start what does not run yet, going on from the last state; where all of it runs, only say where.

    `engine` is anvil or ganache; each has a chain of its own. `progress` is told what is going on. Raises InputError
    (another engine runs, the folder cannot be written), MissingExtra, ServerFailed.
    """
    say = progress or (lambda text: None)
    if engine not in CHAIN_IDS:
        raise InputError(f"there is no engine {engine!r}", f"engines: {', '.join(CHAIN_IDS)}")
    with _turn(folder):
        record = _load(folder)
        if engine != record.engine and record.chain is not None and record.chain.running:
            raise InputError(f"the devnet runs with {record.engine}", "ffem devnet down, then start it with the other")
        record.engine = engine
        _start_chain(folder, record, say)
        _find_registry(folder, record, say)
        if ipfs:
            _start_ipfs(folder, record, say)
    return status(folder)


def down(folder: Path) -> None:
    """Stop what runs, and wait until it has written its state. Does nothing where nothing runs."""
    if not (folder / "devnet.json").exists():
        return
    with _turn(folder):
        record = _load(folder)
        for process in (record.ipfs, record.chain):
            if process is not None:
                process.stop(patience=STOP_SECONDS)
        record.ipfs = record.chain = None
        _save(folder, record)


def status(folder: Path) -> DevnetStatus:
    """What there is; nothing is started or written."""
    record = _load(folder)
    port, daemon = record.ports.get(record.engine), record.ports.get("ipfs")
    running = _is_up(record.chain, port) and _answers(record.engine)(port or 0)
    return DevnetStatus(
        running=running,
        url=_url(port),
        registry=record.registries.get(record.engine),
        chain_id=CHAIN_IDS[record.engine] if port else None,
        pid=record.chain.pid if running and record.chain else None,
        engine=record.engine,
        ipfs_url=_url(daemon),
        ipfs_running=_is_up(record.ipfs, daemon),
        accounts=accounts() if running else (),
    )


def _url(port: int | None) -> str | None:
    return f"http://{LOOPBACK}:{port}" if port else None


def _is_up(process: Identity | None, port: int | None) -> bool:
    """Whether the very process that was started accepts connections on its port."""
    return process is not None and process.running and port in process.listening()


# ---------------------------------------------------------------------- chain, registry, daemon


def _answers(engine: str) -> Callable[[int], bool]:
    return is_chain(CHAIN_IDS[engine], ANSWER_SECONDS)


def _start_chain(folder: Path, record: _Record, say: Say) -> None:
    engine = record.engine
    if _goes_on(record, engine, record.chain, _answers(engine), say):
        _save(folder, record)
        return
    say(f"starting {engine}")

    def launched(identity: Identity) -> None:
        # Before it answers: whoever is interrupted now finds it again, and never starts a second one on its state.
        record.chain = identity
        _save(folder, record)

    port, log = _free_or_other(record.ports.get(engine)), folder / "chain.log"
    server: Chain
    if engine == "anvil":
        state = folder / "anvil" / "state.json"
        _mend(state, say)
        server = anvil.Anvil.start(
            port=port, state=state, state_interval=STATE_INTERVAL, log=log, detached=True, launched=launched
        )
    else:
        state = folder / "ganache"
        server = ganache.Ganache.start(port=port, state=state, log=log, detached=True, launched=launched)
    record.ports[engine] = server.port
    _save(folder, record)


def _goes_on(record: _Record, name: str, process: Identity | None, answers: Callable[[int], bool], say: Say) -> bool:
    """Whether a process that was started before is usable; its port is noted. One that hangs is stopped."""
    if process is None or not process.running:
        return False
    say(f"{name} runs already")
    end = time.monotonic() + START_SECONDS
    while process.running:
        for port in process.listening():
            if answers(port):
                record.ports[name] = port
                return True
        if time.monotonic() > end:
            say(f"{name} does not answer: starting it again")
            process.stop(patience=5.0)
        time.sleep(0.1)
    return False


def _free_or_other(port: int | None) -> int:
    """The port of last time, another one where a program took it or there was none."""
    end = time.monotonic() + _RELEASE_SECONDS
    while port:
        try:
            check_port_free(port, "the devnet")
            return port
        except InputError:
            # A chain that was killed holds its port until its last thread has ended.
            if time.monotonic() > end:
                break
            time.sleep(0.05)
    return lasting_port()


def _mend(state: Path, say: Say) -> None:
    """Anvil does not start on a state that it was killed in the middle of writing: then take the one before."""
    good = state.with_name("good.json")
    if not state.exists():
        return
    try:
        json.loads(state.read_bytes())
    except ValueError:
        say("the chain was killed while it wrote its state: going on from the one before")
        state.unlink()
        if good.exists():
            shutil.copyfile(good, state)
    else:
        part = good.with_suffix(".part")
        shutil.copyfile(state, part)
        part.replace(good)


def _find_registry(folder: Path, record: _Record, say: Say) -> None:
    """Deploy the registry, unless the chain holds the one of last time."""
    url, known = _url(record.ports[record.engine]) or "", record.registries.get(record.engine)
    if known:
        try:
            Registry(url, known)
            return
        except ChainUnavailable as error:
            say(f"{error.message}: deploying another one, and what was in the old one is gone")
    else:
        say("deploying the registry")
    record.registries[record.engine] = deploy(url, accounts()[0])
    _save(folder, record)


def _start_ipfs(folder: Path, record: _Record, say: Say) -> None:
    if _goes_on(record, "ipfs", record.ipfs, ipfs_answers, say):
        _save(folder, record)
        return
    say("starting the IPFS daemon")

    def launched(identity: Identity) -> None:
        record.ipfs = identity
        _save(folder, record)

    daemon = IpfsDaemon.start(
        port=_free_or_other(record.ports.get("ipfs")),
        repo=folder / "ipfs",
        log=folder / "ipfs.log",
        detached=True,
        launched=launched,
    )
    record.ports["ipfs"] = daemon.port
    _save(folder, record)


# ---------------------------------------------------------------------- the record


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Only one process at a time starts or stops the devnet."""
    lock = FileLock(folder / "lock", timeout=_TURN_SECONDS)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.acquire()
    except Timeout:
        raise InputError("another process is starting or stopping the devnet", "wait for it, or stop it") from None
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}", "choose another with FFEM_HOME") from None
    try:
        yield
    finally:
        lock.release()


def _load(folder: Path) -> _Record:
    """The record; an empty one where there is none."""
    path = folder / "devnet.json"
    try:
        found: Any = json.loads(path.read_bytes())
        if found["v"] != _VERSION or found["engine"] not in CHAIN_IDS:
            raise ValueError
        return _Record(
            engine=found["engine"],
            chain=_identity(found["chain"]),
            ipfs=_identity(found["ipfs"]),
            ports={str(name): int(port) for name, port in found["ports"].items()},
            registries={str(name): str(address) for name, address in found["registries"].items()},
        )
    except FileNotFoundError:
        return _Record()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "check its permissions") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{path} is damaged, or of another version",
            f"end the programs that use {folder}, then remove it: the devnet starts anew",
        ) from None


def _identity(found: Any) -> Identity | None:
    return None if found is None else Identity(int(found["pid"]), float(found["created"]))


def _save(folder: Path, record: _Record) -> None:
    processes = {
        name: None if one is None else {"pid": one.pid, "created": one.created}
        for name, one in (("chain", record.chain), ("ipfs", record.ipfs))
    }
    values = {"v": _VERSION, "engine": record.engine, "ports": record.ports, "registries": record.registries}
    write_private(folder / "devnet.json", json.dumps(values | processes, indent=1).encode())
