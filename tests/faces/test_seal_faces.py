"""Covering and sealing the faces of one picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ffem_chain.capture.exact import open_geometry, ownership
from ffem_chain.capture.model import MAX_FACES, PRECISIONS, Capture
from ffem_chain.errors import InputError
from ffem_chain.faces.drawing.cover import FLAT, latent_tile
from ffem_chain.faces.finding.detect import CenterFace, Detection
from ffem_chain.faces.flow import quantise
from ffem_chain.faces.flow.rotation import unrotate
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.posing.align import public_alignment
from ffem_chain.faces.seal import PRECISION
from ffem_chain.keys.tree import geometry_key, rotation_key
from ffem_node.seal import PRECISION as NODE_PRECISION

from .support import Picture, Says, SealedPicture, face_at, psnr, seal


def test_every_pixel_of_every_box_is_covered_and_no_other(sealed: SealedPicture, photo: Picture) -> None:
    public = sealed.capture.public_faces
    owner = ownership([face.box for face in public], 512, 512)
    assert np.array_equal(sealed.image[owner < 0], photo[owner < 0])
    (face,) = sealed.capture.faces
    q = quantise.unpack_integers(face.z, 3 * sealed.capture.manifest.size**2, PRECISIONS[PRECISION])
    box = public[0].box
    assert np.array_equal(sealed.image[box.rows, box.columns], latent_tile(q, PRECISION, box))


def test_the_original_is_left_alone(photo: Picture, model: Model) -> None:
    before = photo.copy()
    seal(photo, model, Says([face_at(100, 100, 80)]))
    assert np.array_equal(photo, before)


def latent(one: SealedPicture) -> np.ndarray:
    """Z_enc of the only face as float64 (n,), the n independent values that a tile is made of."""
    (face,) = one.capture.faces
    return quantise.unpack(face.z, 3 * one.capture.manifest.size**2, PRECISIONS[PRECISION])


def test_the_tile_tells_nothing_of_the_face(sealed: SealedPicture, photo: Picture) -> None:
    """Bounds are 6 standard deviations of what a Gaussian gives: one failure in 5e8 runs."""
    z, box = latent(sealed), sealed.capture.public_faces[0].box
    m = sealed.capture.manifest.size
    face = cv2.resize(photo[box.rows, box.columns], (m, m), interpolation=cv2.INTER_AREA).transpose(2, 0, 1).ravel()
    assert abs(np.corrcoef(z, face)[0, 1]) < 6 / np.sqrt(z.size)
    # the histogram is a Gaussian's, whatever the face
    assert abs(z.mean()) < 6 / np.sqrt(z.size)
    assert abs(z.std() - 1) < 6 / np.sqrt(2 * z.size)
    within = 0.6827
    assert abs(np.mean(np.abs(z) < 1) - within) < 6 * np.sqrt(within * (1 - within) / z.size)


def test_sealing_twice_gives_unrelated_tiles(photo: Picture, model: Model) -> None:
    detector = Says([face_at(175, 54, 100)])
    a, b = (latent(seal(photo, model, detector)) for _ in range(2))
    assert abs(np.corrcoef(a, b)[0, 1]) < 6 / np.sqrt(a.size)


def test_geometry_travels_sealed_and_exact(sealed: SealedPicture, detector: CenterFace, model: Model) -> None:
    (found,) = detector.detect(sealed.original)
    face, key = sealed.capture.faces[0], sealed.face_key(0)
    values = open_geometry(geometry_key(key), face.geometry_nonce, face.geometry, sealed.capture.manifest.uid, 0)
    assert len(values) == 24
    assert values[1:5] == pytest.approx(found.box)
    assert values[14:24] == pytest.approx(found.landmarks.ravel())
    matrix = np.array(values[5:11]).reshape(2, 3)
    assert sealed.capture.public_faces[0].alignment == public_alignment(matrix, model.size)
    z_enc = latent(sealed)
    assert np.linalg.norm(z_enc) == pytest.approx(np.sqrt(3) * model.size, rel=1e-3)  # the radius is not in it
    z = unrotate(z_enc, rotation_key(key), values[0])
    assert np.linalg.norm(z) == pytest.approx(values[0], rel=1e-3)
    decoded = model.decode(z[None])[0]
    assert psnr(decoded[::2], decoded[1::2]) > 10  # a smooth picture, not noise


def test_a_neighbour_never_enters_a_latent(photo: Picture, model: Model) -> None:
    """Faces of other pixels that one's square reaches into are filled over before it is encoded."""
    left, right = face_at(100, 100, 90), face_at(170, 100, 90)
    changed = photo.copy()
    one = seal(photo, model, Says([left, right]))
    owner = ownership([face.box for face in one.capture.public_faces], 512, 512)
    changed[owner == 1] = np.random.default_rng(0).integers(0, 256, (int((owner == 1).sum()), 3))
    from ffem_chain.faces import seal as sealing

    class Keeps:
        size, model_id = model.size, model.model_id
        frontalize, keyed_dither, margin = model.frontalize, model.keyed_dither, model.margin

        def encode(self, faces: np.ndarray, dither: np.ndarray | None = None) -> np.ndarray:
            self.faces = faces.copy()
            return model.encode(faces, dither)

    seen = []
    for picture in (photo, changed):
        keeps = Keeps()
        seal(picture, keeps, Says([left, right]))  # type: ignore[arg-type]
        seen.append(keeps.faces)
    assert np.array_equal(seen[0][0], seen[1][0])
    assert not np.array_equal(seen[0][1], seen[1][1])
    assert sealing.SMALLEST == 24


