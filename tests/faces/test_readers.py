"""What the public draws from a sealed capture, and what opening by the flow alone gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ffem_chain.capture.exact import open_exact, open_geometry, ownership, seal_geometry, seal_pixels
from ffem_chain.capture.model import Box, Capture, PublicFace, SealedFace
from ffem_chain.capture.picture import decode
from ffem_chain.errors import FormatError, InputError, NotForMe, Tampered
from ffem_chain.faces.drawing.seams import seam_ratio
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.readers import fake, open_flow
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.tree import exact_key, geometry_key, key_commit

from .support import Picture, Says, SealedPicture, face_at, psnr, seal


def box_of(sealed: SealedPicture, index: int = 0) -> Box:
    return sealed.capture.public_faces[index].box


def part(picture: Picture, box: Box) -> Picture:
    return picture[box.rows, box.columns]


def part_of(box: Box) -> tuple[slice, slice]:
    return box.rows, box.columns


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


def test_a_frontal_model_opens_at_the_sealed_angles(sealed: SealedPicture, model: Model) -> None:
    """The sealed angles lay a frontal face back; those of a model that does not frontalize are not looked at."""
    key, head, (face,) = sealed.face_key(0), sealed.capture.manifest, sealed.capture.faces
    values = list(open_geometry(geometry_key(key), face.geometry_nonce, face.geometry, head.uid, 0))

    def opened(yaw: float, frontalize: bool) -> Picture:
        numbers = [*values[:11], yaw, 0.0, 0.0, *values[14:]]
        nonce, hidden = seal_geometry(geometry_key(key), numbers, head.uid, 0)
        capture = replace(sealed.capture, faces=(replace(face, geometry_nonce=nonce, geometry=hidden),))
        return open_flow(capture, sealed.image, 0, key, replace(model, frontalize=frontalize))

    ahead = opened(0, True)
    assert np.array_equal(ahead, opened(0, False))
    assert np.array_equal(ahead, opened(80, False))
    assert np.abs(ahead.astype(int) - opened(25, True))[part_of(box_of(sealed))].mean() > 1
    with pytest.raises(FormatError, match="geometry of face 0"):
        opened(80, True)


@pytest.mark.parametrize("rotation", ["sphere", "block"])
def test_both_rotations_open(rotation: str, photo: Picture, model: Model, detector: CenterFace) -> None:
    one = seal(photo[:300, 80:380], model, detector, rotation)
    opened = open_flow(one.capture, one.image, 0, one.face_key(0), model)
    inner = (slice(100, 150), slice(120, 170))
    assert psnr(opened[inner], one.original[inner]) > 20


def test_a_fake_is_a_function_of_what_is_public(sealed: SealedPicture, model: Model) -> None:
    """Other pixels and another alignment sealed, under another key, with the same Z_enc, pose and I_enc: the same
    fake."""
    drawn = fake(sealed.capture, sealed.image, 0.7, model)
    rng = np.random.default_rng(0)
    (face,), box, uid, key = sealed.capture.faces, box_of(sealed), sealed.capture.manifest.uid, Secret.random()
    pixels = rng.integers(0, 256, (box.height, box.width, 3), dtype=np.uint8)
    exact = seal_pixels(exact_key(key), pixels, uid, 0, box, face.z)
    hidden = seal_geometry(geometry_key(key), [*map(float, rng.standard_normal(24))], uid, 0)
    other = replace(sealed.capture, faces=(SealedFace(0, key_commit(key, "face"), face.z, *exact, *hidden),))
    assert np.array_equal(open_exact(other, sealed.image, 0, key)[box.rows, box.columns], pixels)
    assert np.array_equal(fake(other, sealed.image, 0.7, model), drawn)
    # what is under the cover is never looked at: other pixels there, the same fake
    covered = sealed.image.copy()
    covered[box.rows, box.columns] = pixels
    assert np.array_equal(fake(sealed.capture, covered, 0.7, model), drawn)
    # and it does depend on Z_enc
    turned = tuple(replace(face, z=bytes(b ^ 0xFF for b in face.z)) for face in sealed.capture.faces)
    assert not np.array_equal(fake(replace(sealed.capture, faces=turned), sealed.image, 0.7, model), drawn)


def test_the_same_sealed_face_gives_the_same_fake(sealed: SealedPicture, model: Model) -> None:
    again = Capture.from_files(sealed.capture.to_files())
    image = decode(again.image_png, 512, 512)
    assert np.array_equal(fake(again, image, 0.5, model), fake(sealed.capture, sealed.image, 0.5, model))


def test_two_faces_of_one_person_differ_in_key_latent_and_fake(photo: Picture, model: Model) -> None:
    twice = np.concatenate([photo[:256, 100:356]] * 2, axis=1)
    one = seal(twice, model, Says([face_at(75 + shift, 54, 100) for shift in (0, 256)]))
    assert len({one.face_key(index).to_secret_bytes() for index in (0, 1)}) == 2
    assert len({face.z for face in one.capture.faces}) == len({face.commit for face in one.capture.faces}) == 2
    drawn = fake(one.capture, one.image, 0.7, model).astype(int)
    inner = (slice(100, 160), slice(100, 150))
    assert np.abs(drawn[:, :256][inner] - drawn[:, 256:][inner]).mean() > 5


def test_a_fake_changes_the_box_only_and_shows_no_cover(sealed: SealedPicture, model: Model) -> None:
    drawn, box = fake(sealed.capture, sealed.image, 0.7, model), box_of(sealed)
    outside = np.ones(drawn.shape[:2], bool)
    outside[box.rows, box.columns] = False
    assert np.array_equal(drawn[outside], sealed.image[outside])
    assert (part(drawn, box) == part(sealed.image, box)).mean() < 0.05
    shown, cover = (np.diff(part(picture, box).astype(int), axis=1).ravel() for picture in (drawn, sealed.image))
    assert abs(np.corrcoef(shown, cover)[0, 1]) < 0.05


def test_no_square_shows(sealed: SealedPicture, model: Model) -> None:
    box = box_of(sealed)
    assert seam_ratio(sealed.image, box) > 1.5
    assert seam_ratio(fake(sealed.capture, sealed.image, 0.5, model), box) < 1.3
    assert seam_ratio(open_flow(sealed.capture, sealed.image, 0, sealed.face_key(0), model), box) < 1.3


def test_a_colourless_picture_gets_a_colourless_face(photo: Picture, model: Model) -> None:
    grey = np.repeat(photo.mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    one = seal(grey, model, Says([face_at(175, 54, 100)]))
    drawn = fake(one.capture, one.image, 0.7, model).astype(int)
    assert np.ptp(drawn, axis=2).max() <= 3


def test_a_turned_face_has_a_turned_head(sealed: SealedPicture, model: Model) -> None:
    """The public pose is used: a head that looks to the right shows less on its right."""
    (public,), box = sealed.capture.public_faces, box_of(sealed)
    ahead, right = (
        fake(replace(sealed.capture, public_faces=(replace(public, yaw=yaw, pitch=0),)), sealed.image, 0.5, model)
        for yaw in (0, 30)
    )
    assert np.abs(part(ahead, box).astype(int) - part(right, box)).mean() > 2


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
    several = [sealed.capture, replace(sealed.capture, faces=other)]
    assert np.array_equal(average, fake(several[1], sealed.image, 0.0, model))
    # the inner face; the heads around it differ in steps
    inner = (slice(90, 150), slice(195, 250))

    def distance(capture: Capture, temperature: float) -> float:
        drawn = fake(capture, sealed.image, temperature, model)
        return float(np.abs(drawn[inner].astype(int) - average[inner]).mean())

    near, far = (np.mean([distance(one, temperature) for one in several]) for temperature in (0.15, 1.0))
    assert 0 < near < far
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
    larger = replace(sealed.capture, manifest=replace(sealed.capture.manifest, size=2 * model.size))
    with pytest.raises(FormatError, match=f"{2 * model.size} px"):
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
