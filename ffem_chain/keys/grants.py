"""Grants: a key for one recipient that opens only with the shares of a threshold of keepers.

The envelope to the recipient holds X = K xor pad, where pad comes from a random r that is shared among the keepers. The
scope (what K opens) is masked under X; its salted commitment is public and part of every context. A direct grant has no
pad: its envelope holds K and 32 random bytes, and the scope is masked under those, so that others who hold K cannot
recognise it. A grant of a range of time has a K of its own, under which the keys of the range's nodes are wrapped
(`ranges.py`). docs/KEYS.md has the layout of the payload, contracts/src/IKeyRegistry.sol the steps of a release.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ffem_chain.errors import FormatError, Pending, Tampered
from ffem_chain.keys import shamir
from ffem_chain.keys.ranges import WRAPPED_LENGTHS, NodeKey, check_wrapped, unwrap_nodes, wrap_nodes
from ffem_chain.keys.scope import LEVEL_EPOCH, LEVEL_NODE, LEVEL_RANGE, SCOPE_LENGTH, Scope
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import (
    ENVELOPE_OVERHEAD,
    PrivateKey,
    check_public,
    check_suite,
    open_envelope,
    seal,
)
from ffem_chain.keys.tree import SLOT_DEPTH, Node, hkdf

PAYLOAD_VERSION, RANGE_VERSION = 1, 2
_SECRET = 32
_KEEPER_HEAD = 4 + 32


@dataclass(frozen=True)
class GrantContext:
    """Where a grant lives; authenticated in every envelope of it. A direct grant has threshold and keepers 0."""

    deployment: bytes
    album: bytes
    grant: bytes
    recipient: bytes
    key_version: int
    suite: int
    threshold: int
    keepers: int

    @property
    def direct(self) -> bool:
        return self.keepers == 0

    def pack(self) -> bytes:
        """124 bytes. ValueError for fields out of range."""
        fixed = (self.deployment, 32), (self.album, 32), (self.grant, 32), (self.recipient, 20)
        if any(len(value) != length for value, length in fixed):
            raise ValueError("a field of a grant's context has the wrong length")
        if not (self.threshold == self.keepers == 0 or 1 <= self.threshold <= self.keepers <= shamir.MAX_SHARES):
            raise ValueError(f"threshold {self.threshold} of {self.keepers} keepers")
        numbers = bytes([check_suite(self.suite), int(self.direct), self.threshold, self.keepers])
        return b"".join(value for value, _ in fixed) + self.key_version.to_bytes(4, "big") + numbers


@dataclass(frozen=True)
class KeeperKey:
    """A keeper's wallet (20 bytes) and the encryption key its share is sealed to."""

    address: bytes
    version: int
    public: bytes


@dataclass(frozen=True)
class SealedShare:
    """One keeper's part of a payload: its key's version, the digest of its share, the share sealed to it."""

    version: int
    digest: bytes
    envelope: bytes


@dataclass(frozen=True)
class Payload:
    """A parsed payload. `wrapped`: the keys of a range's nodes (version 2), empty otherwise."""

    envelope: bytes
    masked_scope: bytes
    shares: tuple[SealedShare, ...]
    wrapped: bytes = b""


@dataclass(frozen=True)
class BuiltGrant:
    """What goes on the chain."""

    payload: bytes
    scope_commit: bytes


@dataclass(frozen=True)
class OpenedGrant:
    """A grant opened by its recipient: what for, and the key. `nodes`: those of a range, in order."""

    scope: Scope
    key: Secret
    nodes: tuple[NodeKey, ...] = ()

    def node_above(self, slot: int) -> NodeKey | None:
        """The node below which `slot` lies; None where the grant holds none."""
        if self.scope.level == LEVEL_EPOCH:
            return NodeKey(Node(0, 0), self.key)
        if self.scope.level == LEVEL_NODE:
            found = NodeKey(Node(self.scope.face, self.scope.slot >> (SLOT_DEPTH - self.scope.face)), self.key)
            return found if found.node.first <= slot <= found.node.last else None
        return next((one for one in self.nodes if one.node.first <= slot <= one.node.last), None)


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def _pad(r: Secret, ctx: GrantContext, scope: bytes) -> bytes:
    return hkdf(r, "grant/pad", ctx.pack() + scope)


def _commit(x: bytes, ctx: GrantContext, scope: bytes) -> bytes:
    return hmac.digest(hkdf(x[-_SECRET:], "grant/scope-salt", ctx.pack()), scope, "sha256")


def _mask(x: bytes, ctx: GrantContext, scope: bytes) -> bytes:
    return _xor(scope, hkdf(x[-_SECRET:], "grant/scope-mask", ctx.pack(), SCOPE_LENGTH))


def _grant_info(ctx: GrantContext, scope_commit: bytes) -> bytes:
    return b"ffem/v1/grant\x00" + ctx.pack() + scope_commit


