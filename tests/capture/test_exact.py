"""The exact layer gives the original pixels of one face in one place, or a clear error: never other pixels."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from ffem_chain.capture.exact import (
    check_face_key,
    open_exact,
    open_geometry,
    open_pixels,
    ownership,
    seal_geometry,
    seal_pixels,
)
from ffem_chain.capture.model import Box, Capture, SealedFace
from ffem_chain.capture.picture import decode
from ffem_chain.errors import FfemError, FormatError, NotForMe, Tampered
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret

from .support import CAPTURE, FACE_KEYS, FACES, FILES, HEIGHT, ORIGINAL, VECTOR, WIDTH, vouched

KEY, UID, BOX, Z = Secret(bytes(range(32))), b"u" * 32, Box(4, 8, 12, 16), b"latent" * 100
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8)
PICTURE = decode(CAPTURE.image_png, WIDTH, HEIGHT)
OWNER = ownership([face.box for face in CAPTURE.public_faces], WIDTH, HEIGHT)


# ---------------------------------------------------------------- whole faces


def test_the_vector_opens_to_the_original() -> None:
    picture = PICTURE
    for index, key in enumerate(FACE_KEYS):
        picture = open_exact(CAPTURE, picture, index, key)
    assert np.array_equal(picture[:, :36], ORIGINAL[:, :36])
    assert VECTOR["original_sha256"]
    for index, key in enumerate(FACE_KEYS):
        face = CAPTURE.face(index)
        values = open_geometry(tree.geometry_key(key), face.geometry_nonce, face.geometry, CAPTURE.manifest.uid, index)
        assert list(values) == VECTOR["geometry"]


def test_opening_one_face_shows_nothing_of_its_neighbour() -> None:
    for index, other in ((0, 1), (1, 0)):
        opened = open_exact(CAPTURE, PICTURE, index, FACE_KEYS[index])
        assert np.array_equal(opened[index != OWNER], PICTURE[index != OWNER])
        assert np.array_equal(opened[index == OWNER], ORIGINAL[index == OWNER])
        sealed, box = CAPTURE.face(index), CAPTURE.public_faces[index].box
        pixels = open_pixels(
            tree.exact_key(FACE_KEYS[index]),
            sealed.exact_nonce,
            sealed.exact,
            CAPTURE.manifest.uid,
            index,
            box,
            sealed.z,
        )
        theirs = OWNER[box.rows, box.columns] == other
        assert theirs.any()
        assert not pixels[theirs].any()  # not even inside the ciphertext


def test_another_key_is_not_for_me() -> None:
    for index, key in ((0, FACE_KEYS[1]), (1, FACE_KEYS[0]), (0, Secret(bytes.fromhex(VECTOR["capture_key"])))):
        with pytest.raises(NotForMe, match=f"face {index}"):
            open_exact(CAPTURE, PICTURE, index, key)
        with pytest.raises(NotForMe):
            check_face_key(CAPTURE, index, key)
    with pytest.raises(FormatError, match="too small"):
        open_exact(CAPTURE, PICTURE, 2, FACE_KEYS[0])


def test_the_picture_given_is_not_changed() -> None:
    before = PICTURE.copy()
    open_exact(CAPTURE, PICTURE, 0, FACE_KEYS[0])
    assert np.array_equal(PICTURE, before)


FIELDS = ("commit", "z", "exact_nonce", "exact", "geometry_nonce", "geometry")


@pytest.mark.parametrize("field", FIELDS)
def test_a_flipped_bit_in_every_field_of_a_face(field: str) -> None:
    """P8: every field is checked before anything is shown, here with a manifest that vouches for the change."""
    good = getattr(CAPTURE.faces[0], field)
    step = max(1, len(good) // 60)
    for position in {*range(0, len(good), step), len(good) - 1}:
        changed = bytearray(good)
        changed[position] ^= 1 << position % 8
        face = replace(CAPTURE.faces[0], **{field: bytes(changed)})
        capture = Capture.from_files(replace(CAPTURE, faces=(face, CAPTURE.faces[1])).to_files())
        with pytest.raises((NotForMe, Tampered)):
            _open_all(capture, 0)


def _open_all(capture: Capture, index: int) -> Any:
    """Pixels and geometry of a face, as a recipient opens it."""
    picture = open_exact(capture, PICTURE, index, FACE_KEYS[index])
    face = capture.face(index)
    key = tree.geometry_key(FACE_KEYS[index])
    return picture, open_geometry(key, face.geometry_nonce, face.geometry, capture.manifest.uid, index)


def test_a_flipped_bit_anywhere_in_the_files() -> None:
    """Every byte of pose, manifest and the head of faces.cbor, and a sample of the rest: never other pixels."""
    for name, data in FILES.items():
        step = 1 if len(data) < 3000 else 37
        for position in range(0, len(data), step):
            changed = bytearray(data)
            changed[position] ^= 1 << position % 8
            with pytest.raises((Tampered, FormatError, NotForMe)):
                capture = Capture.from_files({**FILES, name: bytes(changed)})
                for index in range(2):
                    _open_all(capture, index)
                # what neither digest nor key covers is compared with the chain: the manifest's own words
                _as_registered(capture)


def _as_registered(capture: Capture) -> None:
    """The comparison of `roles.reading.load_capture`: the whole directory's digest stands in the registry."""
    if capture.to_files() != FILES:
        raise Tampered("the digest of the directory is another")


