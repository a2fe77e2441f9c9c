"""Which headers and links a bundle needs, so that every block with events leads to a trusted hash."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from ffem_chain.audit.bundle.links import WINDOW, keeps_hashes
from ffem_chain.chain.rpc import Rpc
from ffem_chain.errors import InputError

MANY = 20_000  # headers: 12 MB


class Links(Enum):
    """What links a block with events to a trusted hash: see docs/AUDIT.md. AUTO: HEADERS where they are few."""

    AUTO = "auto"
    HEADERS = "headers"
    HISTORY = "history"
    CHAINS = "chains"


@dataclass(frozen=True)
class Plan:
    """Numbers of blocks whose headers are needed; `links`: block -> older blocks whose hashes its state shows."""

    headers: tuple[int, ...]
    links: dict[int, tuple[int, ...]] = field(default_factory=dict)


def every_header(blocks: Iterable[int], trusted: Sequence[int]) -> Plan:
    """All headers from the oldest of `blocks` to the newest of `trusted`."""
    return Plan(tuple(range(min([*blocks, *trusted]), max(trusted) + 1)))


def chains(blocks: Iterable[int], trusted: Sequence[int]) -> Plan:
    """Headers from each block to the next trusted one (ascending, the last not before any of `blocks`)."""
    needed: set[int] = set(trusted)
    for block in blocks:
        needed.update(range(block, trusted[bisect_left(trusted, block)] + 1))
    return Plan(tuple(sorted(needed)))


def histories(blocks: Iterable[int], trusted: Sequence[int]) -> Plan:
    """Headers of the blocks alone, each shown by the state of a block at most `WINDOW` behind it.

    Where the next trusted block is farther, hops of `WINDOW` blocks lead there.
    """
    needed = set(trusted)
    links: dict[int, set[int]] = {}
    waiting = set(blocks) - needed
    while waiting:
        block = max(waiting)
        waiting.discard(block)
        needed.add(block)
        if block + 1 in needed:
            continue  # named by the block behind it
        goal = trusted[bisect_left(trusted, block)]
        # the farthest hop of the way down from the trusted block that still reaches this one
        hop = goal - (goal - block - 1) // WINDOW * WINDOW
        links.setdefault(hop, set()).add(block)
        if hop not in needed:
            waiting.add(hop)
    return Plan(tuple(sorted(needed)), {hop: tuple(sorted(links[hop])) for hop in sorted(links)})


def choose(rpc: Rpc, wish: Links, blocks: Iterable[int], trusted: Iterable[int]) -> tuple[Links, Plan]:
    """What links `blocks` to the trusted ones (numbers, the newest behind all blocks), and what is needed for it."""
    needed, goals = sorted(blocks), sorted(trusted)
    plans = {Links.HEADERS: every_header, Links.HISTORY: histories, Links.CHAINS: chains}
    if wish is Links.AUTO:
        most = len(every_header(needed, goals).headers)
        wish = Links.HEADERS if most <= MANY else Links.HISTORY if keeps_hashes(rpc) else Links.CHAINS
        if wish is Links.CHAINS and len(chains(needed, goals).headers) > 10 * MANY:
            raise InputError(
                f"{most} headers would be needed, and this chain does not keep hashes of blocks (EIP-2935)",
                "let the auditor trust more blocks (--checkpoint), or insist: --links headers",
            )
    return wish, plans[wish](needed, goals)
