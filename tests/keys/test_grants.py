"""Grants: nothing opens without the recipient's key, the keepers' shares and exactly the context it was made for."""

from __future__ import annotations

import hmac
import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffem_chain.errors import FfemError, FormatError, NotForMe, Pending, Tampered
from ffem_chain.keys import grants
from ffem_chain.keys.grants import (
    GrantContext,
    KeeperKey,
    build_grant,
    open_grant,
    open_keeper_share,
    open_release,
    parse_payload,
    parse_request_key,
    read_scope,
    seal_release,
)
from ffem_chain.keys.scope import (
    LEVEL_CAPTURE,
    LEVEL_EPOCH,
    LEVEL_FACE,
    LEVEL_NODE,
    LEVEL_RANGE,
    SCOPE_LENGTH,
    Scope,
)
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import SECP256K1, XWING, PrivateKey
from ffem_chain.keys.tree import hkdf

UID = b"u" * 32
KINDS = [(SECP256K1, 0, 0), (SECP256K1, 1, 1), (SECP256K1, 2, 3), (XWING, 0, 0), (XWING, 1, 1), (XWING, 2, 3)]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"suite{k[0]}-{k[1]}of{k[2]}")


@dataclass
class Scene:
    """One grant with the private keys of everybody."""

    ctx: GrantContext
    scope: Scope
    key: Secret
    recipient: PrivateKey
    private: list[PrivateKey]
    keepers: list[KeeperKey]
    built: grants.BuiltGrant

    @property
    def payload(self) -> grants.Payload:
        return parse_payload(self.built.payload, self.ctx.suite, self.ctx.keepers)

    def share(self, index: int) -> Secret:
        address = self.keepers[index].address
        return open_keeper_share(self.private[index], self.payload, self.ctx, self.built.scope_commit, index, address)

    def shares(self) -> dict[int, Secret]:
        return {i: self.share(i) for i in range(self.ctx.threshold)}

    def open(self, **changes: Any) -> grants.OpenedGrant:
        parts = {
            "shares": changes["shares"] if "shares" in changes else self.shares(),
            "private": self.recipient,
            "payload": self.payload,
            "ctx": self.ctx,
            "scope_commit": self.built.scope_commit,
            **changes,
        }
        return open_grant(**parts)


def scene(kind: tuple[int, int, int] = (SECP256K1, 2, 3), key: Secret | None = None) -> Scene:
    suite, threshold, count = kind
    ctx = GrantContext(b"d" * 32, b"a" * 32, b"g" * 32, b"r" * 20, 4, suite, threshold, count)
    scope, key = Scope(LEVEL_FACE, 1, 9, UID, 2), key or Secret.random()
    recipient, private = PrivateKey.generate(suite), [PrivateKey.generate(suite) for _ in range(count)]
    keepers = [KeeperKey(bytes([i]) * 20, i + 1, p.public) for i, p in enumerate(private)]
    return Scene(ctx, scope, key, recipient, private, keepers, build_grant(key, scope, ctx, recipient.public, keepers))


def other_contexts(ctx: GrantContext) -> list[GrantContext]:
    """The context with each field changed, and each still possible."""
    changed = [
        replace(ctx, deployment=b"x" * 32),
        replace(ctx, album=b"x" * 32),
        replace(ctx, grant=b"x" * 32),
        replace(ctx, recipient=b"x" * 20),
        replace(ctx, key_version=ctx.key_version - 1),
        replace(ctx, suite=SECP256K1 + XWING - ctx.suite),
        replace(ctx, threshold=1, keepers=1) if ctx.keepers != 1 else replace(ctx, keepers=2),
        replace(ctx, keepers=ctx.keepers + 1, threshold=max(1, ctx.threshold)),
    ]
    if ctx.threshold:
        changed.append(replace(ctx, threshold=ctx.threshold - 1 or 2, keepers=max(2, ctx.keepers)))
        changed.append(replace(ctx, threshold=0, keepers=0))
    return changed


@kinds
def test_a_grant_opens(kind: tuple[int, int, int]) -> None:
    made = scene(kind)
    assert made.open() == grants.OpenedGrant(made.scope, made.key)
    assert read_scope(made.recipient, made.payload, made.ctx, made.built.scope_commit) == made.scope


def test_payload_sizes_are_those_of_the_document() -> None:
    sizes = {kind: len(scene(kind).built.payload) for kind in KINDS}
    assert sizes == {
        (1, 0, 0): 158,
        (1, 1, 1): 244,
        (1, 2, 3): 480,
        (2, 0, 0): 1245,
        (2, 1, 1): 2418,
        (2, 2, 3): 4828,
    }
    assert len(scene().ctx.pack()) == 124


