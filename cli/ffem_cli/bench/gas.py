"""Gas of whole transactions, from the receipts of a real chain (Anvil): one keeper, suite 1 unless said otherwise.

The registry has already served another album, and every transaction is the one that the tools send.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ffem_cli.bench import machine
from ffem_cli.sandbox import Person, Sandbox

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.recipient import Recipient
    from ffem_node.keeper import Keeper

TRANSFER = 21_000
STEPS = ("capture", "grant", "grant_suite2", "request", "commit", "deliver", "revoke")
_ALBUM = "bench"


def measure(repeats: int, say: Callable[[str, int], None]) -> dict[str, Any]:
    """Medians of `repeats` transactions of each kind; a few hundred gas depend on the zero bytes in random values."""
    from ffem_chain.keys.suites import XWING
    from ffem_chain.roles.keyring import KeyRing
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.recipient import Recipient

    used: dict[str, list[int]] = {step: [] for step in STEPS}
    with Sandbox() as box:
        say("making wallets", 0)
        people = [box.person(name, keystore=False) for name in ("other", "owner", "keeper", "recipient")]
        other, camera, third, friend = people
        Owner(other.registry, other.vault, other.account).create_album(_ALBUM)
        owner = Owner(camera.registry, camera.vault, camera.account)
        keeper = serve(owner, third, _ALBUM)
        recipient = Recipient(friend.registry, friend.vault, friend.account)
        recipient.register_key()
        recipient.register_key(XWING)
        KeyRing(third.registry, third.vault, third.account).register(XWING)
        for number in range(repeats):
            say(f"round {number + 1} of {repeats}", number)
            for step, tx in _round(owner, keeper, recipient).items():
                used[step].append(box.gas_of(tx))
    return {
        **{step: round(statistics.median(values)) for step, values in used.items()},
        "repeats": repeats,
        "machine": machine.describe(),
    }


def serve(owner: Owner, person: Person, album: str) -> Keeper:
    """Makes the owner's `album` with this person as its only keeper, who accepts it."""
    from ffem_node.keeper import Keeper

    keeper = Keeper(person.registry, person.vault, person.account)
    owner.create_album(album, [person.wallet])
    for proposal in keeper.proposals():
        keeper.accept(proposal.keeper_set)
    return keeper


def _round(owner: Owner, keeper: Keeper, recipient: Recipient) -> dict[str, bytes]:
    """Every transaction once; their hashes by step."""
    from ffem_chain.chain.events import GrantCreated, GrantRevoked
    from ffem_chain.keys.suites import SECP256K1, XWING
    from ffem_chain.keys.tree import slot_of
    from ffem_chain.roles.ledger import read_ledger

    album = owner.album(_ALBUM)
    uid, digest, commit = (secrets.token_bytes(32) for _ in range(3))
    slot = slot_of(time.time())
    found = {"capture": owner.registry.register_capture(album.album_id, uid, digest, commit, album.epoch, slot).tx}
    expires = datetime.now(UTC) + timedelta(days=30)
    hybrid = owner.grant(None, None, recipient.wallet, album=_ALBUM, expires=expires, suite=XWING)
    record = owner.grant(None, None, recipient.wallet, album=_ALBUM, expires=expires, suite=SECP256K1)
    recipient.request(record.grant_id)
    while keeper.step():
        pass
    recipient.collect(record.grant_id, timeout=0)
    owner.revoke(record.grant_id)
    ledger = read_ledger(owner.registry, record.grant_id)
    (first,) = owner.registry.events([GrantCreated], grant=hybrid.grant_id)
    (last,) = owner.registry.events([GrantRevoked], grant=record.grant_id)
    return {
        **found,
        "grant": ledger.created.tx,
        "grant_suite2": first.tx,
        "request": ledger.requests[1].tx,
        "commit": ledger.commits[0].tx,
        "deliver": ledger.deliveries[0].tx,
        "revoke": last.tx,
    }
