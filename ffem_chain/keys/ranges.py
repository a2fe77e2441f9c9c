"""The node keys of a range of time, wrapped under the grant's own key K: what payload version 2 adds.

Which nodes they are is not in the payload: it follows from the scope (`tree.cover`), so nobody can name other ones.
What is sealed is padded to one of three lengths, which say little of the range's. Layout: docs/KEYS.md, "Payload".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ffem_chain.errors import FormatError, Tampered
from ffem_chain.keys.scope import Scope
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.tree import Node, cover, hkdf

BUCKETS = (16, 32, 64)
_KEY = 32
_TAG = 16
WRAPPED_LENGTHS = tuple(_KEY * nodes + _TAG for nodes in BUCKETS)
_NONCE = bytes(12)


@dataclass(frozen=True)
class NodeKey:
    """A node of the slot tree and its key."""

    node: Node
    key: Secret


def _bucket(nodes: int) -> int:
    return next(size for size in BUCKETS if nodes <= size)


def _cipher(k: Secret, bound: bytes) -> AESGCM:
    # K and what it is bound to are of one grant, so this key encrypts once and needs no nonce
    return AESGCM(hkdf(k, "grant/nodes", bound))


def wrap_nodes(k: Secret, keys: Sequence[Secret], scope: Scope, context: bytes) -> bytes:
    """The keys (32 bytes each) of the nodes that cover `scope`, in order, under `k`; `context` is the grant's, packed.

    ValueError where there are more or fewer than the scope has nodes.
    """
    if len(keys) != len(cover(*scope.span)) or any(len(key) != _KEY for key in keys):
        raise ValueError("the keys are not those of the nodes that cover the range")
    plain = b"".join(key.to_secret_bytes() for key in keys).ljust(_KEY * _bucket(len(keys)), b"\0")
    return _cipher(k, context + scope.pack()).encrypt(_NONCE, plain, None)


def check_wrapped(wrapped: bytes, scope: Scope) -> None:
    """FormatError where the length is not that of `scope`: known before any keeper answers."""
    nodes = len(cover(*scope.span))
    if len(wrapped) != _KEY * _bucket(nodes) + _TAG:
        raise FormatError(
            f"the grant wraps keys in {len(wrapped)} bytes, which are not those of the {nodes} nodes of its range",
            "the owner made a wrong grant: ask for a new one",
        )


def unwrap_nodes(k: Secret, wrapped: bytes, scope: Scope, context: bytes) -> tuple[NodeKey, ...]:
    """The nodes that cover `scope` with their keys. Tampered where the owner wrapped anything else, FormatError for
    another length.

    That a key is its node's shows with each capture, whose commitment is on the chain.
    """
    check_wrapped(wrapped, scope)
    nodes = cover(*scope.span)
    wrong = "the owner made a wrong grant: ask for a new one"
    try:
        plain = _cipher(k, context + scope.pack()).decrypt(_NONCE, wrapped, None)
    except InvalidTag:
        raise Tampered("the granted key does not open the keys of the range", wrong) from None
    if any(plain[_KEY * len(nodes) :]):
        raise Tampered("the grant wraps something beside the keys of its range", wrong)
    parts = (Secret(plain[_KEY * i : _KEY * (i + 1)]) for i in range(len(nodes)))
    return tuple(NodeKey(node, key) for node, key in zip(nodes, parts, strict=True))
