"""Rotating an album: who stays goes on in one transaction, who was revoked does not, an interruption loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ffem_chain.chain import sender
from ffem_chain.chain.connection import Receipt
from ffem_chain.chain.events import EpochOpened, GrantCreated, GrantRevoked, GrantsBatched
from ffem_chain.chain.types import GrantParams
from ffem_chain.errors import InputError, NotForMe, Pending, Refused, Tampered
from ffem_chain.keys.grants import OpenedGrant
from ffem_chain.keys.scope import LEVEL_EPOCH, LEVEL_RANGE
from ffem_chain.keys.tree import LAST_SLOT
from ffem_chain.roles import granting
from ffem_chain.roles.ledger import read_ledger
from ffem_chain.roles.reading import opened_face_key
from ffem_chain.roles.recipient import Recipient

from .world import Scene, World, album_with, interrupted, settle

BOB, CAROL, DAVE = 4, 5, 6


def people(world: World, *indices: int) -> list[Recipient]:
    """Recipients with published keys."""
    found = [world.recipient(index) for index in indices]
    for one in found:
        one.register_key()
    return found


def opens(scene: Scene, who: Recipient, uid: bytes) -> OpenedGrant:
    """Request, release, and the right key."""
    grant = who.find(uid, 0)[0]
    if grant.direct:
        opened = who.open_direct(grant.grant_id)
    else:
        who.request(grant.grant_id)
        settle(*scene.keepers)
        opened = who.collect(grant.grant_id, timeout=0)
    assert opened_face_key(opened, scene.load(who.registry, uid), 0) == scene.owner.face_key(uid, 0)
    return opened


def test_who_stays_opens_what_comes_and_who_was_revoked_does_not(world: World) -> None:
    scene = album_with(world, keepers=(1, 2, 3), threshold=2)
    bob, carol, dave = people(world, BOB, CAROL, DAVE)
    owner = scene.owner
    grants = owner.grant_many(None, None, [bob.wallet, carol.wallet], album="album")
    assert len({one.block for one in grants}) == 1
    direct = owner.grant(None, None, dave.wallet, album="album", direct=True)
    once = owner.grant(scene.uid, 0, dave.wallet)
    opens(scene, carol, scene.uid)
    released = opens(scene, bob, scene.uid)

    result = owner.rotate("album", [grants[0].grant_id], leave_out=[bob.wallet])
    assert (result.album.epoch, result.transactions, result.resumed, result.unknown) == (2, 1, False, 0)
    assert {(one.recipient, one.direct, one.scope.epoch) for one in result.granted} == {
        (carol.wallet, False, 2),
        (dave.wallet, True, 2),
    }
    [revoked] = owner.registry.events([GrantRevoked], grant=grants[0].grant_id)
    [opened] = owner.registry.events([EpochOpened], album=scene.album.album_id, epoch=2)
    assert {revoked.tx, opened.tx} == {event.tx for event in owner.registry.events([GrantsBatched])[1:]}

    new = scene.seal_another(seed=7)
    assert owner.capture(new).epoch == 2
    opens(scene, carol, new)
    opens(scene, dave, new)
    with pytest.raises(Refused, match="not granted"):
        bob.find(new)
    # With the key of the former epoch, which it was released, the new capture stays closed.
    with pytest.raises(NotForMe, match="does not cover"):
        opened_face_key(released, scene.load(bob.registry, new), 0)
    forged = replace(released, scope=replace(released.scope, epoch=2))
    with pytest.raises(Tampered, match="does not match the commitment of the capture"):
        opened_face_key(forged, scene.load(bob.registry, new), 0)
    # What was granted of the former epoch is as it was.
    opens(scene, carol, scene.uid)
    assert {one.grant_id for one in dave.find(scene.uid, 0)} == {direct.grant_id, once.grant_id}


@pytest.mark.parametrize("after", [False, True])
def test_a_rotation_that_died_goes_on(world: World, after: bool) -> None:
    """Between vault and transaction, and between transaction and vault: one epoch, one grant for each, one secret."""
    scene = album_with(world)
    bob, carol = people(world, BOB, CAROL)
    owner = scene.owner
    gone, _ = owner.grant_many(None, None, [bob.wallet, carol.wallet], album="album")
    with interrupted(owner.registry, "rotate", after=after), pytest.raises(KeyboardInterrupt):
        owner.rotate("album", [gone.grant_id], leave_out=[bob.wallet])
    assert owner.album("album").epoch == 1
    secret = owner.epoch_secret(scene.album, 2)
    again = world.owner()
    result = again.rotate("album")  # it need not be told again whom to revoke
    assert result.resumed and result.album.epoch == again.registry.album(scene.album.album_id).epoch == 2
    assert again.epoch_secret(scene.album, 2) == secret
    of_epoch = [e for e in again.grants() if e.scope.epoch == 2]
    events = again.registry.events([GrantCreated], album=scene.album.album_id)
    on_chain = [(one.recipient, one.grant_id) for one in events if isinstance(one, GrantCreated)]
    assert [wallet for wallet, _ in on_chain] == [bob.wallet, carol.wallet, carol.wallet]
    assert [one.grant_id for one in of_epoch] == [on_chain[2][1]]
    assert again.registry.grant_state(gone.grant_id).revoked
    scene.owner = again
    opens(scene, carol, scene.seal_another(seed=3))
    # Nothing is left over: the next rotation is a new one.
    following = again.rotate("album")
    assert not following.resumed and [one.recipient for one in following.granted] == [carol.wallet]


@pytest.mark.parametrize("who", ["nobody", "who goes", "who stays"])
def test_a_rotation_sent_twice_before_it_is_mined(world: World, monkeypatch: pytest.MonkeyPatch, who: str) -> None:
    """Killed while it waits for its block, and run again: one epoch, and the album goes on."""
    scene = album_with(world)
    [bob] = people(world, BOB)
    owner = scene.owner
    there = [] if who == "nobody" else [owner.grant(None, None, bob.wallet, album="album").grant_id]
    gone = there if who == "who goes" else []
    world.rpc("evm_setAutomine", False)
    try:
        with monkeypatch.context() as patch, pytest.raises(Pending):
            patch.setattr(sender, "MINING_SECONDS", 0.1)
            owner.rotate("album", gone)
        world.rpc("evm_setIntervalMining", 1)
        result = world.owner().rotate("album", gone)
    finally:
        world.rpc("evm_setAutomine", True)
    again = world.owner()
    assert (result.resumed, result.album.epoch, again.album("album").epoch) == (True, 2, 2)
    assert again.registry.album(scene.album.album_id).epoch == 2 and again.holds_epoch(again.album("album"), 2)
    of_bob = [e for e in again.registry.events([GrantCreated], recipient=bob.wallet) if isinstance(e, GrantCreated)]
    assert [again.registry.grant_state(e.grant_id).revoked for e in of_bob] == {
        "nobody": [],
        "who goes": [True],
        "who stays": [False, False],
    }[who]
    scene.owner = again
    assert again.capture(scene.seal_another(seed=3)).epoch == 2
    following = again.rotate("album")
    assert not following.resumed and following.album.epoch == 3


def test_more_than_a_transaction_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first page rotates, the others follow; a death between two pages leaves the rest for the next call."""
    scene = album_with(world)
    wallets = [one.wallet for one in people(world, BOB, CAROL, DAVE, 7, 8)]
    owner = scene.owner
    owner.grant_many(None, None, wallets, album="album")
    room = granting._GAS_OF_GRANT + granting._GAS_OF_BYTE * 244
    monkeypatch.setattr(granting, "_MOST_GAS", 2 * room)
    told: list[tuple[int, int]] = []
    with interrupted(owner.registry, "grant_batch", after=True), pytest.raises(KeyboardInterrupt):
        owner.rotate("album", on_page=lambda *page: told.append(page))
    assert told == [(2, 5)]
    again = world.owner()
    assert again.album("album").epoch == 2  # what is sealed now is of the new epoch already
    rest = again.rotate("album")
    assert (rest.resumed, rest.album.epoch, rest.transactions, len(rest.granted)) == (True, 2, 1, 1)
    on_chain = again.registry.events([GrantCreated], album=scene.album.album_id)
    assert sorted(e.recipient for e in on_chain[5:] if isinstance(e, GrantCreated)) == sorted(wallets)


