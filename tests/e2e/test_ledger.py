"""What a node may say of a grant, and what is believed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from eth_abi import encode

from ffem_chain.chain.events import Event, GrantCreated
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import Tampered
from ffem_chain.roles.ledger import read_ledger, read_ledgers
from tests.support.liar import Edit, lying, on_logs

from .world import World, album_with, settle


def told(field: str, value: Any) -> Edit:
    """The node tells another expiry, keeper set or recipient of every grant."""

    def change(log: dict[str, Any], event: Event) -> dict[str, Any]:
        if not isinstance(event, GrantCreated):
            return log
        if field == "recipient":
            return {**log, "topics": [*log["topics"][:3], "0x" + encode(["address"], [value]).hex()]}
        words = {"expiry": 2, "keeper_set": 3}
        at = 2 + 64 * words[field]
        return {**log, "data": log["data"][:at] + f"{value:064x}" + log["data"][at + 64 :]}

    return on_logs(change)


@pytest.mark.parametrize(("field", "value"), [("expiry", 1), ("keeper_set", 0), ("recipient", None)])
def test_what_the_hash_chain_does_not_cover_is_checked_against_the_storage(
    world: World, field: str, value: int | None
) -> None:
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    record = scene.owner.grant(scene.uid, 0, bob.wallet)
    edit = told(field, world.accounts[5].address if value is None else value)
    with lying(world.url, edit) as url, pytest.raises(Tampered, match="do not match the contract's state"):
        read_ledger(Registry(url, world.address), record.grant_id)
    assert read_ledger(world.registry(4), record.grant_id).created.recipient == bob.wallet


def test_a_grant_of_a_batch_is_the_one_that_the_batch_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that answers one question with an altered payload and the other with all that the head covers."""
    scene = album_with(world)
    people = [world.recipient(index) for index in (4, 5)]
    for one in people:
        one.register_key()
    record, _ = scene.owner.grant_many(scene.uid, 0, [one.wallet for one in people])
    registry = world.registry(4)
    honest = registry.events

    def altered(*args: Any, **filters: Any) -> list[Event]:
        found = honest(*args, **filters)
        if "grant" not in filters:
            return found
        return [replace(e, payload=bytes(len(e.payload))) if isinstance(e, GrantCreated) else e for e in found]

    monkeypatch.setattr(registry, "events", altered)
    with pytest.raises(Tampered, match="do not match the contract's state"):
        read_ledger(registry, record.grant_id)


def test_logs_of_a_batch_that_were_incomplete_once_are_read_again(world: World) -> None:
    """Grants of a batch are remembered by their heads, never instead of looking again."""
    scene = album_with(world)
    people = [world.recipient(index) for index in (4, 5)]
    for one in people:
        one.register_key()
    records = scene.owner.grant_many(scene.uid, 0, [one.wallet for one in people])
    other = records[1].grant_id
    with lying(world.url, told_payload(other)) as url, pytest.raises(Tampered, match="do not match"):
        read_ledger(Registry(url, world.address), records[0].grant_id)
    for record in records * 2:
        assert read_ledger(world.registry(4), record.grant_id).created.recipient == record.recipient


def test_many_ledgers_are_read_together(world: World) -> None:
    """The same as one by one, from a few questions; what an altered log belongs to is left out, and only that."""
    scene = album_with(world)
    people = [world.recipient(index) for index in (4, 5)]
    for one in people:
        one.register_key()
    names = [one.grant_id for one in scene.owner.grant_many(scene.uid, 0, [one.wallet for one in people])]
    names += [scene.owner.grant(scene.uid, face, people[0].wallet, direct=True).grant_id for face in (0, 1)]
    people[0].request(names[0])
    settle(*scene.keepers)
    asked: list[str] = []

    def watching(method: str, _: list[Any], result: Any) -> Any:
        asked.append(method)
        return result

    with lying(world.url, watching) as url:
        registry = Registry(url, world.address)
        asked.clear()
        found = read_ledgers(registry, [*names, bytes(32)])
        assert asked.count("eth_getLogs") < 10
        assert [one.status.name for one in people[0].grants()] == ["OPENED"] * 3
    assert found == {name: read_ledger(world.registry(4), name) for name in names}
    with lying(world.url, told_payload(names[2])) as url:
        assert set(read_ledgers(Registry(url, world.address), names)) == set(names) - {names[2]}


def told_payload(grant: bytes) -> Edit:
    """The node tells another payload of one grant."""

    def change(log: dict[str, Any], event: Event) -> dict[str, Any]:
        if not isinstance(event, GrantCreated) or event.grant_id != grant:
            return log
        payload = event.payload.hex()
        return {**log, "data": log["data"].replace(payload, "00" * len(event.payload))}

    return on_logs(change)
