"""Logs in pieces: as small as the node wants them, as large as it gives them, each block once."""

from __future__ import annotations

from typing import Any

import pytest

from ffem_chain.chain.logs import LogReader
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import FormatError
from ffem_devnet.anvil import Anvil
from tests.support.rpc_proxy import RpcProxy, error


def _ranges(question: dict[str, Any]) -> tuple[int, int]:
    asked = question["params"][0]
    return int(asked["fromBlock"], 16), int(asked["toBlock"], 16)


def test_sizes_follow_the_node(anvil: Anvil, address: str) -> None:
    """Halved where the node refuses, and grown again, but not at once to what was refused."""
    registry = Registry(anvil.url, address, account=anvil.accounts[3])
    for number in range(6):
        registry.register_key(1, b"\2" + number.to_bytes(32, "big"))
    registry.rpc.batch([("anvil_mine", ["0x50"])])
    last = registry.latest_block()
    asked: list[int] = []

    def limited(question: dict[str, Any], ask: Any) -> Any:
        if question["method"] == "eth_getLogs":
            first, end = _ranges(question)
            asked.append(end - first + 1)
            if end - first + 1 > 6:
                return error(question, "query exceeds max block range 6", -32005)
        return ask()

    with RpcProxy(anvil.url, limited) as proxy:
        reader = LogReader(Registry(proxy.url, address).rpc, address, span=1)
        pieces = list(reader.pieces(1, last))
    assert [piece.first for piece in pieces[1:]] == [piece.last + 1 for piece in pieces[:-1]]
    assert (pieces[0].first, pieces[-1].last) == (1, last)
    assert sum(len(piece.logs) for piece in pieces) == 11 and reader.waited > 0
    assert asked[:4] == [1, 2, 4, 8]  # it grows until the node refuses
    assert sum(size > 6 for size in asked) <= 1 + len(asked) // 16
    assert max(piece.last - piece.first + 1 for piece in pieces) <= 6


def test_a_wanted_number_of_logs(anvil: Anvil, address: str) -> None:
    registry = Registry(anvil.url, address, account=anvil.accounts[3])
    first = registry.latest_block() + 1
    for number in range(24):
        registry.register_key(1, b"\3" + number.to_bytes(32, "big"))
    reader = LogReader(registry.rpc, address, span=64, wanted=4)
    sizes = [len(piece.logs) for piece in reader.pieces(first, first + 23)]
    assert sizes == [47]  # the first key of the wallet's retires none
    reader = LogReader(registry.rpc, address, span=1, wanted=4)
    sizes = [len(piece.logs) for piece in reader.pieces(first, first + 23)]
    assert max(sizes) <= 8 and sum(sizes) == 47 and len(sizes) > 5


def test_a_log_of_another_contract(anvil: Anvil, address: str) -> None:
    Registry(anvil.url, address, account=anvil.accounts[3]).register_key(1, b"\2" + bytes(32))

    def other(question: dict[str, Any], ask: Any) -> Any:
        answer = ask()
        if question["method"] == "eth_getLogs":
            for log in answer["result"]:
                log["address"] = "0x" + "11" * 20
        return answer

    with RpcProxy(anvil.url, other) as proxy, pytest.raises(FormatError, match="no log"):
        Registry(proxy.url, address).events()
