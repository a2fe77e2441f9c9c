"""The sealing pipeline for one photograph: nothing leaves it before every face is covered and sealed.

Order, and why: faces are found, encoded and sealed in memory; the sealed picture is checked against the
original (every face's region changed); only then does the store get the files; the vault records the
capture; the chain registers it. A stage that fails leaves nothing of the picture behind, and a registration
that was interrupted is resumed from the vault.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ffem_chain.chain.registry import Registry
from ffem_chain.stores.base import Store
from numpy.typing import NDArray

from ffem_chain.capture.model import Box, Capture, Manifest
from ffem_chain.capture.picture import encode
from ffem_chain.errors import InputError, Tampered
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret
from ffem_chain.roles.owner import Owner
from ffem_chain.roles.reading import load_capture
from ffem_chain.roles.records import Album, CaptureRecord
from ffem_node.photo import load_photo

if TYPE_CHECKING:
    from ffem_chain.faces.detect import Detector

    from ffem_chain.faces.weights import Model

__all__ = ["STAGES", "Sealed", "load_capture", "resume_pending", "seal_photo"]

STAGES = ("load", "detect", "encode", "rotate", "exact", "pack", "store", "register")
PRECISION = "q10"
# A cover that leaves more than this share of a face's pixels as they were is no cover.
_MOST_UNCHANGED = 0.2


@dataclass(frozen=True)
class Sealed:
    """A sealed photograph.

    `faces` are sealed and can be opened, `covered` are too small for the flow and covered for ever. `bytes`
    by file name, `timings_ms` by stage (`STAGES`). `registered` False: sealed offline, or the chain did not
    answer; `resume_pending` registers it.
    """

    uid: bytes
    cid: str
    faces: int
    covered: int
    bytes: dict[str, int]
    timings_ms: dict[str, float]
    registered: bool


@dataclass
class _Clock:
    """Milliseconds by stage, and the caller's progress."""

    on_progress: Callable[[str], None] | None
    times: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if self.on_progress is not None:
            self.on_progress(name)
        start = time.perf_counter()
        yield
        self.times[name] += 1000 * (time.perf_counter() - start)


def seal_photo(
    photo: Path | str | NDArray[np.uint8],
    owner: Owner,
    album: str | bytes,
    registry: Registry | None,
    store: Store,
    model: Model,
    detector: Detector,
    *,
    rotation: str = "sphere",
    keep_metadata: bool = False,
    allow_no_faces: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> Sealed:
    """Seal a photograph (a path, or u8[H,W,3] RGB) into `album` and register it; `registry` None seals offline.

    `on_progress` is called with each stage's name as it begins. Raises InputError (unreadable picture, no
    face found) and whatever a stage raises; nothing of the picture is then stored, recorded or registered.
    Only a registration that fails leaves something behind: the sealed capture, for `resume_pending`.
    """
    clock = _Clock(on_progress)
    with clock.stage("load"):
        found = owner.album(album)
        picture = load_photo(Path(photo)) if isinstance(photo, Path | str) else photo
    capture = _seal_faces(picture, owner, found, model, detector, rotation, clock)
    if not capture.public_faces and not allow_no_faces:
        raise InputError("no face was found: the picture is not sealed", "--allow-no-faces publishes it as it is")
    with clock.stage("pack"):
        files = capture.to_files()
        # Reading back what is about to be published catches a malformed capture while nothing has left.
        capture = Capture.from_files(files)
    with clock.stage("store"):
        cid = store.put(files)
    try:
        record = owner.record_capture(found, capture, cid)
    except BaseException:
        store.unpin(cid)
        raise
    if registry is not None:
        with clock.stage("register"):
            record = owner.register_capture(record.uid)
    return Sealed(
        uid=record.uid,
        cid=cid,
        faces=len(capture.faces),
        covered=len(capture.public_faces) - len(capture.faces),
        bytes={name: len(data) for name, data in files.items()},
        timings_ms=clock.times,
        registered=registry is not None,
    )


def _seal_faces(
    picture: NDArray[np.uint8],
    owner: Owner,
    album: Album,
    model: Model,
    detector: Detector,
    rotation: str,
    clock: _Clock,
) -> Capture:
    """Find, encode and seal every face of `picture` u8[H,W,3]; a capture under a uid and slot of its own."""
    from ffem_chain.faces.seal import encrypt_faces

    uid, slot = secrets.token_bytes(32), tree.slot_of(time.time())
    capture_key = owner.derive_capture_key(album, album.epoch, slot, uid)

    def face_key(index: int) -> Secret:
        return tree.face_key(capture_key, tree.FaceContext(uid, index, model.model_id, rotation, PRECISION))

    sealed = encrypt_faces(picture, face_key, uid, model, detector, rotation=rotation, stage=clock.stage)
    check_covered(picture, sealed.image, [face.box for face in sealed.public_faces])
    with clock.stage("pack"):
        image_png = encode(sealed.image)
    manifest = Manifest(
        uid=uid,
        album_salt=album.salt,
        epoch=album.epoch,
        slot=slot,
        model_id=model.model_id,
        rotation=rotation,
        precision=PRECISION,
        size=model.glow.config.size,
        width=picture.shape[1],
        height=picture.shape[0],
        faces=len(sealed.public_faces),
        key_commit=tree.key_commit(capture_key, "capture"),
        files={},
    )
    return Capture(manifest, tuple(sealed.public_faces), tuple(sealed.faces), image_png)


def check_covered(original: NDArray[np.uint8], image: NDArray[np.uint8], boxes: Sequence[Box]) -> None:
    """The last look before anything leaves: every face's box shows something else than the original.

    Both u8[H,W,3]. Raises Tampered where a box was left as it was, or the picture changed its size.
    """
    if image.shape != original.shape:
        raise Tampered("the sealed picture has another size than the original: it is withheld")
    for index, box in enumerate(boxes):
        same = (image[box.rows, box.columns] == original[box.rows, box.columns]).all(axis=-1)
        if same.mean() > _MOST_UNCHANGED:
            raise Tampered(
                f"face {index} is not covered in the sealed picture: it is withheld", "report this as a fault"
            )


def resume_pending(owner: Owner, store: Store) -> list[CaptureRecord]:
    """Register captures that were sealed but not registered on this deployment, where `store` still has them."""
    waiting = [record for record in owner.captures() if not record.registered]
    return [owner.register_capture(record.uid) for record in waiting if store.has(record.cid)]