def test_ranges_go_on_and_what_is_over_does_not(world: World) -> None:
    scene = album_with(world)
    bob, carol, dave = people(world, BOB, CAROL, DAVE)
    owner, now = scene.owner, owner_slot(scene)
    expires = datetime.now(UTC) + timedelta(days=3)
    coming = owner.grant(None, None, bob.wallet, album="album", slots=(now - 60, now + 10_000), expires=expires)
    owner.grant(None, None, carol.wallet, album="album", slots=(now - 100, now - 50))
    owner.grant(None, None, dave.wallet, album="album")
    expired = owner.grant(None, None, carol.wallet, album="album", expires=datetime.now(UTC) + timedelta(hours=1))
    world.pass_time(timedelta(hours=2))
    result = owner.rotate("album")
    assert {(one.recipient, one.scope.level, one.scope.span, one.expiry) for one in result.granted} == {
        (bob.wallet, LEVEL_RANGE, coming.scope.span, coming.expiry),
        (dave.wallet, LEVEL_EPOCH, (0, LAST_SLOT), 0),
    }
    assert expired.grant_id not in {one.grant_id for one in result.granted}


def owner_slot(scene: Scene) -> int:
    """Slot of the scene's capture: now."""
    return scene.owner.capture(scene.uid).slot


def test_who_cannot_be_granted_anew_is_named(world: World) -> None:
    scene = album_with(world)
    bob, carol = people(world, BOB, CAROL)
    owner = scene.owner
    owner.grant_many(None, None, [bob.wallet, carol.wallet], album="album")
    bob.mark_compromised(1)
    result = owner.rotate("album")
    assert [one.recipient for one in result.granted] == [carol.wallet]
    [(wallet, why)] = result.left_out
    assert wallet == bob.wallet and "no active encryption key" in why


