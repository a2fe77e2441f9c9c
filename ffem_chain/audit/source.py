"""Where events come from: a node, or a synced copy; both answer alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ffem_chain.chain.events import Event

# (what is going on, how much of it is done, of how much)
Progress = Callable[[str, int, int], None]
_PIECES, _SHORTEST = 50, 2_000


class EventSource(Protocol):
    """Gives the events of one registry in order of the chain. `Registry` and `copy.Copy` are such sources."""

    def events(
        self,
        kinds: Sequence[type[Event]] | None = None,
        *,
        from_block: int | None = None,
        to_block: int | None = None,
    ) -> list[Event]:
        """Events of some kinds (None: all) in blocks [from_block, to_block]."""


def pieces(first: int, last: int) -> list[tuple[int, int]]:
    """Ranges that cover blocks [first, last], few enough to be fast, small enough to show progress."""
    span = max(_SHORTEST, -(-(last - first + 1) // _PIECES))
    return [(start, min(last, start + span - 1)) for start in range(first, last + 1, span)]


def read_all(source: EventSource, first: int, last: int, progress: Progress | None = None) -> list[Event]:
    """All events in blocks [first, last]."""
    found: list[Event] = []
    for start, end in pieces(first, last):
        found += source.events(None, from_block=start, to_block=end)
        if progress is not None:
            progress("reading the registry's logs", end - first + 1, last - first + 1)
    return found
