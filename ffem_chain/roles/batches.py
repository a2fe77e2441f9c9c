"""Registering many captures as one Merkle root.

The list is pinned in the store, and every capture of it is marked with the root in the vault, before the transaction is
sent. After an interruption the same captures make the same root, which the contract takes once: calling again finds the
root on the chain, or sends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ffem_chain.capture.batch import MAX_CAPTURES, NAME, CaptureList, Entry
from ffem_chain.capture.proof import CaptureProof
from ffem_chain.roles.archive import Archive
from ffem_chain.roles.records import CaptureRecord
from ffem_chain.stores.base import Store
from ffem_chain.stores.cid import digest_of_cid
from ffem_chain.stores.unixfs import build


@dataclass(frozen=True)
class Batch:
    """A batch of this owner on the chain: `cid` is that of its list. `block` and `gas_used` are those of the whole
    transaction, None where it was sent by an interrupted call before."""

    album_id: bytes
    epoch: int
    root: bytes
    cid: str
    uids: tuple[bytes, ...]
    block: int | None
    gas_used: int | None


def waiting(archive: Archive, album: bytes | None = None) -> list[CaptureRecord]:
    """Captures (of one album) that are sealed and not known to be registered on this deployment, oldest first."""
    return [one for one in archive.captures() if not one.registered and album in (None, one.album_id)]


def note_mined(archive: Archive, album: bytes | None = None) -> list[CaptureRecord]:
    """Captures that an interrupted call has registered in a batch; they are now noted as registered."""
    planned = [one for one in waiting(archive, album) if one.root]
    batches = {(one.album_id, one.root) for one in planned}
    mined = {batch for batch in batches if archive.registry.capture_batch(*batch).count}
    found = [one for one in planned if (one.album_id, one.root) in mined]
    archive.note_registered([one.uid for one in found])
    return found


def register_batches(
    archive: Archive, store: Store, records: Sequence[CaptureRecord], on_batch: Callable[[int], None] | None = None
) -> list[Batch]:
    """Register waiting captures that `store` has: a transaction for each album, epoch and 10,000 captures.

    `on_batch` gets the number of captures done after each. Captures of a batch that an interrupted call planned stay
    together; `note_mined` comes first. Where the chain refuses (Refused) or does not answer (ChainUnavailable), calling
    again goes on.
    """
    made, done = [], 0
    for group in _groups(records):
        made.append(_register(archive, store, group))
        done += len(group)
        if on_batch is not None:
            on_batch(done)
    return made


def restore_lists(archive: Archive, store: Store, album: bytes | None = None) -> list[str]:
    """Put lists of registered batches (of one album) into `store` that it has lost or never had; their CIDs.

    A list follows from the vault alone. Batches that another vault has a part of stay as they are.
    """
    batches: dict[tuple[bytes, bytes], list[CaptureRecord]] = {}
    for one in archive.captures():
        if one.registered and one.root and album in (None, one.album_id):
            batches.setdefault((one.album_id, one.root), []).append(one)
    put = []
    for (_, root), group in batches.items():
        listed = _listed(group)
        files = {NAME: listed.pack()}
        if listed.root == root and not store.has(cid := str(build(files)[0])):
            store.put(files)
            put.append(cid)
    return put


def proofs(archive: Archive, root: bytes) -> list[CaptureProof]:
    """The proof of each capture of a batch of this owner; none where another vault has a part of it."""
    group = [one for one in archive.captures() if one.root == root]
    listed = _listed(group) if group else None
    if listed is None or listed.root != root:
        return []
    registry = archive.registry
    where = registry.rpc.chain_id, registry.address, registry.deployment_id, group[0].album_id
    return [CaptureProof.of(listed, one, *where) for one in listed.entries]


def _listed(group: Sequence[CaptureRecord]) -> CaptureList:
    return CaptureList.of(group[0].epoch, (Entry(one.uid, one.digest, one.key_commit, one.slot) for one in group))


def _groups(records: Iterable[CaptureRecord]) -> list[list[CaptureRecord]]:
    """Captures that go together: planned ones by root, others by album and epoch."""
    together: dict[tuple[bytes, int, bytes], list[CaptureRecord]] = {}
    for one in records:
        together.setdefault((one.album_id, one.epoch, one.root), []).append(one)
    return [group[at : at + MAX_CAPTURES] for group in together.values() for at in range(0, len(group), MAX_CAPTURES)]


def _register(archive: Archive, store: Store, group: Sequence[CaptureRecord]) -> Batch:
    registry, album, epoch, listed = archive.registry, group[0].album_id, group[0].epoch, _listed(group)
    uids = tuple(entry.uid for entry in listed.entries)
    cid = store.put({NAME: listed.pack()})
    archive.note_root(uids, listed.root)
    block = gas_used = None
    if not registry.capture_batch(album, listed.root).count:
        receipt = registry.register_captures(album, listed.root, digest_of_cid(cid), len(uids), epoch)
        block, gas_used = receipt.block, receipt.gas_used
    archive.note_registered(uids)
    return Batch(album, epoch, listed.root, cid, uids, block, gas_used)
