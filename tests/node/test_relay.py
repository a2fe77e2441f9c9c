"""What a relay sends and what it does not: whose calls, how many, at what cost, and after a restart."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from ffem_chain.chain.events import AccessRequested
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.errors import ChainUnavailable, FormatError, InputError, Pending, Refused
from ffem_devnet.anvil import Anvil
from ffem_node import relaystate
from ffem_node.relay import Relay
from ffem_node.relaystate import DAY, HOUR, Entry, Limits, RelayState
from tests.support.rpc_proxy import RpcProxy, error, result

from .relaying import ETHER, LIMITS, Family


@pytest.fixture
def family(anvil: Anvil, tmp_path: Path) -> Family:
    return Family(anvil, tmp_path)


def test_strangers_spend_nothing(family: Family, anvil: Anvil) -> None:
    """Neither with keys, nor with requests, nor with albums and grants of their own."""
    grant, stranger = family.grant_to_bob(), family.stranger
    theirs = Registry(family.url, family.address, account=stranger)
    created = theirs.create_album(b"\x01" * 32, b"\x02" * 32, [stranger.address], 1)
    album, keeper_set = created.events[0].album, created.events[2].keeper_set  # type: ignore[attr-defined]
    params = replace(family.params(family.bob.address), album=album, keeper_set=keeper_set)
    theirs.grant(params)
    with family.relay() as relay:
        for call in (
            family.key_call(by=stranger),
            family.call("PublishRecovery", 1, b"x" * 82, by=stranger),
            family.call("RequestAccess", grant, b"\x01", by=stranger),
            family.request_call(params.grant_id),  # to bob, and not in the relay's album
            family.request_call(b"\x09" * 32),
            family.call("Grant", *params.values, by=stranger),
            family.call("Revoke", album, params.salt, by=stranger),
            family.call("Revoke", family.album, b"\x05" * 32, by=stranger),
        ):
            with pytest.raises(Refused):
                relay.submit(call)
        # in the name of somebody who is served, but not signed by them
        with pytest.raises(Refused):
            relay.submit(replace(family.request_call(grant), signature=b"\x01" * 65))
        with pytest.raises(Refused, match="not signed"):
            relay.submit(replace(family.request_call(grant), signature=b""))
    assert family.spent(int(time.time())) == 0
    assert {action.kind for action in family.actions} == {"refused"}


def test_another_deployments_call_is_refused(family: Family, anvil: Anvil) -> None:
    family.grant_to_bob()
    other = Registry(family.url, deploy(family.url, anvil.accounts[9]))
    with family.relay() as relay, pytest.raises(Refused, match="not for this one"):
        relay.submit(replace(family.key_call(), domain=other.domain()))


def test_people_of_the_album_are_served(family: Family) -> None:
    """A key by invitation, then a request by the grant, keys by the grant, and what an owner signs."""
    with family.relay() as relay:
        with pytest.raises(Refused, match="was not invited"):
            relay.submit(family.key_call())
        family.invite(family.bob.address)
        relay.submit(family.key_call())
    params = family.params(family.bob.address)
    with family.relay() as relay:
        granted = relay.submit(family.call("Grant", *params.values, by=family.owner))
        assert granted.state in ("sent", "mined") and granted.tx
    assert family.registry.grant_state(params.grant_id).recipient == family.bob.address
    family.registry  # noqa: B018
    with family.relay() as relay:
        relay.state.disallow(family.bob.address)
        relay.submit(family.key_call())
        relay.submit(family.request_call(params.grant_id))
        relay.submit(family.call("Revoke", family.album, params.salt, by=family.owner))
    assert family.registry.grant_state(params.grant_id).revoked
    with family.relay() as relay, pytest.raises(Refused, match="was not invited"):
        relay.submit(family.key_call())  # the only grant is revoked


def test_the_same_call_is_sent_once(family: Family) -> None:
    call = family.request_call(family.grant_to_bob())
    with family.relay() as relay:
        first = relay.submit(call)
        again = relay.submit(call)
        assert (again.id, again.tx) == (first.id, first.tx) == (call.digest, first.tx)
    with family.relay() as relay:  # and after a restart
        settled = relay.submit(call)
        assert (settled.state, settled.tx) == ("mined", first.tx)
    events = family.registry.events([AccessRequested], grant=call.value("grantId"))
    assert len(events) == 1
    assert [action.kind for action in family.actions] == ["sent", "mined"]


def test_what_the_registry_refuses_costs_nothing(family: Family) -> None:
    grant = family.grant_to_bob()
    with family.relay() as relay:
        for call in (
            family.call("RequestAccess", grant, b"\x01" + b"\x02" * 33, lifetime=-1),
            family.call("SetKeyStatus", 7, 2),
            family.call("RegisterKey", 9, b"\x01"),
        ):
            with pytest.raises(Refused):
                relay.submit(call)
        used = family.request_call(grant)
        family.registry.carry_out(used)
        with pytest.raises(Refused):
            relay.submit(used)
    assert family.spent(int(time.time())) == 0


def test_a_call_of_too_much_gas_is_refused(family: Family) -> None:
    family.grant_to_bob()
    with family.relay() as relay, pytest.raises(Refused, match="the most that is relayed"):
        relay.submit(family.call("PublishRecovery", 1, b"\x01" * 40_000))


# ---------------------------------------------------------------------- limits


def test_a_budget_ends_and_survives_a_restart(family: Family) -> None:
    grant = family.grant_to_bob()
    with family.relay() as relay:
        relay.submit(family.request_call(grant))
    once = family.spent(int(time.time()))
    assert 0 < once < ETHER // 100
    receipt = family.registry.events([AccessRequested], grant=grant)[0].tx
    mined = family.registry.rpc.receipt(receipt)
    assert mined is not None and once == mined["gasUsed"] * mined["effectiveGasPrice"]
    for limits in (Limits(once, ETHER, 100), Limits(ETHER, once, 100)):
        with family.relay(limits) as relay, pytest.raises(Pending, match="24 hours"):
            relay.submit(family.request_call(grant))
    assert family.spent(int(time.time())) == once and family.spent(int(time.time()) + DAY + 5) == 0


def test_a_wallet_has_a_rate_that_survives_a_restart(family: Family) -> None:
    grant = family.grant_to_bob()
    few = Limits(ETHER, ETHER, 2)
    with family.relay(few) as relay:
        for _ in range(2):
            relay.submit(family.request_call(grant))
        with pytest.raises(Pending, match="2 calls of"):
            relay.submit(family.request_call(grant))
    with family.relay(few) as relay:
        with pytest.raises(Pending) as refusal:
            relay.submit(family.request_call(grant))
        assert "try again in" in refusal.value.hint
        # the owner pays for it all, and is not limited so
        for _ in range(3):
            relay.submit(family.key_call(by=family.owner))


def test_limits_are_of_a_rolling_window(tmp_path: Path) -> None:
    state = RelayState(tmp_path / "relay.sqlite", b"\x01" * 32)

    def entry(number: int, at: int, cost: int = 10) -> Entry:
        return Entry(number.to_bytes(32, "big"), "0xBob", "RequestAccess", "reserved", None, cost, at, "")

    limits = Limits(budget=25, wallet_budget=25, calls_an_hour=2)
    assert state.reserve(entry(1, 0), limits) and not state.reserve(entry(1, 0), limits)
    assert state.reserve(entry(2, 100), limits)
    with pytest.raises(Pending, match="in an hour"):
        state.reserve(entry(3, HOUR - 1), limits)
    with pytest.raises(Pending, match="part of the relay's budget"):
        state.reserve(entry(3, HOUR + 1), limits)
    with pytest.raises(Pending, match="has used up its budget"):
        state.reserve(entry(3, HOUR + 1), limits, unlimited_wallet=True)
    assert state.reserve(entry(3, HOUR + 1, cost=5), limits)
    # what it did not cost is free again; a failed try stays counted when the call is tried anew
    state.settle(entry(2, 0).id, "mined", 1)
    state.settle(entry(3, 0).id, "failed", 5)
    assert state.spent(HOUR + 1) == 16
    assert state.reserve(entry(3, HOUR + 200, cost=5), limits) and state.spent(HOUR + 200) == 21
    assert state.spent(DAY + 101) == 10
    state.close()


# ---------------------------------------------------------------------- restarts


def test_a_crash_is_made_up_for(family: Family) -> None:
    """Between writing down and sending: it is as if it had never been. Between sending and mining: it is settled."""
    call = family.request_call(family.grant_to_bob())
    now = int(time.time())
    state = RelayState(family.folder / "relay.sqlite", family.registry.deployment_id)
    state.reserve(Entry(call.digest, call.signer, "RequestAccess", "reserved", None, 10**15, now, ""), LIMITS)
    state.close()
    with family.relay() as relay:
        assert relay.state.known(call.digest) is None
        sent = relay.submit(call)
    state = RelayState(family.folder / "relay.sqlite", family.registry.deployment_id)
    state.sent(call.digest, sent.tx or b"")  # as if it had ended before it saw the transaction mined
    state.close()
    with family.relay() as relay:
        settled = relay.state.known(call.digest)
        assert settled is not None and settled.state == "mined" and settled.tx == sent.tx


def test_an_outage_before_anything_was_sent_is_made_up_for(family: Family) -> None:
    """The chain goes away between the books and the signature: nothing is set aside, and the next try sends it."""
    call = family.request_call(family.grant_to_bob())
    state = RelayState(family.folder / "relay.sqlite", family.registry.deployment_id)
    gone = True

    def hook(question: dict[str, Any], ask: Any) -> Any:
        return error(question, "down") if gone and question["method"] == "eth_getTransactionCount" else ask()

    with RpcProxy(family.url, hook) as proxy:
        relay = Relay(Registry(proxy.url, family.address, account=family.owner), state, [family.album], LIMITS)
        with pytest.raises(ChainUnavailable):
            relay.submit(call)
        assert state.known(call.digest) is None and state.spent(int(time.time())) == 0
        gone = False
        assert relay.submit(call).tx is not None
        relay.close()
    assert family.registry.nonce_used(call.signer, call.nonce)
    state.close()


def test_what_the_chain_lost_stays_counted_and_can_be_sent_again(family: Family) -> None:
    call, now = family.request_call(family.grant_to_bob()), int(time.time())
    state = RelayState(family.folder / "relay.sqlite", family.registry.deployment_id)
    state.reserve(Entry(call.digest, call.signer, "RequestAccess", "reserved", None, 777, now, ""), LIMITS)
    state.sent(call.digest, b"\x0a" * 32)
    state.close()
    with family.relay() as relay:
        assert family.actions[-1].kind == "lost" and relay.state.spent(now) == 777
        relay.submit(call)
    assert family.registry.nonce_used(call.signer, call.nonce)
    assert family.spent(int(time.time())) > 777


def test_a_transaction_that_still_waits_is_waited_for(family: Family) -> None:
    """A restart while it is not mined yet: it is settled when it is."""
    call = family.request_call(family.grant_to_bob())
    with family.relay() as relay:
        sent = relay.submit(call)
    state = RelayState(family.folder / "relay.sqlite", family.registry.deployment_id)
    state.sent(call.digest, sent.tx or b"")
    hidden = iter(range(3))

    def hook(question: dict[str, Any], ask: Any) -> Any:
        waits = question["method"] == "eth_getTransactionReceipt" and next(hidden, None) is not None
        return result(question, None) if waits else ask()

    with RpcProxy(family.url, hook) as proxy:
        relay = Relay(Registry(proxy.url, family.address, account=family.owner), state, [family.album], LIMITS)
        relay.resume()
        relay.close()
    settled = state.known(call.digest)
    assert settled is not None and settled.state == "mined"
    state.close()


def test_state_of_another_deployment_or_no_state_at_all(family: Family, tmp_path: Path) -> None:
    with family.relay():
        pass
    with pytest.raises(InputError, match="another deployment"):
        RelayState(tmp_path / "relay.sqlite", b"\x02" * 32)
    bad = tmp_path / "bad.sqlite"
    bad.write_bytes(b"no database" * 1000)
    with pytest.raises(FormatError, match="cannot be read"):
        RelayState(bad, b"\x02" * 32)
    assert (tmp_path / "relay.sqlite").stat().st_mode & 0o077 == 0


def test_a_state_that_cannot_be_written_sends_nothing(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds the file: what is not on the books is not sent, and goes through later."""
    monkeypatch.setattr(relaystate, "_BUSY_SECONDS", 0.05)
    call = family.request_call(family.grant_to_bob())
    with family.relay() as relay:
        holder = sqlite3.connect(family.folder / "relay.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match="cannot be written"):
            relay.submit(call)
        assert not family.registry.nonce_used(call.signer, call.nonce)
        holder.execute("ROLLBACK")
        holder.close()
        relay.submit(call)


def test_one_relay_a_state(family: Family) -> None:
    with family.relay() as relay, relay.state.alone():
        second = RelayState(family.folder / "relay.sqlite", family.registry.deployment_id)
        with pytest.raises(InputError, match="runs already"), second.alone():
            pass
        second.close()


def test_albums_that_are_none(family: Family) -> None:
    state = RelayState(family.folder / "x.sqlite", family.registry.deployment_id)
    with pytest.raises(InputError, match="there is no album"):
        Relay(family.registry, state, [b"\x01" * 32], LIMITS)
    state.close()


def test_an_empty_purse_takes_nothing_from_the_budget(family: Family, anvil: Anvil) -> None:
    grant, poor = family.grant_to_bob(), Account.create()
    state = RelayState(family.folder / "poor.sqlite", family.registry.deployment_id)
    relay = Relay(Registry(family.url, family.address, account=poor), state, [family.album], LIMITS)
    with pytest.raises((InputError, ChainUnavailable)):
        relay.submit(family.request_call(grant))
    assert state.spent(int(time.time())) == 0
    relay.close()
    state.close()
