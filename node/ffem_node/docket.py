"""A keeper's docket: requests as they were read from the chain, kept in the vault until each is finished.

Anybody can write to the registry, and whoever owns an album that is served, or was granted something in one, can fill
the docket. So nothing is kept that is not a key, that others made stale, or that is finished; albums take turns.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from eth_account.signers.local import LocalAccount

from ffem_chain.chain.events import AccessRequested
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantView
from ffem_chain.errors import ChainUnavailable, FormatError
from ffem_chain.keys.grants import parse_request_key
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.keyring import address_bytes
from ffem_node.duties import Duties

_HOUR = 3600
_LOOKS = 64
_Item = TypeVar("_Item")
Job = dict[str, Any]


@dataclass(frozen=True)
class Action:
    """What a step did or decided. `kind`: requested, committed, waiting, delivered, refused, superseded, limited,
    failed, done, offline, online. `grant_id` is empty and `seq` 0 where it concerns no grant."""

    kind: str
    text: str
    grant_id: bytes = b""
    seq: int = 0


def take_turns(items: Iterable[_Item], by: Callable[[_Item], Hashable]) -> list[_Item]:
    """The first of each group, then the second of each, and so on: no group waits for all of another's."""
    met: dict[Hashable, int] = {}
    ranked = []
    for item in items:
        group = by(item)
        met[group] = met.get(group, 0) + 1
        ranked.append((met[group], item))
    return [item for _, item in sorted(ranked, key=lambda pair: pair[0])]


def request_mark(recipient: str, request_key: bytes) -> bytes:
    """By what a keeper knows a request key again. Of its recipient: a stranger who copies the key of a request that
    waits in the mempool must not use it up."""
    return hashlib.sha256(address_bytes(recipient) + request_key).digest()[:16]


