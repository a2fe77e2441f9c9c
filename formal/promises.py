"""What must hold in every state: P4 and P5 of SECURITY.md, and what keepers promise for them."""

from __future__ import annotations

from collections.abc import Iterator

import cbor2

from ffem_chain.chain.events import AccessRequested, Event, GrantOpened, GrantRevoked, ReleaseCommitted
from formal.people import EXPIRY, People
from formal.state import State

P4 = "P4: the key is out before the request and the commits of t distinct keepers are on the chain"
P5 = "P5: the key is out, and its grant was revoked before the t-th commit"
OTHERS = "somebody else than the recipient gets the key"
ONCE = "a keeper seals two requests of one recipient to one request key"
CONFIRMED = "a keeper commits to a request that lacks confirmations"


class Promises:
    """Compares what people can compute with what the chain says."""

    def __init__(self, people: People, confirmations: int) -> None:
        self._people = people
        self._confirmations = confirmations

    def broken(self, before: State, after: State, reached: set[str]) -> str:
        """The promise that the newer state breaks, empty where none; adds to `reached` what happened."""
        return next(self._all(before, after, reached), "")

    def _all(self, before: State, after: State, reached: set[str]) -> Iterator[str]:
        people = self._people
        for number, granted in enumerate(people.grants):
            made = granted.made
            log = [event for event in after.chain.log if getattr(event, "grant_id", b"") == made]
            out = people.opens(made, granted.recipient, self._keys(after, granted.recipient), after.public)
            committed = _committed(log)
            if out and len(committed) < people.threshold:
                yield f"{P4} (grant {number})"
            revoked = next((at for at, event in enumerate(log) if isinstance(event, GrantRevoked)), None)
            in_time = revoked is not None and len(_committed(log[:revoked])) < people.threshold
            if out and in_time:
                yield f"{P5} (grant {number})"
            others = [who for who in range(len(people.wallets)) if who != granted.recipient]
            theirs = tuple(name for who in others for name in self._keys(after, who))
            if any(people.opens(made, other, theirs, after.public) for other in others):
                yield f"{OTHERS} (grant {number})"
            reached.update(_happened(log, out, in_time, after))
        yield from self._once(after)
        if self._unconfirmed(before, after):
            yield CONFIRMED

    def _keys(self, state: State, recipient: int) -> tuple[str, ...]:
        """Names of the one-time keys that a recipient has drawn."""
        return tuple(
            f"{number}.{n}"
            for number, granted in enumerate(self._people.grants)
            if granted.recipient == recipient
            for n in range(state.fresh[number])
        )

    def _once(self, state: State) -> Iterator[str]:
        for memory in state.keepers.values():
            (kept,) = cbor2.loads(memory.vault)["keeper"]["deployments"].values()
            sealed = [(job["recipient"], job["request_key"]) for job in kept["jobs"].values() if job["sealed"]]
            if len(sealed) != len(set(sealed)):
                yield ONCE

    def _unconfirmed(self, before: State, after: State) -> bool:
        """Whether an honest keeper has just committed to a request that is too new."""
        length = len(before.chain.log)
        if before.keepers == after.keepers or after.chain.log[:length] != before.chain.log:
            return False
        asked = {(e.grant_id, e.seq): e.block for e in before.chain.log if isinstance(e, AccessRequested)}
        new = [e for e in after.chain.log[length:] if isinstance(e, ReleaseCommitted)]
        return any(before.chain.height - asked[e.grant_id, e.seq] + 1 < self._confirmations for e in new)


def _committed(log: list[Event]) -> set[int]:
    """Keepers who committed after a request, from the events of one grant in order."""
    asked, found = False, set()
    for event in log:
        asked |= isinstance(event, AccessRequested)
        if isinstance(event, ReleaseCommitted) and asked:
            found.add(event.index)
    return found


def _happened(log: list[Event], out: bool, in_time: bool, state: State) -> Iterator[str]:
    opened = any(isinstance(event, GrantOpened) for event in log)
    revoked = any(isinstance(event, GrantRevoked) for event in log)
    if out:
        yield "opened by its recipient"
    if in_time and _committed(log):
        yield "revoked between two commits"
    if in_time:
        yield "revoked in time"
    if revoked and opened:
        yield "revoked too late"
    if state.chain.time >= EXPIRY:
        yield "expired"
    if state.reorgs and out:
        yield "opened after a reorganisation"
