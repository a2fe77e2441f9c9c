"""Anomalies, each made to happen on a real chain."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from eth_utils import keccak

from ffem_chain.audit.model import Anomaly, Kind, Report, Severity
from ffem_chain.audit.run import audit
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.rpc import wait_until
from ffem_chain.chain.types import GrantParams
from ffem_chain.errors import ChainUnavailable, StoreUnavailable
from ffem_chain.keys.suites import XWING, PrivateKey
from ffem_chain.roles.ledger import read_ledger
from ffem_chain.stores.memory import MemoryStore
from tests.e2e.world import Scene, World, album_with, interrupted, settle
from tests.support.liar import lying

HOUR = timedelta(hours=1)


def of(report: Report, kind: Kind) -> list[Anomaly]:
    """Anomalies of one kind."""
    return [anomaly for anomaly in report.anomalies if anomaly.kind is kind]


def granted(world: World, keepers: tuple[int, ...], threshold: int = 1) -> tuple[Scene, bytes]:
    """An album, and a grant of a face to account 4, who has requested it."""
    scene = album_with(world, keepers=keepers, threshold=threshold)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    bob.request(record.grant_id)
    return scene, record.grant_id


def test_silent_keepers(world: World) -> None:
    scene, grant = granted(world, (1, 2, 3), threshold=2)
    registry = world.registry(9)
    assert not of(audit(registry), Kind.SILENT_KEEPER)  # they have an hour
    world.pass_time(2 * HOUR)
    silent = of(audit(registry), Kind.SILENT_KEEPER)
    assert [a.wallet for a in silent] == [world.accounts[i].address for i in (1, 2, 3)]
    assert all(a.severity is Severity.WARNING and a.grant == grant for a in silent)
    assert "left request 1 unanswered for 2 h; 0 of the 2 needed had answered" in silent[0].text
    settle(*scene.keepers[:2])
    (left,) = of(audit(registry), Kind.SILENT_KEEPER)
    assert left.wallet == world.accounts[3].address
    assert left.severity is Severity.NOTICE  # the others have opened it
    settle(scene.keepers[2])
    assert not of(audit(registry), Kind.SILENT_KEEPER)
    assert not of(audit(registry, patience=0), Kind.SILENT_KEEPER)


def test_silence_until_something_ended_it(world: World) -> None:
    scene, grant = granted(world, (1,))
    bob = world.recipient(4)
    world.pass_time(2 * HOUR)
    with bob.vault.edit() as data:  # a lost vault: the request cannot be resumed
        data["recipient"][bob.registry.deployment_id.hex()] = {}
    bob.request(grant)
    world.pass_time(2 * HOUR)
    scene.owner.revoke(grant)
    world.pass_time(24 * HOUR)
    first, second = of(audit(world.registry(9)), Kind.SILENT_KEEPER)
    assert "request 1 unanswered for 2 h, until a newer one superseded it" in first.text
    assert "request 2 unanswered for 2 h, until the grant was revoked" in second.text
    assert {first.severity, second.severity} == {Severity.NOTICE}


def test_an_undelivered_commit(world: World) -> None:
    scene, _ = granted(world, (1,))
    with interrupted(scene.keepers[0].registry, "deliver", after=False), pytest.raises(KeyboardInterrupt):
        settle(*scene.keepers)
    registry = world.registry(9)
    assert not of(audit(registry), Kind.UNDELIVERED_COMMIT)
    world.pass_time(3 * HOUR)
    (found,) = of(audit(registry), Kind.UNDELIVERED_COMMIT)
    assert found.wallet == world.accounts[1].address and found.severity is Severity.WARNING
    assert "has delivered nothing for 3 h" in found.text
    settle(world.keeper(1))
    assert not of(audit(registry), Kind.UNDELIVERED_COMMIT)


def test_requests_that_honest_keepers_do_not_answer(world: World) -> None:
    """A keeper is not called silent for refusing what it must refuse."""
    scene, grant = granted(world, (1,))
    bob = world.recipient(4)
    (request,) = read_ledger(bob.registry, grant).requests.values()
    settle(*scene.keepers)
    bob.registry.request_access(grant, request.request_key)
    bob.registry.request_access(grant, b"\x07nonsense")
    bob.registry.request_access(grant, b"\x02" + PrivateKey.generate(XWING).public)
    settle(*scene.keepers)
    world.pass_time(2 * HOUR)
    report = audit(world.registry(9))
    texts = [a.text for a in of(report, Kind.UNANSWERABLE_REQUEST)]
    assert [("used before" in t, "is none (" in t, "of suite 2" in t) for t in texts] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert not of(report, Kind.SILENT_KEEPER)


def test_compromised_keys(world: World) -> None:
    scene, grant = granted(world, (1, 2), threshold=2)
    bob, keeper = world.recipient(4), scene.keepers[1]
    keeper.ring.mark_compromised(1)
    (found,) = of(audit(world.registry(9)), Kind.COMPROMISED_KEY)
    assert "a keeper's share is sealed to key version 1" in found.text and found.wallet == keeper.wallet
    assert found.severity is Severity.WARNING and found.grant == grant
    bob.mark_compromised(1)
    report = audit(world.registry(9), patience=0)
    assert [a.wallet for a in of(report, Kind.COMPROMISED_KEY)] == [bob.wallet, keeper.wallet]
    assert "encryption key version 1 is compromised" in of(report, Kind.UNANSWERABLE_REQUEST)[0].text
    assert not of(report, Kind.SILENT_KEEPER)
    scene.owner.revoke(grant)
    assert not of(audit(world.registry(9)), Kind.COMPROMISED_KEY)


def test_released_to_a_compromised_key(world: World) -> None:
    """A keeper that answers although the recipient's key is compromised is named; one that answered before is not."""
    _, grant = granted(world, (1, 2), threshold=2)
    bob = world.recipient(4)
    world.registry(1).commit_release(grant, 1, 0, keccak(b"first"))
    bob.mark_compromised(1)
    assert not of(audit(world.registry(9)), Kind.IMPROPER_RELEASE)
    world.registry(2).commit_release(grant, 1, 1, keccak(b"second"))
    (found,) = of(audit(world.registry(9)), Kind.IMPROPER_RELEASE)
    assert found.wallet == world.accounts[2].address and found.severity is Severity.WARNING
    assert "answered request 1" in found.text and "is compromised" in found.text


