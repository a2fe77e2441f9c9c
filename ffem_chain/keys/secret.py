"""Bytes that must not show: no repr, no str, comparison in constant time."""

from __future__ import annotations

import hmac
import secrets
from typing import NoReturn


class Secret:
    """Secret bytes. They leave only by the explicit `to_secret_bytes`."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = bytes(memoryview(data))  # a number, which bytes() would take for a length, is refused

    @classmethod
    def random(cls, length: int = 32) -> Secret:
        """`length` bytes from the system's generator."""
        return cls(secrets.token_bytes(length))

    def to_secret_bytes(self) -> bytes:
        """The bytes themselves. Whoever calls this keeps them out of logs, arguments and files in the clear."""
        return self._data

    def __len__(self) -> int:
        return len(self._data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._data, other._data)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "Secret(hidden)"  # without its length: it may be a passphrase

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")
