"""The contract that explorations use does what the real one does: random calls, good and bad, on both."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any

import pytest
from eth_utils import keccak

from ffem_chain.chain.events import Event, ReleaseCommitted
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.chain.reverts import ChainRefused
from ffem_chain.chain.types import (
    GrantParams,
    KeyStatus,
    album_id,
    batch_head,
    commit_leaf,
    first_head,
    grant_id,
    next_head,
)
from ffem_devnet.anvil import Anvil
from formal.contract import Album, Chain
from tests.e2e.world import World

CALLS = 180
OWNER, KEEPERS, RECIPIENTS, STRANGER = 0, (1, 2, 3), (4, 5), 6
PLACE = {field.name for field in fields(Event)}
Call = Callable[[Registry], Any]


@dataclass
class Pair:
    """The two contracts, and a source of calls."""

    world: World
    chain: Chain
    album: bytes
    rng: random.Random
    registries: dict[int, Registry]
    salts: list[bytes]
    heads: dict[bytes, bytes]
    sealed: dict[tuple[bytes, int, int], bytes]

    def wallet(self, who: int) -> str:
        """The address of an account."""
        return str(self.world.accounts[who].address)

    def both(self, who: int, real: Call, model: Callable[[Chain], Chain]) -> str:
        """Make a call on both; the name of the refusal, empty where there is none. What they did is the same."""
        before = len(self.chain.log)
        try:
            self.chain, expected = model(self.chain), ""
        except ChainRefused as refusal:
            expected = refusal.name
        try:
            logged, said = real(self.registries[who]).events, ""
        except ChainRefused as refusal:
            logged, said = [], refusal.name
        assert said == expected
        assert [_bare(event) for event in logged] == [_bare(event) for event in self.chain.log[before:]]
        return said

    def compare(self) -> None:
        """Every grant is in the same state on both."""
        for made in (grant_id(self.album, salt) for salt in (*self.salts, b"none" * 8)):
            assert self.registries[STRANGER].grant_state(made) == self.chain.view(made)

    # ------------------------------------------------------------------ calls

    def params(self) -> GrantParams:
        """Something to grant, sometimes with a fault."""
        rng = self.rng
        good = GrantParams(
            self.album,
            rng.randbytes(32),
            rng.randbytes(32),
            self.wallet(rng.choice(RECIPIENTS)),
            1,
            rng.choice((0, 0, self.chain.time + 10_000)),
            rng.choice((1, 1, 0)),
            rng.randbytes(rng.randrange(40)),
        )
        faults: list[dict[str, Any]] = [
            {"salt": rng.choice(self.salts or [bytes(32)])},
            {"scope_commit": bytes(32)},
            {"recipient": "0x" + "00" * 20},
            {"key_version": 2},
            {"expiry": 1},
            {"keeper_set": 2},
            {"album": rng.randbytes(32)},
        ]
        return replace(good, **rng.choice(faults)) if rng.random() < 0.25 else good

    def grant(self) -> str:
        """Alone or in a batch."""
        rng = self.rng
        who = rng.choice((OWNER, OWNER, OWNER, STRANGER))
        if rng.random() < 0.5:
            one = self.params()
            made = self.both(who, lambda r: r.grant(one), lambda c: c.grant(self.wallet(who), one))
            several = [one]
        else:
            several = [self.params() for _ in range(rng.randrange(4))]
            made = self.both(who, lambda r: r.grant_batch(several), lambda c: c.grant_batch(self.wallet(who), several))
        if not made:
            heads = [first_head(p.grant_id, p.album, p.scope_commit, p.key_version, 1, p.payload) for p in several]
            shared = batch_head(heads) if self.chain.grants[several[0].grant_id].batch else heads[0]
            self.heads.update((p.grant_id, shared) for p in several)
            self.salts += [p.salt for p in several]
        return made or "granted"

    def some(self) -> bytes:
        """One of the newest grants, or one that is not there."""
        return grant_id(self.album, self.rng.choice(self.salts[-10:])) if self.rng.random() < 0.97 else bytes(32)

    def request(self) -> str:
        """By its recipient, mostly."""
        made, key = self.some(), self.rng.randbytes(34)
        who = self.rng.choice((*RECIPIENTS, *RECIPIENTS, OWNER))
        said = self.both(who, lambda r: r.request_access(made, key), lambda c: c.request(self.wallet(who), made, key))
        return said or "requested"

    def commit(self) -> str:
        """By the right keeper to the right request, mostly."""
        rng, made = self.rng, self.some()
        index, sealed = rng.randrange(3), rng.randbytes(8)
        who = KEEPERS[index] if rng.random() < 0.85 else STRANGER
        seq = max(0, self.chain.view(made).seq + rng.choice((0, 0, 0, 0, 1, -1)))
        index += rng.choice((0,) * 9 + (6,))
        digest = keccak(sealed)
        said = self.both(
            who,
            lambda r: r.commit_release(made, seq, index, digest),
            lambda c: c.commit(self.wallet(who), made, seq, index, digest),
        )
        if not said:
            self.sealed[made, seq, index] = sealed
        return said or "committed"

    def deliver(self) -> str:
        """What was committed to, with the proof for it, mostly."""
        rng = self.rng
        commits = [event for event in self.chain.log if isinstance(event, ReleaseCommitted)]
        if not commits:
            return "nothing to deliver"
        one = rng.choice(commits)
        mine = [event for event in commits if event.grant_id == one.grant_id]
        leaves = [commit_leaf(event.seq, event.index, event.digest) for event in mine]
        at, head = mine.index(one), self.heads[one.grant_id]
        for leaf in leaves[:at]:
            head = next_head(head, leaf)
        sealed = self.sealed[one.grant_id, one.seq, one.index] + b"x" * (rng.random() < 0.2)
        later = leaves[at + 1 :] if rng.random() < 0.9 else leaves
        where = one.grant_id, one.seq, one.index, head, later, sealed
        said = self.both(STRANGER, lambda r: r.deliver(*where), lambda c: c.deliver(*where, keccak(sealed)))
        return said or "delivered"

    def revoke(self) -> str:
        """One grant or two."""
        salts = [self.rng.choice(self.salts[-10:]) for _ in range(self.rng.choice((1, 1, 2)))]
        who = self.rng.choice((OWNER, OWNER, STRANGER))
        said = self.both(
            who,
            (lambda r: r.revoke(self.album, salts[0]))
            if len(salts) == 1
            else (lambda r: r.revoke_batch(self.album, salts)),
            lambda c: c.revoke(self.wallet(who), self.album, salts),
        )
        return said or "revoked"

    def wait(self) -> str:
        """Some grants expire."""
        self.world.pass_time(timedelta(seconds=6_000))
        self.chain = replace(self.chain, time=self.world.now())
        return "waited"


def _bare(event: Event) -> tuple[str, dict[str, Any]]:
    return type(event).__name__, {name: value for name, value in vars(event).items() if name not in PLACE}


@pytest.fixture
def pair(anvil: Anvil, tmp_path: Any) -> Iterator[Pair]:
    world = World(anvil.url, deploy(anvil.url, anvil.accounts[9]), anvil.accounts, tmp_path)
    registries = {who: world.registry(who) for who in (OWNER, *KEEPERS, *RECIPIENTS, STRANGER)}
    for who in RECIPIENTS:
        registries[who].register_key(1, b"\x02" + b"\x11" * 32)
    owner = world.accounts[OWNER].address
    album = album_id(owner, bytes(32))
    registries[OWNER].create_album(bytes(32), b"\x01" * 32, [world.accounts[i].address for i in KEEPERS], 2)
    for who in KEEPERS:
        registries[who].accept_keeper_set(1)
    chain = Chain(
        albums={album: Album(owner, 1)},
        sets={1: registries[OWNER].keeper_set(1)},
        keys={
            (world.accounts[who].address, 1): registries[OWNER].key(world.accounts[who].address, 1)
            for who in RECIPIENTS
        },
        time=world.now(),
    )
    assert all(key.status is KeyStatus.ACTIVE for key in chain.keys.values())
    yield Pair(world, chain, album, random.Random(4), registries, [], {}, {})


def test_the_model_does_what_the_contract_does(pair: Pair) -> None:
    kinds = [pair.grant] + [pair.request] * 4 + [pair.commit] * 7 + [pair.deliver] * 2 + [pair.revoke]
    seen = {pair.grant() for _ in range(8)}
    for number in range(CALLS):
        seen.add(pair.wait() if number % 70 == 69 else pair.rng.choice(kinds)())
        if number % 45 == 44:
            pair.compare()
    pair.compare()
    assert seen >= {
        *("granted", "requested", "committed", "delivered", "revoked", "waited"),
        *("NotAlbumOwner", "NotRecipient", "NotKeeper", "StaleRequest", "AlreadyCommitted", "NotCommitted"),
        *("GrantIsRevoked", "GrantIsExpired", "GrantIsDirect", "NoSuchGrant"),
    }, seen
