"""While an exploration runs: pure functions are computed once for the same input, and what is sealed at random, too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any
from unittest.mock import patch

from ffem_chain.keys import grants
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import PrivateKey
from ffem_chain.roles import ledger
from ffem_node import keeper

_PURE = (
    (ledger, ("first_head", "next_head", "commit_leaf")),
    (keeper, ("parse_payload", "parse_request_key", "keccak")),
)


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Like `functools.cache`, for arguments that hold secrets."""
    known: dict[tuple[Any, ...], Any] = {}

    def remembered(*values: Any) -> Any:
        name = tuple(_hashable(value) for value in values)
        if name not in known:
            known[name] = function(*values)
        return known[name]

    return remembered


def _hashable(value: Any) -> Any:
    if isinstance(value, Secret | PrivateKey):
        return value.to_secret_bytes()
    return value


@contextmanager
def memoised() -> Iterator[None]:
    """Within it, the same share sealed to the same request is the same bytes."""
    with ExitStack() as stack:
        for module, names in _PURE:
            for name in names:
                stack.enter_context(patch.object(module, name, cache(getattr(module, name))))
        for name in ("seal_release", "open_keeper_share"):
            stack.enter_context(patch.object(keeper, name, _once(getattr(grants, name))))
        read = PrivateKey.from_secret_bytes
        stack.enter_context(patch.object(PrivateKey, "from_secret_bytes", staticmethod(_once(read))))
        yield
