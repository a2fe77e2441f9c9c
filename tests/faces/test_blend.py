"""Blending, what goes on from the visible into a hole, and how visible a border is."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from ffem_chain.capture.model import Box
from ffem_chain.faces.drawing.blend import pyramid_blend
from ffem_chain.faces.drawing.cover import smooth_fill
from ffem_chain.faces.drawing.filling import add_grain, near, noise_level, reflect_rim
from ffem_chain.faces.drawing.seams import seam_ratio

BOX = Box(40, 32, 48, 64)
SIDE = 128


def textured(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(90, 150, (SIDE, SIDE, 3), dtype=np.uint8)


def hole(box: Box = BOX) -> NDArray[np.bool_]:
    hidden = np.zeros((SIDE, SIDE), bool)
    hidden[box.rows, box.columns] = True
    return hidden


@pytest.mark.parametrize("shape", [(64, 64), (61, 40), (5, 3)])
def test_a_blend_is_one_picture_where_the_mask_says_so(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    over, under = (rng.uniform(0, 255, (*shape, 3)).astype(np.float32) for _ in range(2))
    for value, expected in ((1.0, over), (0.0, under)):
        assert np.abs(pyramid_blend(over, under, np.full(shape, value, np.float32)) - expected).max() < 0.01


def test_a_step_is_spread_and_detail_is_kept() -> None:
    """Two even pictures with fine stripes: no step where they meet, stripes on either side."""
    stripes = np.where(np.arange(128) % 2 == 0, 10, -10).astype(np.float32)[:, None, None]
    over, under = (np.full((128, 128, 3), value, np.float32) + stripes for value in (60, 180))
    mask = np.zeros((128, 128), np.float32)
    mask[:, :64] = 1
    blended = pyramid_blend(over, under, mask)
    assert np.abs(np.diff(blended.mean(axis=(0, 2)))).max() < 12
    assert blended[::2, 10].mean() - blended[1::2, 10].mean() == pytest.approx(20, abs=1)
    assert blended[::2, 118].mean() - blended[1::2, 118].mean() == pytest.approx(20, abs=1)


def test_the_rim_goes_on_as_outside_and_uses_nothing_hidden() -> None:
    # blobs of about 8 px, and grain
    blobs = cv2.GaussianBlur(textured(), (0, 0), 2).astype(np.float32)
    picture = (120 + 6 * (blobs - 120) + textured(1) / 20).clip(0, 255).astype(np.uint8)
    hidden = hole()
    out = smooth_fill(picture, hidden)
    assert seam_ratio(out, BOX) > 1.5
    reflect_rim(out, picture, hidden, BOX)
    assert np.array_equal(out[~hidden], picture[~hidden])
    assert seam_ratio(out, BOX) < 1.3
    other = picture.copy()
    other[hidden] = 255
    again = smooth_fill(other, hidden)
    reflect_rim(again, other, hidden, BOX)
    assert np.array_equal(out, again)


@pytest.mark.parametrize("box", [Box(0, 0, 128, 128), Box(0, 0, 4, 4), Box(124, 60, 4, 68), Box(0, 100, 128, 28)])
def test_the_rim_of_any_box(box: Box) -> None:
    picture, hidden = textured(), hole(box)
    out = smooth_fill(picture, hidden)
    reflect_rim(out, picture, hidden, box)
    assert np.array_equal(out[~hidden], picture[~hidden])


def test_grain_is_measured_and_added() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(120, 2.5, (SIDE, SIDE))[..., None] + np.zeros(3)
    visible = ~hole()
    level = noise_level(noise.round().astype(np.uint8), visible, BOX)
    assert 1.5 < level < 3.5
    even = np.full((SIDE, SIDE, 3), 120, np.uint8)
    assert noise_level(even, visible, BOX) == 0
    add_grain(even, level, BOX)
    assert (even[visible] == 120).all()
    assert even[BOX.rows, BOX.columns].std() == pytest.approx(level, rel=0.2)


def test_seams() -> None:
    picture = textured()
    assert seam_ratio(picture, BOX) == pytest.approx(1, abs=0.1)
    marked = picture.copy()
    marked[BOX.rows, BOX.columns] //= 2
    assert seam_ratio(marked, BOX) > 2
    # a wall of one colour has no seam, and a border on the picture's edge is none
    assert seam_ratio(np.full_like(picture, 80), BOX) == 1
    assert math.isnan(seam_ratio(picture, Box(0, 0, SIDE, SIDE)))
    below = picture.copy()
    below[64:] //= 2
    assert seam_ratio(below, Box(0, 64, SIDE, 64)) > 2


def test_what_is_looked_at_is_bounded_by_the_box() -> None:
    """A box of 4 px by 60,000 must not cost the whole picture."""
    assert near(Box(100, 0, 4, 60_000), 1000, 60_000).width == 20
    for width, height in ((40, 40), (300, 40), (4, 900)):
        view = near(Box(2000, 2000, width, height), 6000, 6000)
        assert view.width * view.height < 6 * width * height + 60 * max(width, height)
