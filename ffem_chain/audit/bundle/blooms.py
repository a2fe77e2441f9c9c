"""What blooms of headers show: which blocks cannot hold logs of a registry, or of an album (Yellow Paper, 4.3.1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import pairwise

from eth_utils import keccak

from ffem_chain.audit.bundle.format import Head
from ffem_chain.audit.history import History
from ffem_chain.audit.proofs import Header


def bloom_of(values: Iterable[bytes]) -> int:
    """The bits of a block's bloom that logs with these addresses or topics set."""
    bits = 0
    for value in values:
        digest = keccak(value)
        for at in (0, 2, 4):
            bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 2047)
    return bits


def nothing_else(head: Head, history: History, headers: Sequence[Header], whole: Collection[int]) -> bool:
    """Whether the blooms show that no block from the first one on has further logs of the registry (of the album).

    Needs consecutive headers, and all receipts of each block whose bloom may hold such a log.
    """
    needed = [header for header in headers if header.number <= head.block]
    if any(later.number != earlier.number + 1 for earlier, later in pairwise(needed)):
        return False
    blooms = wanted_blooms(head, history)
    return all(header.number in whole or not may_log(header, blooms) for header in needed)


def wanted_blooms(head: Head, history: History) -> tuple[int, list[int]]:
    """Bits of the registry's address, and of the topics one of which each log of an album has (none: any)."""
    address = bloom_of([bytes.fromhex(head.registry[2:])])
    if head.album is None:
        return address, []
    return address, [bloom_of([topic]) for topic in (head.album, *history.grants)]


def may_log(header: Header, blooms: tuple[int, list[int]]) -> bool:
    """Whether the block may hold a log with the address and one of the topics of `wanted_blooms`."""
    address, topics = blooms
    bloom = header.logging()[2]
    return bloom & address == address and (not topics or any(bloom & bits == bits for bits in topics))
