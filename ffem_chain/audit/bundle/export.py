"""Making a bundle: everything is read from a node, checked against the block's hash, and verified before it is written.

What was read is kept in the folder `FILE.partial` until the bundle is finished, so that an interrupted export goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ffem_chain.audit.bundle import archive
from ffem_chain.audit.bundle.format import (
    HEAD,
    HEADERS,
    LINKS,
    PER_FILE,
    RECEIPTS,
    REPORT,
    STATE,
    Head,
    dump,
    ordered,
    piece,
    pieces,
)
from ffem_chain.audit.bundle.gather import gather_captures, read_blocks, read_receipt_nodes
from ffem_chain.audit.bundle.links import read_link, read_proofs, slot_path
from ffem_chain.audit.bundle.plan import Links, Plan, choose
from ffem_chain.audit.bundle.report import program, text
from ffem_chain.audit.bundle.verify import Verified, examine
from ffem_chain.audit.bundle.work import Work
from ffem_chain.audit.check import check_history
from ffem_chain.audit.history import History, of_album, rebuild
from ffem_chain.audit.proofs import Header, Prover, on_chain, read_header
from ffem_chain.audit.run import PATIENCE
from ffem_chain.audit.source import EventSource, Progress, read_all
from ffem_chain.audit.storage import words
from ffem_chain.audit.tries import select
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import ChainUnavailable, FormatError, InputError, Refused, Tampered
from ffem_chain.stores.base import Store

_ATTEMPTS = 3


@dataclass(frozen=True)
class Exported:
    """A finished bundle: what it proves, its size in bytes, and what links its blocks."""

    verified: Verified
    size: int
    links: Links


@dataclass(frozen=True)
class Wish:
    """What is to be exported. `block` None: the newest with `confirmations`. `checkpoints` are hashes (32 bytes) of
    further blocks that the auditor trusts. `patience` in seconds."""

    album: bytes | None = None
    block: int | bytes | None = None
    confirmations: int = 1
    patience: int = PATIENCE
    links: Links = Links.AUTO
    checkpoints: tuple[bytes, ...] = ()


class Reorganised(Exception):
    """The chain changed while it was read."""


def export(
    registry: Registry,
    path: Path,
    wish: Wish,
    *,
    source: EventSource | None = None,
    stores: Sequence[Store] = (),
    progress: Progress | None = None,
) -> Exported:
    """Write the new file `path`. `source` gives the events (None: the registry's node), `stores` the captures.

    Interrupted, the next call with the same wish goes on with the same block. Where a reorganisation replaces that
    block, it starts again. Raises InputError (the file exists, another export is at it), ChainUnavailable (also where
    the node gives no proofs), Tampered (the node contradicts itself, or leaves out logs), Refused (no such album).
    """
    if path.exists():
        raise InputError(f"{path} exists already", "move it away first, or choose another name")
    say = progress or (lambda text, done, total: None)
    with Work.at(path.with_name(path.name + ".partial")) as work:
        for _ in range(_ATTEMPTS):
            try:
                header = _target(registry, work, wish)
                done = _export(registry, path, wish, header, work, source or registry, stores, say)
            except Reorganised:
                if isinstance(wish.block, bytes):
                    break
                say("the chain was reorganised: the export starts again", 0, 1)
                work.clear()
            except (FormatError, Refused, Tampered):
                work.clear()  # what was read may be the reason
                raise
            else:
                work.clear()
                return done
    raise ChainUnavailable(f"the chain at {registry.rpc.name} keeps being reorganised", "try again later")


def _target(registry: Registry, work: Work, wish: Wish) -> Header:
    """The block for which the bundle holds: that of an interrupted export with the same wish, else a new one."""
    settings = [registry.address, registry.deployment_id.hex(), repr(wish)]
    begun = work.begun(settings)
    if begun is not None:
        header = Header.decode(begun)
        if on_chain(registry.rpc, header):
            return header
    wanted = wish.block
    if wanted is None:
        wanted = max(0, registry.latest_block() - max(1, wish.confirmations) + 1)
    header = read_header(registry.rpc, wanted)
    if not header.proven:
        raise ChainUnavailable(
            "the headers of this chain have other fields than Ethereum's: a bundle of it would prove nothing",
            "ffem audit and ffem sync work with such a chain",
        )
    work.begin(settings, header.encoded)
    return header


def _export(
    registry: Registry,
    path: Path,
    wish: Wish,
    header: Header,
    work: Work,
    source: EventSource,
    stores: Sequence[Store],
    say: Progress,
) -> Exported:
    prover = Prover(registry, header)
    if prover.account is None:
        raise ChainUnavailable(f"the chain at {registry.rpc.name} gives no proofs (eth_getProof)", "use another RPC")
    prover.check_code(registry.code(header.number))
    events = read_all(source, registry.from_block, header.number, say)
    history = rebuild(events, header.time)
    broken = check_history(history, prover).anomalies
    if broken:
        if not on_chain(registry.rpc, header):
            raise Reorganised
        raise Tampered(f"the logs are not the whole history: {broken[0].text}", broken[0].hint)
    if wish.album is not None:
        if wish.album not in history.albums:
            raise Refused(f"there is no album {wish.album.hex()[:16]} at block {header.number}", "ffem album list")
        history = rebuild(of_album(events, wish.album), header.time, whole=False)
    trusted = _trusted(registry, wish, header)
    blocks = {event.block for event in history.events}
    kind, plan = choose(registry.rpc, wish.links, blocks, trusted)
    headers = read_blocks(registry.rpc, plan, work, say)
    by_number = {one.number: one for one in headers}
    if any(by_number[event.block].hash != event.block_hash for event in history.events):
        raise Reorganised
    if by_number[header.number].hash != header.hash:
        raise Reorganised
    files = {STATE: dump(_state(registry, header, history))}
    files |= _linked(registry, plan, by_number, work, say)
    head = Head(
        program(), registry.address, registry.deployment_id, wish.album, header.number, header.hash, wish.patience
    )
    every = kind is Links.HEADERS
    files |= dict(pieces(RECEIPTS, read_receipt_nodes(registry.rpc, head, history, headers, every, work, say)))
    files |= dict(pieces(HEADERS, [one.encoded for one in headers]))
    files |= gather_captures(history, stores, work, say)
    if not on_chain(registry.rpc, header):
        raise Reorganised
    return _write(path, head, files, trusted, kind, say)


def _write(
    path: Path, head: Head, files: dict[str, bytes], trusted: dict[int, bytes], kind: Links, say: Progress
) -> Exported:
    """Check the bundle as an auditor will, word the report, write."""
    say("checking the bundle", 0, 1)
    files = {**files, REPORT: b""}
    head = replace(head, files=tuple(ordered(files)))
    whole = archive.InMemory({HEAD: head.pack(), **{name: files[name] for name in head.files}})
    verified = examine(whole, trusted.values())
    files[REPORT] = text(verified).encode()
    size = archive.write(path, [(HEAD, head.pack()), *((name, files[name]) for name in head.files)])
    return Exported(verified, size, kind)


def _trusted(registry: Registry, wish: Wish, header: Header) -> dict[int, bytes]:
    """Hashes of the blocks that the auditor trusts, by number, ascending; the last is the bundle's."""
    found = {header.number: header.hash}
    for name in wish.checkpoints:
        checkpoint = read_header(registry.rpc, name)
        if checkpoint.number > header.number or not on_chain(registry.rpc, checkpoint):
            raise InputError(
                f"checkpoint 0x{name.hex()} is not on the chain before block {header.number}", "give an older block"
            )
        found[checkpoint.number] = checkpoint.hash
    return dict(sorted(found.items()))


def _state(registry: Registry, header: Header, history: History) -> list[list[bytes]]:
    """Nodes to the registry's account, and of an album to its words."""
    address = bytes.fromhex(registry.address[2:])
    slots = [] if history.whole else sorted(words(history))
    account, storage = read_proofs(registry.rpc, address, header, slots)
    root = Prover(registry, header).account
    assert root is not None  # asked before
    return [account, select(root.storage_root, storage, [slot_path(slot) for slot in slots])]


def _linked(registry: Registry, plan: Plan, headers: dict[int, Header], work: Work, say: Progress) -> dict[str, bytes]:
    """Files with the links of the plan."""
    hops = list(plan.links)
    found: dict[str, bytes] = {}
    for start in range(0, len(hops), PER_FILE[LINKS]):
        part = hops[start : start + PER_FILE[LINKS]]
        name = piece(LINKS, start // PER_FILE[LINKS])

        def make(part: Sequence[int] = part) -> bytes:
            return dump([read_link(registry.rpc, headers[hop], plan.links[hop]).pack() for hop in part])

        found[name] = work.keep(name, make)
        say("reading proofs of older blocks' hashes", start + len(part), len(hops))
    return found
