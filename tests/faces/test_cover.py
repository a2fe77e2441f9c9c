"""What is shown where a face was."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ffem_chain.capture.model import Box
from ffem_chain.faces.drawing.cover import FLAT, around, latent_tile, smooth_fill


@pytest.mark.parametrize(("precision", "shift"), [("q8", 0), ("q10", 2), ("q12", 4)])
def test_tile_shows_the_top_bits_channel_by_channel(precision: str, shift: int) -> None:
    q = np.random.default_rng(0).integers(0, 256 << shift, 12, dtype=np.uint16)
    tile = latent_tile(q, precision, Box(0, 0, 4, 6))
    expected = (q >> shift).reshape(3, 2, 2).transpose(1, 2, 0)
    assert np.array_equal(tile, expected.repeat(3, axis=0).repeat(2, axis=1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (40, 60), (300, 2100)])
def test_fill_leaves_what_is_visible_and_never_uses_what_is_hidden(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    hidden = np.zeros(shape, bool)
    hidden[: (shape[0] + 1) // 2, : (shape[1] + 1) // 2] = True
    other = picture.copy()
    other[hidden] = rng.integers(0, 256, (int(hidden.sum()), 3))
    filled = smooth_fill(picture, hidden)
    assert np.array_equal(filled[~hidden], picture[~hidden])
    assert np.array_equal(filled, smooth_fill(other, hidden))


def test_fill_continues_a_gradient() -> None:
    picture = np.tile(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], (64, 1, 3))
    hidden = np.zeros((64, 64), bool)
    hidden[20:44, 20:44] = True
    error = smooth_fill(picture, hidden).astype(int) - picture
    assert np.abs(error[hidden]).max() < 40
    assert np.abs(error[hidden]).mean() < 12


def test_fill_of_nothing_and_of_everything() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    assert np.array_equal(smooth_fill(picture, np.zeros((9, 9), bool)), picture)
    assert (smooth_fill(picture, np.ones((9, 9), bool)) == FLAT).all()


def test_fill_of_a_large_region_stays_cheap() -> None:
    picture = np.full((3000, 4000, 3), 60, np.uint8)
    hidden = np.zeros((3000, 4000), bool)
    hidden[500:2500, 500:3500] = True
    began = time.process_time()
    assert (smooth_fill(picture, hidden) == 60).all()
    assert time.process_time() - began < 10


def test_surroundings_stay_in_the_picture() -> None:
    assert around(Box(0, 40, 20, 20), 100, 64) == Box(0, 30, 30, 34)
    assert around(Box(4, 4, 4, 4), 10, 10) == Box(0, 0, 10, 10)
