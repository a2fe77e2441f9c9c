"""Captures that are registered as one Merkle root: what it costs, who opens them, and what survives an interruption."""

from __future__ import annotations

import numpy as np
import pytest

from ffem_chain.capture.batch import NAME, CaptureList
from ffem_chain.capture.exact import open_faces
from ffem_chain.capture.picture import decode
from ffem_chain.chain.events import CaptureRegistered, CapturesRegistered
from ffem_chain.errors import Refused, StoreUnavailable
from ffem_chain.roles import batches
from ffem_chain.roles.batches import Batch, note_mined, register_batches, restore_lists, waiting
from ffem_chain.roles.reading import load_capture, load_registered, opened_face_key
from ffem_chain.roles.registrations import Registrations
from ffem_chain.stores import open_store
from ffem_chain.stores.cid import cid_of_digest
from ffem_devnet.ipfs import IpfsDaemon

from .world import Scene, World, album_with, interrupted, seal_waiting, settle

MOST_GAS = 1_500


def registered(scene: Scene) -> list[Batch]:
    """Register what waits, as the command line does."""
    note_mined(scene.owner)
    return register_batches(scene.owner, scene.store, waiting(scene.owner))


def batch_events(scene: Scene) -> list[CapturesRegistered]:
    events = scene.owner.registry.events([CapturesRegistered])
    return [event for event in events if isinstance(event, CapturesRegistered)]


def test_a_hundred_captures_in_one_transaction_opened_by_a_recipient(world: World) -> None:
    """A grant of a capture through a keeper, and one of the whole epoch, open what a batch registers, bit for bit."""
    scene = album_with(world, keepers=(1,))
    bob, carol = world.recipient(4), world.recipient(5)
    bob.register_key()
    carol.register_key()
    originals = seal_waiting(scene.owner, scene.album, scene.store, 100)
    [batch] = registered(scene)
    assert set(batch.uids) == set(originals) and waiting(scene.owner) == []
    assert batch.gas_used is not None and batch.gas_used / 100 <= MOST_GAS, batch.gas_used / 100

    finder = Registrations(bob.registry, scene.store)
    bob.registrations = finder
    chosen = batch.uids[42]
    grant = scene.owner.grant(chosen, None, bob.wallet).grant_id
    assert [one.grant_id for one in bob.find(chosen)] == [grant]
    bob.request(grant)
    settle(*scene.keepers)
    opened = bob.collect(grant, timeout=0)
    everything = scene.owner.grant(None, None, carol.wallet, album="album", direct=True).grant_id
    all_opened = carol.open_direct(everything)
    for uid, original in originals.items():
        capture = load_registered(bob.registry, scene.store, finder.find(scene.album.album_id, uid))
        picture = decode(capture.image_png, 96, 64)
        for by in (all_opened, opened) if uid == chosen else (all_opened,):
            keys = {index: opened_face_key(by, capture, index) for index in (0, 1)}
            assert np.array_equal(open_faces(capture, picture, keys), original)
    assert finder.problems == []


def test_a_list_on_ipfs(world: World, ipfs: IpfsDaemon) -> None:
    """The same through a real daemon: the list and its captures come from there and are verified."""
    scene = album_with(world, store=open_store(ipfs.url))
    originals = seal_waiting(scene.owner, scene.album, scene.store, 2)
    [batch] = registered(scene)
    assert scene.store.has(batch.cid)
    for uid in originals:
        assert load_capture(world.registry(4), open_store(ipfs.url), scene.album.album_id, uid).manifest.uid == uid


def test_the_contract_accepts_the_proofs(world: World) -> None:
    scene = album_with(world)
    seal_waiting(scene.owner, scene.album, scene.store, 5)
    [batch] = registered(scene)
    registry, album = scene.owner.registry, scene.album.album_id
    finder = Registrations(registry, scene.store)
    for uid in batch.uids:
        found = finder.find(album, uid)
        proof, values = finder.proof(found).siblings, (found.digest, found.key_commit, found.slot)
        assert (found.root, found.block) == (batch.root, batch.block)
        assert registry.verify_capture(album, found.root, uid, *values, proof)
        assert not registry.verify_capture(album, found.root, uid, bytes(32), *values[1:], proof)
        assert not registry.verify_capture(album, found.root, uid, *values[:2], found.slot + 1, proof)
        assert not registry.verify_capture(album, found.root, uid, *values, proof[1:])