@kinds
def test_every_field_of_the_context_counts(kind: tuple[int, int, int]) -> None:
    """In each part: envelope, every keeper's share, every release."""
    made = scene(kind)
    shares, payload, commit = made.shares(), made.payload, made.built.scope_commit
    request = PrivateKey.generate(kind[0])
    request_key = bytes([kind[0]]) + request.public
    for ctx in other_contexts(made.ctx):
        assert ctx.pack() != made.ctx.pack()
        with pytest.raises(Tampered):
            read_scope(made.recipient, payload, ctx, commit)
        with pytest.raises(Tampered):
            made.open(ctx=ctx, shares=shares)
        if shares:
            with pytest.raises(Tampered):
                open_keeper_share(made.private[0], payload, ctx, commit, 0, made.keepers[0].address)
            if ctx.suite == made.ctx.suite:
                moved = seal_release(shares[0], request_key, ctx, commit, 1, 0)
                with pytest.raises(Tampered):
                    open_release(request, moved, payload, made.ctx, commit, 1, 0)


@kinds
def test_the_scope_commitment_counts(kind: tuple[int, int, int]) -> None:
    made = scene(kind)
    for commit in (bytes(32), hmac.digest(b"k", made.scope.pack(), "sha256")):
        with pytest.raises(Tampered):
            made.open(scope_commit=commit)


@kinds
def test_nobody_else_opens_it(kind: tuple[int, int, int]) -> None:
    made = scene(kind)
    with pytest.raises(Tampered):
        made.open(private=PrivateKey.generate(kind[0]))
    with pytest.raises(NotForMe):
        made.open(private=PrivateKey.generate(SECP256K1 + XWING - kind[0]))
    for private in made.private:
        with pytest.raises(Tampered):
            made.open(private=private)


@kinds
def test_a_flipped_bit_in_every_byte(kind: tuple[int, int, int]) -> None:
    """Each byte of the payload belongs to a field that somebody checks: the recipient, or the keeper it is for."""
    made = scene(kind)
    data, step = made.built.payload, 1 if kind[0] == SECP256K1 else 13
    for position in range(0, len(data), step):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        with pytest.raises((Tampered, FormatError)):
            payload = parse_payload(bytes(changed), made.ctx.suite, made.ctx.keepers)
            shares = {
                i: open_keeper_share(
                    made.private[i], payload, made.ctx, made.built.scope_commit, i, made.keepers[i].address
                )
                for i in range(made.ctx.keepers)
            }
            made.open(payload=payload, shares=shares)


@kinds
def test_truncated_or_extended_at_every_length(kind: tuple[int, int, int]) -> None:
    data = scene(kind).built.payload
    for length in [*range(len(data)), len(data) + 1]:
        with pytest.raises(FormatError):
            parse_payload(data.ljust(length, b"\x00")[:length], kind[0], kind[2])


def test_a_payload_is_not_read_as_one_of_another_kind() -> None:
    """Lengths of all suites and numbers of keepers differ, so a payload cannot be taken for another kind."""
    lengths = set()
    for suite, count in itertools.product((SECP256K1, XWING), range(9)):
        keepers = [KeeperKey(bytes(20), 1, PrivateKey.generate(suite).public) for _ in range(count)]
        ctx = GrantContext(UID, UID, UID, bytes(20), 1, suite, min(1, count), count)
        public = PrivateKey.generate(suite).public
        lengths.add(len(build_grant(Secret(UID), Scope(LEVEL_EPOCH, 1), ctx, public, keepers).payload))
    assert len(lengths) == 18


def test_unknown_versions_and_suites() -> None:
    made = scene((SECP256K1, 1, 1))
    with pytest.raises(FormatError, match="unknown version 3"):
        parse_payload(b"\x03" + made.built.payload[1:], SECP256K1, 1)
    with pytest.raises(FormatError, match="unknown suite 3"):
        parse_payload(made.built.payload, 3, 1)
    for key in (b"", b"\x01", b"\x03" + bytes(33), b"\x01" + bytes(33), b"\x02" + bytes(1215)):
        with pytest.raises(FormatError):
            parse_request_key(key)


# ---------------------------------------------------------------- keepers and releases


@pytest.mark.parametrize("suite", [SECP256K1, XWING])
def test_release_to_a_request_key(suite: int) -> None:
    made = scene((suite, 2, 3))
    request = PrivateKey.generate(suite)
    request_key, commit = bytes([suite]) + request.public, made.built.scope_commit
    sealed = [seal_release(made.share(i), request_key, made.ctx, commit, 7, i) for i in range(3)]
    shares = {i: open_release(request, sealed[i], made.payload, made.ctx, commit, 7, i) for i in (0, 2)}
    assert made.open(shares=shares).key == made.key
    assert made.open(shares={1: made.share(1), 2: shares[2]}).key == made.key
    for seq, index, part in ((6, 0, sealed[0]), (8, 0, sealed[0]), (7, 1, sealed[0]), (7, 0, sealed[1])):
        with pytest.raises(Tampered, match=f"keeper {index} delivered does not open"):
            open_release(request, part, made.payload, made.ctx, commit, seq, index)
    with pytest.raises(Tampered):
        open_release(made.recipient, sealed[0], made.payload, made.ctx, commit, 7, 0)
    for length in range(0, len(sealed[0]), 7):
        with pytest.raises((FormatError, Tampered)):
            open_release(request, sealed[0][:length], made.payload, made.ctx, commit, 7, 0)


