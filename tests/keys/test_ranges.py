"""Ranges of time: the fewest nodes that hold their slots and no others, and payloads that wrap exactly those."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffem_chain.errors import FormatError, Tampered
from ffem_chain.keys import grants, ranges, tree
from ffem_chain.keys.grants import GrantContext, KeeperKey, OpenedGrant
from ffem_chain.keys.scope import LEVEL_EPOCH, LEVEL_FACE, LEVEL_NODE, LEVEL_RANGE, Scope
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import SECP256K1, XWING, PrivateKey
from ffem_chain.keys.tree import LAST_SLOT, Node, cover

SECRET, TREE = Secret(bytes(range(32))), tree.TreeContext(b"s" * 32, 2)
SLOTS = st.one_of(st.integers(0, LAST_SLOT), st.integers(0, 40), st.integers(LAST_SLOT - 40, LAST_SLOT))
DAY = Scope(LEVEL_RANGE, 2, 29_400_123, last=29_401_562)
KINDS = [(SECP256K1, 0, 0), (SECP256K1, 1, 1), (XWING, 2, 3)]
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"suite{k[0]}-{k[1]}of{k[2]}")


@dataclass
class Made:
    """A grant of a range with the private keys of everybody."""

    ctx: GrantContext
    recipient: PrivateKey
    private: list[PrivateKey]
    keepers: list[KeeperKey]

    def build(self, scope: Scope, keys: Sequence[Secret] | None = None) -> grants.BuiltGrant:
        keys = node_keys(scope) if keys is None else keys
        return grants.build_range_grant(keys, scope, self.ctx, self.recipient.public, self.keepers)

    def open(self, built: grants.BuiltGrant) -> OpenedGrant:
        payload, commit = grants.parse_payload(built.payload, self.ctx.suite, self.ctx.keepers), built.scope_commit
        shares = {
            i: grants.open_keeper_share(self.private[i], payload, self.ctx, commit, i, self.keepers[i].address)
            for i in range(self.ctx.threshold)
        }
        return grants.open_grant(self.recipient, payload, self.ctx, commit, shares)


def people(kind: tuple[int, int, int] = (SECP256K1, 1, 1)) -> Made:
    suite, threshold, count = kind
    private = [PrivateKey.generate(suite) for _ in range(count)]
    keepers = [KeeperKey(bytes([i]) * 20, i + 1, p.public) for i, p in enumerate(private)]
    ctx = GrantContext(b"d" * 32, b"a" * 32, b"g" * 32, b"r" * 20, 4, suite, threshold, count)
    return Made(ctx, PrivateKey.generate(suite), private, keepers)


def node_keys(scope: Scope) -> list[Secret]:
    return [tree.node_key(SECRET, TREE, node) for node in cover(*scope.span)]


# ---------------------------------------------------------------- covers


@given(SLOTS, SLOTS)
def test_a_cover_holds_the_range_and_nothing_else(one: int, other: int) -> None:
    first, last = min(one, other), max(one, other)
    nodes = cover(first, last)
    ends = [(node.first, node.last) for node in nodes]
    assert ends[0][0] == first and ends[-1][1] == last
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(ends))
    slots = last - first + 1
    assert len(nodes) <= min(62, max(1, 2 * math.log2(slots)))


def test_a_cover_is_the_smallest_there_is() -> None:
    """Against a search through all nodes that lie in the range: the maximal ones are the cover."""
    for first in range(17):
        for last in range(first, 17):
            inside = [
                Node(depth, prefix)
                for depth in range(27, 33)
                for prefix in range(1 << (depth - 27))
                if first <= Node(depth, prefix).first and Node(depth, prefix).last <= last
            ]
            above = {Node(node.depth - 1, node.prefix >> 1) for node in inside}
            maximal = [node for node in inside if Node(node.depth - 1, node.prefix >> 1) not in above & set(inside)]
            assert cover(first, last) == sorted(maximal, key=lambda node: node.first)


def test_the_worst_cover_and_the_whole() -> None:
    assert len(cover(1, LAST_SLOT - 1)) == 62
    assert cover(0, LAST_SLOT) == [Node(0, 0)]
    assert cover(5, 5) == [Node(32, 5)]


@pytest.mark.parametrize(("first", "last"), [(-1, 5), (5, 4), (0, LAST_SLOT + 1)])
def test_no_range(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        cover(first, last)


@settings(max_examples=20)
@given(SLOTS, SLOTS, st.data())
def test_the_nodes_give_the_slots_of_the_range_only(one: int, other: int, data: st.DataObject) -> None:
    first, last = min(one, other), max(one, other)
    if (first, last) == (0, LAST_SLOT):
        return
    scope = Scope(LEVEL_RANGE, 2, first, last=last)
    keys = [ranges.NodeKey(node, key) for node, key in zip(cover(first, last), node_keys(scope), strict=True)]
    opened = OpenedGrant(scope, Secret(bytes(32)), tuple(keys))
    slot = data.draw(st.one_of(st.integers(first, last), st.sampled_from([first, last])))
    found = opened.node_above(slot)
    assert found is not None
    key = tree.derive_slot_key(found.key, found.node.depth, found.node.prefix, TREE, slot)
    assert key == tree.slot_key(SECRET, TREE, slot)
    assert all(opened.node_above(beside) is None for beside in (first - 1, last + 1))


def test_an_epoch_and_a_node_are_trees_too() -> None:
    epoch = OpenedGrant(Scope(LEVEL_EPOCH, 2), SECRET)
    assert epoch.node_above(7) == ranges.NodeKey(Node(0, 0), SECRET)
    node = OpenedGrant(Scope(LEVEL_NODE, 2, 1 << 31, face=1), SECRET)
    assert node.node_above(1 << 31) == ranges.NodeKey(Node(1, 1), SECRET) and node.node_above(5) is None
    assert OpenedGrant(Scope(LEVEL_FACE, 2, 5, b"u" * 32), SECRET).node_above(5) is None


# ---------------------------------------------------------------- payloads


@kinds
def test_a_range_is_granted(kind: tuple[int, int, int]) -> None:
    made = people(kind)
    built = made.build(DAY)
    opened = made.open(built)
    assert opened.scope == DAY
    assert [one.node for one in opened.nodes] == cover(*DAY.span)
    assert [one.key for one in opened.nodes] == node_keys(DAY)
    # K is of this grant alone
    assert made.open(made.build(DAY)).key != opened.key


def test_lengths_fall_into_three_classes() -> None:
    made = people()
    one_keeper = 244
    for first, last, more in ((5, 5, 528), (*DAY.span, 528), (DAY.slot, LAST_SLOT, 1040), (1, LAST_SLOT - 1, 2064)):
        assert len(made.build(Scope(LEVEL_RANGE, 2, first, last=last)).payload) == one_keeper + more


@kinds
def test_a_flipped_bit_in_the_wrapped_keys(kind: tuple[int, int, int]) -> None:
    made = people(kind)
    built = made.build(DAY)
    for position in range(len(built.payload) - 528, len(built.payload), 37):
        changed = bytearray(built.payload)
        changed[position] ^= 1 << position % 8
        with pytest.raises(Tampered, match="does not open the keys"):
            made.open(replace(built, payload=bytes(changed)))


@kinds
def test_truncated_or_extended_at_every_length(kind: tuple[int, int, int]) -> None:
    made = people(kind)
    data = made.build(DAY).payload
    for length in [*range(len(data)), len(data) + 1]:
        with pytest.raises(FormatError):
            grants.parse_payload(data.ljust(length, b"\0")[:length], kind[0], kind[2])


@pytest.mark.parametrize("wrapped", [1040, 2064])
def test_a_longer_class_than_the_range_needs(wrapped: int) -> None:
    """Seen before any keeper answers."""
    made = people()
    built = made.build(DAY)
    payload = grants.parse_payload(built.payload + bytes(wrapped - 528), SECP256K1, 1)
    with pytest.raises(FormatError, match=r"not those of the 1\d nodes"):
        grants.read_scope(made.recipient, payload, made.ctx, built.scope_commit)


def test_wrapped_keys_of_another_grant_or_range() -> None:
    """Where the owner moves them: K and context are in their key."""
    made, k = people(), Secret(bytes(32))
    wrapped = ranges.wrap_nodes(k, node_keys(DAY), DAY, made.ctx.pack())
    assert [one.key for one in ranges.unwrap_nodes(k, wrapped, DAY, made.ctx.pack())] == node_keys(DAY)
    later = replace(DAY, last=DAY.last + 1)
    for key, scope, context in (
        (k, later, made.ctx.pack()),
        (k, DAY, replace(made.ctx, grant=b"x" * 32).pack()),
        (Secret(b"\1" * 32), DAY, made.ctx.pack()),
    ):
        with pytest.raises(Tampered, match="does not open the keys"):
            ranges.unwrap_nodes(key, wrapped, scope, context)


def test_something_beside_the_keys_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile owner uses the padding for something else."""
    made = people()
    keys = [*node_keys(DAY), Secret(b"\0" * 31 + b"\1")]
    monkeypatch.setattr(ranges, "cover", lambda first, last: [Node(32, 0)] * len(keys))
    built = made.build(DAY, keys)
    monkeypatch.undo()
    with pytest.raises(Tampered, match="something beside the keys"):
        made.open(built)


