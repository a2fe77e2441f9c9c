"""Which capture is meant: one that is registered by itself, one of a batch, or the one of a proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ffem_chain.audit.model import Report
from ffem_chain.capture.batch import Entry
from ffem_chain.capture.proof import CaptureProof
from ffem_chain.chain.events import CaptureRegistered, CapturesRegistered
from ffem_chain.errors import FormatError, InputError, Refused
from ffem_chain.stores.cid import digest_of_cid


@dataclass(frozen=True)
class Listed:
    """A capture of a batch: the event of the batch, its entry, and the siblings that lead from its leaf to the root."""

    batch: CapturesRegistered
    entry: Entry
    proof: tuple[bytes, ...]

    def event(self) -> CaptureRegistered:
        """What the chain would have logged of this capture by itself."""
        one, batch = self.entry, self.batch
        return CaptureRegistered(
            album=batch.album,
            uid=one.uid,
            digest=one.digest,
            key_commit=one.key_commit,
            epoch=batch.epoch,
            slot=one.slot,
            block=batch.block,
            block_hash=b"",
            tx=batch.tx,
            log_index=batch.log_index,
        )


def find_capture(
    report: Report,
    text: str,
    album: bytes | None = None,
    listed: Sequence[CaptureRegistered] | None = None,
    unlisted: int | None = None,
) -> CaptureRegistered:
    """The capture that `text` names: uid in hex, its first digits (6 or more), or its CID.

    `listed` are captures of batches, as if each had been registered by itself, and `unlisted` says how many batches
    there are whose captures are not known (None: those of the report).
    Raises Refused where none is registered (saying whether that is proven), InputError where several are.
    """
    listed = report.listed if listed is None else listed
    unlisted = report.unlisted if unlisted is None else unlisted
    wanted = text.removeprefix("0x").lower()
    digest = b""
    if text.startswith("b") and len(text) == 59:
        try:
            digest = digest_of_cid(text)
        except FormatError:
            digest = b""
    # Of two registrations of a uid in an album the first counts.
    alone = (capture for entry in report.history.albums.values() for capture in entry.captures.values())
    ordered = sorted([*alone, *listed], key=lambda capture: (capture.block, capture.log_index))
    counting = {(capture.album, capture.uid): capture for capture in reversed(ordered)}
    found = [
        capture
        for (name, uid), capture in counting.items()
        if album in (None, name)
        and ((digest and capture.digest == digest) or (len(wanted) >= 6 and uid.hex().startswith(wanted)))
    ]
    if not found:
        proof = "proven by the storage root" if report.complete else "as far as the logs show"
        if unlisted:
            proof += f"), as far as lists are known (batches without one here: {unlisted}"
        hint = "use a store that has the lists, or a proof of the capture (--proof)" if unlisted else "ffem ls"
        raise Refused(f"no capture {text[:64]} is registered at block {report.block} ({proof})", hint)
    if len(found) > 1:
        names = ", ".join(f"{c.uid.hex()} in album {c.album.hex()[:16]}" for c in found[:5])
        raise InputError(
            f"{text[:64]} names {len(found)} captures: {names}", "give more digits, or name the album with --in-album"
        )
    return found[0]


def shown_by(report: Report, proof: CaptureProof) -> tuple[CaptureRegistered, ...]:
    """The capture of a proof, as if it had been registered by itself, where its batch is in the history; else nothing.

    Raises Refused for the proof of another deployment.
    """
    if proof.deployment != report.deployment:
        raise Refused("the proof is of another deployment", "check the registry's address and the chain")
    album = report.history.albums.get(proof.album)
    batch = album.batches.get(proof.root) if album else None
    if batch is None or not proof.of_batch(batch.root, batch.count, batch.epoch):
        return ()
    return (Listed(batch, proof.entry, proof.siblings).event(),)
