"""Whoever holds a node derives all below it and nothing beside it, and no two contexts give the same key."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret

SECRET = Secret(bytes(range(32)))
CTX = tree.TreeContext(b"s" * 32, 1)
UID, MODEL = b"u" * 32, b"m" * 32
SLOTS = st.integers(0, (1 << 32) - 1)


def node_at(depth: int, prefix: int, secret: Secret = SECRET, ctx: tree.TreeContext = CTX) -> Secret:
    node = secret
    for level in range(depth):
        node = tree.slot_node(node, ctx, prefix >> (depth - 1 - level) & 1, level, prefix >> (depth - level))
    return node


@given(SLOTS, st.integers(0, 32))
def test_a_node_gives_the_slots_below_it(slot: int, depth: int) -> None:
    prefix = slot >> (32 - depth)
    node = node_at(depth, prefix)
    assert tree.derive_slot_key(node, depth, prefix, CTX, slot) == tree.slot_key(SECRET, CTX, slot)


@given(SLOTS, SLOTS, st.integers(1, 32))
def test_a_node_gives_no_slot_beside_it(slot: int, other: int, depth: int) -> None:
    """Neither by asking, nor by claiming that the node stands elsewhere."""
    prefix, beside = slot >> (32 - depth), other >> (32 - depth)
    if prefix == beside:
        return
    node = node_at(depth, prefix)
    with pytest.raises(ValueError, match="not below"):
        tree.derive_slot_key(node, depth, prefix, CTX, other)
    forged = tree.derive_slot_key(node, depth, beside, CTX, other)
    assert depth == 32 or forged != tree.slot_key(SECRET, CTX, other)
    assert forged == node if depth == 32 else True


def test_siblings_and_levels_are_independent() -> None:
    """All nodes of the first levels, all leaves of a small family, all uses of a face key: no two alike."""
    found = [SECRET]
    for depth in range(1, 8):
        found += [node_at(depth, prefix) for prefix in range(1 << depth)]
    slot_key = tree.slot_key(SECRET, CTX, 5)
    found += [slot_key, tree.slot_key(SECRET, CTX, 4)]
    capture = tree.capture_key(slot_key, CTX, 5, UID)
    face = tree.face_key(capture, tree.FaceContext(UID, 0, MODEL, "sphere", "q8"))
    found += [capture, face, tree.rotation_key(face), tree.exact_key(face), tree.geometry_key(face)]
    found += [tree.dither_key(face)]
    found += [Secret(tree.key_commit(key, level)) for key in (SECRET, capture, face) for level in tree.LEVELS]
    assert len({secret.to_secret_bytes() for secret in found}) == len(found)


def test_every_field_of_a_context_counts() -> None:
    base = tree.FaceContext(UID, 1, MODEL, "sphere", "q8")
    others = [
        tree.FaceContext(b"v" * 32, 1, MODEL, "sphere", "q8"),
        tree.FaceContext(UID, 2, MODEL, "sphere", "q8"),
        tree.FaceContext(UID, 257, MODEL, "sphere", "q8"),
        tree.FaceContext(UID, 1, b"n" * 32, "sphere", "q8"),
        tree.FaceContext(UID, 1, MODEL, "block", "q8"),
        tree.FaceContext(UID, 1, MODEL, "sphere", "q10"),
        tree.FaceContext(UID, 1, MODEL, "spher", "eq8"),
    ]
    keys = {tree.face_key(SECRET, ctx).to_secret_bytes() for ctx in [base, *others]}
    assert len(keys) == 1 + len(others)
    slots = [
        tree.capture_key(SECRET, CTX, 7, UID),
        tree.capture_key(SECRET, CTX, 8, UID),
        tree.capture_key(SECRET, CTX, 7, MODEL),
        tree.capture_key(SECRET, tree.TreeContext(b"t" * 32, 1), 7, UID),
        tree.capture_key(SECRET, tree.TreeContext(b"s" * 32, 2), 7, UID),
    ]
    assert all(a != b for a, b in itertools.combinations(slots, 2))


@given(st.text("abc0", min_size=1, max_size=4), st.text("abc0", min_size=1, max_size=4), st.data())
def test_names_are_not_ambiguous(rotation: str, precision: str, data: st.DataObject) -> None:
    """Two different pairs of names never pack to the same bytes."""
    other = (data.draw(st.text("abc0", min_size=1, max_size=4)), data.draw(st.text("abc0", min_size=1, max_size=4)))
    pack = tree.FaceContext(UID, 0, MODEL, rotation, precision).pack()
    assert (pack == tree.FaceContext(UID, 0, MODEL, *other).pack()) == ((rotation, precision) == other)


@pytest.mark.parametrize(
    "call",
    [
        lambda: tree.TreeContext(b"short", 1).pack(),
        lambda: tree.FaceContext(b"short", 0, MODEL, "a", "b").pack(),
        lambda: tree.FaceContext(UID, 0, b"short", "a", "b").pack(),
        lambda: tree.FaceContext(UID, 0, MODEL, "", "b").pack(),
        lambda: tree.FaceContext(UID, 0, MODEL, "a" * 256, "b").pack(),
        lambda: tree.FaceContext(UID, 0, MODEL, "ü", "b").pack(),
        lambda: tree.capture_key(SECRET, CTX, 0, b"short"),
        lambda: tree.slot_key(SECRET, CTX, 1 << 32),
        lambda: tree.slot_key(SECRET, CTX, -1),
        lambda: tree.slot_node(SECRET, CTX, 2, 0, 0),
        lambda: tree.slot_node(SECRET, CTX, 0, 32, 0),
        lambda: tree.slot_node(SECRET, CTX, 0, 3, 8),
        lambda: tree.derive_slot_key(SECRET, 33, 0, CTX, 0),
        lambda: tree.key_commit(SECRET, "album"),
    ],
)
def test_impossible_places_are_refused(call: object) -> None:
    with pytest.raises(ValueError):
        call()  # type: ignore[operator]


@pytest.mark.parametrize("epoch", [-1, 1 << 32])
def test_an_epoch_out_of_range_is_refused(epoch: int) -> None:
    with pytest.raises(OverflowError):
        tree.TreeContext(UID, epoch).pack()


def test_a_slot_is_a_minute() -> None:
    assert tree.slot_of(0) == 0
    assert tree.slot_of(59.9) == 0
    assert tree.slot_of(60) == 1
    assert tree.slot_of(1_764_000_000) == 29_400_000
