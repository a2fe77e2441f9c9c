"""The real keepers keep P4 and P5 in every state of small worlds, and an exploration notices a keeper or a contract
that does not. Larger worlds: `python -m formal` (formal/README.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ffem_chain.chain.events import ReleaseCommitted
from ffem_chain.keys import grants
from ffem_chain.roles.ledger import Ledger
from ffem_node.docket import Action, Job
from ffem_node.keeper import Keeper
from formal import promises
from formal.contract import Rules
from formal.explore import Explorer
from formal.memoised import memoised
from formal.scenario import SCENARIOS
from formal.state import State

ONE, REORGANISATION, KEYS, COPIES = list(SCENARIOS)[:4]


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        (ONE, {"revoked between two commits", "revoked in time", "revoked too late", "expired"}),
        (REORGANISATION, {"opened after a reorganisation", "revoked between two commits"}),
        (KEYS, {"revoked too late"}),
        (COPIES, {"revoked in time"}),
    ],
)
def test_the_promises_hold_in_every_state(name: str, reached: set[str]) -> None:
    found = Explorer(SCENARIOS[name]).run()
    assert found.whole and found.states > 80
    assert not found.broken, found.way
    assert reached | {"opened by its recipient"} <= found.reached


# ---------------------------------------------------------------------- keepers that are wrong


class DeliversEarly(Keeper):
    """Shows its share after its own commit."""

    def _fulfil(self, name: str, ledger: Ledger, job: Job, commit: ReleaseCommitted, head: int) -> list[Action]:
        opened = replace(ledger, state=replace(ledger.state, opened=True))
        return super()._fulfil(name, opened, job, commit, head)


class IgnoresRevocation(Keeper):
    """Commits as long as the contract takes it."""

    @staticmethod
    def _ended(ledger: Ledger) -> str:
        return ""


class CommitsUnconfirmed(Keeper):
    """Answers a request that has no confirmations; waits for those of commits."""

    def _advance(self, name: str, job: Job, head: int) -> list[Action]:
        return super()._advance(name, job, head + self._confirmations)

    def _fulfil(self, name: str, ledger: Ledger, job: Job, commit: ReleaseCommitted, head: int) -> list[Action]:
        return super()._fulfil(name, ledger, job, commit, head - self._confirmations)


class DeliversUnconfirmed(Keeper):
    """Shows its share as soon as the t-th commit is in a block."""

    def _fulfil(self, name: str, ledger: Ledger, job: Job, commit: ReleaseCommitted, head: int) -> list[Action]:
        return super()._fulfil(name, ledger, job, commit, head + self._confirmations)


class ForgetsOtherGrants(Keeper):
    """Answers a request key that it has answered for another grant."""

    def _answered_elsewhere(self, job: Job) -> bool:
        return False


class ForgetsOlderRequests(Keeper):
    """Answers a request key of an older request of the same grant."""

    def _reason_against(self, ledger: Ledger, job: Job) -> str:
        newest = {seq: request for seq, request in ledger.requests.items() if seq == job["seq"]}
        return super()._reason_against(replace(ledger, requests=newest), job)


@pytest.mark.parametrize(
    ("name", "changed", "broken"),
    [
        (ONE, {"keeper": DeliversEarly}, promises.P4),
        (ONE, {"keeper": DeliversEarly, "dishonest": (), "keepers": 2}, ""),
        (ONE, {"keeper": IgnoresRevocation}, ""),
        (ONE, {"keeper": IgnoresRevocation, "rules": Rules(revocation_ends_commits=False)}, promises.P5),
        (ONE, {"rules": Rules(revocation_ends_commits=False)}, promises.P5),
        (ONE, {"rules": Rules(keepers_count_once=False), "requests": 2}, promises.P4),
        (ONE, {"dishonest": (1, 2)}, promises.P4),
        (REORGANISATION, {"keeper": CommitsUnconfirmed}, promises.CONFIRMED),
        (REORGANISATION, {"keeper": DeliversUnconfirmed}, promises.P4),
        (REORGANISATION, {"confirmations": 1}, promises.P4),
        (KEYS, {"keeper": ForgetsOtherGrants}, promises.ONCE),
        (KEYS, {"keeper": ForgetsOlderRequests, "grants": ((0, False),), "requests": 2}, promises.ONCE),
    ],
    ids=[
        "a share after its own commit",
        "a share after its own commit, nobody dishonest",
        "a keeper that ignores revocations, stopped by the contract",
        "a keeper and a contract that ignore revocations",
        "a contract that ignores revocations",
        "one keeper counted twice",
        "as many dishonest keepers as are needed",
        "an unconfirmed request",
        "an unconfirmed commit",
        "a reorganisation beyond the confirmations",
        "a request key of another grant",
        "a request key of an older request",
    ],
)
def test_what_is_wrong_is_noticed(name: str, changed: dict[str, Any], broken: str) -> None:
    """`broken` is empty where another guard holds: neither the promise nor the test depends on that keeper alone."""
    found = Explorer(replace(SCENARIOS[name], **changed)).run()
    assert found.broken.startswith(broken) and bool(found.broken) == bool(broken), (found.broken, found.way)
    assert found.whole or found.broken


@pytest.mark.parametrize(
    ("unbound", "broken"),
    [(("share_digest",), ""), (("_share_info",), ""), (("_share_info", "share_digest"), promises.P4)],
)
def test_keepers_open_no_share_of_another_grant(
    unbound: tuple[str, ...], broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recipient copies a grant's bytes into one of its own: envelopes and digests are bound to the grant, and either
    is enough. Bound by neither, keepers release the share of a grant that nobody asked for."""
    for name in unbound:
        monkeypatch.setattr(grants, name, _unbound(name))
    found = Explorer(SCENARIOS[COPIES]).run()
    assert found.whole or broken
    assert found.broken.startswith(broken) and bool(found.broken) == bool(broken), (found.broken, found.way)


def _unbound(name: str) -> Callable[..., bytes]:
    """A function of `ffem_chain.keys.grants` that leaves out the grant that it should bind."""
    if name == "share_digest":
        return lambda grant, index, share: hashlib.sha256(share.to_secret_bytes()).digest()
    return lambda *place: b"a share"


# ---------------------------------------------------------------------- and they do serve


def test_whoever_may_open_can_open_in_the_end() -> None:
    """Safety alone would hold for keepers that do nothing. From every seventh state: once honest keepers go on, a grant
    that was asked for and is not revoked opens."""
    explorer = Explorer(SCENARIOS[REORGANISATION])
    (granted,) = explorer.people.grants
    with memoised():
        states = _some(explorer, 200)
        for state in states:
            before = state.chain.grants[granted.made]
            if before.revoked or not before.seq:
                continue
            for _ in range(3):
                for index in explorer.honest:
                    state = explorer.step(state, index)
                for _ in range(explorer.scenario.confirmations):
                    state = replace(state, chain=state.chain.mined())
            names = tuple(f"0.{n}" for n in range(state.fresh[0]))
            assert explorer.people.opens(granted.made, granted.recipient, names, state.public)


def _some(explorer: Explorer, count: int) -> list[State]:
    """The nearest states, and of those every seventh."""
    found = {explorer.key(explorer.start()): explorer.start()}
    for state in found_in_order(found):
        for _, after in explorer.moves(state):
            found.setdefault(explorer.key(after), after)
        if len(found) > 7 * count:
            break
    return list(found.values())[::7]


def found_in_order(found: dict[bytes, State]) -> Any:
    """The values of a dictionary that grows meanwhile."""
    at = 0
    while at < len(found):
        yield list(found.values())[at]
        at += 1
