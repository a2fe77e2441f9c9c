"""Owners, recipients, keepers and nodes of ill will against an honest keeper: they may fail, others must not."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable

import pytest
from support.rpc_proxy import RpcProxy

from ffem_chain.chain.events import AccessRequested, ReleaseCommitted, ShareDelivered
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantParams
from ffem_chain.errors import ChainUnavailable, FormatError, InputError, Pending, Tampered
from ffem_chain.keys.grants import open_grant, open_keeper_share, open_release, parse_payload
from ffem_chain.keys.suites import SECP256K1, PrivateKey
from ffem_chain.roles.keyring import address_bytes
from ffem_chain.roles.ledger import read_ledger
from ffem_node import keeper as keeper_module
from ffem_node.docket import take_turns
from ffem_node.keeper import Action

from .world import Scene, World, album_with, kinds, settle


def granted(world: World, keepers: tuple[int, ...] = (1,), threshold: int = 1) -> tuple[Scene, bytes]:
    """An album with keepers, and a grant of face 0 to account 4."""
    scene = album_with(world, keepers=keepers, threshold=threshold)
    bob = world.recipient(4)
    bob.register_key()
    return scene, scene.owner.grant(scene.uid, 0, bob.wallet).grant_id


def raw_grant(scene: Scene, recipient: str, payload: bytes) -> bytes:
    """A grant through the album's keepers with any payload."""
    registry, album = scene.owner.registry, scene.album.album_id
    params = GrantParams(
        album, secrets.token_bytes(32), b"\x01" * 32, recipient, 1, 0, registry.album(album).current_keeper_set, payload
    )
    registry.grant(params)
    return params.grant_id


def payload_of(scene: Scene, grant: bytes) -> bytes:
    return read_ledger(scene.owner.registry, grant).created.payload


@pytest.mark.parametrize("revoked", [False, True])
def test_one_dishonest_keeper_of_three_opens_nothing(world: World, revoked: bool) -> None:
    """Two of three are needed. One honest keeper has committed, the dishonest one passes its share on off the record:
    with what the chain shows, that is one share too few, for ever where the grant is revoked now."""
    scene, grant = granted(world, (1, 2, 3), threshold=2)
    bob = world.recipient(4)
    bob.request(grant)
    settle(scene.keepers[0])
    if revoked:
        assert not scene.owner.revoke(grant).opened
    settle(*scene.keepers[: 1 if not revoked else 2])

    ledger = read_ledger(bob.registry, grant)
    assert [commit.index for commit in ledger.commits] == [0]
    payload = parse_payload(ledger.created.payload, SECP256K1, 3)
    context, commit = ledger.context(bob.registry.deployment_id), ledger.created.scope_commit
    thief = scene.keepers[2]
    private = thief.ring.private(payload.shares[2].version)
    shares = {2: open_keeper_share(private, payload, context, commit, 2, address_bytes(thief.wallet))}
    one_time = bob._request_keys(ledger)[1]
    for shown in ledger.deliveries:
        shares[shown.index] = open_release(one_time, shown.sealed_share, payload, context, commit, 1, shown.index)
    with pytest.raises(Pending, match="1 of the 2"):
        open_grant(bob.ring.private(ledger.created.key_version), payload, context, commit, shares)


def test_a_share_that_was_never_shown_stays_hidden_after_a_revocation(world: World) -> None:
    scene, grant = granted(world, (1, 2), threshold=2)
    world.recipient(4).request(grant)
    keeper = scene.keepers[0]
    assert kinds(settle(keeper)) == ["requested", "committed", "waiting"]
    scene.owner.revoke(grant)
    (last,) = settle(keeper)
    assert last.kind == "refused" and "is revoked: the share is not shown" in last.text
    world.mine(14)
    assert settle(keeper) == [] and not keeper.registry.events([ShareDelivered])


def test_delivery_waits_for_the_confirmations_of_the_opening(world: World) -> None:
    """The own commit is deep enough, the one that opened the grant is not."""
    scene, grant = granted(world, (1, 2), threshold=2)
    world.recipient(4).request(grant)
    careful = world.keeper(1, confirmations=4)
    world.mine(3)
    assert kinds(settle(careful)) == ["requested", "committed", "waiting"]
    world.mine(3)
    assert kinds(scene.keepers[1].step()) == ["requested", "committed"]
    assert settle(careful) == []
    world.mine(3)
    assert kinds(settle(careful)) == ["delivered", "done"]


def test_a_stranger_cannot_use_up_a_request_key(world: World) -> None:
    """Copied from the mempool and mined first, in a grant to somebody else, it is still the recipient's."""
    scene, grant = granted(world)
    bob, eve = world.recipient(4), world.recipient(5)
    eve.register_key()
    hers = scene.owner.grant(scene.uid, 1, eve.wallet).grant_id
    request = bob.registry.request_access

    def front_run(target: bytes, key: bytes) -> object:
        eve.registry.request_access(hers, key)
        settle(*scene.keepers)
        return request(target, key)

    bob.registry.request_access = front_run
    bob.request(grant)
    settle(*scene.keepers)
    assert bob.collect(grant, timeout=0).key == scene.owner.face_key(scene.uid, 0)