def test_nobody_is_granted_where_that_is_asked_for(world: World) -> None:
    scene = album_with(world)
    [bob] = people(world, BOB)
    scene.owner.grant(None, None, bob.wallet, album="album")
    result = scene.owner.rotate("album", grant=False)
    assert result.granted == () and result.transactions == 1
    with pytest.raises(Refused, match="not granted"):
        bob.find(scene.seal_another(seed=2))


def test_an_album_rotated_with_another_vault(world: World) -> None:
    """A camera with an older vault seals nothing more under an epoch that has ended."""
    scene = album_with(world)
    old = world.vault("w0").path.read_bytes()
    scene.owner.rotate("album")
    assert world.owner().follow_epoch(world.owner().album("album")).epoch == 2
    world.vault("w0").path.write_bytes(old)
    camera = world.owner()
    with pytest.raises(Refused, match="is at epoch 2 on the chain"):
        camera.follow_epoch(camera.album("album"))
    with pytest.raises(Refused, match="is at epoch 2 on the chain"):
        camera.rotate("album")


def test_an_interrupted_rotation_is_followed_by_who_seals(world: World) -> None:
    scene = album_with(world)
    with interrupted(scene.owner.registry, "rotate", after=True), pytest.raises(KeyboardInterrupt):
        scene.owner.rotate("album")
    camera = world.owner()
    assert camera.album("album").epoch == 1
    assert camera.follow_epoch(camera.album("album")).epoch == 2
    assert camera.album("album").epoch == 2


def test_a_batch_is_read_from_all_its_logs(world: World) -> None:
    """Its head covers every grant of it; each opens by itself, after others of it did."""
    scene = album_with(world)
    bob, carol = people(world, BOB, CAROL)
    first, second = scene.owner.grant_many(scene.uid, None, [bob.wallet, carol.wallet])
    heads = {scene.owner.registry.grant_state(one.grant_id).head for one in (first, second)}
    assert len(heads) == 1
    opens(scene, carol, scene.uid)
    opens(scene, bob, scene.uid)
    ledgers = [read_ledger(bob.registry, one.grant_id) for one in (first, second)]
    assert ledgers[0].genesis == ledgers[1].genesis and ledgers[0].state.head != ledgers[1].state.head
    [batched] = bob.registry.events([GrantsBatched], album=scene.album.album_id)
    assert isinstance(batched, GrantsBatched) and batched.head == ledgers[0].genesis