def test_small_faces_are_covered_for_ever(photo: Picture, model: Model) -> None:
    one = seal(photo, model, Says([face_at(100, 100, 23.9), face_at(300, 100, 24.1)]))
    assert [face.sealed for face in one.capture.public_faces] == [False, True]
    assert [face.index for face in one.capture.faces] == [1]
    box = one.capture.public_faces[0].box
    assert (one.image[box.rows, box.columns] == FLAT).all()
    assert Capture.from_files(one.capture.to_files()).public_faces == one.capture.public_faces


def test_faces_come_in_reading_order_whatever_the_detector_thought(photo: Picture, model: Model) -> None:
    faces = [face_at(300, 90, 40, 0.4), face_at(40, 100, 40, 0.99), face_at(170, 300, 40, 0.7)]
    one, other = (seal(photo, model, Says(order)) for order in (faces, faces[::-1]))
    assert [f.box for f in one.capture.public_faces] == [f.box for f in other.capture.public_faces]
    assert [f.box.x < 100 for f in one.capture.public_faces] == [True, False, False]


def test_no_face_leaves_the_picture(photo: Picture, model: Model) -> None:
    one = seal(photo, model, Says([]))
    assert np.array_equal(one.image, photo)
    assert one.capture.public_faces == one.capture.faces == ()


def test_more_faces_than_a_capture_holds(photo: Picture, model: Model) -> None:
    crowd = [face_at(1 + 12 * (i % 41), 1 + 19 * (i // 41), 4) for i in range(MAX_FACES + 1)]
    with pytest.raises(InputError, match=f"{MAX_FACES + 1} faces"):
        seal(photo, model, Says(crowd))
    back = Capture.from_files(seal(photo, model, Says(crowd[:-1])).capture.to_files())
    assert len(back.public_faces) == MAX_FACES == len({face.box for face in back.public_faces})


def test_160_faces(model: Model) -> None:
    """Every tenth large enough to be sealed, so that the test stays short."""
    picture = np.random.default_rng(0).integers(0, 256, (800, 1200, 3), dtype=np.uint8)
    crowd = [face_at(8 + 74 * (i % 16), 16 + 78 * (i // 16), 26 if i % 10 == 0 else 20) for i in range(160)]
    one = seal(picture, model, Says(crowd))
    back = Capture.from_files(one.capture.to_files())
    assert len(back.public_faces) == 160
    assert len(back.faces) == len({face.commit for face in back.faces}) == len({face.z for face in back.faces}) == 16


@pytest.mark.parametrize(
    "found",
    [
        Detection((np.nan, 0, 50, 50), np.zeros((5, 2)), 0.9),
        Detection((0, 0, 50, 60), np.full((5, 2), np.nan), 0.9),
        Detection((0, 0, np.inf, 50), np.zeros((5, 2)), 0.9),
    ],
)
def test_a_detector_that_gives_nonsense_seals_nothing(found: Detection, photo: Picture, model: Model) -> None:
    with pytest.raises((ValueError, OverflowError)):
        seal(photo, model, Says([found]))


def test_landmarks_in_one_point_are_covered_for_ever(photo: Picture, model: Model) -> None:
    found = Detection((100, 100, 150, 160), np.full((5, 2), 120.0), 0.9)
    one = seal(photo, model, Says([found]))
    assert not one.capture.public_faces[0].sealed
    Capture.from_files(one.capture.to_files())


def test_node_and_library_agree_on_the_precision() -> None:
    assert NODE_PRECISION == PRECISION
