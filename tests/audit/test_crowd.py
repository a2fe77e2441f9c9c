"""Batches, rotations, signed calls and recovery copies in the history: rebuilt, proven, and noticed where they lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ffem_chain.audit.model import Kind, Report
from ffem_chain.audit.proofs import Prover, read_header
from ffem_chain.audit.run import audit
from ffem_chain.audit.storage import words
from ffem_chain.chain import events as ev
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantStatus
from tests.support.liar import dropping, lying, on_logs, without_proofs

from .crowd import STRANGER, Crowd


def heard(crowd: Crowd, edit: Any) -> Report:
    """An audit through a lying node."""
    with lying(crowd.world.url, edit) as url:
        return audit(Registry(url, crowd.world.address, any_code=True))


def missing(report: Report) -> list[str]:
    """What the audit says is missing."""
    return [a.text for a in report.anomalies if a.kind is Kind.MISSING_HISTORY]


def test_the_whole_storage_is_rebuilt(crowd: Crowd) -> None:
    registry = crowd.world.registry(9)
    report = audit(registry)
    assert report.complete and not missing(report)
    history, expected = report.history, words(report.history)
    header = read_header(registry.rpc, report.block)
    assert Prover(registry, header).read(list(expected)) == {slot: word.value for slot, word in expected.items()}
    for grant, ledger in history.grants.items():
        assert registry.grant_state(grant, block=report.block) == ledger.state
    states = {name: history.grants[grant].state for name, grant in crowd.grants.items()}
    assert [states[name].batch for name in ("opened", "direct", "gone", "stays", "cancelled", "alone")] == [
        1,
        1,
        1,
        2,
        2,
        0,
    ]
    assert states["opened"].status is GrantStatus.OPENED and states["gone"].status is GrantStatus.REVOKED
    assert states["direct"].head == states["idle"].head == history.batches[1].head
    album = history.albums[crowd.album]
    assert list(album.epochs) == [1, 2, 3] and set(album.batches) == {crowd.root, crowd.lost}
    assert history.nonces[(crowd.world.accounts[5].address, 3)] == 0b1111
    assert [e.version for e in history.recoveries] == [1] and (STRANGER.address, 1) in history.keys
    assert {type(event) for event in history.events} == set(ev.KINDS) - {ev.KeyStatusChanged}


KINDS = (ev.CapturesRegistered, ev.GrantsBatched, ev.NoncesUsed, ev.GrantCreated, ev.GrantRevoked, ev.EpochOpened)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", [0, -1])
def test_one_missing_log(crowd: Crowd, kind: type[ev.Event], which: int) -> None:
    found = crowd.world.registry(9).events([kind])[which]
    place = (found.block, found.log_index)
    report = heard(crowd, dropping(lambda event: (event.block, event.log_index) == place))
    assert missing(report) and not report.complete


def test_a_batch_is_as_true_as_its_grants(crowd: Crowd) -> None:
    """The storage has one head for all: an altered payload of any of them is noticed, also without storage proofs."""
    change = _other_payload(crowd.grants["idle"])
    for edit in (on_logs(change), without_proofs(on_logs(change))):
        assert any("batch 1 are not those of which it was made" in text for text in missing(heard(crowd, edit)))


def _other_payload(grant: bytes) -> Callable[[dict[str, Any], ev.Event], dict[str, Any]]:
    def change(log: dict[str, Any], event: ev.Event) -> dict[str, Any]:
        if isinstance(event, ev.GrantCreated) and event.grant_id == grant:
            return {**log, "data": log["data"].replace(event.payload.hex(), event.payload[::-1].hex())}
        return log

    return change
