"""The sealing pipeline for one photograph: nothing leaves it before every face is covered and sealed.

Order, and why: faces are found, encoded and sealed in memory; the four files are read back, and every pixel of every
face's box must show the cover that its ciphertext gives; only then does the store get the files; the vault records the
capture; the chain registers it. A stage that fails leaves nothing of the picture behind, and a registration that was
interrupted is resumed from the vault.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.exact import ownership
from ffem_chain.capture.model import PRECISIONS, Capture, Manifest
from ffem_chain.capture.picture import decode, encode
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import ChainUnavailable, FfemError, InputError, Tampered
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret
from ffem_chain.roles.batches import note_mined, waiting
from ffem_chain.roles.owner import Owner
from ffem_chain.roles.reading import load_capture
from ffem_chain.roles.records import Album, CaptureRecord
from ffem_chain.stores.base import Store
from ffem_node.photo import Photo, read_photo

if TYPE_CHECKING:
    from ffem_chain.faces.finding.detect import Detector
    from ffem_chain.faces.flow.weights import Model
    from ffem_chain.faces.posing.pose import PoseEstimator

__all__ = ["STAGES", "Sealed", "load_capture", "resume_pending", "seal_photo"]

STAGES = ("load", "detect", "encode", "rotate", "exact", "pack", "store", "register")
PRECISION = "q10"
# What a library raises where it fails on a picture; FfemErrors say themselves what to do.
_FAILURES = (RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError, OSError)


@dataclass(frozen=True)
class Sealed:
    """A sealed photograph.

    `faces` are sealed and can be opened, `covered` are too small for the flow and covered for ever. `not_frontalized`
    of the sealed ones are turned too far for a model that turns faces to the front: sealed as they are. `bytes` by file
    name, `timings_ms` by stage (`STAGES`). `registered` False: sealed offline, or the chain did not
    answer; `resume_pending` registers it.
    """

    uid: bytes
    cid: str
    faces: int
    covered: int
    not_frontalized: int
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
        try:
            yield
        except _FAILURES as error:
            if name == STAGES[-1]:
                raise  # sealed and stored already: this is the registry client's to explain
            reason = f"the stage {name!r} failed ({type(error).__name__}): the picture is withheld"
            raise FfemError(reason, "nothing of it was stored or sent; report this as a fault") from error
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
    pose: PoseEstimator | None = None,
    keep_metadata: bool = False,
    allow_no_faces: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> Sealed:
    """Seal a photograph (a path, or u8[H,W,3] RGB) into `album` and register it; `registry` None leaves that for later.

    `pose` None takes the angles from the detector's five landmarks. `keep_metadata` keeps what `ffem_node.photo` holds
    to be harmless: date, make, model, exposure. `on_progress` is called with each stage's name as it begins. Raises
    InputError (unreadable picture, no face found), Refused (the album was rotated and the new secret is not in this
    vault: under the old one, who was revoked could open it), and an FfemError whatever goes wrong in a stage; nothing
    of the picture is then stored, recorded or registered. Only a registration that the chain refuses leaves something
    behind, the sealed capture; where the chain does not answer, `registered` is False. `resume_pending` registers both.
    """
    clock = _Clock(on_progress)
    with clock.stage("load"):
        found = owner.album(album)
        with suppress(ChainUnavailable):  # offline, the vault's epoch is the newest that is known
            found = owner.follow_epoch(found)
        picture = read_photo(Path(photo)) if isinstance(photo, Path | str) else _checked(photo)
    exif = picture.exif if keep_metadata else b""
    capture, as_they_are = _seal_faces(picture.pixels, exif, owner, found, model, detector, pose, rotation, clock)
    if not capture.public_faces and not allow_no_faces:
        raise InputError("no face was found: the picture is not sealed", "--allow-no-faces publishes it as it is")
    with clock.stage("pack"):
        files = capture.to_files()
        # What is checked is what is about to be published, read back.
        capture = Capture.from_files(files)
        check_covered(capture)
    with clock.stage("store"):
        cid = store.put(files)
    try:
        record = owner.record_capture(found, capture, cid, picture.digest)
    except BaseException:
        store.unpin(cid)
        raise
    registered = False
    if registry is not None:
        with clock.stage("register"), suppress(ChainUnavailable):
            registered = owner.register_capture(record.uid).registered
    return Sealed(
        uid=record.uid,
        cid=cid,
        faces=len(capture.faces),
        covered=len(capture.public_faces) - len(capture.faces),
        not_frontalized=as_they_are,
        bytes={name: len(data) for name, data in files.items()},
        timings_ms=clock.times,
        registered=registered,
    )


def _checked(pixels: NDArray[np.uint8]) -> Photo:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(f"a picture is uint8 (H, W, 3), not {pixels.dtype} {pixels.shape}")
    return Photo(pixels, b"")


def _seal_faces(
    picture: NDArray[np.uint8],
    exif: bytes,
    owner: Owner,
    album: Album,
    model: Model,
    detector: Detector,
    pose: PoseEstimator | None,
    rotation: str,
    clock: _Clock,
) -> tuple[Capture, int]:
    """Find, encode and seal every face of `picture` u8[H,W,3]; a capture under a uid and slot of its own, and how many
    of its faces were not frontalized. `exif` goes into image.png."""
    from ffem_chain.faces.seal import encrypt_faces

    uid, slot = secrets.token_bytes(32), tree.slot_of(time.time())
    capture_key = owner.derive_capture_key(album, album.epoch, slot, uid)

    def face_key(index: int) -> Secret:
        return tree.face_key(capture_key, tree.FaceContext(uid, index, model.model_id, rotation, PRECISION))

    sealed = encrypt_faces(picture, face_key, uid, model, detector, rotation=rotation, pose=pose, stage=clock.stage)
    with clock.stage("pack"):
        image_png = encode(sealed.image, exif=exif)
    manifest = Manifest(
        uid=uid,
        album_salt=album.salt,
        epoch=album.epoch,
        slot=slot,
        model_id=model.model_id,
        rotation=rotation,
        precision=PRECISION,
        size=model.size,
        width=picture.shape[1],
        height=picture.shape[0],
        faces=len(sealed.public_faces),
        key_commit=tree.key_commit(capture_key, "capture"),
        files={},
    )
    capture = Capture(manifest, tuple(sealed.public_faces), tuple(sealed.faces), image_png)
    return capture, sealed.not_frontalized


def check_covered(capture: Capture) -> None:
    """The last look before anything leaves: every pixel of every face's box shows its cover and nothing else.

    The cover of a sealed face is a function of its ciphertext, that of a small one is grey, so this needs no original.
    Raises Tampered where a pixel differs, FormatError where image.png cannot be read.
    """
    from ffem_chain.faces.drawing.cover import FLAT, latent_tile
    from ffem_chain.faces.flow.quantise import unpack_integers

    head = capture.manifest
    image = decode(capture.image_png, head.width, head.height)
    owner = ownership([face.box for face in capture.public_faces], head.width, head.height)
    n = 3 * head.size * head.size
    for index, face in enumerate(capture.public_faces):
        rows, columns = face.box.rows, face.box.columns
        mine = owner[rows, columns] == index
        cover = np.full((face.box.height, face.box.width, 3), FLAT, np.uint8)
        if face.sealed:
            integers = unpack_integers(capture.face(index).z, n, PRECISIONS[head.precision])
            cover = latent_tile(integers, head.precision, face.box)
        if not np.array_equal(image[rows, columns][mine], cover[mine]):
            raise Tampered(
                f"face {index} is not covered in the sealed picture: it is withheld", "report this as a fault"
            )


def resume_pending(owner: Owner, store: Store) -> list[CaptureRecord]:
    """Register captures that were sealed but not registered on this deployment, where `store` still has them.

    Those that an interrupted call has registered in a batch are only noted.
    """
    mined = note_mined(owner)
    return [*mined, *(owner.register_capture(record.uid) for record in waiting(owner) if store.has(record.cid))]