def test_a_share_is_for_its_keeper_only() -> None:
    made = scene()
    commit = made.built.scope_commit
    for index, other in itertools.permutations(range(3), 2):
        for private, address, place in (
            (made.private[other], made.keepers[index].address, index),
            (made.private[index], made.keepers[other].address, index),
            (made.private[index], made.keepers[index].address, other),
        ):
            with pytest.raises(Tampered):
                open_keeper_share(private, made.payload, made.ctx, commit, place, address)


@pytest.mark.parametrize("index", [-1, 3, 255])
def test_an_index_that_no_keeper_has(index: int) -> None:
    made = scene()
    request = PrivateKey.generate(SECP256K1)
    request_key = bytes([SECP256K1]) + request.public
    with pytest.raises(FormatError, match="there is no keeper"):
        open_keeper_share(made.private[0], made.payload, made.ctx, made.built.scope_commit, index, bytes(20))
    with pytest.raises(FormatError, match="there is no keeper"):
        made.open(shares={0: made.share(0), index: made.share(1)})
    if index >= 0:
        sealed = seal_release(made.share(0), request_key, made.ctx, made.built.scope_commit, 1, index)
        with pytest.raises(FormatError, match="there is no keeper"):
            open_release(request, sealed, made.payload, made.ctx, made.built.scope_commit, 1, index)


def test_too_few_wrong_and_swapped_shares() -> None:
    made = scene()
    shares = [made.share(i) for i in range(3)]
    for few in ({}, {0: shares[0]}):
        with pytest.raises(Pending, match="of the 2 keepers"):
            made.open(shares=few)
    with pytest.raises(Tampered, match=r"keeper [01]"):
        made.open(shares={0: shares[1], 1: shares[0]})
    with pytest.raises(Tampered, match="keeper 2"):
        made.open(shares={0: shares[0], 2: Secret.random()})
    with pytest.raises(Tampered, match="keeper 2"):  # a wrong one is named even where the others suffice
        made.open(shares={0: shares[0], 1: shares[1], 2: Secret.random()})
    for some in itertools.combinations(range(3), 2):
        assert made.open(shares={i: shares[i] for i in some}).key == made.key


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_share_of_another_length_is_the_keepers_fault(length: int) -> None:
    """An owner and a keeper together: the digest that the grant names is that of a share of another length."""
    made, wrong = scene((SECP256K1, 1, 1)), Secret(bytes(length))
    payload = made.payload
    share = replace(payload.shares[0], digest=grants.share_digest(made.ctx.grant, 0, wrong))
    payload = replace(payload, shares=(share,))
    request = PrivateKey.generate(SECP256K1)
    commit = made.built.scope_commit
    sealed = seal_release(wrong, b"\x01" + request.public, made.ctx, commit, 1, 0)
    with pytest.raises(Tampered, match="keeper 0"):
        open_release(request, sealed, payload, made.ctx, commit, 1, 0)
    with pytest.raises(Tampered, match="keeper 0"):
        made.open(payload=payload, shares={0: wrong})


def test_a_request_key_of_another_suite_is_refused() -> None:
    made, request = scene((XWING, 1, 1)), PrivateKey.generate(SECP256K1)
    with pytest.raises(FormatError, match="of suite 1, the grant of suite 2"):
        seal_release(made.share(0), b"\x01" + request.public, made.ctx, made.built.scope_commit, 1, 0)


def test_keepers_of_another_suite_or_number_are_refused() -> None:
    made = scene((XWING, 1, 1))
    wrong = [KeeperKey(bytes(20), 1, PrivateKey.generate(SECP256K1).public)]
    with pytest.raises(FormatError):
        build_grant(made.key, made.scope, made.ctx, made.recipient.public, wrong)
    with pytest.raises(ValueError, match="number of keepers"):
        build_grant(made.key, made.scope, made.ctx, made.recipient.public, [])
    with pytest.raises(ValueError):
        build_grant(Secret(bytes(31)), made.scope, made.ctx, made.recipient.public, made.keepers)


# ---------------------------------------------------------------- what is hidden


