"""Sealing a photograph end to end, and what is left where it fails (promise P1): nothing."""

from __future__ import annotations

import io
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eth_account import Account
from faces.support import Looks, Says, face_at
from PIL import Image, ImageFile
from support.rpc_proxy import RpcProxy

from ffem_chain.capture.exact import open_exact, ownership
from ffem_chain.capture.model import Capture
from ffem_chain.capture.picture import decode, encode
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.errors import FfemError, InputError, StoreUnavailable, Tampered
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.posing.pose import Pose
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.owner import Owner
from ffem_chain.stores.local import LocalStore
from ffem_chain.stores.memory import MemoryStore
from ffem_node.seal import STAGES, Sealed, check_covered, load_capture, resume_pending, seal_photo

Picture = np.ndarray
PASSPHRASE = Secret(b"correct horse battery staple")
FACE = face_at(175, 54, 100)


@dataclass
class Camera:
    """A camera that is not connected: an owner offline, with a vault and a store on disk."""

    owner: Owner
    store: LocalStore
    folder: Path
    model: Model

    def seal(self, photo: Any, detector: Any = None, **options: Any) -> Sealed:
        options = {"registry": None, "store": self.store, "model": self.model} | options
        return seal_photo(photo, self.owner, "album", detector=detector or Says([FACE]), **options)

    def holds(self, sealed: Sealed) -> Capture:
        return Capture.from_files(self.store.get(sealed.cid))


@pytest.fixture
def camera(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> Camera:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    owner = Owner(None, Vault.create(tmp_path / "vault", PASSPHRASE), Account.create())
    owner._new_album("album")
    return Camera(owner, LocalStore(tmp_path / "store"), tmp_path, model)


@pytest.fixture
def small(photo: Picture) -> Picture:
    """The photo's upper half with its face."""
    return np.ascontiguousarray(photo[:256])


def open_rows(folder: Path, photo: Picture, box: tuple[int, int, int, int]) -> list[Path]:
    """Files below `folder` that hold a row of the face's pixels, raw or inside a PNG."""
    left, top, right, bottom = box
    rows = [photo[y, left:right].tobytes() for y in range(top, bottom, 7)]
    leaks = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            at = data.find(b"\x89PNG\r\n\x1a\n")
            if at >= 0:
                ImageFile.LOAD_TRUNCATED_IMAGES = True  # the store cuts files into blocks
                try:
                    with Image.open(io.BytesIO(data[at:])) as image:
                        data += np.array(image.convert("RGB")).tobytes()
                finally:
                    ImageFile.LOAD_TRUNCATED_IMAGES = False
            if any(row in data for row in rows):
                leaks.append(path)
    return leaks


def assert_nothing_left(camera: Camera, photo: Picture) -> None:
    assert camera.store.pins() == []
    assert not [p for p in (camera.folder / "store" / "blocks").rglob("*") if p.is_file()]
    assert camera.owner.captures() == []
    assert open_rows(camera.folder, photo, (190, 80, 260, 160)) == []
    assert list((camera.folder / "tmp").iterdir()) == []


# ------------------------------------------------------------------ it works


def test_a_photo_from_a_file_opens_again_exactly(camera: Camera, photo: Picture, detector: CenterFace) -> None:
    path = camera.folder / "in.png"
    Image.fromarray(photo).save(path)
    stages: list[str] = []
    sealed = camera.seal(path, detector, on_progress=stages.append)
    path.unlink()
    assert (sealed.faces, sealed.covered, sealed.registered) == (1, 0, False)
    assert list(dict.fromkeys(stages)) == list(STAGES[:-1])
    assert set(sealed.timings_ms) == set(STAGES)
    assert all(sealed.timings_ms[name] > 0 for name in STAGES[:-1])
    capture = camera.holds(sealed)
    assert sealed.bytes == {name: len(data) for name, data in capture.to_files().items()}
    picture = decode(capture.image_png, 512, 512)
    key = camera.owner.face_key(sealed.uid, 0)
    assert np.array_equal(open_exact(capture, picture, 0, key), photo)
    assert open_rows(camera.folder, photo, (190, 80, 260, 160)) == []


def test_the_search_for_open_rows_finds_them(camera: Camera, photo: Picture) -> None:
    """The check behind the tests below can fail."""
    (camera.folder / "a.png").write_bytes(encode(photo))
    (camera.folder / "b.bin").write_bytes(b"x" + photo.tobytes())
    names = [path.name for path in open_rows(camera.folder, photo, (190, 80, 260, 160))]
    assert sorted(names) == ["a.png", "b.bin"]


@pytest.mark.parametrize("rotation", ["sphere", "block"])
def test_rotation_is_recorded(rotation: str, camera: Camera, small: Picture) -> None:
    sealed = camera.seal(small, rotation=rotation)
    assert camera.holds(sealed).manifest.rotation == rotation
    assert camera.owner.capture(sealed.uid).rotation == rotation


def test_sealing_twice_shares_nothing(camera: Camera, small: Picture) -> None:
    first, second = camera.seal(small), camera.seal(small)
    assert first.uid != second.uid
    one, other = camera.holds(first), camera.holds(second)
    for name in ("commit", "z", "exact", "geometry"):
        assert getattr(one.faces[0], name) != getattr(other.faces[0], name)
    assert one.manifest.key_commit != other.manifest.key_commit


def test_metadata_only_on_request(camera: Camera, small: Picture) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x013B] = "Maker", "Jane Doe"
    path = camera.folder / "in.jpg"
    Image.fromarray(small).save(path, quality=95, exif=exif)
    plain = camera.holds(camera.seal(path)).image_png
    kept = camera.holds(camera.seal(path, keep_metadata=True)).image_png
    assert b"eXIf" not in plain
    assert b"Maker" in kept
    assert b"Jane Doe" not in kept


