"""Keeping a copy of a registry's logs in a folder: incremental, resumable, and safe against reorganisations.

What is on the disk is a `Copy` at every moment: events are written before the head that counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from ffem_chain.audit.copy import HEAD, PER_FILE, PROOF, Copy, Proof, events_file
from ffem_chain.audit.index.update import Index
from ffem_chain.audit.proofs import Header, Prover, on_chain, read_header, read_headers
from ffem_chain.audit.run import Reorganised
from ffem_chain.audit.source import EventSource, Progress, pieces
from ffem_chain.chain.events import Event
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import ChainUnavailable, InputError, Tampered
from ffem_chain.keys.files import read_file, write_private

_ATTEMPTS = 5
_LOOK = 100  # blocks compared at once
_LOCK_SECONDS = 60.0


@dataclass(frozen=True)
class Synced:
    """What a sync did: events added, events that a reorganisation took back, and whether the copy proves itself."""

    copy: Copy
    added: int
    removed: int
    proven: bool


def load(folder: Path) -> Copy | None:
    """The copy in a folder, None where there is none. Raises FormatError, InputError (unreadable)."""
    if not (folder / HEAD).exists():
        return None
    names = [path.name for path in folder.iterdir() if path.suffix == ".cbor"]
    return Copy.from_files({name: read_file(folder / name, "part of a copy") for name in names}, unfinished=True)


def sync(
    registry: Registry,
    folder: Path,
    *,
    index: Index | None = None,
    confirmations: int = 1,
    progress: Progress | None = None,
) -> Synced:
    """Bring the copy in `folder` up to the newest block with `confirmations`; a first call reads everything.

    With an `index` the logs are read into it, and into the copy from it: what it has is not asked of the node again.
    What a reorganisation took back is replaced. Interrupted, the next call goes on. Raises Tampered where the logs are
    proven incomplete (the folder is then as it was before, and the index as it was last proven), InputError where the
    folder is another registry's, ChainUnavailable, FormatError.
    """
    with _locked(folder), _with(index, folder):
        before = load(folder)
        deployment = registry.deployment_id
        if before is not None and (before.deployment, before.address) != (deployment, registry.address):
            raise InputError(f"{folder} holds the logs of another registry", "choose another folder")
        removed, start = 0, before or _nothing(registry)
        for _ in range(_ATTEMPTS):
            header = read_header(registry.rpc, max(0, registry.latest_block() - max(1, confirmations) + 1))
            if index is not None:
                try:
                    index.update(header, progress)
                except Reorganised:
                    continue
            kept = _rolled_back(registry, start, header)
            if kept is not start:
                removed += len(start.logs) - len(kept.logs)
                _write(folder, kept, len(kept.logs), shorter=True)
            copy = _extended(registry, index or registry, folder, kept, header, progress)
            try:
                prover = Prover(registry, header)
                if index is not None:
                    index.proven(prover, header)
                copy = _proven(registry, prover, copy, header)
            except Tampered:
                if on_chain(registry.rpc, header) and _new_on_chain(registry, copy, kept):
                    _restore(folder, before, copy)
                    raise
            else:
                if on_chain(registry.rpc, header) and _new_on_chain(registry, copy, kept):
                    _write(folder, copy, len(kept.logs))
                    had = len(before.logs) if before else 0
                    return Synced(copy, len(copy.logs) - had + removed, removed, copy.proof is not None)
            start = load(folder) or _nothing(registry)
        raise ChainUnavailable("the chain keeps being reorganised while it is read", "try again later")


def _nothing(registry: Registry) -> Copy:
    """A copy up to block 0, in which no contract can be."""
    return Copy(registry.deployment_id, registry.address, registry.rpc.chain_id, 0, bytes(32), ())


def _extended(
    registry: Registry, source: EventSource, folder: Path, kept: Copy, header: Header, progress: Progress | None
) -> Copy:
    """`kept` with everything up to `header`, saved after each piece."""
    copy, first = kept, max(kept.block + 1, registry.from_block)
    for start, end in pieces(first, header.number):
        events = source.events(None, from_block=start, to_block=end)
        reached = header if end == header.number else read_header(registry.rpc, end)
        former = len(copy.logs)
        copy = replace(copy, logs=copy.logs + tuple(events), block=end, block_hash=reached.hash, proof=None)
        if end != header.number:
            _write(folder, copy, former)
        if progress is not None:
            progress("copying the registry's logs", end - first + 1, header.number - first + 1)
    return copy


def _rolled_back(registry: Registry, copy: Copy, header: Header) -> Copy:
    """The copy without what is no longer on the chain; itself where all is."""
    if not copy.block:
        return copy
    if copy.block <= header.number:
        there = read_headers(registry.rpc, [copy.block]).get(copy.block)
        if there is not None and there.hash == copy.block_hash:
            return copy
    hashes = {event.block: event.block_hash for event in copy.logs if event.block <= header.number}
    blocks = sorted(hashes, reverse=True)
    for start in range(0, len(blocks), _LOOK):
        part = blocks[start : start + _LOOK]
        headers = read_headers(registry.rpc, part)
        for number in part:
            if number in headers and headers[number].hash == hashes[number]:
                logs = tuple(event for event in copy.logs if event.block <= number)
                return replace(copy, logs=logs, block=number, block_hash=hashes[number], proof=None)
    return _nothing(registry)


def _new_on_chain(registry: Registry, copy: Copy, kept: Copy) -> bool:
    """Whether the blocks of all new events are on the chain."""
    new: Sequence[Event] = copy.logs[len(kept.logs) :]
    blocks = sorted({event.block for event in new})
    found: dict[int, bytes] = {}
    for start in range(0, len(blocks), _LOOK):
        headers = read_headers(registry.rpc, blocks[start : start + _LOOK])
        found |= {number: header.hash for number, header in headers.items()}
    return all(found.get(event.block) == event.block_hash for event in new)


def _proven(registry: Registry, prover: Prover, copy: Copy, header: Header) -> Copy:
    """The copy with its proof, checked, where the node gives one. Raises Tampered."""
    if prover.account is None or not header.proven:
        return replace(copy, proof=None)
    proven = replace(copy, proof=Proof(header.encoded, prover.account.nodes))
    try:
        proven.verify()
    except Tampered:
        raise Tampered(
            f"the logs that {registry.rpc.name} gives are not the whole history: the block's storage root proves it",
            "use another RPC, and look at from_block: reading must begin at the deployment",
        ) from None
    return proven


# ---------------------------------------------------------------------- on the disk


def _write(folder: Path, copy: Copy, unchanged: int, *, shorter: bool = False) -> None:
    """Save a copy whose first `unchanged` events are in the folder already.

    The head comes last, or first where the copy gets `shorter`: it never counts events that are not there.
    """
    files = copy.files(unchanged // PER_FILE)
    if PROOF not in files:
        (folder / PROOF).unlink(missing_ok=True)
    for name, data in sorted(files.items(), key=lambda item: (item[0] == HEAD) != shorter):
        write_private(folder / name, data)
    number = -(-len(copy.logs) // PER_FILE)
    while (folder / events_file(number)).exists():
        (folder / events_file(number)).unlink()
        number += 1


def _restore(folder: Path, before: Copy | None, now: Copy) -> None:
    """Take back what a run wrote that turned out to be incomplete."""
    if before is not None:
        _write(folder, before, 0, shorter=True)
        return
    for name in (HEAD, *now.files()):
        (folder / name).unlink(missing_ok=True)


def _with(index: Index | None, folder: Path) -> AbstractContextManager[None]:
    """The index for this process alone; in the same folder it has the same lock."""
    same = index is None or index.folder.resolve() == folder.resolve()
    return nullcontext() if same or index is None else index.locked()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One sync of a folder at a time."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(folder / "lock", timeout=_LOCK_SECONDS):
            yield
    except Timeout:
        raise InputError(f"another process keeps syncing {folder}", "wait for it, or stop it") from None
    except OSError as error:
        raise InputError(f"{folder} cannot be used: {error.strerror}", "check the folder and the free space") from None