# ---------------------------------------------------------------- moved pieces


def _swap(*fields: str) -> tuple[SealedFace, SealedFace]:
    first, second = CAPTURE.faces
    return (
        replace(first, **{field: getattr(second, field) for field in fields}),
        replace(second, **{field: getattr(first, field) for field in fields}),
    )


@pytest.mark.parametrize("fields", [c for n in (1, 2) for c in itertools.combinations(("commit", "z", "geometry"), n)])
def test_pieces_of_two_faces_swapped(fields: tuple[str, ...]) -> None:
    capture = replace(CAPTURE, faces=_swap(*fields))
    with pytest.raises((NotForMe, Tampered)):
        _open_all(capture, 0)


def test_a_whole_face_in_the_place_of_another() -> None:
    """Boxes of the same size, so that nothing but the binding tells."""
    public = replace(CAPTURE.public_faces[1], box=replace(CAPTURE.public_faces[0].box, x=16))
    moved = replace(CAPTURE.faces[0], index=1)
    capture = replace(
        CAPTURE,
        public_faces=(CAPTURE.public_faces[0], public, CAPTURE.public_faces[2]),
        faces=(CAPTURE.faces[0], moved),
    )
    capture = Capture.from_files(capture.to_files())
    with pytest.raises(NotForMe):
        open_exact(capture, PICTURE, 1, FACE_KEYS[1])
    with pytest.raises(Tampered):
        open_exact(capture, PICTURE, 1, FACE_KEYS[0])


@pytest.mark.parametrize(
    "box", [Box(8, 4, 16, 20), Box(4, 8, 16, 20), Box(4, 4, 20, 16), Box(4, 4, 20, 20), Box(4, 4, 8, 40)]
)
def test_another_box(box: Box) -> None:
    """A face's pixels shown in another place, or in another shape of the same size."""
    public = (replace(CAPTURE.public_faces[0], box=box), *CAPTURE.public_faces[1:])
    with pytest.raises(Tampered):
        open_exact(replace(CAPTURE, public_faces=public), PICTURE, 0, FACE_KEYS[0])


@pytest.mark.parametrize(
    "change",
    [{"uid": b"x" * 32}],
)
def test_another_capture(change: dict[str, Any]) -> None:
    with pytest.raises(Tampered):
        open_exact(replace(CAPTURE, manifest=replace(CAPTURE.manifest, **change)), PICTURE, 0, FACE_KEYS[0])


# ---------------------------------------------------------------- pixels and geometry by themselves


def test_pixels_are_bound_to_everything() -> None:
    nonce, sealed = seal_pixels(KEY, PIXELS, UID, 1, BOX, Z)
    assert np.array_equal(open_pixels(KEY, nonce, sealed, UID, 1, BOX, Z), PIXELS)
    good: dict[str, Any] = {"key": KEY, "nonce": nonce, "sealed": sealed, "uid": UID, "index": 1, "box": BOX, "z": Z}
    others: list[dict[str, Any]] = [
        {"key": Secret(bytes(32))},
        {"nonce": bytes(12)},
        {"uid": bytes(32)},
        {"index": 0},
        {"index": 257},
        {"box": replace(BOX, x=8)},
        {"box": replace(BOX, y=4)},
        {"box": Box(4, 8, 16, 12)},
        {"z": Z[:-1]},
        {"z": b""},
        {"sealed": sealed[:-1]},
        {"sealed": sealed + b"\x00"},
        {"sealed": b""},
    ]
    for other in others:
        with pytest.raises(Tampered):
            open_pixels(**{**good, **other})


