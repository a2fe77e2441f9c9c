"""Grants of an epoch and of a range of time: one release opens every capture in it, also those that come later."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ffem_chain.capture.model import Capture
from ffem_chain.chain.events import AccessRequested, GrantCreated
from ffem_chain.errors import InputError, NotForMe, Refused, Tampered
from ffem_chain.keys import tree
from ffem_chain.keys.scope import LEVEL_EPOCH, LEVEL_RANGE
from ffem_chain.keys.secret import Secret
from ffem_chain.roles import granting
from ffem_chain.roles.reading import opened_face_key
from ffem_chain.roles.recipient import Recipient
from ffem_chain.roles.records import GrantRecord, describe

from .world import Scene, World, album_with, settle, synthetic_capture

BOB, CAROL = 4, 5
NOW = int(time.time()) // 60


def seal_at(scene: Scene, slot: int) -> bytes:
    """Seal and register a capture of another time; its uid."""
    owner, album, uid = scene.owner, scene.owner.album("album"), secrets.token_bytes(32)
    original = np.random.default_rng(slot).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    key = owner.derive_capture_key(album, album.epoch, slot, uid)
    files = synthetic_capture(album, key, slot, uid, original).to_files()
    owner.record_capture(album, Capture.from_files(files), scene.store.put(files))
    owner.register_capture(uid)
    return uid


def bob_with(world: World, scene: Scene, **options: Any) -> tuple[Recipient, GrantRecord]:
    """Bob with a grant of the album that was released to him."""
    bob = world.recipient(BOB)
    bob.register_key()
    record = scene.owner.grant(None, None, bob.wallet, album="album", **options)
    bob.request(record.grant_id)
    settle(*scene.keepers)
    bob.collect(record.grant_id, timeout=0)
    return bob, record


@pytest.mark.parametrize("slots", [(NOW - 60, NOW + 60), None], ids=["range", "epoch"])
def test_one_receipt_opens_all_captures_past_and_to_come(world: World, slots: tuple[int, int] | None) -> None:
    scene = album_with(world, keepers=(1, 2, 3), threshold=2)
    past = seal_at(scene, NOW - 60)
    bob, record = bob_with(world, scene, slots=slots)
    assert record.scope.level == (LEVEL_RANGE if slots else LEVEL_EPOCH)
    to_come = seal_at(scene, NOW + 60)
    again = world.recipient(BOB)  # as after a restart: what was released is in the vault
    for uid in (past, scene.uid, to_come):
        [grant] = again.find(uid, 0)
        assert grant.held and grant.grant_id == record.grant_id
        opened = again.held(grant.grant_id)
        assert opened is not None
        for face in (0, 1):
            assert opened_face_key(opened, scene.load(bob.registry, uid), face) == scene.owner.face_key(uid, face)
    assert len(bob.registry.events([AccessRequested], grant=record.grant_id)) == 1
    # Revoked, it recalls nothing, and the tool says so.
    result = scene.owner.revoke(record.grant_id)
    assert "also those sealed later" in result.text and "rotate" in result.text
    assert again.find(to_come, 0)[0].held
    # A new epoch is closed.
    scene.owner.rotate("album", grant=False)
    with pytest.raises(Refused, match="not granted"):
        again.find(seal_at(scene, NOW), 0)


def test_beside_the_range_nothing_opens(world: World) -> None:
    scene = album_with(world)
    before, after = seal_at(scene, NOW - 61), seal_at(scene, NOW + 61)
    bob, record = bob_with(world, scene, slots=(NOW - 60, NOW + 60))
    opened = bob.held(record.grant_id)
    assert opened is not None and len(opened.nodes) == len(tree.cover(NOW - 60, NOW + 60))
    for uid in (before, after):
        with pytest.raises(Refused, match="not granted"):
            bob.find(uid, 0)
        with pytest.raises(NotForMe, match="does not cover"):
            opened_face_key(opened, scene.load(bob.registry, uid), 0)
        assert opened.node_above(scene.load(bob.registry, uid).manifest.slot) is None


def test_a_direct_grant_of_a_range(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(BOB)
    bob.register_key()
    scene.owner.grant(None, None, bob.wallet, album="album", slots=(NOW - 5, tree.LAST_SLOT), direct=True)
    [grant] = bob.find(scene.uid, 0)
    opened = bob.open_direct(grant.grant_id)
    assert opened_face_key(opened, scene.load(bob.registry), 0) == scene.owner.face_key(scene.uid, 0)


def test_ranges_as_routes(world: World) -> None:
    """Revoking a capture's grant names the range that opens it too, and one range the other that it overlaps."""
    scene = album_with(world)
    bob = world.recipient(BOB)
    bob.register_key()
    one = scene.owner.grant(None, None, bob.wallet, album="album", slots=(NOW - 60, NOW + 60))
    other = scene.owner.grant(None, None, bob.wallet, album="album", slots=(NOW + 30, NOW + 90))
    scene.owner.grant(None, None, bob.wallet, album="album", slots=(NOW + 61, NOW + 90))
    capture = scene.owner.grant(scene.uid, None, bob.wallet)
    assert {route.grant_id for route in scene.owner.revoke(capture.grant_id).routes} == {one.grant_id}
    routes = scene.owner.revoke(one.grant_id).routes
    assert {route.grant_id: route.whole for route in routes} == {other.grant_id: False}


