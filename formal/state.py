"""A state of an exploration, and what makes two of them the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
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
class View:
    """What tells states apart: `kinds` of the grants by id, in their order; `names` of request keys; ages of blocks up
    to `ages` (older ones are confirmed and stay); whether grants matter to each other (`ordered`)."""

    kinds: dict[bytes, Any]
    names: dict[bytes, str]
    ages: int
    ordered: bool


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

    def key(self, view: View) -> bytes:
        """Equal for states in which the same can happen next, however the grants are numbered.

        Blocks have no number here, only an age. Unless `view.ordered`, grants do not matter to each other, nor does the
        order in which they were asked for, so states that differ by a permutation of grants of one kind are the same.
        """
        log = self.chain.log
        parts: dict[bytes, list[Any]] = {made: [kind] for made, kind in view.kinds.items()}
        for event in log:
            if type(event) in _LETTERS:
                parts[vars(event)["grant_id"]].append(_event(event, self.chain.height, view))
        owner = {(event.block_hash, event.log_index): getattr(event, "grant_id", b"") for event in log}
        for index, memory in self.keepers.items():
            for made, part in _memory(memory, view, owner):
                parts[made].append((index, *part))
        for made, seq, index, _ in sorted(self.public):
            parts[made].append(("shown", seq, index))
        for made, used in zip(view.kinds, self.fresh, strict=True):
            parts[made].append(used)
        rest: list[Any] = [sorted(map(repr, self.dropped)), self.reorgs, self.chain.time]
        if view.ordered:
            rest += [_waiting(self.chain, memory, view) for memory in self.keepers.values()]
        found = [repr(part) for part in parts.values()]
        return blake2b(repr((found if view.ordered else sorted(found), rest)).encode(), digest_size=16).digest()


def _event(event: Event, height: int, view: View) -> tuple[Any, ...]:
    said = view.names.get(getattr(event, "request_key", b""), "")
    place = getattr(event, "seq", 0), getattr(event, "index", 0)
    return _LETTERS[type(event)], place, said, min(height - event.block, view.ages)


def _memory(
    memory: Memory, view: View, owner: dict[tuple[bytes, int], bytes]
) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
    """What a keeper remembers of each grant."""
    kept = _kept(memory)
    for name in sorted(kept["jobs"]):
        job = kept["jobs"][name]
        asked = job["seq"], view.names[job["request_key"]]
        yield job["grant"], ("job", asked, bool(job["sealed"]), job["note"], bool(job["final"]))
    for name, there, _ in memory.resting:
        state = int(there.status), there.seq, there.released, there.opened, there.revoked
        yield kept["jobs"][name]["grant"], ("rests", kept["jobs"][name]["seq"], state)
    for place in sorted(memory.dismissed):
        if place in owner:
            yield owner[place], ("dismissed", place[1])


def _waiting(chain: Chain, memory: Memory, view: View) -> tuple[list[str], list[str]]:
    """In order: jobs that a keeper has not answered, then requests that it has not read."""
    jobs = _kept(memory)["jobs"]
    new = [view.names[job["request_key"]] for job in jobs.values() if not job["sealed"] and not job["final"]]
    read = {(job["grant"], job["seq"], job["request_key"]) for job in jobs.values()}
    asked = [event for event in chain.log if isinstance(event, AccessRequested)]
    return new, [view.names[e.request_key] for e in asked if (e.grant_id, e.seq, e.request_key) not in read]


def _kept(memory: Memory) -> dict[str, Any]:
    (state,) = cbor2.loads(memory.vault)["keeper"]["deployments"].values()
    kept: dict[str, Any] = state
    return kept