def test_opened_before_its_key_was_compromised(world: World) -> None:
    scene, grant = granted(world, (1,))
    settle(*scene.keepers)
    world.recipient(4).mark_compromised(1)
    report = audit(world.registry(9), patience=0)
    assert not of(report, Kind.IMPROPER_RELEASE) and not of(report, Kind.UNANSWERABLE_REQUEST)
    assert [a.grant for a in of(report, Kind.COMPROMISED_KEY)] == [grant]


def test_direct_late_and_expired_grants(world: World) -> None:
    scene, opened = granted(world, (1,))
    bob = world.recipient(4)
    settle(*scene.keepers)
    scene.owner.revoke(opened)
    direct = scene.owner.grant(scene.uid, 1, bob.wallet, direct=True)
    late = datetime.fromtimestamp(world.now(), UTC) + HOUR
    expiring = scene.owner.grant(scene.uid, 1, bob.wallet, expires=late)
    in_time = scene.owner.grant(scene.uid, None, bob.wallet)
    scene.owner.revoke(in_time.grant_id)
    world.pass_time(2 * HOUR)
    report = audit(world.registry(9))
    assert report.complete
    (found,) = of(report, Kind.DIRECT_GRANT)
    assert found.grant == direct.grant_id and "openings leave no receipt, cannot be revoked" in found.text
    (found,) = of(report, Kind.REVOKED_TOO_LATE)
    block = read_ledger(bob.registry, opened).opened_block
    assert found.grant == opened and f"opened at block {block}, cannot be recalled" in found.text
    (found,) = of(report, Kind.EXPIRED)
    assert found.grant == expiring.grant_id
    assert {a.severity for a in report.anomalies} == {Severity.NOTICE}
    assert any("direct grants (1)" in limit for limit in report.limits)