@pytest.mark.parametrize("after", [False, True])
def test_many_grants_that_were_interrupted_go_on(world: World, monkeypatch: pytest.MonkeyPatch, after: bool) -> None:
    """Killed at the second of three transactions, before or after it: the same call makes what is missing, once."""
    scene = album_with(world)
    wallets = [one.wallet for one in people(world, BOB, CAROL, 6)]
    monkeypatch.setattr(granting, "_MOST_BYTES", 1)
    expires = datetime.now(UTC) + timedelta(days=30)
    registry = scene.owner.registry
    first = registry.grant_batch
    sent: list[int] = []

    def dies_at_the_second(grants: Sequence[GrantParams]) -> Receipt:
        sent.append(1)
        if len(sent) == 2:
            if after:
                first(grants)
            raise KeyboardInterrupt
        return first(grants)

    monkeypatch.setattr(registry, "grant_batch", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        scene.owner.grant_many(scene.uid, None, wallets, expires=expires)
    again = world.owner()
    assert len([one for one in again.grants() if one.sent]) == 1
    told: list[tuple[int, int]] = []
    later = expires + timedelta(seconds=30)  # "in 30 days", said a little later
    made = again.grant_many(scene.uid, None, wallets, expires=later, on_page=lambda *both: told.append(both))
    assert sorted(one.recipient for one in made) == sorted(wallets) and all(one.sent and one.block for one in made)
    events = again.registry.events([GrantCreated], album=scene.album.album_id)
    assert {one.grant_id for one in made} == {one.grant_id for one in again.grants()} and len(events) == 3
    assert told[-1] == (3, 3) and len(told) == (1 if after else 2)
    # It is over: the same words grant once more.
    more = again.grant_many(scene.uid, None, wallets, expires=later)
    assert not {one.grant_id for one in more} & {one.grant_id for one in made}


def test_other_grants_do_not_go_on_with_those_that_were_interrupted(world: World) -> None:
    scene = album_with(world)
    wallets = [one.wallet for one in people(world, BOB, CAROL)]
    with interrupted(scene.owner.registry, "grant_batch", after=False), pytest.raises(KeyboardInterrupt):
        scene.owner.grant_many(scene.uid, None, wallets)
    expires = datetime.now(UTC) + timedelta(days=1)
    made = world.owner().grant_many(scene.uid, None, wallets, expires=expires)
    assert {one.expiry for one in made} == {int(expires.timestamp())}
    assert len(world.owner().grants()) == 4 and len(world.owner().unsent()) == 2


def test_nothing_is_granted_unless_all_can_be(world: World) -> None:
    scene = album_with(world)
    [bob] = people(world, BOB)
    others = [world.accounts[index].address for index in (7, 8)]
    with pytest.raises(Refused, match="2 of 3 cannot be granted: recipient 0x"):
        scene.owner.grant_many(scene.uid, None, [bob.wallet, *others])
    assert scene.owner.grants() == []
    assert not scene.owner.registry.events([GrantCreated], album=scene.album.album_id)


def test_many_are_revoked_at_once(world: World) -> None:
    scene = album_with(world)
    bob, carol = people(world, BOB, CAROL)
    made = scene.owner.grant_many(scene.uid, None, [bob.wallet, carol.wallet])
    results = scene.owner.revoke_many([one.grant_id for one in made])
    assert len({one.block for one in results}) == 1 and not any(one.opened for one in results)
    # again: the same outcome
    assert [one.block for one in scene.owner.revoke_many([one.grant_id for one in made])] == [results[0].block] * 2


def test_impossible_rotations(world: World, other_world: World) -> None:
    scene = album_with(world)
    with pytest.raises(InputError, match="no album"):
        scene.owner.rotate("other")
    elsewhere = other_world.registry(0)
    scene.owner._registry = elsewhere
    with pytest.raises(Refused, match="not on this deployment"):
        scene.owner.rotate("album")


def test_a_rotation_that_went_on_without_its_end_and_more_to_revoke(world: World) -> None:
    """The epoch of the interrupted one has begun, with a grant for whom it now is to end: another epoch begins."""
    scene = album_with(world)
    bob, carol = people(world, BOB, CAROL)
    first, _ = scene.owner.grant_many(None, None, [bob.wallet, carol.wallet], album="album")
    with interrupted(scene.owner.registry, "rotate", after=True), pytest.raises(KeyboardInterrupt):
        scene.owner.rotate("album")
    again = world.owner()
    result = again.rotate("album", [first.grant_id], leave_out=[bob.wallet])
    assert result.album.epoch == 3 and [one.recipient for one in result.granted] == [carol.wallet]
    scene.owner = again
    with pytest.raises(Refused, match="not granted"):
        bob.find(scene.seal_another(seed=5))
