"""Turning faces to the front and back: the geometry, what comes back, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from ffem_chain.capture.model import Box
from ffem_chain.faces.finding.detect import CenterFace, Detection
from ffem_chain.faces.posing import align, frontal, mesh, posecheck, square
from ffem_chain.faces.posing.pose import Pose

from .support import face_at, psnr

Picture = NDArray[np.uint8]
UPRIGHT = np.array([[1.0, 0, 0], [0, 1, 0]])
WHOLE = Box(0, 0, 128, 128)


@pytest.fixture(scope="module")
def face(photo: Picture, detector: CenterFace) -> Detection:
    (found,) = detector.detect(photo[:300, 80:380])
    return found.moved(1, 80, 0)


def lay(picture: Picture, yaw: float, pitch: float = 0, box: Box = WHOLE) -> tuple[Picture, NDArray[np.float32]]:
    laid, alpha = frontal.lay_back(picture.astype(np.float32), UPRIGHT, (yaw, pitch, 0), box)
    return np.clip(laid + 0.5, 0, 255).astype(np.uint8), alpha[..., 0]


def blob(x: float, y: float) -> Picture:
    """A white spot on black at (x, y) of the square."""
    at = (np.arange(128) + 0.5) / 128
    spot = np.exp(-(((at - x) ** 2)[None, :] + ((at - y) ** 2)[:, None]) / 0.02**2)
    return np.repeat((255 * spot).astype(np.uint8)[..., None], 3, axis=2)


def middle(picture: Picture) -> tuple[float, float]:
    weight = picture[..., 0].astype(np.float64)
    y, x = (np.indices(weight.shape) + 0.5) / 128
    return float((weight * x).sum() / weight.sum()), float((weight * y).sum() / weight.sum())


def test_the_shape_is_symmetric_and_lies_on_the_template() -> None:
    shape = mesh.mesh().points
    mirrored = shape * (-1, 1, 1) + (1, 0, 0)
    gaps = ((shape[: mesh.FACE, None] - mirrored[None, : mesh.FACE]) ** 2).sum(axis=2).min(axis=1)
    assert np.sqrt(gaps.max()) < 0.001
    assert np.abs(mesh.five_of(shape)[:, :2] - align.TEMPLATE).max() < 0.02
    assert shape[list(mesh.NOSE), 2].mean() < shape[list(mesh.MOUTH), 2].mean() < shape[[234, 454], 2].mean()


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, -10, 5), (-44, 20, -60), (12, 34, 170)])
def test_angles_are_those_of_the_rotation(angles: tuple[float, float, float]) -> None:
    assert np.allclose(mesh.angles(mesh.rotation(*angles)), angles)
    points = 3 * mesh.mesh().points[: mesh.FACE] @ mesh.rotation(*angles).T + (40, 20, 7)
    assert np.allclose(mesh.pose_of(points), angles, atol=4)
    # exact where only one axis is turned about
    yawed = mesh.mesh().points[: mesh.FACE] @ mesh.rotation(angles[0], 0, angles[2]).T
    assert np.allclose(mesh.pose_of(yawed), (angles[0], 0, angles[2]), atol=1e-6)


def test_signs_of_the_angles() -> None:
    """The nose moves to where the face looks, against the cheeks."""
    nose, cheek = (0.5, 0.55), (0.2, 0.55)
    right, left = (middle(lay(blob(*nose), yaw)[0])[0] for yaw in (20, -20))
    up, down = (middle(lay(blob(*nose), 0, pitch)[0])[1] for pitch in (15, -15))
    assert right > 0.5 + 0.03 > 0.5 - 0.03 > left
    assert up < down - 0.04
    assert middle(lay(blob(*cheek), 20)[0])[0] < right - 0.2


def test_without_a_turn_it_is_the_similarity_alone(photo: Picture, face: Detection) -> None:
    matrix = align.similarity(face.landmarks, 64)
    cut = frontal.frontalize(photo, matrix, (0, 0, 30), 64)
    assert np.array_equal(cut, align.warp_in(photo, matrix, 64))
    box = Box(160, 0, 160, 200)
    laid, alpha = frontal.lay_back(cut.astype(np.float32), matrix, (0, 0, 0), box)
    assert np.array_equal(laid, align.warp_out(cut.astype(np.float32), matrix, box))
    assert laid.shape == (200, 160, 3) and alpha.shape == (200, 160, 1)


@pytest.mark.parametrize(("yaw", "pitch", "least"), [(8, 0, 38), (-20, 10, 30), (40, -10, 26)])
def test_a_turned_head_comes_back(photo: Picture, face: Detection, yaw: float, pitch: float, least: float) -> None:
    """Rendered from another shape, turned to the front, laid back: the same where the square covers it."""
    head = posecheck.rendered(photo, face.landmarks, yaw, pitch)
    (seen,) = CenterFace(coarse=(512,)).detect(head)[:1]
    matrix = mesh.placed(mesh.five_of(mesh.mesh().points), seen.landmarks, yaw, pitch, 128)
    front = frontal.frontalize(head, matrix, (yaw, pitch, 0), 128)
    laid, alpha = lay(front, yaw, pitch)
    inside = alpha > 0.99
    assert inside.mean() > 0.3
    assert psnr(laid[inside], align.warp_in(head, matrix, 128)[inside]) > least
    # and it is nearer to the face that looks ahead than the turned one is
    ahead = align.warp_in(photo, align.similarity(face.landmarks, 128), 128)[30:100, 25:103]
    as_it_is = align.warp_in(head, align.similarity(seen.landmarks, 128), 128)[30:100, 25:103]
    if abs(yaw) > 10:
        assert psnr(front[30:100, 25:103], ahead) > psnr(as_it_is, ahead)


def test_the_hidden_side_comes_from_the_mirror() -> None:
    """At 40 degrees the far side of the nose is hidden; seen are the near cheek and ear."""
    seen = frontal.seen_of((40, 0, 0), 64)
    assert seen.min() == 0 and seen[:, :32].mean() > seen[:, 32:].mean() + 0.02
    assert np.abs(seen - frontal.seen_of((-40, 0, 0), 64)[:, ::-1]).mean() < 0.01
    assert (frontal.seen_of((0, 0, 9), 64) == 1).all()
    shades = np.repeat(np.linspace(0, 255, 300).astype(np.uint8)[None, :, None], 300, axis=0).repeat(3, axis=2)
    matrix = np.array([[150 / 64, 0, 75], [0, 150 / 64, 75]])
    front = frontal.frontalize(shades, matrix, (40, 0, 0), 64)
    hidden = (seen < 0.02) & (seen[:, ::-1] > 0.98)
    assert hidden.sum() > 100
    assert np.abs(front[hidden].astype(int) - front[:, ::-1][hidden]).max() <= 3


def test_a_tile_shows_what_the_whole_box_shows(photo: Picture, face: Detection) -> None:
    cut = photo[:128, :128].astype(np.float32)
    matrix = align.similarity(face.landmarks, 128)
    whole, alpha = frontal.lay_back(cut, matrix, (25, 5, 3), Box(150, 0, 200, 220))
    part, its_alpha = frontal.lay_back(cut, matrix, (25, 5, 3), Box(190, 40, 64, 100))
    assert np.allclose(part, whole[40:140, 40:104], atol=3) and np.allclose(its_alpha, alpha[40:140, 40:104], atol=0.02)


@pytest.mark.parametrize(
    "angles", [(math.nan, 0, 0), (0, math.inf, 0), (45.1, 0, 0), (0, -90, 0), (1, 1, math.nan), (1e300, 0, 0)]
)
def test_numbers_that_are_no_pose(angles: tuple[float, float, float]) -> None:
    assert not frontal.allowed(angles)
    with pytest.raises(ValueError, match="no pose"):
        frontal.lay_back(np.zeros((16, 16, 3), np.float32), UPRIGHT, angles, Box(0, 0, 8, 8))


def test_what_cannot_be_undone_stays_as_it_is(photo: Picture, face: Detection) -> None:
    assert square.turned(photo, face, Pose(46, 0, 0), 64) is None
    assert square.turned(photo, face, Pose(0, 40, 0), 64) is None
    assert square.turned(photo, face_at(-500, -500, 1e-9), Pose(10, 0, 0), 64) is None
    stripes = np.zeros((300, 300, 3), np.uint8)
    stripes[:, ::2] = 255  # nothing that fine comes back
    assert square.turned(stripes, face_at(60, 40, 130), Pose(35, 0, 0), 128) is None
    kept = square.turned(photo, face, Pose(20, 0, 0), 64)
    assert kept is not None and kept.frontal and kept.angles[:2] == (20, 0)
    plain = square.plain(photo, face, 64)
    assert plain.angles == (0, 0, 0) and not plain.frontal