def test_faces_that_are_turned_too_far_are_counted(camera: Camera, small: Picture) -> None:
    frontal, plain = (replace(camera.model, frontalize=value) for value in (True, False))
    for yaw, turned in ((60, 1), (10, 0)):
        sealed = camera.seal(small, Says([FACE]), model=frontal, pose=Looks(Pose(yaw, 0, 0)))
        assert (sealed.faces, sealed.not_frontalized) == (1, turned)
    assert camera.seal(small, Says([FACE]), model=plain, pose=Looks(Pose(60, 0, 0))).not_frontalized == 0


def test_small_faces_are_covered_for_ever(camera: Camera, small: Picture) -> None:
    sealed = camera.seal(small, Says([FACE, face_at(20, 20, 16)]))
    assert (sealed.faces, sealed.covered) == (1, 1)
    index = next(i for i, f in enumerate(camera.holds(sealed).public_faces) if not f.sealed)
    with pytest.raises(InputError, match="covered for ever"):
        camera.owner.face_key(sealed.uid, index)


# ------------------------------------------------------------------ no face, bad input


def test_no_face_is_an_error_and_nothing_is_written(camera: Camera) -> None:
    empty = np.full((90, 120, 3), 90, np.uint8)
    with pytest.raises(InputError, match="no face was found") as caught:
        camera.seal(empty, Says([]))
    assert "--allow-no-faces" in caught.value.hint
    assert not (camera.folder / "store").exists()
    assert camera.owner.captures() == []
    sealed = camera.seal(empty, Says([]), allow_no_faces=True)
    assert sealed.faces == 0
    assert np.array_equal(decode(camera.holds(sealed).image_png, 120, 90), empty)


@pytest.mark.parametrize(
    "bad", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32)]
)
def test_what_is_no_picture(bad: Picture, camera: Camera) -> None:
    with pytest.raises(InputError, match="uint8"):
        camera.seal(bad)