class Docket(Duties):
    """The jobs of a keeper; the layout is in `duties.py`, the parameters in `keeper.Keeper`."""

    def __init__(
        self,
        registry: Registry,
        vault: Vault,
        account: LocalAccount,
        *,
        limit_per_wallet: int,
        confirmations: int,
        reorg_depth: int,
    ) -> None:
        super().__init__(registry, vault, account)
        self._limit = limit_per_wallet
        self._confirmations = max(1, confirmations)
        self._depth = max(reorg_depth, self._confirmations)
        # (block hash, log index) of requests that are no business of this keeper's
        self._dismissed: set[tuple[bytes, int]] = set()
        # jobs that can do nothing until their grant's state differs from this, or until this time
        self._resting: dict[str, tuple[GrantView, float]] = {}
        self._round = 0

    # ------------------------------------------------------------------ reading requests

    def _archive(self, head: int) -> list[Action]:
        """Write new requests to the vault."""
        state = self._state(self.vault.read())
        if head + self._depth < state["cursor"]:
            raise ChainUnavailable(
                f"the chain ends at block {head}, and this keeper has read block {state['cursor']}",
                "wait for the node, or check the URL; to read this chain from its beginning: ffem keeper accept",
            )
        first = max(self.registry.from_block, state["cursor"] + 1 - self._depth)
        actions: list[Action] = []
        jobs: dict[str, Job] = {}
        views: dict[bytes, GrantView] = {}
        dismissed: set[tuple[bytes, int]] = set()
        for event in self.registry.events([AccessRequested], from_block=first, to_block=head):
            if not isinstance(event, AccessRequested):
                continue
            place = (event.block_hash, event.log_index)
            digest = hashlib.sha256(event.request_key).hexdigest()
            name = f"{event.grant_id.hex()}:{event.seq}:{digest[:16]}"
            if place in self._dismissed:
                dismissed.add(place)
                continue
            if name in state["jobs"] or name in jobs:
                continue
            if event.grant_id not in views:
                views[event.grant_id] = self.registry.grant_state(event.grant_id)
            view = views[event.grant_id]
            members = self._set(view.keeper_set).keepers if view.keeper_set else ()
            if self.wallet not in members:
                dismissed.add(place)
                continue
            if event.seq != view.seq:
                continue  # superseded before it was read
            asked = f"request {event.seq} in block {event.block}"
            actions.append(Action("requested", asked, event.grant_id, event.seq))
            try:
                parse_request_key(event.request_key)
            except FormatError as error:
                # of any length: not kept
                text = f"the request key is not one: {error.message}"
                actions.append(Action("refused", text, event.grant_id, event.seq))
                dismissed.add(place)
                continue
            jobs[name] = {
                "grant": event.grant_id,
                "album": self._set(view.keeper_set).album,
                "recipient": view.recipient,
                "seq": event.seq,
                "request_key": event.request_key,
                "sealed": b"",
                "digest": b"",
                "note": "requested",
                "final": 0,
            }
        self._dismissed = dismissed
        if jobs or head - state["cursor"] >= self._depth // 2:
            self._keep(jobs, head)
        return actions

    def _keep(self, jobs: dict[str, Job], head: int) -> None:
        with self.vault.edit() as data:
            kept = self._state(data)
            # Requests read again below the cursor must find their finished jobs: keep those that long.
            over = {k for k, job in kept["jobs"].items() if 0 < job["final"] < head - 3 * self._depth}
            kept["jobs"] = {k: job for k, job in {**jobs, **kept["jobs"]}.items() if k not in over}
            kept["cursor"] = max(kept["cursor"], head)

    # ------------------------------------------------------------------ whose turn it is

    def _due(self, head: int) -> list[tuple[str, Job]]:
        """Jobs to look at in this step: albums in turn, in each its recipients in turn; of those that rest, a few."""
        jobs = self._state(self.vault.read())["jobs"]
        open_jobs = {k: job for k, job in jobs.items() if not (job["final"] and head - job["final"] > self._depth)}
        self._resting = {k: rest for k, rest in self._resting.items() if k in open_jobs}
        resting = list(self._resting)
        start = self._round * _LOOKS % len(resting) if resting else 0
        self._round += 1
        for name in (resting[start:] + resting[:start])[:_LOOKS]:
            self._look(name, jobs[name])
        awake = [name for name in open_jobs if name not in self._resting]
        by_recipient = take_turns(awake, lambda name: jobs[name]["recipient"])
        return [(name, jobs[name]) for name in take_turns(by_recipient, lambda name: jobs[name]["album"])]

    def _rest(self, name: str, view: GrantView, until: float = float("inf")) -> None:
        """Let a job lie until its grant's state is no longer `view`, or until that time (unix seconds)."""
        self._resting[name] = view, until

    def _look(self, name: str, job: Job) -> None:
        """Wake a job that has something to do."""
        view, until = self._resting[name]
        if time.time() >= until or self.registry.grant_state(job["grant"]) != view:
            del self._resting[name]

    # ------------------------------------------------------------------ writing down

    def _room(self, recipient: str) -> float:
        """Unix seconds from which on the recipient may be released something again; 0: now."""
        since = time.time() - _HOUR
        stamps = self._state(self.vault.read())["commits"].get(recipient, [])
        recent = sorted(stamp for stamp in stamps if stamp > since)
        return recent[-self._limit] + _HOUR if len(recent) >= self._limit else 0.0

    def _answered_elsewhere(self, job: Job) -> bool:
        """Whether a share of another grant was sealed to this recipient's request key."""
        answered = self._state(self.vault.read())["answered"].get(request_mark(job["recipient"], job["request_key"]))
        return answered is not None and answered != job["grant"][:8]

    def _write_intent(self, name: str, sealed: bytes, digest: bytes) -> Job:
        """Write down what will be committed to, unless that was done before; the job as it is written."""
        now = int(time.time())
        with self.vault.edit() as data:
            state = self._state(data)
            job: Job = state["jobs"][name]
            if not job["sealed"]:
                job["sealed"], job["digest"] = sealed, digest
                state["answered"][request_mark(job["recipient"], job["request_key"])] = job["grant"][:8]
                stamps = {
                    wallet: [stamp for stamp in found if stamp > now - _HOUR]
                    for wallet, found in state["commits"].items()
                }
                stamps[job["recipient"]] = [*stamps.get(job["recipient"], []), now]
                state["commits"] = {wallet: found for wallet, found in stamps.items() if found}
            return dict(job)

    def _note(self, name: str, job: Job, kind: str, text: str, final: int = 0) -> list[Action]:
        """Write down where a job stands; an Action where that is news. `final`: the block, where it is
        finished."""
        note = f"{kind}: {text}"
        if job["note"] == note and bool(job["final"]) == bool(final):
            return []
        if final and job["final"] and (kind == "superseded" or job["note"].startswith(f"{kind}:")):
            return []  # finished before; a newer request, or other words, change nothing about that
        with self.vault.edit() as data:
            kept = self._state(data)["jobs"][name]
            kept["note"], kept["final"] = note, final
        return [] if job["note"] == note else [Action(kind, text, job["grant"], job["seq"])]

    def _did(self, name: str, job: Job, kind: str, text: str) -> list[Action]:
        """Write down a transaction. It is news also when it is the same as before: a reorganisation had taken that."""
        self._note(name, job, kind, text)
        return [Action(kind, text, job["grant"], job["seq"])]