def test_a_reorganisation_that_moves_a_request_forward(world: World) -> None:
    """The same request, mined again under another number, is no second use of its key."""
    scene, grant = granted(world)
    bob = world.recipient(4)
    bob.registry.request_access(grant, bytes([SECP256K1]) + PrivateKey.generate(SECP256K1).public)
    assert bob.request(grant).seq == 2
    key = read_ledger(bob.registry, grant).requests[2].request_key
    keeper = scene.keepers[0]
    assert kinds(keeper.step()) == ["requested", "committed"]
    world.reorganise(3)
    world.registry(4).request_access(grant, key)
    settle(world.keeper(1))
    assert world.recipient(4).collect(grant, timeout=0).key == scene.owner.face_key(scene.uid, 0)


def test_request_keys_of_any_length_do_not_fill_the_vault(world: World) -> None:
    scene, grant = granted(world)
    bob, keeper = world.recipient(4), scene.keepers[0]
    settle(keeper)
    before = keeper.vault.path.stat().st_size
    for _ in range(3):
        bob.registry.request_access(grant, b"\x01" + secrets.token_bytes(40_000))
        assert kinds(settle(keeper)) == ["requested", "refused"]
    assert keeper.vault.path.stat().st_size < before + 1000
    bob.request(grant)
    settle(world.keeper(1))
    assert bob.collect(grant, timeout=0).key == scene.owner.face_key(scene.uid, 0)


def test_what_is_superseded_before_it_is_read_is_not_kept(world: World) -> None:
    scene, grant = granted(world)
    bob, keeper = world.recipient(4), scene.keepers[0]
    for _ in range(4):
        bob.registry.request_access(grant, bytes([SECP256K1]) + PrivateKey.generate(SECP256K1).public)
    assert kinds(keeper.step()) == ["requested", "committed"]
    assert len(keeper._state(keeper.vault.read())["jobs"]) == 1


@pytest.mark.parametrize("garble", [lambda good: b"", lambda good: good[:-1], lambda good: good[:-40] + bytes(40)])
def test_a_grant_of_garbage_stops_nobody(world: World, garble: Callable[[bytes], bytes]) -> None:
    """Neither the keeper, which does not come back to it, nor the destruction of its old keys."""
    scene, grant = granted(world)
    bob, keeper = world.recipient(4), scene.keepers[0]
    bad = raw_grant(scene, bob.wallet, garble(payload_of(scene, grant)))
    bob.registry.request_access(bad, bytes([SECP256K1]) + PrivateKey.generate(SECP256K1).public)
    bob.request(grant)
    actions = settle(keeper)
    assert [action.kind for action in actions if action.grant_id == bad] == ["requested", "failed"]
    assert bob.collect(grant, timeout=0).key == scene.owner.face_key(scene.uid, 0)
    world.mine(14)
    keeper.step()
    assert keeper._due(keeper.registry.latest_block()) == []

    old = keeper.registry.active_key(keeper.wallet, SECP256K1)
    keeper.rotate_key()
    assert keeper.destroy_unused_keys() == []  # the good grant is live
    scene.owner.revoke(grant)
    assert keeper.destroy_unused_keys() == [old]


def test_a_node_that_alters_a_grant_gets_no_key_deleted(world: World) -> None:
    scene, grant = granted(world)
    keeper, good = scene.keepers[0], payload_of(scene, grant).hex()
    keeper.rotate_key()

    def lie(question: dict, ask: Callable[[], dict]) -> dict:
        answer = ask()
        if question["method"] == "eth_getLogs":
            for log in answer["result"]:
                log["data"] = log["data"].replace(good, good[:-64] + "00" * 32)
        return answer

    with RpcProxy(world.url, lie) as proxy:
        lied_to = world.keeper(1)
        lied_to.registry = Registry(proxy.url, world.address, account=lied_to.account)
        with pytest.raises(Tampered, match="do not match the contract"):
            lied_to.destroy_unused_keys()
    assert keeper.ring.private(1)


def test_a_grant_that_comes_back_with_other_keepers(world: World) -> None:
    """A reorganisation and an owner of ill will: the same grant and request, kept by others."""
    scene, grant = granted(world)
    bob, keeper, owner = world.recipient(4), scene.keepers[0], scene.owner
    (record,) = owner.grants()
    payload, commit = payload_of(scene, grant), read_ledger(bob.registry, grant).created.scope_commit
    key = bytes([SECP256K1]) + PrivateKey.generate(SECP256K1).public
    bob.registry.request_access(grant, key)
    assert kinds(keeper.step()) == ["requested", "committed"]
    world.reorganise(3)
    fresh = world.owner()
    fresh.propose_keepers("album")
    current = fresh.registry.album(record.album_id).current_keeper_set
    fresh.registry.grant(GrantParams(record.album_id, record.salt, commit, bob.wallet, 1, 0, current, payload))
    world.registry(4).request_access(grant, key)
    assert kinds(settle(world.keeper(1))) == ["superseded"]


