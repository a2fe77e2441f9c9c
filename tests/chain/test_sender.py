"""Nonces, confirmations and reorganisations, on a real Anvil."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_utils import keccak
from support.rpc_proxy import RpcProxy, error, result

from ffem_chain.chain import sender as sender_module
from ffem_chain.chain.events import KeyRegistered
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.errors import ChainUnavailable, Pending
from ffem_devnet.anvil import Anvil

PUBLIC = b"\x02" + b"\x11" * 32


@pytest.fixture
def chain() -> Iterator[Anvil]:
    """A chain of its own, for tests that stop its mining."""
    with Anvil.start() as server:
        yield server


def call(url: str, method: str, *params: Any) -> Any:
    from ffem_devnet.server import rpc

    return rpc(url, method, params)


def versions(registry: Registry) -> list[int]:
    return [e.version for e in registry.events([KeyRegistered]) if isinstance(e, KeyRegistered)]


def test_two_processes_share_a_wallet(chain: Anvil, tmp_path: Path) -> None:
    """Two processes and two threads send at once, with blocks a second apart: no nonce is lost or used twice."""
    address = deploy(chain.url, chain.accounts[9])
    call(chain.url, "evm_setAutomine", False)
    call(chain.url, "evm_setIntervalMining", 1)
    script = (
        "import sys; from pathlib import Path\n"
        "from ffem_devnet.accounts import accounts\n"
        "from ffem_chain.chain.registry import Registry\n"
        "registry = Registry(sys.argv[1], sys.argv[2], account=accounts()[1], nonce_folder=Path(sys.argv[3]))\n"
        "for _ in range(3): registry.register_key(1, bytes.fromhex(sys.argv[4]))\n"
    )
    arguments = [sys.executable, "-c", script, chain.url, address, str(tmp_path), PUBLIC.hex()]
    processes = [subprocess.Popen(arguments) for _ in range(2)]

    def send() -> None:
        registry = Registry(chain.url, address, account=chain.accounts[1], nonce_folder=tmp_path)
        for _ in range(3):
            registry.register_key(1, PUBLIC)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [process.wait(60) for process in processes] == [0, 0]
    assert versions(Registry(chain.url, address)) == list(range(1, 13))


def test_a_node_that_counts_late(anvil: Anvil, tmp_path: Path) -> None:
    """A load-balanced node forgets what is pending: the note of the last nonce goes before its count."""
    address = deploy(anvil.url, anvil.accounts[9])
    stale: list[int] = []

    def lagging(question: dict[str, Any], ask: Any) -> Any:
        answer = ask()
        if question["method"] == "eth_getTransactionCount" and question["params"][1] == "pending":
            stale.append(int(answer["result"], 16))
            return result(question, hex(stale[0]))
        return answer

    with RpcProxy(anvil.url, lagging) as proxy:
        registry = Registry(proxy.url, address, account=anvil.accounts[2], nonce_folder=tmp_path)
        registry.register_key(1, PUBLIC)
        registry.register_key(1, PUBLIC)
    registry = Registry(anvil.url, address)
    assert versions(registry) == [1, 2]
    assert len(stale) == 2 and registry.active_key(anvil.accounts[2].address, 1) == 2


def test_another_machine_took_the_nonce(anvil: Anvil) -> None:
    address = deploy(anvil.url, anvil.accounts[9])
    counts = iter([0])

    def old_once(question: dict[str, Any], ask: Any) -> Any:
        if question["method"] == "eth_getTransactionCount":
            first = next(counts, None)
            if first is not None:
                return result(question, hex(first))
        return ask()

    with RpcProxy(anvil.url, old_once) as proxy:
        registry = Registry(proxy.url, address, account=anvil.accounts[9])
        registry.register_key(1, PUBLIC)
    assert versions(Registry(anvil.url, address)) == [1]


def test_another_transaction_is_mined_with_its_nonce(anvil: Anvil) -> None:
    """The node took it and lost it, and another machine used the nonce: it is sent again with the next one."""
    address, account = deploy(anvil.url, anvil.accounts[9]), anvil.accounts[4]
    lost = iter([True])

    def loses(question: dict[str, Any], ask: Any) -> Any:
        if question["method"] == "eth_sendRawTransaction" and next(lost, False):
            call(anvil.url, "eth_sendTransaction", {"from": account.address, "to": account.address})
            return result(question, "0x" + keccak(hexstr=question["params"][0]).hex())
        return ask()

    with RpcProxy(anvil.url, loses) as proxy:
        Registry(proxy.url, address, account=account).register_key(1, PUBLIC)
    assert versions(Registry(anvil.url, address)) == [1]


@pytest.mark.parametrize("arrives", [False, True])
def test_a_lost_answer_sends_nothing_twice(anvil: Anvil, arrives: bool) -> None:
    """The connection breaks while a transaction is sent: whether it arrived or not, it is on the chain once."""
    address = deploy(anvil.url, anvil.accounts[9])
    broken = iter([True])

    def breaks(question: dict[str, Any], ask: Any) -> Any:
        if question["method"] == "eth_sendRawTransaction" and next(broken, False):
            if arrives:
                ask()
            return None
        return ask()

    with RpcProxy(anvil.url, breaks) as proxy:
        registry = Registry(proxy.url, address, account=anvil.accounts[3], timeout=5.0)
        registry.register_key(1, PUBLIC)
    assert versions(Registry(anvil.url, address)) == [1]


def test_confirmations_and_a_reorganisation(chain: Anvil) -> None:
    """A block that held the transaction goes away while it waits for confirmations: it is sent again."""
    address = deploy(chain.url, chain.accounts[9])
    registry = Registry(chain.url, address, account=chain.accounts[1], confirmations=3)
    done: list[Any] = []
    worker = threading.Thread(target=lambda: done.append(registry.register_key(1, PUBLIC)))
    worker.start()
    reader = Registry(chain.url, address)
    wait(lambda: versions(reader) == [1])
    first = reader.events([KeyRegistered])[0]
    assert not done
    call(chain.url, "anvil_reorg", 1, [])
    wait(lambda: bool(versions(reader)))
    call(chain.url, "anvil_mine", "0x1")
    time.sleep(0.3)
    assert not done
    call(chain.url, "anvil_mine", "0x2")
    worker.join(20)
    (receipt,) = done
    assert receipt.events == reader.events([KeyRegistered])
    assert receipt.events[0].block_hash != first.block_hash and versions(reader) == [1]


def test_not_mined_in_time(chain: Anvil, monkeypatch: pytest.MonkeyPatch) -> None:
    address = deploy(chain.url, chain.accounts[9])
    monkeypatch.setattr(sender_module, "MINING_SECONDS", 0.5)
    registry = Registry(chain.url, address, account=chain.accounts[1])
    call(chain.url, "evm_setAutomine", False)
    with pytest.raises(Pending, match="is sent"):
        registry.register_key(1, PUBLIC)
    call(chain.url, "anvil_mine", "0x1")
    assert versions(registry) == [1]


def test_another_chain_behind_the_url(anvil: Anvil) -> None:
    address = deploy(anvil.url, anvil.accounts[9])
    with RpcProxy(anvil.url) as proxy:
        registry = Registry(proxy.url, address, account=anvil.accounts[1])
        registry.register_key(1, PUBLIC)

        def other(question: dict[str, Any], ask: Any) -> Any:
            return result(question, "0x5") if question["method"] == "eth_chainId" else ask()

        proxy.hook = other
        with pytest.raises(ChainUnavailable, match="another chain"):
            registry.register_key(1, PUBLIC)
        proxy.hook = lambda question, ask: error(question, "internal fault")
        with pytest.raises(ChainUnavailable, match="internal fault"):
            registry.register_key(1, PUBLIC)
    assert versions(Registry(anvil.url, address)) == [1]


def wait(done: Any, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)