def wrong(change: Callable[[list[Secret]], list[Secret] | Secret]) -> Callable[..., Any]:
    """An owner's tool that grants something else than the keys that it should."""
    real = granting.key_of

    def made(*args: Any) -> Any:
        key = real(*args)
        return change(key if isinstance(key, list) else [key])

    return made


def test_a_wrong_node_is_named_as_the_owners_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = album_with(world)
    first = 29_400_123
    fine, spoilt = seal_at(scene, first), seal_at(scene, first + 700)
    nodes = tree.cover(first, first + 1439)
    place = next(i for i, node in enumerate(nodes) if node.first <= first + 700 <= node.last)
    assert place > 0
    spoil = wrong(lambda keys: [*keys[:place], Secret(bytes(32)), *keys[place + 1 :]])
    monkeypatch.setattr(granting, "key_of", spoil)
    bob, record = bob_with(world, scene, slots=(first, first + 1439))
    opened = bob.held(record.grant_id)
    assert opened is not None
    node = nodes[place]
    with pytest.raises(
        Tampered, match=f"node of depth {node.depth} .* slots {node.first} to {node.last}.*capture"
    ) as e:
        opened_face_key(opened, scene.load(bob.registry, spoilt), 0)
    assert "owner granted a wrong key" in e.value.hint
    assert opened_face_key(opened, scene.load(bob.registry, fine), 0) == scene.owner.face_key(fine, 0)


def test_a_wrong_epoch_key_is_the_owners_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the commitment on the chain, as soon as it is released; the request is not used up."""
    scene = album_with(world)
    monkeypatch.setattr(granting, "key_of", wrong(lambda keys: Secret(bytes(32))))
    bob = world.recipient(BOB)
    bob.register_key()
    for direct in (False, True):
        record = scene.owner.grant(None, None, bob.wallet, album="album", direct=direct)
        if not direct:
            bob.request(record.grant_id)
            settle(*scene.keepers)
        with pytest.raises(Tampered, match="commitment of epoch 1 on the chain") as caught:
            bob.open_direct(record.grant_id) if direct else bob.collect(record.grant_id, timeout=0)
        assert "owner granted a wrong key" in caught.value.hint
        assert bob.held(record.grant_id) is None


@pytest.mark.parametrize("slots", [(5, 4), (-1, 4), (0, tree.LAST_SLOT + 1)])
def test_ranges_that_are_none(world: World, slots: tuple[int, int]) -> None:
    scene = album_with(world)
    with pytest.raises(InputError, match="ends after it begins"):
        scene.owner.grant(None, None, world.accounts[BOB].address, album="album", slots=slots)
    assert not scene.owner.registry.events([GrantCreated], album=scene.album.album_id)


def test_all_slots_are_the_epoch(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(BOB)
    bob.register_key()
    record = scene.owner.grant(None, None, bob.wallet, album="album", slots=(0, tree.LAST_SLOT))
    assert describe(record.scope) == "all captures of epoch 1"