def test_pixels_that_are_not_what_was_sealed_with_them() -> None:
    """A sealer that lies about the digest or the length inside: found although the tag holds."""
    from ffem_chain.capture.exact import _pixel_aad

    raw = PIXELS.tobytes()
    aad = _pixel_aad(UID, 1, BOX, Z)
    for plain in (bytes(32) + raw, raw, b"", bytes(32), raw[:32] + raw[3:]):
        sealed = AESGCM(KEY.to_secret_bytes()).encrypt(bytes(12), plain, aad)
        with pytest.raises(Tampered, match="digest"):
            open_pixels(KEY, bytes(12), sealed, UID, 1, BOX, Z)


@pytest.mark.parametrize("pixels", [PIXELS[:-1], PIXELS[:, :-1], PIXELS[..., :2], PIXELS.astype(np.float32)])
def test_pixels_that_do_not_fill_the_box(pixels: Any) -> None:
    with pytest.raises(ValueError, match="do not fill the box"):
        seal_pixels(KEY, pixels, UID, 1, BOX, Z)


def test_a_size_tells_nothing_but_the_box() -> None:
    """Flat and noisy pixels give the same length: nothing is compressed."""
    flat = np.zeros_like(PIXELS)
    assert len(seal_pixels(KEY, flat, UID, 0, BOX, Z)[1]) == len(seal_pixels(KEY, PIXELS, UID, 0, BOX, Z)[1])
    lengths = {len(seal_geometry(KEY, [value] * 24, UID, 0)[1]) for value in (0.0, 1.0, 1e-300, -123.456)}
    assert lengths == {208}


def test_nonces_are_fresh() -> None:
    nonces = {seal_pixels(KEY, PIXELS, UID, 1, BOX, Z)[0] for _ in range(50)}
    nonces |= {seal_geometry(KEY, [0.0] * 24, UID, 1)[0] for _ in range(50)}
    assert len(nonces) == 100


def test_geometry() -> None:
    values = tuple(float(i) / 7 for i in range(24))
    nonce, sealed = seal_geometry(KEY, values, UID, 3)
    assert open_geometry(KEY, nonce, sealed, UID, 3) == values
    for other in (
        (Secret(bytes(32)), nonce, sealed, UID, 3),
        (KEY, bytes(12), sealed, UID, 3),
        (KEY, nonce, sealed[:-1], UID, 3),
        (KEY, nonce, sealed, bytes(32), 3),
        (KEY, nonce, sealed, UID, 2),
    ):
        with pytest.raises(Tampered):
            open_geometry(*other)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_geometry_that_is_no_number(value: float) -> None:
    nonce, sealed = seal_geometry(KEY, [value] * 24, UID, 0)
    with pytest.raises(FormatError, match="no finite numbers"):
        open_geometry(KEY, nonce, sealed, UID, 0)


# ---------------------------------------------------------------- who owns a pixel

BOXES = st.lists(
    st.builds(Box, st.integers(0, 30), st.integers(0, 20), st.integers(1, 10), st.integers(1, 10)), max_size=6
)


@settings(max_examples=60, deadline=None)
@given(BOXES)
def test_every_covered_pixel_has_one_owner_by_the_rule(boxes: list[Box]) -> None:
    owner = ownership(boxes, 40, 30)
    assert owner.dtype == np.int16
    for y, x in np.ndindex(30, 40):
        distances = {
            index: ((y - box.y + 0.5) / box.height * 2 - 1) ** 2 + ((x - box.x + 0.5) / box.width * 2 - 1) ** 2
            for index, box in enumerate(boxes)
            if box.x <= x < box.right and box.y <= y < box.bottom
        }
        if distances:
            assert distances[int(owner[y, x])] <= min(distances.values()) + 1e-5
        else:
            assert owner[y, x] == -1


def test_equal_boxes_belong_to_the_first() -> None:
    assert (ownership([BOX, BOX], 40, 40) != 1).all()


MUTATIONS: list[Callable[[bytearray, int, int], object]] = [
    lambda data, at, value: data.__setitem__(at % len(data), value),
    lambda data, at, value: data.insert(at % len(data), value),
    lambda data, at, value: data.__delitem__(at % len(data)),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40_000), st.integers(0, 255)), min_size=1, max_size=5))
def test_a_mutated_faces_file_never_opens_to_other_pixels(changes: list[tuple[int, int, int]]) -> None:
    """The manifest vouches for the mutated file, so that only the keys stand between it and the pixels."""
    data = bytearray(FILES[FACES])
    for kind, at, value in changes:
        MUTATIONS[kind](data, at, value)
    try:
        capture = Capture.from_files(vouched(faces=bytes(data)))
    except FormatError:
        return
    for index in range(2):
        try:
            opened, _ = _open_all(capture, index)
        except FfemError:
            continue
        assert np.array_equal(opened[index == OWNER], ORIGINAL[index == OWNER])