def _share_info(ctx: GrantContext, scope_commit: bytes, index: int, keeper: bytes, version: int) -> bytes:
    place = bytes([index]) + keeper + version.to_bytes(4, "big")
    return b"ffem/v1/grant-share\x00" + ctx.pack() + scope_commit + place


def _release_info(ctx: GrantContext, scope_commit: bytes, seq: int, index: int) -> bytes:
    return b"ffem/v1/release\x00" + ctx.pack() + scope_commit + bytes([seq, index])


def share_digest(grant: bytes, index: int, share: Secret) -> bytes:
    """Public digest of keeper `index`'s share of a grant; lets keeper and recipient tell a wrong share."""
    return hashlib.sha256(b"ffem/v1/share\x00" + grant + bytes([index]) + share.to_secret_bytes()).digest()


def build_grant(
    key: Secret, scope: Scope, ctx: GrantContext, recipient_public: bytes, keepers: Sequence[KeeperKey]
) -> BuiltGrant:
    """Seals the 32-byte `key` for a recipient; every call draws a fresh pad. FormatError for a bad public key."""
    if scope.level == LEVEL_RANGE:
        raise ValueError("a range has several keys: build_range_grant")
    return _build(PAYLOAD_VERSION, key, scope, ctx, recipient_public, keepers, b"")


def build_range_grant(
    node_keys: Sequence[Secret], scope: Scope, ctx: GrantContext, recipient_public: bytes, keepers: Sequence[KeeperKey]
) -> BuiltGrant:
    """Like `build_grant`, for a range: `node_keys` are those of `tree.cover` of its span, in that order."""
    if scope.level != LEVEL_RANGE:
        raise ValueError("only a range has several keys")
    k = Secret.random(_SECRET)
    wrapped = wrap_nodes(k, node_keys, scope, ctx.pack())
    return _build(RANGE_VERSION, k, scope, ctx, recipient_public, keepers, wrapped)


def _build(
    version: int,
    key: Secret,
    scope: Scope,
    ctx: GrantContext,
    recipient_public: bytes,
    keepers: Sequence[KeeperKey],
    wrapped: bytes,
) -> BuiltGrant:
    if len(keepers) != ctx.keepers or len(key) != _SECRET:
        raise ValueError("the context names another number of keepers, or the key has not 32 bytes")
    packed = scope.pack()
    r = Secret.random(_SECRET)
    k = key.to_secret_bytes()
    x = k + r.to_secret_bytes() if ctx.direct else _xor(k, _pad(r, ctx, packed))
    scope_commit = _commit(x, ctx, packed)
    parts = [
        bytes([version]),
        seal(ctx.suite, recipient_public, x, _grant_info(ctx, scope_commit)),
        _mask(x, ctx, packed),
    ]
    shares = [] if ctx.direct else shamir.split(r, ctx.threshold, ctx.keepers)
    for index, (keeper, share) in enumerate(zip(keepers, shares, strict=True)):
        info = _share_info(ctx, scope_commit, index, keeper.address, keeper.version)
        parts += [
            keeper.version.to_bytes(4, "big"),
            share_digest(ctx.grant, index, share),
            seal(ctx.suite, keeper.public, share, info),
        ]
    return BuiltGrant(b"".join([*parts, wrapped]), scope_commit)


def parse_payload(payload: bytes, suite: int, keepers: int) -> Payload:
    """Splits a payload; its length follows from the suite, the number of keepers and, for a range, one of three lengths
    of wrapped keys. FormatError otherwise."""
    overhead = ENVELOPE_OVERHEAD[check_suite(suite)]
    envelope_length = overhead + (_SECRET if keepers else 2 * _SECRET)
    share_length = _KEEPER_HEAD + overhead + _SECRET
    head = 1 + envelope_length + SCOPE_LENGTH
    end = head + keepers * share_length
    version = payload[0] if payload else 0
    if version not in (PAYLOAD_VERSION, RANGE_VERSION):
        raise FormatError(f"unknown version {version} of a grant's payload")
    lengths = [end] if version == PAYLOAD_VERSION else [end + wrapped for wrapped in WRAPPED_LENGTHS]
    if len(payload) not in lengths:
        raise FormatError(f"the grant's payload has {len(payload)} bytes, not {' or '.join(map(str, lengths))}")
    shares = []
    for at in range(head, end, share_length):
        key_version, digest = int.from_bytes(payload[at : at + 4], "big"), payload[at + 4 : at + _KEEPER_HEAD]
        shares.append(SealedShare(key_version, digest, payload[at + _KEEPER_HEAD : at + share_length]))
    masked = payload[1 + envelope_length : head]
    return Payload(payload[1 : 1 + envelope_length], masked, tuple(shares), payload[end:])


def _sealed_share(payload: Payload, index: int) -> SealedShare:
    if not 0 <= index < len(payload.shares):
        raise FormatError(f"the grant has {len(payload.shares)} keepers, there is no keeper {index}")
    return payload.shares[index]


