"""Contracts that tests deploy beside the registry, compiled by the pinned compiler."""

from __future__ import annotations

from functools import cache
from typing import Any

import solcx

from ffem_devnet.compile import CONTRACTS, find_compiler, read_sources


@cache
def compiled(source: str, name: str) -> tuple[list[dict[str, Any]], bytes]:
    """(ABI, creation code) of a contract in `contracts/`."""
    wanted = {source: {name: ["abi", "evm.bytecode.object"]}}
    task = {
        "language": "Solidity",
        "sources": {unit: {"content": text} for unit, text in read_sources(CONTRACTS, (source,)).items()},
        "settings": {"evmVersion": "prague", "outputSelection": wanted},
    }
    output = solcx.compile_standard(task, solc_binary=find_compiler())["contracts"][source][name]
    return output["abi"], bytes.fromhex(output["evm"]["bytecode"]["object"])