def test_who_keeps(world: World) -> None:
    scene = album_with(world, keepers=(0,))
    owner, bob = scene.owner, world.recipient(4)
    bob.register_key()
    owner.grant(scene.uid, 0, bob.wallet)
    report = audit(world.registry(9))
    (found,) = of(report, Kind.OWNER_ONLY_KEEPER)
    assert found.album == scene.album.album_id and "receipts bind recipients, not the owner" in found.text
    assert any("receipts bind recipients, not the owner" in limit for limit in report.limits)
    # The recipient becomes the only keeper, and is granted something.
    owner.registry.propose_keepers(scene.album.album_id, [bob.wallet], 1)
    bob.registry.accept_keeper_set(2)
    grant = owner.grant(scene.uid, 1, bob.wallet)
    owner.registry.propose_keepers(scene.album.album_id, [world.accounts[1].address, world.accounts[2].address], 1)
    world.keeper(1).accept(3)
    report = audit(world.registry(9))
    assert not of(report, Kind.KEEPERS_PENDING)
    (found,) = of(report, Kind.RECIPIENT_IS_KEEPER)
    assert found.grant == grant.grant_id and "can open it without a receipt" in found.text
    world.pass_time(2 * HOUR)
    (found,) = of(audit(world.registry(9)), Kind.KEEPERS_PENDING)
    assert world.accounts[2].address in found.text and "grants still use keeper set 2" in found.text
    assert world.accounts[1].address not in found.text


def test_a_payload_that_nobody_can_read(world: World) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    params = GrantParams(scene.album.album_id, b"\1" * 32, b"\2" * 32, bob.wallet, 1, 0, 1, b"no payload")
    scene.owner.registry.grant(params)
    report = audit(world.registry(9))
    assert report.complete
    (found,) = of(report, Kind.UNREADABLE_PAYLOAD)
    assert found.grant == params.grant_id


def test_captures_that_no_store_serves(world: World) -> None:
    scene = album_with(world)
    registry = world.registry(9)
    empty = MemoryStore()
    assert not of(audit(registry, stores=[empty, scene.store]), Kind.NOT_SERVED)
    (found,) = of(audit(registry, stores=[empty]), Kind.NOT_SERVED)
    assert found.uid == scene.uid and found.severity is Severity.WARNING

    class Down(MemoryStore):
        def has(self, cid: str) -> bool:
            raise StoreUnavailable("nobody listens there")

    down = Down()
    down.name = "http://127.0.0.1:9"
    report = audit(registry, stores=[down])
    assert of(report, Kind.NOT_SERVED)
    assert "http://127.0.0.1:9 does not answer: nobody listens there" in report.limits


def test_unknown_code(world: World) -> None:
    """Another contract at the address, and an address without any."""
    data = "0x6001600a60003960016000f3" + "00"
    sent = world.rpc("eth_sendTransaction", {"from": world.accounts[9].address, "data": data})
    assert wait_until(lambda: world.rpc("eth_getTransactionReceipt", sent) is not None, 60)
    other = world.rpc("eth_getTransactionReceipt", sent)["contractAddress"]
    for address, words in ((other, "is not the registry"), (world.accounts[8].address, "there is no contract")):
        registry = Registry(world.url, address, any_code=True)
        report = audit(registry)
        (found,) = report.anomalies
        assert found.kind is Kind.UNKNOWN_CODE and words in found.text and report.worst is Severity.BROKEN
        assert not report.timeline and not report.complete


def test_reorganised_while_it_is_read(world: World) -> None:
    """The newest blocks are replaced after the logs were read: the audit starts again, and tells the new chain."""
    scene, grant = granted(world, (1,))
    settle(*scene.keepers)
    before = audit(world.registry(9))
    assert before.history.grants[grant].state.opened
    pending = [True]

    def reorganising(method: str, _: list[object], result: object) -> object:
        if method == "eth_getProof" and pending and pending.pop():
            world.reorganise(2)  # commit and delivery
            world.mine(2)
        return result

    said: list[str] = []
    with lying(world.url, reorganising) as url:
        after = audit(Registry(url, world.address), progress=lambda text, done, total: said.append(text))
    assert "the chain was reorganised: the audit starts again" in said
    assert not after.history.grants[grant].state.opened
    assert after.complete and after.block_hash != before.block_hash
    assert audit(world.registry(9), block=after.block_hash) == after
    with pytest.raises(ChainUnavailable):
        audit(world.registry(9), block=before.block_hash)


def test_a_wrong_share_looks_like_a_delivery(world: World) -> None:
    """What the chain cannot tell is said, not guessed: a keeper that commits to and delivers nonsense."""
    _, grant = granted(world, (1,))
    nonsense = secrets.token_bytes(82)
    registry = world.registry(1)
    registry.commit_release(grant, 1, 0, keccak(nonsense))
    ledger = read_ledger(registry, grant)
    head, later = ledger.proof(ledger.commits[0])
    registry.deliver(grant, 1, 0, head, later, nonsense)
    report = audit(world.registry(9), patience=0)
    assert not report.anomalies
    assert any("a keeper that delivered a wrong share shows here as one that delivered" in x for x in report.limits)