@pytest.mark.parametrize("version", [1, 2])
def test_a_version_that_is_not_its_scopes(version: int) -> None:
    """A hostile owner seals a range in version 1, or a face in version 2."""
    made = people()
    scope = DAY if version == 1 else Scope(LEVEL_FACE, 2, 5, b"u" * 32)
    wrapped = b"" if version == 1 else bytes(528)
    to = scope, made.ctx, made.recipient.public, made.keepers
    with pytest.raises(FormatError, match="version of the grant's payload"):
        made.open(grants._build(version, SECRET, *to, wrapped))


def test_keys_that_are_not_those_of_the_range() -> None:
    made = people()
    for keys in (node_keys(DAY)[:-1], [*node_keys(DAY), SECRET], [Secret(bytes(31)), *node_keys(DAY)[1:]]):
        with pytest.raises(ValueError, match="not those of the nodes"):
            made.build(DAY, keys)
    with pytest.raises(ValueError, match="only a range"):
        made.build(Scope(LEVEL_EPOCH, 2), [SECRET])
    with pytest.raises(ValueError, match="several keys"):
        grants.build_grant(SECRET, DAY, made.ctx, made.recipient.public, made.keepers)


@pytest.mark.parametrize(
    "fields",
    [
        {"slot": 5, "last": 4},
        {"slot": 0, "last": LAST_SLOT},
        {"slot": 0, "last": LAST_SLOT + 1},
        {"slot": 1, "last": 5, "face": 1},
        {"slot": 1, "last": 5, "uid": b"u" * 32},
        {"slot": 1, "last": 5, "epoch": 0},
    ],
)
def test_ranges_that_are_none(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        Scope(LEVEL_RANGE, **{"epoch": 2, **fields})


def test_the_last_slot_stands_where_a_uid_does() -> None:
    packed = DAY.pack()
    assert packed[9:13] == DAY.last.to_bytes(4, "big") and packed[13:] == bytes(30)
    assert Scope.unpack(packed) == DAY
    with pytest.raises(FormatError):
        Scope.unpack(packed[:13] + b"\1" + packed[14:])