def _envelope_secret(made: Scene) -> bytes:
    """What the recipient's envelope holds, as its recipient sees it."""
    info = grants._grant_info(made.ctx, made.built.scope_commit)
    return grants.open_envelope(made.recipient, made.payload.envelope, info).to_secret_bytes()


def test_before_the_release_a_recipient_holds_nothing_of_the_key() -> None:
    """The same key granted twice gives unrelated X; neither is the key, nor is their difference zero."""
    key = Secret(bytes(range(32)))
    x = [_envelope_secret(scene((SECP256K1, 1, 1), key)) for _ in range(2)]
    assert len(x[0]) == 32
    assert key.to_secret_bytes() not in x
    assert x[0] != x[1]


def test_the_shares_alone_give_no_key() -> None:
    """All keepers together hold the pad's seed and the context; the scope that also makes the pad is masked."""
    made = scene((SECP256K1, 1, 1))
    assert made.key.to_secret_bytes() not in made.built.payload
    assert made.share(0) != made.key


@kinds
def test_other_holders_of_the_key_cannot_recognise_the_grant(kind: tuple[int, int, int]) -> None:
    """Neither commitment nor mask is keyed by the granted key itself: a co-holder learns no scope from the chain."""
    made = scene(kind)
    key, ctx = made.key.to_secret_bytes(), made.ctx.pack()
    guess = hmac.digest(hkdf(key, "grant/scope-salt", ctx), made.scope.pack(), "sha256")
    mask = hkdf(key, "grant/scope-mask", ctx, SCOPE_LENGTH)
    assert guess != made.built.scope_commit
    assert bytes(a ^ b for a, b in zip(mask, made.payload.masked_scope, strict=True)) != made.scope.pack()


@kinds
def test_two_grants_of_the_same_thing_look_unrelated(kind: tuple[int, int, int]) -> None:
    first, second = (scene(kind, Secret(bytes(32))) for _ in range(2))
    assert first.built.scope_commit != second.built.scope_commit
    assert first.payload.masked_scope != second.payload.masked_scope
    digests = {share.digest for made in (first, second) for share in made.payload.shares}
    assert len(digests) == 2 * kind[2]


# ---------------------------------------------------------------- scopes and contexts


@given(
    st.sampled_from([0, 1, 2, 3, 4, 5, 6, 255]),
    st.integers(-1, 1 << 32),
    st.one_of(st.integers(-1, 1 << 32), st.integers(0, 31).map(lambda i: 1 << i)),
    st.sampled_from([bytes(32), UID, b""]),
    st.one_of(st.integers(-1, 40), st.just(1 << 16)),
    st.one_of(st.just(0), st.integers(-1, 1 << 32)),
)
def test_scopes_have_one_form(level: int, epoch: int, slot: int, uid: bytes, face: int, last: int) -> None:
    try:
        scope = Scope(level, epoch, slot, uid, face, last)
    except FormatError:
        return
    assert Scope.unpack(scope.pack()) == scope
    assert len(scope.pack()) == SCOPE_LENGTH
    if level == LEVEL_EPOCH:
        assert scope == Scope(LEVEL_EPOCH, epoch)
    if level == LEVEL_NODE:
        assert 1 <= face <= 32 and slot % (1 << (32 - face)) == 0 and not any(uid)
    if level == LEVEL_CAPTURE:
        assert face == 0
    if level == LEVEL_RANGE:
        assert slot <= last and (slot, last) != (0, (1 << 32) - 1) and not face and not any(uid)
    else:
        assert last == 0


@given(st.binary(min_size=0, max_size=60))
def test_any_bytes_as_a_scope(data: bytes) -> None:
    try:
        assert Scope.unpack(data).pack() == data
    except FormatError:
        assert True


@pytest.mark.parametrize(("slot", "depth"), [(0, 1), (1 << 31, 1), (29_400_064, 26), (29_400_123, 32)])
def test_time_ranges_have_scopes_already(slot: int, depth: int) -> None:
    scope = Scope(LEVEL_NODE, 1, slot, face=depth)
    assert Scope.unpack(scope.pack()) == scope


@pytest.mark.parametrize(
    "change",
    [
        {"deployment": b"short"},
        {"album": b"short"},
        {"grant": b"short"},
        {"recipient": bytes(32)},
        {"threshold": 0},
        {"threshold": 4},
        {"keepers": 9},
        {"keepers": 0},
    ],
)
def test_impossible_contexts(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        replace(scene().ctx, **change).pack()


@given(st.binary(max_size=600), st.sampled_from([0, 1, 2, 3]), st.integers(0, 8))
def test_any_bytes_as_a_payload(data: bytes, suite: int, keepers: int) -> None:
    try:
        payload = parse_payload(data, suite, keepers)
    except FfemError:
        return
    assert len(payload.shares) == keepers
