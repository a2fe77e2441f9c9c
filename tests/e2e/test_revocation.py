"""Revocation at every moment of a release, and what is said about what stays open."""

from __future__ import annotations

import pytest

from ffem_chain.chain.events import GrantOpened, GrantRevoked, ReleaseCommitted
from ffem_chain.errors import InputError, Refused

from .world import World, album_with, interrupted, kinds, settle


def test_before_the_request(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    result = scene.owner.revoke(record.grant_id)
    assert not result.opened and result.routes == ()
    assert "before it was opened" in result.text
    with pytest.raises(Refused, match="revoked"):
        bob.find(scene.uid, 0)
    with pytest.raises(Refused, match=f"revoked at block {result.block}, before it was opened"):
        bob.request(record.grant_id)
    key = b"\x01" + bob.keys()[0].public
    with pytest.raises(Refused):
        bob.registry.request_access(record.grant_id, key)


def test_between_request_and_commit(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    assert not scene.owner.revoke(record.grant_id).opened
    assert kinds(settle(*scene.keepers)) == ["requested", "refused"]
    with pytest.raises(Refused, match="before it was opened"):
        bob.collect(record.grant_id, timeout=5)
    assert not bob.registry.events([ReleaseCommitted])


def test_as_the_commit_is_sent(world: World) -> None:
    """The keeper has looked, the owner revokes, the commit arrives: the contract refuses it, no share was shown."""
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    keeper = scene.keepers[0]
    send = keeper.registry.commit_release

    def too_late(*args: object) -> object:
        scene.owner.revoke(record.grant_id)
        return send(*args)

    keeper.registry.commit_release = too_late
    assert kinds(keeper.step()) == ["requested", "refused"]
    keeper.registry.commit_release = send
    assert settle(keeper) == []
    assert not bob.registry.events([ReleaseCommitted])


def test_between_two_commits(world: World) -> None:
    scene = album_with(world, keepers=(1, 2, 3), threshold=2)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    settle(scene.keepers[0])
    result = scene.owner.revoke(record.grant_id)
    assert not result.opened and result.routes == ()
    assert sorted(kinds(settle(*scene.keepers[1:]))) == ["refused", "refused", "requested", "requested"]
    with pytest.raises(Refused, match="before it was opened"):
        bob.collect(record.grant_id, timeout=5)
    assert [c.index for c in bob.registry.events([ReleaseCommitted])] == [0]
    revoked = bob.registry.events([GrantRevoked])[0]
    assert (revoked.opened, revoked.released) == (False, 1)
    assert not bob.registry.events([GrantOpened])


def test_after_the_opening(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    settle(*scene.keepers)
    result = scene.owner.revoke(record.grant_id)
    opened = bob.registry.events([GrantOpened])[0]
    assert result.opened and result.opened_block == opened.block
    assert result.text.startswith(f"opened at block {opened.block}, cannot be recalled")
    assert result.routes == ()  # it is no other way to the key than itself
    # What was released before the revocation can still be collected; a new request cannot.
    assert bob.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)
    with pytest.raises(Refused, match="after it had been opened"):
        bob.request(record.grant_id)
    # It stays listed as a way to the key.
    routes = scene.owner.routes(scene.uid, 0, bob.wallet)
    assert [(route.kind, route.grant_id) for route in routes] == [("opened", record.grant_id)]


def test_routes_that_stay_open(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    face = scene.owner.grant(scene.uid, 0, bob.wallet)
    whole = scene.owner.grant(scene.uid, None, bob.wallet)
    epoch = scene.owner.grant(None, None, bob.wallet, album="album")
    direct = scene.owner.grant(scene.uid, 0, bob.wallet, direct=True)
    other_face = scene.owner.grant(scene.uid, 1, bob.wallet)
    other = scene.seal_another(seed=5)
    scene.owner.grant(other, None, bob.wallet)

    result = scene.owner.revoke(face.grant_id)
    assert {(r.kind, r.grant_id) for r in result.routes} == {
        ("live", whole.grant_id),
        ("live", epoch.grant_id),
        ("direct", direct.grant_id),
    }
    assert all(route.whole for route in result.routes)
    assert any("cannot be revoked" in route.text for route in result.routes)
    # Of the whole capture, a grant of one face is a part.
    parts = [r for r in scene.owner.routes(scene.uid, None, bob.wallet) if not r.whole]
    assert {r.grant_id for r in parts} == {other_face.grant_id, direct.grant_id}

    results = scene.owner.revoke_all(scene.uid, bob.wallet)
    assert {r.grant_id for r in results} == {whole.grant_id, direct.grant_id, other_face.grant_id}
    assert [(r.opened, r.opened_block) for r in results if r.grant_id == direct.grant_id] == [(True, direct.block)]
    left = scene.owner.routes(scene.uid, 0, bob.wallet)
    assert {(r.kind, r.grant_id) for r in left} == {("live", epoch.grant_id), ("direct", direct.grant_id)}
    with pytest.raises(InputError, match="no grant"):
        scene.owner.revoke_all(scene.uid, bob.wallet)


def test_grants_this_vault_does_not_know_are_listed(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    with scene.owner.vault.edit() as data:
        data["owner"]["grants"] = {}
    routes = scene.owner.routes(scene.uid, 0, bob.wallet)
    assert [(route.kind, route.grant_id) for route in routes] == [("unknown", record.grant_id)]


@pytest.mark.parametrize("after", [False, True])
def test_interrupted_revocation_and_grant(world: World, after: bool) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    with interrupted(scene.owner.registry, "grant", after=after), pytest.raises(KeyboardInterrupt):
        scene.owner.grant(scene.uid, 0, bob.wallet)
    owner = world.owner()
    (record,) = owner.grants()
    assert not record.sent
    assert len(owner.unsent()) == (0 if after else 1)
    if not after:
        with pytest.raises(Refused, match="never reached the chain"):
            owner.revoke(record.grant_id)
        return
    with interrupted(owner.registry, "revoke", after=True), pytest.raises(KeyboardInterrupt):
        owner.revoke(record.grant_id)
    again = world.owner().revoke(record.grant_id)
    assert not again.opened
    assert len(owner.registry.events([GrantRevoked])) == 1


def test_a_direct_grant_is_not_said_to_be_revoked(world: World) -> None:
    """The chain records the revocation; the words say that it changes nothing."""
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet, direct=True)
    result = scene.owner.revoke(record.grant_id)
    assert result.direct and "cannot be revoked" in result.text and "opens as before" in result.text
    assert "no further request" not in result.text
    assert bob.open_direct(record.grant_id).key == scene.owner.face_key(scene.uid, 0)
