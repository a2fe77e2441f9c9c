"""The keeper against crashes, reorganisations, outages and chains that are not the one it served."""

from __future__ import annotations

import threading

import pytest

from ffem_chain.chain.events import ReleaseCommitted, ShareDelivered
from ffem_chain.errors import ChainUnavailable
from ffem_node.keeper import Action, OtherDeployment

from .world import World, album_with, interrupted, kinds, settle


@pytest.mark.parametrize("call", ["commit_release", "deliver"])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_each_transaction(world: World, call: str, after: bool) -> None:
    """Killed before or after sending, a keeper started anew goes on with the same bytes and commits once."""
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    keeper = scene.keepers[0]
    with interrupted(keeper.registry, call, after=after), pytest.raises(KeyboardInterrupt):
        settle(keeper)
    (job,) = world.keeper(1)._state(world.vault("w1").read())["jobs"].values()
    assert job["sealed"]

    settle(world.keeper(1))
    (commit,) = bob.registry.events([ReleaseCommitted])
    (delivery,) = bob.registry.events([ShareDelivered])
    assert commit.digest == job["digest"]
    assert delivery.sealed_share == job["sealed"]
    assert bob.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)
    assert settle(world.keeper(1)) == []


def test_confirmations(world: World) -> None:
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    keeper = world.keeper(1, confirmations=3)
    assert kinds(settle(keeper)) == ["requested"]
    world.mine(2)
    assert kinds(settle(keeper)) == ["committed"]
    assert not bob.registry.events([ShareDelivered])
    world.mine(2)
    assert kinds(settle(keeper)) == ["delivered", "done"]
    assert bob.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)


@pytest.mark.parametrize("delivered", [False, True])
def test_reorganisation_after_the_commit(world: World, delivered: bool) -> None:
    """A reorganisation drops the commit (and the delivery): the keeper submits the same bytes again."""
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    keeper = scene.keepers[0]
    assert kinds(keeper.step()) == ["requested", "committed"]
    (before,) = bob.registry.events([ReleaseCommitted])
    if delivered:
        assert kinds(keeper.step()) == ["delivered"]
    world.reorganise(2 if delivered else 1)
    assert not world.registry(4).events([ReleaseCommitted])

    settle(world.keeper(1))
    fresh = world.recipient(4)
    (after,) = fresh.registry.events([ReleaseCommitted])
    assert after.digest == before.digest and after.block_hash != before.block_hash
    assert fresh.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)


def test_reorganisation_drops_the_request(world: World) -> None:
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    keeper = scene.keepers[0]
    assert kinds(keeper.step()) == ["requested", "committed"]
    world.reorganise(2)
    settle(world.keeper(1))
    # The request is gone for good; the recipient asks again, with a fresh key, and is answered.
    again = world.recipient(4)
    assert again.request(record.grant_id).seq == 1
    settle(world.keeper(1))
    assert again.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)


def test_runs_through_an_outage(world: World) -> None:
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    keeper = scene.keepers[0]
    latest = keeper.registry.latest_block
    failures = iter([True, True])

    def flaky() -> int:
        if next(failures, False):
            raise ChainUnavailable("the RPC does not answer")
        return latest()

    keeper.registry.latest_block = flaky
    stop, seen = threading.Event(), list[Action]()
    process = threading.Thread(target=keeper.run, args=(stop, seen.append), kwargs={"poll": 0.05})
    process.start()
    try:
        bob.request(record.grant_id)
        assert bob.collect(record.grant_id, timeout=30).key == scene.owner.face_key(scene.uid, 0)
    finally:
        stop.set()
        process.join(10)
    assert not process.is_alive()
    assert kinds(seen)[:2] == ["offline", "online"]
    assert "delivered" in kinds(seen)


def test_refuses_another_deployment(world: World, other_world: World) -> None:
    album_with(world, keepers=(1,))
    keeper = other_world.keeper(1)
    keeper.vault = world.vault("w1")
    with pytest.raises(OtherDeployment, match="serves deployment"):
        keeper.step()
    stop = threading.Event()
    with pytest.raises(OtherDeployment):
        keeper.run(stop)
    keeper.adopt_deployment()
    assert keeper.step() == []
