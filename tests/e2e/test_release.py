"""Release through keepers on a real chain: who may open, when, and what is said where not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from eth_utils import keccak

from ffem_chain.chain.events import AccessRequested, GrantOpened, ReleaseCommitted, ShareDelivered
from ffem_chain.chain.types import GrantParams, KeyStatus
from ffem_chain.errors import NotForMe, Pending, Refused, Tampered
from ffem_chain.keys.grants import seal_release
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import SECP256K1, XWING
from ffem_chain.roles.ledger import read_ledger
from ffem_chain.roles.reading import opened_face_key

from .world import World, album_with, interrupted, kinds, settle


def test_two_of_three_with_one_dead(world: World) -> None:
    scene = album_with(world, keepers=(1, 2, 3), threshold=2)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    request = bob.request(record.grant_id)
    assert (request.seq, request.resumed) == (1, False)
    with pytest.raises(Pending) as waiting:
        bob.collect(record.grant_id, timeout=0)
    assert all(world.accounts[i].address in waiting.value.message for i in (1, 2, 3))

    actions = settle(scene.keepers[0])
    assert kinds(actions) == ["requested", "committed", "waiting"]
    with pytest.raises(Pending) as waiting:
        bob.collect(record.grant_id, timeout=0)
    assert f"0 of 2 shares; committed, not delivered yet: {world.accounts[1].address};" in waiting.value.message
    # No share is shown before two are bound to be.
    assert not bob.registry.events([ShareDelivered])

    actions = settle(*scene.keepers[:2])
    assert sorted(kinds(actions)) == ["committed", "delivered", "delivered", "done", "done", "requested"]
    seen = []
    opened = bob.collect(record.grant_id, timeout=0, on_progress=seen.append)
    assert seen[-1].silent == (world.accounts[3].address,)
    assert opened.key == scene.owner.face_key(scene.uid, 0)
    assert bob.vault.read()["recipient"][bob.registry.deployment_id.hex()] == {}


def test_a_wrong_share_is_named_and_skipped(world: World) -> None:
    scene = album_with(world, keepers=(1, 2, 3), threshold=2)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 1, bob.wallet)
    bob.request(record.grant_id)
    deliver_wrong(world, 1, record.grant_id)
    with pytest.raises(Pending) as waiting:
        bob.collect(record.grant_id, timeout=0)
    assert f"wrong shares from {world.accounts[1].address}" in waiting.value.message
    settle(*scene.keepers[1:])
    seen = []
    opened = bob.collect(record.grant_id, timeout=0, on_progress=seen.append)
    assert seen[-1].wrong == (world.accounts[1].address,)
    assert opened.key == scene.owner.face_key(scene.uid, 1)


def test_a_keeper_that_answers_rightly_later_is_not_called_wrong(world: World) -> None:
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 1, bob.wallet)
    bob.request(record.grant_id)
    deliver_wrong(world, 1, record.grant_id)
    with pytest.raises(Tampered, match=world.accounts[1].address):
        bob.collect(record.grant_id, timeout=0)
    assert bob.request(record.grant_id).seq == 2
    settle(*scene.keepers)
    seen = []
    opened = bob.collect(record.grant_id, timeout=0, on_progress=seen.append)
    assert (seen[-1].good, seen[-1].wrong) == ((world.accounts[1].address,), ())
    assert opened.key == scene.owner.face_key(scene.uid, 1)


def test_wrong_shares_that_leave_too_few_keepers(world: World) -> None:
    scene = album_with(world, keepers=(1, 2), threshold=2)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, None, bob.wallet)
    bob.request(record.grant_id)
    deliver_wrong(world, 2, record.grant_id)
    with pytest.raises(Tampered, match=world.accounts[2].address):
        bob.collect(record.grant_id, timeout=0)


def test_a_wrong_answer_is_asked_for_again(world: World) -> None:
    """What was answered wrongly is no request to go on waiting for, as long as another one is possible."""
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    assert bob.outstanding(record.grant_id) is not None
    deliver_wrong(world, 1, record.grant_id)
    assert bob.outstanding(record.grant_id) is None
    with pytest.raises(Tampered, match="too few keepers"):
        bob.collect(record.grant_id, timeout=0)
    assert bob.request(record.grant_id).seq == 2
    settle(*scene.keepers)
    assert bob.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)


def deliver_wrong(world: World, account: int, grant: bytes) -> None:
    """A malicious keeper: commits to and delivers a well-sealed share that is not its own."""
    registry = world.registry(account)
    ledger = read_ledger(registry, grant)
    request, index = ledger.requests[ledger.state.seq], ledger.keepers.index(world.accounts[account].address)
    context = ledger.context(registry.deployment_id)
    sealed = seal_release(
        Secret.random(), request.request_key, context, ledger.created.scope_commit, request.seq, index
    )
    registry.commit_release(grant, request.seq, index, keccak(sealed))
    ledger = read_ledger(registry, grant)
    commit = ledger.commit_of(request.seq, index)
    assert commit is not None
    before, later = ledger.proof(commit)
    registry.deliver(grant, request.seq, index, before, later, sealed)


def test_without_a_grant(world: World) -> None:
    scene = album_with(world)
    bob, stranger = world.recipient(4), world.recipient(5)
    bob.register_key()
    stranger.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    assert stranger.grants() == []
    with pytest.raises(Refused, match="not granted"):
        stranger.find(scene.uid, 0)
    with pytest.raises(NotForMe, match=bob.wallet):
        stranger.request(record.grant_id)
    # Not only this library refuses: so does the contract.
    with pytest.raises(Refused):
        stranger.registry.request_access(record.grant_id, b"\x01" + stranger.keys()[0].public)
    with pytest.raises(Refused):
        stranger.request(b"\x11" * 32)


def test_stale_key_version(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    first = bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    # Rotating keeps what was granted before open.
    assert bob.rotate_key() == first + 1
    bob.request(record.grant_id)
    settle(*scene.keepers)
    assert bob.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)
    # A vault without the old private half says which version is missing, and what to do.
    bob.ring.destroy(first)
    with pytest.raises(NotForMe, match=f"version {first}") as missing:
        bob.request(record.grant_id)
    assert "grant again" in missing.value.hint
    with pytest.raises(NotForMe, match=f"version {first}"):
        bob.find(scene.uid, 0)
    # The chain takes no grant to a version that is not active.
    album = scene.owner.album("album")
    params = GrantParams(album.album_id, b"\x01" * 32, b"\x02" * 32, bob.wallet, first, 0, 0, b"payload")
    with pytest.raises(Refused):
        scene.owner.registry.grant(params)


def test_recipient_or_keeper_without_a_key(world: World) -> None:
    scene = album_with(world, keepers=(1,))
    with pytest.raises(Refused, match=f"recipient {world.accounts[4].address}"):
        scene.owner.grant(scene.uid, 0, world.accounts[4].address)
    bob = world.recipient(4)
    bob.register_key(XWING)
    with pytest.raises(Refused, match=f"keeper {world.accounts[1].address} has no active .* suite 2"):
        scene.owner.grant(scene.uid, 0, bob.wallet, suite=XWING)


def test_keepers_must_have_accepted(world: World) -> None:
    scene = album_with(world, keepers=(1, 2), accept=(1,))
    bob = world.recipient(4)
    bob.register_key()
    with pytest.raises(Refused, match="not all accepted"):
        scene.owner.grant(scene.uid, 0, bob.wallet)
    proposal = world.keeper(2).proposals()[0]
    assert not proposal.accepted
    world.keeper(2).accept(proposal.keeper_set)
    assert world.keeper(2).proposals()[0].accepted
    assert scene.owner.grant(scene.uid, 0, bob.wallet).sent


def test_compromised_key_gets_nothing(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    version = bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    bob.mark_compromised(version)
    actions = settle(*scene.keepers)
    assert kinds(actions) == ["requested", "refused"]
    assert "compromised" in actions[-1].text
    assert not bob.registry.events([ReleaseCommitted])
    assert bob.keys()[0].status is KeyStatus.COMPROMISED


def test_request_key_is_never_answered_twice(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    first, second = (scene.owner.grant(scene.uid, face, bob.wallet) for face in (0, 1))
    bob.request(first.grant_id)
    used = read_ledger(bob.registry, first.grant_id).requests[1].request_key
    bob.registry.request_access(second.grant_id, used)
    actions = settle(*scene.keepers)
    refused = [action for action in actions if action.kind == "refused"]
    assert [action.grant_id for action in refused] == [second.grant_id]
    assert "used before" in refused[0].text


def test_request_keys_that_are_none(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    for wrong in (b"", b"\x01", b"\x07" + bytes(33), b"\x01\x02" + b"\xff" * 32, b"\x02" + bytes(1216)):
        bob.registry.request_access(record.grant_id, wrong)
        assert kinds(settle(*scene.keepers)) == ["requested", "refused"]
    # After all that, an honest request is answered.
    bob.request(record.grant_id)
    settle(*scene.keepers)
    assert bob.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)


def test_limit_per_wallet(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    keeper = world.keeper(0, limit_per_wallet=1)
    records = [scene.owner.grant(scene.uid, face, bob.wallet) for face in (0, 1)]
    for record in records:
        bob.request(record.grant_id)
    actions = settle(keeper)
    assert sorted(kinds(actions)).count("committed") == 1
    assert "limited" in kinds(actions)
    # The limit delays, it does not refuse.
    assert kinds(settle(world.keeper(0, limit_per_wallet=2))) == ["committed", "delivered", "done"]


def test_expiry(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    soon = datetime.fromtimestamp(world.now() + 100, UTC)
    record = scene.owner.grant(scene.uid, 0, bob.wallet, expires=soon)
    bob.request(record.grant_id)
    world.pass_time(timedelta(seconds=200))
    actions = settle(*scene.keepers)
    assert kinds(actions) == ["requested", "refused"] and "expired" in actions[-1].text
    with pytest.raises(Refused, match="expired"):
        bob.collect(record.grant_id, timeout=0)
    with pytest.raises(Refused, match="expired"):
        bob.request(record.grant_id)
    with pytest.raises(Refused, match="expired"):
        bob.find(scene.uid, 0)


def test_a_newer_request_supersedes(world: World) -> None:
    scene = album_with(world, keepers=(1, 2), threshold=2)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    settle(scene.keepers[0])
    # One keeper has answered, so this is a new request with a new key; the late keeper answers the new one only.
    assert bob.request(record.grant_id).seq == 2
    settle(*scene.keepers)
    commits = {(c.seq, c.index) for c in bob.registry.events([ReleaseCommitted], grant=record.grant_id)}
    assert commits == {(1, 0), (2, 0), (2, 1)}
    assert bob.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)


@pytest.mark.parametrize("after", [False, True])
def test_interrupted_request_is_resumed(world: World, after: bool) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    with interrupted(bob.registry, "request_access", after=after), pytest.raises(KeyboardInterrupt):
        bob.request(record.grant_id)
    again = world.recipient(4)
    request = again.request(record.grant_id)
    assert (request.seq, request.resumed) == (1, after)
    settle(*scene.keepers)
    assert again.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)
    assert len(again.registry.events([AccessRequested], grant=record.grant_id)) == 1


def test_each_opening_leaves_a_receipt(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    for opening in (1, 2):
        with pytest.raises(Refused, match="no request"):
            bob.collect(record.grant_id, timeout=0)
        bob.request(record.grant_id)
        settle(*scene.keepers)
        bob.collect(record.grant_id, timeout=0)
        assert len(bob.registry.events([ReleaseCommitted], grant=record.grant_id)) == opening
    assert len(bob.registry.events([GrantOpened], grant=record.grant_id)) == 1


def test_suite_two_where_all_have_it(world: World) -> None:
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key(SECP256K1)
    bob.register_key(XWING)
    assert scene.owner.grant(scene.uid, 0, bob.wallet).suite == SECP256K1
    world.keeper(1).ring.register(XWING)
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    assert record.suite == XWING
    bob.request(record.grant_id)
    settle(*scene.keepers)
    assert bob.collect(record.grant_id, timeout=0).key == scene.owner.face_key(scene.uid, 0)


def test_direct_grant_opens_without_a_receipt(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, None, bob.wallet, direct=True)
    found = bob.find(scene.uid, 1)
    assert [grant.grant_id for grant in found] == [record.grant_id]
    assert "cannot be revoked" in found[0].text
    opened = bob.open_direct(record.grant_id)
    capture = scene.load(bob.registry)
    assert opened_face_key(opened, capture, 1) == scene.owner.face_key(scene.uid, 1)
    assert not bob.registry.events([AccessRequested, ReleaseCommitted, ShareDelivered])
    with pytest.raises(Refused, match="without a request"):
        bob.request(record.grant_id)


def test_epoch_grant_covers_its_epoch_only(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(None, None, bob.wallet, album="album")
    scene.owner.rotate("album", grant=False)
    later = scene.seal_another(seed=3)
    bob.request(record.grant_id)
    settle(*scene.keepers)
    opened = bob.collect(record.grant_id, timeout=0)
    assert opened_face_key(opened, scene.load(bob.registry), 0) == scene.owner.face_key(scene.uid, 0)
    with pytest.raises(NotForMe):
        opened_face_key(opened, scene.load(bob.registry, later), 0)
    with pytest.raises(Refused, match="not granted"):
        bob.find(later, 0)


def test_an_old_vault_opens_no_epoch(world: World) -> None:
    """Restored from a copy made before an epoch, it would publish secrets under the numbers of others."""
    scene = album_with(world)
    vault = scene.owner.vault.path
    copy = vault.read_bytes()
    scene.owner.rotate("album", grant=False)
    newer = vault.read_bytes()
    vault.write_bytes(copy)
    with pytest.raises(Refused, match="at epoch 2 on the chain, whose secret this vault does not hold"):
        scene.owner.rotate("album", grant=False)
    vault.write_bytes(newer)
    assert scene.owner.rotate("album").album.epoch == 3


def test_owner_gone(world: World) -> None:
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, None, bob.wallet)
    expected = scene.owner.capture_key(scene.uid)
    (world.folder / "w0.vault").unlink()
    bob.request(record.grant_id)
    settle(*scene.keepers)
    assert bob.collect(record.grant_id, timeout=0).key == expected


def test_unused_keys_are_destroyed(world: World) -> None:
    scene = album_with(world, keepers=(1,))
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    keeper = world.keeper(1)
    old = keeper.registry.active_key(keeper.wallet, SECP256K1)
    keeper.rotate_key()
    assert keeper.destroy_unused_keys() == []
    scene.owner.revoke(record.grant_id)
    assert keeper.destroy_unused_keys() == [old]
    with pytest.raises(NotForMe):
        keeper.ring.private(old)
    assert keeper.destroy_unused_keys() == []
