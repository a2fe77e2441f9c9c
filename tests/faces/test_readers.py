"""What the public draws from a sealed capture, and what opening by the flow alone gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ffem_chain.capture.exact import open_exact, ownership, seal_geometry
from ffem_chain.capture.model import Box, Capture, PublicFace
from ffem_chain.errors import FormatError, InputError, NotForMe, Tampered
from ffem_chain.faces.detect import CenterFace
from ffem_chain.faces.readers import fake, open_flow
from ffem_chain.faces.weights import Model
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.tree import geometry_key

from .support import Picture, Says, SealedPicture, face_at, psnr, seal


def box_of(sealed: SealedPicture, index: int = 0) -> Box:
    return sealed.capture.public_faces[index].box


def part(picture: Picture, box: Box) -> Picture:
    return picture[box.rows, box.columns]


def test_the_exact_layer_gives_the_original(sealed: SealedPicture) -> None:
    opened = open_exact(sealed.capture, sealed.image, 0, sealed.face_key(0))
    assert np.array_equal(opened, sealed.original)


def test_opening_by_the_flow_approximates_the_face(sealed: SealedPicture, model: Model) -> None:
    opened = open_flow(sealed.capture, sealed.image, 0, sealed.face_key(0), model)
    box = box_of(sealed)
    outside = np.ones(opened.shape[:2], bool)
    outside[box.rows, box.columns] = False
    assert np.array_equal(opened[outside], sealed.image[outside])
    # the inner face: a 64 px copy of it, so neither exact nor far off
    inner = Box(box.x + box.width // 4, box.y + box.height * 2 // 5, box.width // 2, box.height // 3)
    near = psnr(part(opened, inner), part(sealed.original, inner))
    assert 20 < near < 60
    assert psnr(part(fake(sealed.capture, sealed.image, 0.7, model), inner), part(sealed.original, inner)) < near - 5


@pytest.mark.parametrize("rotation", ["sphere", "block"])
def test_both_rotations_open(rotation: str, photo: Picture, model: Model, detector: CenterFace) -> None:
    one = seal(photo[:300, 80:380], model, detector, rotation)
    opened = open_flow(one.capture, one.image, 0, one.face_key(0), model)
    inner = (slice(100, 150), slice(120, 170))
    assert psnr(opened[inner], one.original[inner]) > 20


def test_a_fake_is_a_function_of_what_is_public(sealed: SealedPicture, model: Model) -> None:
    """Other sealed bytes and another key commitment, the same Z_enc, pose and picture: the same fake."""
    drawn = fake(sealed.capture, sealed.image, 0.7, model)
    rng = np.random.default_rng(0)
    faces = tuple(
        replace(face, exact=rng.bytes(len(face.exact)), geometry=rng.bytes(len(face.geometry)), commit=bytes(32))
        for face in sealed.capture.faces
    )
    assert np.array_equal(fake(replace(sealed.capture, faces=faces), sealed.image, 0.7, model), drawn)
    # what is under the cover is never looked at: other pixels there, the same fake
    box, other = box_of(sealed), sealed.image.copy()
    other[box.rows, box.columns] = rng.integers(0, 256, (box.height, box.width, 3))
    assert np.array_equal(fake(sealed.capture, other, 0.7, model), drawn)
    # and it does depend on Z_enc
    turned = tuple(replace(face, z=bytes(b ^ 0xFF for b in face.z)) for face in sealed.capture.faces)
    assert not np.array_equal(fake(replace(sealed.capture, faces=turned), sealed.image, 0.7, model), drawn)


def test_a_fake_changes_the_box_only_and_shows_no_cover(sealed: SealedPicture, model: Model) -> None:
    drawn, box = fake(sealed.capture, sealed.image, 0.7, model), box_of(sealed)
    outside = np.ones(drawn.shape[:2], bool)
    outside[box.rows, box.columns] = False
    assert np.array_equal(drawn[outside], sealed.image[outside])
    assert (part(drawn, box) == part(sealed.image, box)).mean() < 0.05
    rough = np.abs(np.diff(part(drawn, box).astype(int), axis=1)).mean()
    assert rough < np.abs(np.diff(part(sealed.image, box).astype(int), axis=1)).mean() / 3


def test_a_fake_is_found_as_a_face_where_the_face_was(
    sealed: SealedPicture, model: Model, detector: CenterFace
) -> None:
    found = detector.detect(fake(sealed.capture, sealed.image, 0.5, model))
    (before,) = detector.detect(sealed.original)
    centre = before.landmarks.mean(axis=0)
    assert any(np.abs(face.landmarks.mean(axis=0) - centre).max() < 0.25 * before.side for face in found)


def test_temperature(sealed: SealedPicture, model: Model) -> None:
    average = fake(sealed.capture, sealed.image, 0.0, model)
    other = tuple(replace(face, z=face.z[::-1]) for face in sealed.capture.faces)
    assert np.array_equal(average, fake(replace(sealed.capture, faces=other), sealed.image, 0.0, model))
    far = [np.abs(fake(sealed.capture, sealed.image, t, model).astype(int) - average).mean() for t in (0.2, 0.5, 1.0)]
    assert 0 < far[0] < far[1] < far[2]
    for wrong in (-0.01, 1.01, float("nan"), float("inf")):
        with pytest.raises(InputError, match="between 0 and 1"):
            fake(sealed.capture, sealed.image, wrong, model)


def test_another_model_is_named(sealed: SealedPicture, model: Model) -> None:
    other = replace(model, model_id=bytes(32), name="other")
    with pytest.raises(NotForMe, match="not other"):
        fake(sealed.capture, sealed.image, 0.5, other)
    with pytest.raises(NotForMe, match="not other") as caught:
        open_flow(sealed.capture, sealed.image, 0, sealed.face_key(0), other)
    assert "exact layer" in caught.value.hint
    larger = replace(sealed.capture, manifest=replace(sealed.capture.manifest, size=128))
    with pytest.raises(FormatError, match="128 px"):
        fake(larger, sealed.image, 0.5, model)


def test_a_wrong_key_opens_nothing(sealed: SealedPicture, model: Model) -> None:
    for wrong in (sealed.face_key(1), Secret(bytes(32))):
        with pytest.raises(NotForMe, match="face 0"):
            open_flow(sealed.capture, sealed.image, 0, wrong, model)
    with pytest.raises(FormatError, match="no face 1"):
        open_flow(sealed.capture, sealed.image, 1, sealed.face_key(1), model)


def test_damaged_geometry_is_told(sealed: SealedPicture, model: Model) -> None:
    face = sealed.capture.faces[0]
    damaged = replace(face, geometry=face.geometry[:-1] + bytes([face.geometry[-1] ^ 1]))
    with pytest.raises(Tampered, match="geometry of face 0"):
        open_flow(replace(sealed.capture, faces=(damaged,)), sealed.image, 0, sealed.face_key(0), model)


@pytest.mark.parametrize(
    "values",
    [
        (0, 1, 0, 0, 0, 1, 0), (-1, 1, 0, 0, 0, 1, 0), (1e300, 1, 0, 0, 0, 1, 0), (100, 0, 0, 0, 0, 0, 0),
        (100, 1e300, 0, 0, 0, 1e300, 0), (100, 1, 0, -1e300, 0, 1, 1e300), (float("nan"), 1, 0, 0, 0, 1, 0),
        (100, 1, 0, float("inf"), 0, 1, 0),
    ],
)  # fmt: skip
def test_an_owner_who_seals_nonsense_is_told_so(values: tuple[float, ...], sealed: SealedPicture, model: Model) -> None:
    radius, *matrix = values
    key, head = sealed.face_key(0), sealed.capture.manifest
    numbers = [radius, 0, 0, 0, 0, *matrix, *[0] * 13]
    nonce, hidden = seal_geometry(geometry_key(key), numbers, head.uid, 0)
    face = replace(sealed.capture.faces[0], geometry_nonce=nonce, geometry=hidden)
    with pytest.raises(FormatError, match="geometry of face 0"):
        open_flow(replace(sealed.capture, faces=(face,)), sealed.image, 0, key, model)


@pytest.mark.parametrize(
    "alignment",
    [(2e5, -2e5, 20, 180), (-2e5, 2e5, -20, -180), (0, 0, 20, 90), (240, 120, -20, 0), (240, 120, 20, 45)],
)
def test_extreme_alignments_leave_the_rest_alone(
    alignment: tuple[float, float, float, float], sealed: SealedPicture, model: Model
) -> None:
    public = (replace(sealed.capture.public_faces[0], alignment=alignment, yaw=180, pitch=-180, roll=177),)
    drawn, box = fake(replace(sealed.capture, public_faces=public), sealed.image, 1.0, model), box_of(sealed)
    outside = np.ones(drawn.shape[:2], bool)
    outside[box.rows, box.columns] = False
    assert np.array_equal(drawn[outside], sealed.image[outside])


def test_faces_that_overlap_each_open_their_own_pixels(photo: Picture, model: Model) -> None:
    detector = Says([face_at(100, 100, 80), face_at(150, 110, 80), face_at(120, 190, 60)])
    one = seal(photo, model, detector)
    owner = ownership([face.box for face in one.capture.public_faces], 512, 512)
    for index in range(3):
        mine = owner == index
        assert mine.any()
        for opened in (
            open_exact(one.capture, one.image, index, one.face_key(index)),
            open_flow(one.capture, one.image, index, one.face_key(index), model),
        ):
            assert np.array_equal(opened[~mine], one.image[~mine])
        assert np.array_equal(open_exact(one.capture, one.image, index, one.face_key(index))[mine], photo[mine])
    picture = one.image
    for index in range(3):
        picture = open_exact(one.capture, picture, index, one.face_key(index))
    assert np.array_equal(picture, photo)
    drawn = fake(one.capture, one.image, 0.7, model)
    assert np.array_equal(drawn[owner < 0], photo[owner < 0])


def test_faces_at_the_borders(photo: Picture, model: Model) -> None:
    picture = photo[:203, :301]
    corners = [face_at(x, y, 60) for x in (-25, 265) for y in (-30, 165)]
    one = seal(picture, model, Says(corners))
    assert len(one.capture.faces) == 4
    Capture.from_files(one.capture.to_files())
    opened = one.image
    for index in range(4):
        opened = open_exact(one.capture, opened, index, one.face_key(index))
        open_flow(one.capture, one.image, index, one.face_key(index), model)
    assert np.array_equal(opened, picture)
    assert fake(one.capture, one.image, 0.7, model).shape == picture.shape


def test_a_face_that_fills_the_picture(photo: Picture, model: Model) -> None:
    picture = photo[60:190, 180:280]
    one = seal(picture, model, Says([face_at(-10, -20, 120)]))
    assert one.capture.public_faces[0].box == Box(0, 0, 100, 130)
    assert fake(one.capture, one.image, 0.7, model).shape == picture.shape
    assert np.array_equal(open_exact(one.capture, one.image, 0, one.face_key(0)), picture)


def test_covered_for_ever_shows_no_face_and_no_grey(photo: Picture, model: Model) -> None:
    one = seal(photo, model, Says([face_at(200, 80, 20), face_at(300, 300, 60)]))
    assert [face.sealed for face in one.capture.public_faces] == [False, True]
    drawn, box = fake(one.capture, one.image, 0.5, model), box_of(one)
    assert (part(one.image, box) == 127).all()
    assert (part(drawn, box) == 127).mean() < 0.1
    with pytest.raises(FormatError, match="covered for ever"):
        open_flow(one.capture, one.image, 0, one.face_key(0), model)


def test_a_stranger_cannot_make_the_reader_work_without_end(sealed: SealedPicture) -> None:
    """256 boxes of the whole picture cost 256 pictures; the format refuses what no crowd gives."""
    head = replace(sealed.capture.manifest, faces=256)
    whole = PublicFace(Box(0, 0, head.width, head.height), 0, 0, 0, (0.0, 0.0, 0.0, 0.0), sealed=False)
    hostile = Capture(head, (whole,) * 256, (), sealed.capture.image_png)
    with pytest.raises(FormatError, match="boxes"):
        Capture.from_files(hostile.to_files())
