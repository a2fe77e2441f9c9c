"""Whether the logs are the whole history: the state rebuilt from them against the contract's storage."""

from __future__ import annotations

from dataclasses import dataclass

from ffem_chain.audit.history import History
from ffem_chain.audit.model import Anomaly, Kind, Severity
from ffem_chain.audit.proofs import Prover
from ffem_chain.audit.storage import About, storage_root, words

_HINT = (
    "the node leaves out or alters logs, or reading begins too late (from_block): use another RPC, or a synced copy "
    "(ffem audit --copy)"
)


@dataclass(frozen=True)
class Completeness:
    """`complete`: proven by the block's hash that the logs account for every word of the storage. `basis` in words."""

    complete: bool
    basis: str
    anomalies: tuple[Anomaly, ...] = ()


def check_history(history: History, prover: Prover) -> Completeness:
    """Compare. Raises Tampered where the node's own proofs fail, ChainUnavailable."""
    expected = words(history)
    root = prover.account.storage_root if prover.account else None
    # Rebuilding may have noticed the lack of a log that changes no storage.
    found = [
        Anomaly(Kind.MISSING_HISTORY, Severity.BROKEN, gap.text, _HINT, gap.block, gap.grant, gap.album)
        for gap in history.gaps
    ]
    if root is None or storage_root({slot: word.value for slot, word in expected.items()}) != root:
        actual = prover.read(list(expected))
        explained = {anomaly.grant for anomaly in found if anomaly.grant}
        wrong = [expected[slot].about for slot, value in actual.items() if value != expected[slot].value]
        found += [_differs(about) for about in dict.fromkeys(wrong) if about.grant not in explained]
        if root is not None and storage_root(actual) != root:
            text = "the contract's storage holds more than the logs account for: whole entries are missing from them"
            found.append(Anomaly(Kind.MISSING_HISTORY, Severity.BROKEN, text, _HINT))
    return Completeness(prover.proven and not found, basis(prover, bool(found)), tuple(found))


def _differs(about: About) -> Anomaly:
    return Anomaly(
        Kind.MISSING_HISTORY,
        Severity.BROKEN,
        f"the logs of {about.text} do not give what the contract's storage holds",
        _HINT,
        grant=about.grant,
        album=about.album,
        uid=about.uid,
        wallet=about.wallet,
    )


def basis(prover: Prover, broken: bool) -> str:
    """What completeness rests on, in words; `broken`: the logs do not account for the storage."""
    if broken:
        return "the logs do not account for the contract's storage: what follows is not the whole history"
    if prover.proven:
        return "the block's hash proves that the logs account for the contract's whole storage"
    if prover.account is not None:
        return (
            "the logs account for the contract's whole storage, under a state root that is the node's word: the "
            "headers of this chain's blocks are not known here"
        )
    return (
        "each entry in the logs agrees with the storage as the node tells it; it gives no storage proofs, so entries "
        "that it hides altogether cannot be noticed"
    )
