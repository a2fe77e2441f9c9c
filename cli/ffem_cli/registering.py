"""Registering what was sealed before: one capture a transaction, or all of them as one batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffem_chain.errors import InputError
from ffem_cli import lookup
from ffem_cli.output import count
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.records import Album, CaptureRecord

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"))


def photos_in(paths: Sequence[Path]) -> list[Path]:
    """The photos that are meant: a folder stands for the photos right in it, by name. Raises InputError for one that
    has none."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        photos = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and one.is_file())
        if not photos:
            raise InputError(f"there is no photo in {path}", f"names end with {', '.join(sorted(SUFFIXES))}")
        found += photos
    return list(dict.fromkeys(found))


class SealedBefore:
    """Photos of which an album has a capture already, registered or still in the store."""

    def __init__(self, session: Session, owner: Owner, album: Album) -> None:
        self._session = session
        self._known = {one.source: one for one in owner.captures() if one.source and one.album_id == album.album_id}

    def find(self, photo: Path) -> CaptureRecord | None:
        """The capture of a photo, known by its file's SHA-256. Raises InputError where that cannot be read."""
        from ffem_node.photo import photo_digest

        record = self._known.get(photo_digest(photo)) if self._known else None
        return record if record and (record.registered or self._session.store().has(record.cid)) else None


def register_each(session: Session, owner: Owner, outcomes: list[dict[str, Any]]) -> None:
    """Register what waits, a transaction each; what the store no longer has is said."""
    from ffem_node.seal import resume_pending

    with session.out.progress() as progress:
        progress("registering what was sealed before", 0)
        done = {record.uid for record in resume_pending(owner, session.store())}
    outcomes += [_resumed(record) for record in owner.captures() if record.uid in done]
    _say_what_is_missing(session, [record for record in owner.captures() if not record.registered])
    if not done:
        session.out.note("nothing that this store holds waits to be registered")


def register_together(
    session: Session, owner: Owner, album: bytes | None, outcomes: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Register what waits (in one album) as batches, and say so in the outcomes of their captures; the batches.

    Raises Refused or ChainUnavailable; calling again goes on.
    """
    from ffem_chain.roles.batches import note_mined, register_batches, restore_lists, waiting

    mined = note_mined(owner, album)
    left = waiting(owner, album)
    with session.out.progress(total=2 * len(left)) as progress:
        held = []
        for number, record in enumerate(left):
            progress("looking whether the store has every capture", number)
            held += [record] if session.store().has(record.cid) else []
        text = f"registering {count(len(held), 'capture')} at once"
        if held:
            progress(text, len(left))
        made = register_batches(owner, session.store(), held, lambda done: progress(text, len(left) + done))
    _say_what_is_missing(session, [record for record in left if record not in held])
    if not held and not mined:
        session.out.note("nothing that this store holds waits to be registered")
    for cid in restore_lists(owner, session.store(), album):
        session.out.note(f"list {cid} of an earlier batch was not in {session.store().name}: it is again")
    batches = [
        {
            "root": one.root,
            "album": one.album_id,
            "epoch": one.epoch,
            "captures": len(one.uids),
            "list": one.cid,
            "block": one.block,
            "gas": one.gas_used,
        }
        for one in made
    ]
    roots = {uid: one.root for one in made for uid in one.uids}
    roots |= {record.uid: record.root for record in mined}
    done = dict.fromkeys(roots.values())
    _mark(outcomes, roots, {record.uid: record for record in (*mined, *held)})
    _write_proofs(session, owner, outcomes, done)
    return batches


def _write_proofs(session: Session, owner: Owner, outcomes: Iterable[dict[str, Any]], roots: Iterable[bytes]) -> None:
    """Put the proof of each capture of these batches into FFEM_HOME/proofs, and beside its exported picture."""
    from ffem_chain.roles.batches import proofs

    exported = {one["uid"]: one["exported"] for one in outcomes if "exported" in one}
    folder = session.config.home / "proofs"
    for proof in (one for root in roots for one in proofs(owner, root)):
        paths = [folder / f"{proof.uid.hex()}.json"]
        if proof.uid in exported:
            paths.append(exported[proof.uid].with_suffix(".proof.json"))
        try:
            for path in paths:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.write_bytes(proof.to_json())  # it follows from the vault: nothing is lost with it
        except OSError as error:
            session.out.note(
                f"proofs of captures cannot be written: {error.strerror}; ffem show --save-proof does later"
            )
            return


def _mark(outcomes: list[dict[str, Any]], roots: dict[bytes, bytes], records: dict[bytes, CaptureRecord]) -> None:
    """Write into the outcomes in which batch each capture is now, and add those that had waited from before."""
    for one in outcomes:
        root = roots.pop(one.get("uid", b""), None)
        if root is not None:
            one |= {"registered": True, "root": root}
    outcomes += [{**_resumed(records[uid]), "root": root} for uid, root in roots.items()]


def _resumed(record: CaptureRecord) -> dict[str, Any]:
    return {"uid": record.uid, "cid": record.cid, "resumed": True, "registered": True}


def _say_what_is_missing(session: Session, records: Iterable[CaptureRecord]) -> None:
    for record in records:
        text = f"capture {record.uid.hex()[: lookup.SHOWN]} is not in {session.store().name}, so not registered"
        session.out.note(f"{text}: use the store that has it, or seal the photo again")