def _check_share(payload: Payload, ctx: GrantContext, index: int, share: Secret) -> Secret:
    digest = _sealed_share(payload, index).digest
    # an owner and a keeper together could name the digest of a share of another length
    if len(share) != _SECRET or not hmac.compare_digest(share_digest(ctx.grant, index, share), digest):
        raise Tampered(f"the share of keeper {index} is not the one that the grant names")
    return share


def open_keeper_share(
    private: PrivateKey,
    payload: Payload,
    ctx: GrantContext,
    scope_commit: bytes,
    index: int,
    keeper_address: bytes,
) -> Secret:
    """Keeper `index`'s share of the pad, checked against the grant's digest. It opens nothing by itself."""
    sealed = _sealed_share(payload, index)
    info = _share_info(ctx, scope_commit, index, keeper_address, sealed.version)
    return _check_share(payload, ctx, index, open_envelope(private, sealed.envelope, info))


def parse_request_key(data: bytes) -> tuple[int, bytes]:
    """(suite, public key) of a request key as it is on the chain: suite byte ‖ public key."""
    if not data:
        raise FormatError("the request key is empty")
    return data[0], check_public(data[0], data[1:])


def seal_release(
    share: Secret, request_key: bytes, ctx: GrantContext, scope_commit: bytes, seq: int, index: int
) -> bytes:
    """A keeper's share sealed to a request's one-time key. FormatError where its suite is not the grant's."""
    suite, public = parse_request_key(request_key)
    if suite != ctx.suite:
        raise FormatError(f"the request key is of suite {suite}, the grant of suite {ctx.suite}")
    return seal(suite, public, share, _release_info(ctx, scope_commit, seq, index))


def open_release(
    private: PrivateKey,
    sealed: bytes,
    payload: Payload,
    ctx: GrantContext,
    scope_commit: bytes,
    seq: int,
    index: int,
) -> Secret:
    """A delivered share, checked against the grant's digest; Tampered names the keeper of a wrong one."""
    try:
        share = open_envelope(private, sealed, _release_info(ctx, scope_commit, seq, index))
    except Tampered:
        raise Tampered(f"what keeper {index} delivered does not open with this request's key") from None
    return _check_share(payload, ctx, index, share)


def _open_scope(private: PrivateKey, payload: Payload, ctx: GrantContext, commit: bytes) -> tuple[bytes, Scope]:
    x = open_envelope(private, payload.envelope, _grant_info(ctx, commit)).to_secret_bytes()
    packed = _mask(x, ctx, payload.masked_scope)
    if not hmac.compare_digest(_commit(x, ctx, packed), commit):
        raise Tampered("the grant's scope does not match its commitment")
    scope = Scope.unpack(packed)
    if (scope.level == LEVEL_RANGE) != bool(payload.wrapped):
        raise FormatError(
            "the version of the grant's payload is not that of its scope",
            "the owner made a wrong grant: ask for a new one",
        )
    if payload.wrapped:
        check_wrapped(payload.wrapped, scope)
    return x, scope


def read_scope(private: PrivateKey, payload: Payload, ctx: GrantContext, scope_commit: bytes) -> Scope:
    """What a grant is for. The recipient can read this before any keeper answers."""
    return _open_scope(private, payload, ctx, scope_commit)[1]


def open_grant(
    private: PrivateKey,
    payload: Payload,
    ctx: GrantContext,
    scope_commit: bytes,
    shares: Mapping[int, Secret],
) -> OpenedGrant:
    """Key and scope from the envelope and the shares of a threshold of keepers (by index; none where direct).

    Every share is checked against its digest. Pending where too few are given; Tampered where a range's keys are not
    under K. Whether a key is the one that the owner committed to is for the caller to check (`tree.key_commit`).
    """
    x, scope = _open_scope(private, payload, ctx, scope_commit)
    if ctx.direct:
        return _opened(Secret(x[:_SECRET]), scope, payload, ctx)
    if len(shares) < ctx.threshold:
        raise Pending(f"{len(shares)} of the {ctx.threshold} keepers that are needed have answered")
    checked = {index: _check_share(payload, ctx, index, share) for index, share in shares.items()}
    r = shamir.combine(checked, ctx.threshold)
    return _opened(Secret(_xor(x, _pad(r, ctx, scope.pack()))), scope, payload, ctx)


def reopen_grant(
    private: PrivateKey, payload: Payload, ctx: GrantContext, scope_commit: bytes, k: Secret
) -> OpenedGrant:
    """A grant that was opened before, from the K that was kept of it. Raises like `open_grant`."""
    return _opened(k, _open_scope(private, payload, ctx, scope_commit)[1], payload, ctx)


def _opened(k: Secret, scope: Scope, payload: Payload, ctx: GrantContext) -> OpenedGrant:
    return OpenedGrant(scope, k, unwrap_nodes(k, payload.wrapped, scope, ctx.pack()) if payload.wrapped else ())
