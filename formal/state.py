"""A state of an exploration, and what makes two of them the same."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import cbor2

from ffem_chain.chain.events import (
    AccessRequested,
    Event,
    GrantOpened,
    GrantRevoked,
    ReleaseCommitted,
    ShareDelivered,
)
from ffem_chain.chain.types import GrantView
from formal.contract import Chain
from formal.memory import Delivery

Transaction = tuple[Any, ...]  # name of a method of `Chain`, then its arguments
_LETTERS: dict[type[Event], str] = {
    AccessRequested: "r",
    ReleaseCommitted: "c",
    GrantOpened: "o",
    ShareDelivered: "d",
    GrantRevoked: "x",
}


@dataclass(frozen=True)
class Memory:
    """What a keeper remembers: its vault (CBOR), and what it forgets at a restart."""

    vault: bytes
    dismissed: frozenset[tuple[bytes, int]] = frozenset()
    resting: tuple[tuple[str, GrantView, float], ...] = ()


@dataclass(frozen=True)
class State:
    """The chain; the honest keepers' memories by index; sealed shares that ever became public; transactions that a
    reorganisation or a node dropped; how many fresh request keys were drawn for each grant; reorganisations so far."""

    chain: Chain
    keepers: dict[int, Memory]
    public: frozenset[Delivery] = frozenset()
    dropped: frozenset[Transaction] = frozenset()
    fresh: tuple[int, ...] = ()
    reorgs: int = 0

    def key(self, ages: int, *, ordered: bool) -> bytes:
        """Equal for states in which the same can happen. Blocks have no number here, only an age, up to `ages`: older
        ones are confirmed and stay. Unless `ordered`, grants do not matter to each other, nor does the order in which
        they were asked for."""
        chain = self.chain
        events: dict[bytes, list[tuple[Any, ...]]] = {}
        for event in chain.log:
            if type(event) in _LETTERS:
                events.setdefault(vars(event)["grant_id"], []).append(_event(event, chain.height, ages))
        places = {(event.block_hash, event.log_index): at for at, event in enumerate(chain.log)}
        keepers = [_memory(index, memory, places, ordered) for index, memory in self.keepers.items()]
        asked = _waiting(chain, self.keepers) if ordered else []
        public = sorted((grant[:4], seq, index, sealed[-8:]) for grant, seq, index, sealed in self.public)
        rest = sorted(map(repr, self.dropped)), self.fresh, self.reorgs, chain.time
        return blake2b(repr((sorted(events.items()), asked, keepers, public, rest)).encode(), digest_size=16).digest()


def _event(event: Event, height: int, ages: int) -> tuple[Any, ...]:
    said: bytes = getattr(event, "request_key", b"") or getattr(event, "digest", b"")
    place = getattr(event, "seq", 0), getattr(event, "index", 0)
    return _LETTERS[type(event)], place, said[-8:], min(height - event.block, ages)


def _waiting(chain: Chain, keepers: dict[int, Memory]) -> list[bytes]:
    """Requests that some keeper has yet to read, in order."""
    read = [set(_kept(memory)["jobs"]) for memory in keepers.values()]
    return [
        event.request_key[-8:]
        for event in chain.log
        if isinstance(event, AccessRequested) and not all(_name(event) in names for names in read)
    ]


def _name(event: AccessRequested) -> str:
    return f"{event.grant_id.hex()}:{event.seq}:{sha256(event.request_key).hexdigest()[:16]}"


def _kept(memory: Memory) -> dict[str, Any]:
    (state,) = cbor2.loads(memory.vault)["keeper"]["deployments"].values()
    kept: dict[str, Any] = state
    return kept


def _memory(index: int, memory: Memory, places: dict[tuple[bytes, int], int], ordered: bool) -> tuple[Any, ...]:
    state = _kept(memory)
    jobs = [(name, bool(job["sealed"]), job["note"], bool(job["final"])) for name, job in state["jobs"].items()]
    new = [job for job in jobs if ordered and not job[1] and not job[3]]
    jobs = sorted(set(jobs) - set(new)) + new
    resting = [(name, int(v.status), v.seq, v.released, v.opened, v.revoked) for name, v, _ in memory.resting]
    dismissed = sorted(places[place] for place in memory.dismissed if place in places)
    return index, jobs, sorted(state["answered"]), sorted(resting), dismissed