@pytest.mark.parametrize("mined", [False, True])
def test_an_interrupted_registration_goes_on(world: World, mined: bool) -> None:
    """Killed before or after the transaction: the list is pinned already, and in the end there is one batch."""
    scene = album_with(world)
    album, store = scene.album, scene.store
    uids = set(seal_waiting(scene.owner, album, store, 3))
    with interrupted(scene.owner.registry, "register_captures", after=mined), pytest.raises(KeyboardInterrupt):
        registered(scene)
    roots = {one.root for one in scene.owner.captures() if one.uid in uids}
    assert len(roots) == 1
    listed = [CaptureList.unpack(files[NAME]) for files in map(store.get, store.pins) if NAME in files]
    assert [{entry.uid for entry in one.entries} for one in listed] == [uids]
    assert [one.registered for one in scene.owner.captures() if one.uid in uids] == [False] * 3

    scene.owner = world.owner()  # another process
    later = set(seal_waiting(scene.owner, album, store, 2))
    assert {one.uid for one in note_mined(scene.owner)} == (uids if mined else set())
    made = registered(scene)
    assert {frozenset(batch.uids) for batch in made} == {frozenset(later)} | ({frozenset(uids)} if not mined else set())
    assert waiting(scene.owner) == [] and {event.root for event in batch_events(scene)} >= roots
    assert len(batch_events(scene)) == 2


def test_what_the_store_has_lost_is_left_out(world: World) -> None:
    """A planned batch of which the store lost a capture before it was sent becomes a batch of the others."""
    scene = album_with(world)
    first, *others = seal_waiting(scene.owner, scene.album, scene.store, 3)
    with interrupted(scene.owner.registry, "register_captures", after=False), pytest.raises(KeyboardInterrupt):
        registered(scene)
    scene.store.unpin(scene.owner.capture(first).cid)
    held = [one for one in waiting(scene.owner) if scene.store.has(one.cid)]
    [batch] = register_batches(scene.owner, scene.store, held)
    assert set(batch.uids) == set(others)
    assert [one.uid for one in waiting(scene.owner)] == [first]


def test_more_than_a_batch_holds_are_several(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scene, done = album_with(world), list[int]()
    uids = set(seal_waiting(scene.owner, scene.album, scene.store, 3))
    monkeypatch.setattr(batches, "MAX_CAPTURES", 2)
    made = register_batches(scene.owner, scene.store, waiting(scene.owner), done.append)
    assert [len(one.uids) for one in made] == [2, 1] and done == [2, 3]
    assert {uid for one in made for uid in one.uids} == uids


def test_a_lost_list_is_made_again_from_the_vault(world: World) -> None:
    scene = album_with(world)
    [uid, _] = seal_waiting(scene.owner, scene.album, scene.store, 2)
    [batch] = registered(scene)
    assert restore_lists(scene.owner, scene.store) == []
    scene.store.unpin(batch.cid)
    with pytest.raises(StoreUnavailable, match="the list of batch"):
        load_capture(scene.owner.registry, scene.store, scene.album.album_id, uid)
    assert restore_lists(scene.owner, scene.store, bytes(32)) == []
    assert restore_lists(scene.owner, scene.store) == [batch.cid]
    assert load_capture(scene.owner.registry, scene.store, scene.album.album_id, uid).manifest.uid == uid


def test_each_epoch_has_a_batch_of_its_own(world: World) -> None:
    scene = album_with(world)
    seal_waiting(scene.owner, scene.album, scene.store, 2)
    second = scene.owner.rotate("album", grant=False).album
    newer = seal_waiting(scene.owner, second, scene.store, 1)
    assert sorted((batch.epoch, len(batch.uids)) for batch in registered(scene)) == [(1, 2), (2, 1)]
    [uid] = newer
    assert load_capture(scene.owner.registry, scene.store, scene.album.album_id, uid).manifest.epoch == 2


def test_a_batch_of_before_is_noted_and_not_sent_again(world: World) -> None:
    """Another process registered the same captures meanwhile; the contract takes a root once."""
    scene, other = album_with(world), world.owner()
    seal_waiting(scene.owner, scene.album, scene.store, 2)
    records = waiting(scene.owner)
    [batch] = register_batches(other, scene.store, records)
    [again] = register_batches(scene.owner, scene.store, records)
    assert (again.root, again.block, again.gas_used) == (batch.root, None, None)
    assert len(batch_events(scene)) == 1
    values = batch.root, bytes(32), 2, 1
    with pytest.raises(Refused):
        scene.owner.registry.register_captures(scene.album.album_id, *values)


def test_the_capture_that_was_registered_by_itself_needs_no_list(world: World) -> None:
    scene = album_with(world)
    [event] = scene.owner.registry.events([CaptureRegistered])
    found = Registrations(scene.owner.registry, None).find(scene.album.album_id, scene.uid)
    assert isinstance(event, CaptureRegistered)
    assert (found.digest, found.block, found.root) == (event.digest, event.block, b"")
    assert scene.store.has(cid_of_digest(found.digest))