def test_unknown_albums_and_files(camera: Camera, small: Picture) -> None:
    with pytest.raises(InputError, match="no album 'other'"):
        seal_photo(small, camera.owner, "other", None, camera.store, camera.model, Says([FACE]))
    with pytest.raises(InputError, match="no such file"):
        camera.seal(camera.folder / "nothing.jpg")
    assert not (camera.folder / "store").exists()


# ------------------------------------------------------------------ fail closed


class Raises:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def detect(self, picture: Picture) -> list[Any]:
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("net"), MemoryError(), ValueError("shape"), IndexError(), OSError(5)])
def test_a_detector_that_fails_withholds_the_picture(error: Exception, camera: Camera, small: Picture) -> None:
    with pytest.raises(FfemError, match=r"stage 'detect' failed.*withheld"):
        camera.seal(small, Raises(error))
    assert_nothing_left(camera, small)


def test_an_interruption_withholds_the_picture(camera: Camera, small: Picture) -> None:
    with pytest.raises(KeyboardInterrupt):
        camera.seal(small, Raises(KeyboardInterrupt()))
    assert_nothing_left(camera, small)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_flow_that_gives_nonsense_withholds_the_picture(value: float, camera: Camera, small: Picture) -> None:
    class Broken:
        size, model_id = camera.model.size, camera.model.model_id
        frontalize, keyed_dither, margin = False, False, 0.0

        def encode(self, faces: Picture, dither: Picture | None) -> Picture:
            return np.full((len(faces), 3 * self.size**2), value)

    with pytest.raises(FfemError, match=r"stage 'rotate' failed.*withheld"):
        camera.seal(small, model=Broken())
    assert_nothing_left(camera, small)


@contextmanager
def failing(owner: Any, name: str, error: BaseException) -> Iterator[None]:
    """`owner.name` raises once it did its work: the worst moment."""
    original = getattr(owner, name)

    def fails(*args: Any, **options: Any) -> Any:
        original(*args, **options)
        raise error

    setattr(owner, name, fails)
    try:
        yield
    finally:
        setattr(owner, name, original)


@pytest.mark.parametrize("name", ["seal_pixels", "latent_tile", "_rotate", "_squares"])
def test_every_step_of_sealing_may_fail(name: str, camera: Camera, small: Picture) -> None:
    from ffem_chain.faces import seal

    with failing(seal, name, RuntimeError("library")), pytest.raises(FfemError, match="withheld"):
        camera.seal(small)
    assert_nothing_left(camera, small)


