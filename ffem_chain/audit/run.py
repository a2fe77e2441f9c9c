"""The audit: one block, everything up to it, rebuilt, proven as far as the node allows, and put into words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ffem_chain.audit.check import check_history
from ffem_chain.audit.findings import findings, not_served
from ffem_chain.audit.history import History, rebuild
from ffem_chain.audit.limits import limits
from ffem_chain.audit.model import Anomaly, Counts, Kind, Report, Severity
from ffem_chain.audit.proofs import Header, Prover, deployment_in, on_chain, read_header, read_headers
from ffem_chain.audit.releases import Scene
from ffem_chain.audit.source import EventSource, Progress, read_all
from ffem_chain.audit.timeline import timeline
from ffem_chain.chain.events import Event
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import ChainUnavailable, FfemError
from ffem_chain.stores.base import Store

PATIENCE = 3_600
_ATTEMPTS = 5
_HEADERS = 500
Found = TypeVar("Found")


class Reorganised(Exception):
    """The chain changed while it was read."""


def audit(
    registry: Registry,
    *,
    source: EventSource | None = None,
    block: int | bytes | None = None,
    confirmations: int = 1,
    patience: int = PATIENCE,
    stores: Sequence[Store] = (),
    progress: Progress | None = None,
) -> Report:
    """Audit a registry, which may have been opened with `any_code`. It needs no wallet and no secret.

    `source` gives the events (None: the registry's node). `block` is a number, or the hash of a block that the caller
    trusts (None: the newest with `confirmations`). `patience` in seconds: after that a request without an answer, or a
    commit without a delivery, is named. `stores` are asked for every capture.

    Where a reorganisation replaces the block meanwhile, the audit starts again. Raises ChainUnavailable, Tampered
    (proofs of the node fail), FormatError (logs that are none).
    """

    def whole(header: Header) -> Report:
        return _audit(registry, source or registry, header, patience, stores, progress)

    return at_block(registry, whole, block, confirmations, progress)


def at_block(
    registry: Registry,
    work: Callable[[Header], Found],
    block: int | bytes | None,
    confirmations: int,
    progress: Progress | None,
) -> Found:
    """What `work` finds at a block (see `audit`), again where a reorganisation replaces that meanwhile.

    Raises what `work` does, ChainUnavailable.
    """
    for _ in range(_ATTEMPTS):
        wanted: int | bytes | None = block
        if wanted is None:
            wanted = max(0, registry.latest_block() - max(1, confirmations) + 1)
        header = read_header(registry.rpc, wanted)
        try:
            found = work(header)
            if on_chain(registry.rpc, header):
                return found
        except Reorganised:
            pass
        except FfemError:
            # Proofs and state of a block that is gone do not fit together: that is nobody's lie.
            if on_chain(registry.rpc, header):
                raise
        if isinstance(block, bytes):
            raise ChainUnavailable(
                f"block 0x{block.hex()}, or a log before it, is not on the chain of {registry.rpc.name}",
                "check the hash, and whether the copy is of this chain",
            )
        if progress is not None:
            progress("the chain was reorganised: the audit starts again", 0, 1)
    raise ChainUnavailable(
        f"the logs of {registry.rpc.name} stay in blocks that are not on its chain",
        "the chain keeps changing, or the RPC (or the synced copy) is not of this chain: try later, or another",
    )


def _audit(
    registry: Registry,
    source: EventSource,
    header: Header,
    patience: int,
    stores: Sequence[Store],
    progress: Progress | None,
) -> Report:
    code = registry.code(header.number)
    deployment = deployment_in(code)
    if deployment is None:
        return _unknown(registry, header, code)
    prover = Prover(registry, header)
    prover.check_code(code)
    events = read_all(source, registry.from_block, header.number, progress)
    times, unproven = _times(registry, header, events, progress)
    history = rebuild(events, header.time)
    completeness = check_history(history, prover)
    found: list[Anomaly] = list(completeness.anomalies)
    found += findings(Scene(history, header.time, times, patience))
    beyond: list[str] = []
    if stores:
        unserved, beyond = not_served(history, stores)
        found += unserved
    beyond += unproven_times(unproven)
    counts = Counts.of(history)
    said = limits(counts, completeness.complete, header.number)
    return Report(
        address=registry.address,
        deployment=deployment,
        chain_id=registry.rpc.chain_id,
        block=header.number,
        block_hash=header.hash,
        time=header.time,
        complete=completeness.complete,
        basis=completeness.basis,
        anomalies=tuple(sorted(found, key=lambda anomaly: -anomaly.severity.value)),
        timeline=timeline(history, times),
        limits=(*beyond, *said),
        history=history,
        times=times,
        counts=counts,
    )


def unproven_times(blocks: int) -> list[str]:
    """What cannot be proven about the times of that many blocks."""
    if not blocks:
        return []
    return [f"the times of {blocks} blocks: their hashes cannot be recomputed, so they are the node's word"]


def _times(
    registry: Registry, header: Header, events: Sequence[Event], progress: Progress | None
) -> tuple[dict[int, int], int]:
    """Unix seconds of each block with events, and how many of them no hash proves.

    Raises Reorganised where an event's block is not on the chain.
    """
    hashes = {event.block: event.block_hash for event in events}
    if any(event.block > header.number or hashes[event.block] != event.block_hash for event in events):
        raise Reorganised
    times: dict[int, int] = {}
    unproven = 0
    numbers = sorted(hashes)
    for start in range(0, len(numbers), _HEADERS):
        part = numbers[start : start + _HEADERS]
        headers = read_headers(registry.rpc, part)
        for number in part:
            if number not in headers or headers[number].hash != hashes[number]:
                raise Reorganised
            times[number] = headers[number].time
            unproven += not headers[number].proven
        if progress is not None:
            progress("reading the times of blocks", start + len(part), len(numbers))
    return times, unproven


def _unknown(registry: Registry, header: Header, code: bytes) -> Report:
    """Nothing that another contract logs means anything here."""
    text = (
        f"the contract at {registry.address} is not the registry that this version knows"
        if code
        else f"there is no contract at {registry.address} at block {header.number}"
    )
    hint = "check the address and the chain; another version's registry needs that version of ffem-chain"
    anomaly = Anomaly(Kind.UNKNOWN_CODE, Severity.BROKEN, text, hint, header.number)
    history = History(())
    counts = Counts.of(history)
    return Report(
        address=registry.address,
        deployment=b"",
        chain_id=registry.rpc.chain_id,
        block=header.number,
        block_hash=header.hash,
        time=header.time,
        complete=False,
        basis="nothing was read: the code is unknown, so its logs prove nothing",
        anomalies=(anomaly,),
        timeline=(),
        limits=limits(counts, False, header.number),
        history=history,
        times={},
        counts=counts,
    )
