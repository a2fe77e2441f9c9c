"""The compiled registry: ABI, creation code, and the code that a chain must hold for it to be this registry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

PUSH1, PUSH32 = 0x60, 0x7F


@dataclass(frozen=True)
class Artifact:
    """What the compiler gave. `immutables` are (offset, length) of values that the constructor fills in."""

    abi: tuple[dict[str, Any], ...]
    bytecode: bytes
    deployed: bytes
    immutables: tuple[tuple[int, int], ...]

    def is_code(self, code: bytes) -> bool:
        """Whether `code`, read from a chain, is this contract, its immutables aside."""
        return len(code) == len(self.deployed) and self._masked(code) == self._masked(self.deployed)

    def immutable_values(self, code: bytes) -> set[bytes]:
        """The distinct values that stand at the immutables of `code`."""
        return {code[at : at + length] for at, length in self.immutables}

    def code_of(self, value: bytes) -> bytes:
        """The code of a deployment whose immutables are all `value` (32 bytes)."""
        code = bytearray(self.deployed)
        for at, length in self.immutables:
            code[at : at + length] = value
        return bytes(code)

    def _masked(self, code: bytes) -> bytes:
        masked = bytearray(code)
        for at, length in self.immutables:
            masked[at : at + length] = bytes(length)
        return bytes(masked)


def _immutables(code: bytes) -> tuple[tuple[int, int], ...]:
    """Operands of `PUSH32 0`: solc writes it only where an immutable goes (zero itself is `PUSH0`)."""
    found, at = [], 0
    while at < len(code):
        length = code[at] - PUSH1 + 1 if PUSH1 <= code[at] <= PUSH32 else 0
        if length == 32 and code[at + 1 : at + 33] == bytes(32):
            found.append((at + 1, 32))
        at += 1 + length
    return tuple(found)


def _hex(value: Any) -> bytes:
    text = value["object"] if isinstance(value, dict) else value
    return bytes.fromhex(text.removeprefix("0x"))


@cache
def artifact() -> Artifact:
    """The artifact that is committed beside this module (`KeyRegistry.json`)."""
    raw = json.loads(resources.files(__package__).joinpath("KeyRegistry.json").read_text("utf-8"))
    deployed = _hex(raw["deployedBytecode"])
    return Artifact(tuple(raw["abi"]), _hex(raw["bytecode"]), deployed, _immutables(deployed))