def test_a_cover_that_misses_a_pixel_is_withheld(
    camera: Camera, small: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One original pixel shines through: the last look catches it before the store sees anything."""
    from ffem_chain.faces import seal
    from ffem_node import seal as pipeline

    def leaky(*args: Any, **options: Any) -> Any:
        out, as_they_are = seal_faces(*args, **options)
        box = out.public_faces[0].box
        pixels = decode(out.image_png, out.manifest.width, out.manifest.height)
        y, x = box.bottom - 1, box.right - 1
        pixels[y, x] = small[y, x]
        return replace(out, image_png=encode(pixels)), as_they_are

    seal_faces = pipeline._seal_faces
    monkeypatch.setattr(pipeline, "_seal_faces", leaky)
    with pytest.raises(Tampered, match="face 0 is not covered"):
        camera.seal(small)
    assert_nothing_left(camera, small)
    assert seal.FLAT == 127


@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_check_covered_sees_every_corner(corner: tuple[int, int], camera: Camera, small: Picture) -> None:
    capture = camera.holds(camera.seal(small, Says([FACE, face_at(20, 20, 16), face_at(240, 60, 90)])))
    check_covered(capture)
    head = capture.manifest
    owner = ownership([face.box for face in capture.public_faces], head.width, head.height)
    for index in range(3):
        y, x = (int(v[corner[i]]) for i, v in enumerate(np.unique(v) for v in np.nonzero(owner == index)))
        y = int(np.nonzero(owner[:, x] == index)[0][corner[0]])
        pixels = decode(capture.image_png, head.width, head.height)
        pixels[y, x, 1] ^= 1
        with pytest.raises(Tampered, match=f"face {index} is not covered"):
            check_covered(replace(capture, image_png=encode(pixels)))


def test_a_full_store_keeps_nothing(camera: Camera, small: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, save = [], camera.store._save

    def full(path: Path, data: bytes) -> None:
        if len(saved) == 2:
            raise OSError(28, "No space left on device")
        saved.append(path)
        save(path, data)

    monkeypatch.setattr(camera.store, "_save", full)
    with pytest.raises(StoreUnavailable, match="No space left") as caught:
        camera.seal(small)
    assert "space" in caught.value.hint
    assert len(saved) == 2
    assert_nothing_left(camera, small)


def test_a_vault_that_cannot_be_written_leaves_nothing_in_the_store(
    camera: Camera, small: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked() -> Any:
        raise FfemError("the vault is locked by another process")

    with monkeypatch.context() as patch:
        patch.setattr(camera.owner.vault, "edit", locked)
        with pytest.raises(FfemError, match="vault is locked"):
            camera.seal(small)
    assert_nothing_left(camera, small)


# ------------------------------------------------------------------ with a chain


@pytest.fixture
def connected(anvil: Any, camera: Camera) -> Camera:
    """The camera with a registry of its own on the session's chain; its album is registered."""
    registry = Registry(anvil.url, deploy(anvil.url, anvil.accounts[9]), account=anvil.accounts[0], timeout=20.0)
    vault = Vault.create(camera.folder / "connected", PASSPHRASE)
    owner = Owner(registry, vault, anvil.accounts[0])
    owner.create_album("album")
    return replace(camera, owner=owner)


def test_sealed_and_registered(connected: Camera, small: Picture) -> None:
    registry, album = connected.owner.registry, connected.owner.album("album")
    sealed = connected.seal(small, registry=registry)
    assert sealed.registered
    assert sealed.timings_ms["register"] > 0
    loaded = load_capture(registry, connected.store, album.album_id, sealed.uid)
    assert loaded.manifest.uid == sealed.uid
    assert resume_pending(connected.owner, connected.store) == []


def test_a_chain_that_is_down_is_made_up_for(connected: Camera, small: Picture, anvil: Any) -> None:
    online = connected.owner
    with RpcProxy(anvil.url) as proxy:
        registry = Registry(proxy.url, online.registry.address, account=anvil.accounts[0], timeout=3.0)
        camera = replace(connected, owner=Owner(registry, online.vault, online.account))
        assert registry.deployment_id == online.registry.deployment_id
        proxy.hook = lambda question, ask: None  # every connection is closed without an answer
        sealed = camera.seal(small, registry=registry)
    assert not sealed.registered
    assert connected.store.has(sealed.cid)
    (record,) = resume_pending(online, connected.store)
    assert (record.uid, record.registered) == (sealed.uid, True)
    assert load_capture(online.registry, connected.store, record.album_id, sealed.uid).manifest.faces == 1
    assert resume_pending(online, connected.store) == []


def test_sealed_offline_is_registered_later(connected: Camera, small: Picture) -> None:
    sealed = connected.seal(small)  # registry None
    assert not sealed.registered
    assert [record.uid for record in resume_pending(connected.owner, connected.store)] == [sealed.uid]


def test_what_no_store_has_is_not_registered(connected: Camera, small: Picture) -> None:
    sealed = connected.seal(small, store=MemoryStore())
    assert resume_pending(connected.owner, connected.store) == []
    assert not connected.owner.capture(sealed.uid).registered


def test_a_failed_stage_registers_nothing(connected: Camera, small: Picture) -> None:
    from ffem_chain.chain.events import CaptureRegistered

    registry = connected.owner.registry
    with pytest.raises(FfemError, match="withheld"):
        connected.seal(small, Raises(RuntimeError(secrets.token_hex(4))), registry=registry)
    assert registry.events([CaptureRegistered]) == []
    assert_nothing_left(connected, small)
