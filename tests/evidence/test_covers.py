"""Covers of others: their strength is in pixels of the aligned face, and they leave the surroundings alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data as pictures

from ffem_chain.faces.posing import align
from ffem_cli.eval.covers import ALIGNED, COVERS, ORIGINAL, Face, black, blur, pixelate

PHOTO = np.ascontiguousarray(pictures.astronaut()[:320, 60:380])
# the astronaut's face, by hand
MARKS = np.array([[145.0, 108], [186, 108], [166, 130], [151, 150], [184, 150]])
FACE = Face((125.0, 70, 205, 175), MARKS)


def inside(picture: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    box = align.cover_box(face.box, picture.shape[1], picture.shape[0])
    return picture[box.rows, box.columns]


@pytest.mark.parametrize("cover", COVERS, ids=lambda cover: str(cover.name))
def test_a_cover_changes_the_face_only_and_not_the_picture_given(cover: object) -> None:
    assert isinstance(cover, type(ORIGINAL))
    given = PHOTO.copy()
    out = cover.apply(given, FACE)
    assert np.array_equal(given, PHOTO) and out.shape == PHOTO.shape and out.dtype == np.uint8
    assert np.array_equal(out[:10], PHOTO[:10]) and np.array_equal(out[:, -40:], PHOTO[:, -40:])
    changed = (out != PHOTO).any(axis=2)[100:150, 140:190].mean()
    assert changed == 0 if cover is ORIGINAL else changed > 0.5


def test_strengths_are_in_pixels_of_the_aligned_face() -> None:
    side = 8 * FACE.scale
    part = inside(pixelate(PHOTO, FACE, 8), FACE)
    colours = len({tuple(pixel) for pixel in part.reshape(-1, 3).tolist()})
    cells = round(part.shape[0] / side) * round(part.shape[1] / side)
    assert 0.8 * cells <= colours <= cells, "a square has one colour"
    assert not inside(black(PHOTO, FACE), FACE).any()
    # aligned at 128 px, an edge of a step under a Gaussian is as wide as its sigma: 68 % of the rise within 2 sigma
    step = np.zeros_like(PHOTO)
    step[:, 166:] = 200
    out = blur(step, FACE, 4)
    row = cv2.warpAffine(
        out, align.similarity(MARKS, ALIGNED), (ALIGNED, ALIGNED), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )[ALIGNED // 2, :, 0].astype(float)
    wide = np.interp(0.8413 * 200, row, np.arange(ALIGNED)) - np.interp(0.1587 * 200, row, np.arange(ALIGNED))
    assert wide == pytest.approx(8, abs=0.4)


def test_a_photo_twice_as_large_is_covered_alike() -> None:
    large = cv2.resize(PHOTO, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    left, top, right, bottom = FACE.box
    face = Face((2 * left, 2 * top, 2 * right, 2 * bottom), MARKS * 2 + 0.5)
    assert face.scale == pytest.approx(2 * FACE.scale)
    for cover in (c for c in COVERS if c.name.startswith("blur")):
        small = cv2.resize(cover.apply(large, face), PHOTO.shape[1::-1], interpolation=cv2.INTER_AREA)
        off = np.abs(small[90:160, 135:195].astype(float) - cover.apply(PHOTO, FACE)[90:160, 135:195])
        assert off.mean() < 3, cover.name  # grey levels
    for side in (4, 8, 16):
        few, many = (
            len(np.unique(inside(pixelate(*given, side), given[1]).reshape(-1, 3), axis=0))
            for given in ((PHOTO, FACE), (large, face))
        )
        assert many == pytest.approx(few, rel=0.1), "as many squares"
