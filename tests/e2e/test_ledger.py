"""What a node may say of a grant, and what is believed."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode

from ffem_chain.chain.events import Event, GrantCreated
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import Tampered
from ffem_chain.roles.ledger import read_ledger
from tests.support.liar import Edit, lying, on_logs

from .world import World, album_with


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