def test_an_album_that_is_flooded_does_not_hold_up_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert take_turns("aaabbc", lambda letter: letter) == ["a", "b", "c", "a", "b", "a"]
    scene, _ = granted(world)
    bob, keeper = world.recipient(4), scene.keepers[0]
    flood = [scene.owner.grant(scene.uid, face, bob.wallet).grant_id for face in (0, 1, None)]
    other = world.owner(2)
    album = other.create_album("other", [keeper.wallet])
    for proposal in keeper.proposals():
        if not proposal.accepted:
            keeper.accept(proposal.keeper_set)
    late = other.grant(None, None, world.accounts[4].address, album="other").grant_id
    for grant in (*flood, late):
        bob.request(grant)
    monkeypatch.setattr(keeper_module, "_TRANSACTIONS", 2)
    committed = [action.grant_id for action in keeper.step() if action.kind == "committed"]
    assert len(committed) == 2 and late in committed and album.album_id != scene.album.album_id
    monkeypatch.undo()
    settle(keeper)
    assert len(keeper.registry.events([ShareDelivered])) == 4


def test_a_job_that_waits_for_others_is_not_read_again(world: World) -> None:
    """Thousands of them must not slow a keeper down: one look at the state of each, of a few in each step."""
    scene, grant = granted(world, (1, 2), threshold=2)
    bob, keeper = world.recipient(4), scene.keepers[0]
    bob.request(grant)
    settle(keeper)
    with RpcProxy(world.url) as proxy:
        keeper.registry = Registry(proxy.url, world.address, account=keeper.account)
        assert keeper.step() == [] and proxy.methods.count("eth_getLogs") == 1
    keeper.registry = world.registry(1)
    assert kinds(settle(*scene.keepers)).count("delivered") == 2
    assert bob.collect(grant, timeout=0).key == scene.owner.face_key(scene.uid, 0)


@pytest.mark.parametrize("error", [FormatError("nonsense"), InputError("the disk is full")])
def test_the_process_goes_on_after_any_error(world: World, error: Exception) -> None:
    scene, grant = granted(world)
    keeper, bob = scene.keepers[0], world.recipient(4)
    events, failures = keeper.registry.events, iter([error, error])

    def flaky(*args: object, **options: object) -> object:
        if failure := next(failures, None):
            raise failure
        return events(*args, **options)

    keeper.registry.events = flaky
    stop, seen = threading.Event(), list[Action]()
    process = threading.Thread(target=keeper.run, args=(stop, seen.append), kwargs={"poll": 0.05})
    process.start()
    try:
        bob.request(grant)
        assert bob.collect(grant, timeout=30).key == scene.owner.face_key(scene.uid, 0)
    finally:
        stop.set()
        process.join(10)
    assert kinds(seen)[:2] == ["failed", "online"]


def test_a_node_that_lied_about_its_height(world: World) -> None:
    """The keeper says that it waits, and one command brings it back."""
    scene, grant = granted(world)
    keeper, bob = scene.keepers[0], world.recipient(4)
    latest = keeper.registry.latest_block
    keeper.registry.latest_block = lambda: 10**9
    keeper.step()
    keeper.registry.latest_block = latest
    with pytest.raises(ChainUnavailable, match="has read block 1000000000"):
        keeper.step()
    keeper.adopt_deployment()
    bob.request(grant)
    settle(keeper)
    assert bob.collect(grant, timeout=0).key == scene.owner.face_key(scene.uid, 0)


def test_a_forged_request_key_gives_its_forger_no_key(world: World) -> None:
    """Request keys are in logs only. A node that forges one gets the share of the pad; K stays closed to its forger,
    and the recipient asks again."""
    scene, grant = granted(world)
    bob, forged = world.recipient(4), PrivateKey.generate(SECP256K1)
    bob.request(grant)
    real = read_ledger(bob.registry, grant).requests[1].request_key

    def lie(question: dict, ask: Callable[[], dict]) -> dict:
        answer = ask()
        if question["method"] == "eth_getLogs":
            for log in answer["result"]:
                log["data"] = log["data"].replace(real[1:].hex(), forged.public.hex())
        return answer

    with RpcProxy(world.url, lie) as proxy:
        lied_to = world.keeper(1)
        lied_to.registry = Registry(proxy.url, world.address, account=lied_to.account)
        settle(lied_to)
    ledger = read_ledger(bob.registry, grant)
    (shown,) = ledger.deliveries
    payload = parse_payload(ledger.created.payload, SECP256K1, 1)
    context, commit = ledger.context(bob.registry.deployment_id), ledger.created.scope_commit
    share = open_release(forged, shown.sealed_share, payload, context, commit, 1, 0)
    with pytest.raises(Tampered, match="does not open"):
        open_grant(forged, payload, context, commit, {0: share})
    # The receipt is there, the recipient names the keeper whose share it cannot read, and asks again.
    assert bob.registry.events([ReleaseCommitted], grant=grant)
    assert bob.request(grant).seq == 2
    settle(world.keeper(1))
    assert bob.collect(grant, timeout=0).key == scene.owner.face_key(scene.uid, 0)
    assert len(bob.registry.events([AccessRequested], grant=grant)) == 2
