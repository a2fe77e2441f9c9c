"""What no audit of the chain can prove. It is printed with every audit."""

from __future__ import annotations

from ffem_chain.audit.model import Counts
from ffem_chain.labels import DIRECT_LABEL, OWNER_KEEPER_LABEL

_ALWAYS = (
    "off-record release: keepers that hold a threshold of shares, or thieves of their keys, can pass them on without a "
    "trace on the chain",
    "copying: whoever opened a picture can pass it on, and whoever holds a key can pass that on",
    "looking: a receipt proves release to a wallet's request key, not that anyone looked",
    "the human behind a wallet, and whether two wallets belong to one",
    "whether an envelope or a delivered share was the right one: they are sealed, so only the recipient can tell, and "
    "a keeper that delivered a wrong share shows here as one that delivered",
    "what a grant is for: a salted commitment that the owner and the recipient can resolve",
    "what the captures of a batch are, for whoever lacks its list: the chain has their Merkle root only",
)
_LOGS_ONLY = (
    "what stands in logs only: the storage proves neither deliveries, request keys and sealed recovery keys nor the "
    "blocks in which things happened, so a node could hide a delivery"
)


def limits(counts: Counts, complete: bool, block: int, *, logs: bool = False) -> tuple[str, ...]:
    """The sentences, with what is particular to a registry. `logs`: headers and receipts prove the logs, too."""
    found = [*_ALWAYS, *([] if logs else [_LOGS_ONLY])]
    if counts.alone:
        found.append(f"keeper sets that are the album's owner alone ({counts.alone}): {OWNER_KEEPER_LABEL}")
    if counts.direct:
        found.append(f"direct grants ({counts.direct}): {DIRECT_LABEL}")
    if not complete:
        found.append("completeness: nothing proves here that the logs are the whole history")
    found.append(
        f"that block {block} is on the chain that everybody else sees, and the times that its producers wrote: compare "
        "its hash with another source"
    )
    return tuple(found)
