"""Looking from a capture and from a wallet, with nothing and with a vault."""

from __future__ import annotations

import pytest

from ffem_chain.audit.captures import find_capture
from ffem_chain.audit.model import Report
from ffem_chain.audit.run import audit
from ffem_chain.audit.views import Coverage, capture_view, wallet_view
from ffem_chain.chain.types import GrantStatus, KeyStatus
from ffem_chain.errors import InputError, Refused
from ffem_chain.roles.ledger import read_ledger
from ffem_chain.stores.cid import cid_of_digest
from tests.support.liar import honest, lying, without_proofs

from .story import Story


@pytest.fixture(scope="module")
def report(story: Story) -> Report:
    """An audit by somebody who holds nothing."""
    return audit(story.world.registry(9))


def test_a_capture_with_nothing(story: Story, report: Report) -> None:
    """Every grant of the album may be for the capture, and the view says so."""
    view = capture_view(report, find_capture(report, story.scene.uid.hex()), {})
    assert view.cid == cid_of_digest(view.digest) and view.owner == story.scene.owner.wallet
    assert {line.grant for line in view.grants} == {record.grant_id for record in story.grants.values()}
    assert {line.coverage for line in view.grants} == {Coverage.UNKNOWN} and not any(x.scope for x in view.grants)
    assert "a salted commitment" in view.cannot_tell and view.elsewhere == 0
    lines = {line.grant: line for line in view.grants}
    opened = lines[story.id("opened")]
    block = read_ledger(story.world.registry(9), story.id("opened")).opened_block
    assert opened.now == f"opened at block {block}, cannot be recalled; may ask again" and opened.may_open
    assert (opened.threshold, len(opened.keepers), opened.status) == (2, 3, GrantStatus.OPENED)
    assert "before it was opened" in lines[story.id("revoked")].now and not lines[story.id("revoked")].may_open
    assert "0 of 2 keepers have committed" in lines[story.id("asked")].now
    assert "openings leave no receipt, cannot be revoked" in lines[story.id("direct")].now
    assert lines[story.id("direct")].direct and lines[story.id("direct")].may_open
    texts = [step.text for step in opened.steps]
    assert len([t for t in texts if "committed to release" in t]) == 4  # three, and one to the second request
    assert all(step.time and len(step.tx) == 32 for step in opened.steps)


def test_a_capture_with_the_owners_vault(story: Story, report: Report) -> None:
    known = {record.grant_id: record.scope for record in story.scene.owner.grants()}
    view = capture_view(report, find_capture(report, story.scene.uid.hex()), known)
    coverage = {line.grant: (line.coverage, line.scope) for line in view.grants}
    assert coverage == {
        story.id("opened"): (Coverage.PART, f"face 0 of capture {story.scene.uid.hex()[:16]}"),
        story.id("revoked"): (Coverage.PART, f"face 1 of capture {story.scene.uid.hex()[:16]}"),
        story.id("asked"): (Coverage.WHOLE, "all captures of epoch 1"),
    }
    assert view.elsewhere == 2 and not view.cannot_tell
    other = capture_view(report, find_capture(report, story.another.hex()), known)
    assert {line.grant for line in other.grants} == {story.id("asked"), story.id("direct"), story.id("hybrid")}


def test_a_recipient(story: Story, report: Report) -> None:
    bob = story.world.recipient(4)
    view = wallet_view(report, bob.wallet, {})
    assert [(key.version, key.suite, key.status) for key in view.keys] == [
        (1, 1, KeyStatus.ACTIVE),
        (2, 2, KeyStatus.ACTIVE),
    ]
    assert {line.grant for line in view.grants} == {story.id("opened"), story.id("revoked"), story.id("hybrid")}
    assert view.cannot_tell and view.keeps == (3,)
    receipts = [step for line in view.grants for step in line.steps if "cannot be recalled" in step.text]
    assert len(receipts) == 1
    known = {grant.grant_id: grant.scope for grant in bob.grants() if grant.scope is not None}
    resolved = wallet_view(report, bob.wallet, known)
    assert not resolved.cannot_tell
    assert {line.scope for line in resolved.grants} >= {f"face 0 of capture {story.scene.uid.hex()[:16]}"}
    carol = wallet_view(report, story.world.accounts[5].address, {})
    assert carol.keys[0].status is KeyStatus.COMPROMISED and carol.keys[0].compromised_block
    owner = wallet_view(report, story.scene.owner.wallet, {})
    assert owner.owns == (story.scene.album.album_id,) and not owner.grants and not owner.cannot_tell
    assert wallet_view(report, story.world.accounts[8].address, {}).keys == ()


def test_naming_captures(story: Story, report: Report) -> None:
    uid = story.scene.uid
    found = find_capture(report, uid.hex())
    assert find_capture(report, "0x" + uid.hex()) == find_capture(report, uid.hex()[:12]) == found
    assert find_capture(report, cid_of_digest(found.digest)) == found
    assert find_capture(report, uid.hex(), album=story.scene.album.album_id) == found
    for name in (secret := "ab" * 32, uid.hex()[:5], "x" * 59, "b" + "a" * 58):
        with pytest.raises(Refused, match="proven by the storage root"):
            find_capture(report, name)
    with pytest.raises(Refused):
        find_capture(report, uid.hex(), album=story.other)
    with lying(story.world.url, without_proofs(honest)) as url:
        from ffem_chain.chain.registry import Registry

        blind = audit(Registry(url, story.world.address))
    with pytest.raises(Refused, match="as far as the logs show"):
        find_capture(blind, secret)


def test_the_same_uid_in_two_albums(story: Story) -> None:
    """Anybody may register a uid again in an album of their own: then it has to be named."""
    world, uid = story.world, story.scene.uid
    before = audit(world.registry(9))
    event = find_capture(before, uid.hex())
    snapshot = world.rpc("evm_snapshot")
    try:
        world.registry(1).register_capture(story.other, uid, b"\3" * 32, event.key_commit, 1, 0)
        report = audit(world.registry(9))
        with pytest.raises(InputError, match="names 2 captures"):
            find_capture(report, uid.hex())
        assert find_capture(report, uid.hex(), album=story.scene.album.album_id) == event
        theirs = capture_view(report, find_capture(report, uid.hex(), album=story.other), {})
        assert theirs.owner == world.accounts[1].address and not theirs.grants
    finally:
        world.rpc("evm_revert", snapshot)


def test_the_timeline_tells_everything_once(report: Report) -> None:
    places = [(moment.block, moment.log_index) for moment in report.timeline]
    assert places == sorted(set(places)) and len(places) == len(report.history.events)
    assert all(moment.text and moment.time and len(moment.tx) == 32 for moment in report.timeline)
    assert not any("keeper 0" in moment.text for moment in report.timeline if moment.kind == "ReleaseCommitted")
