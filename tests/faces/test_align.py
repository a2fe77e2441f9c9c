"""Alignment, pose and the public box."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffem_chain.capture.model import Box
from ffem_chain.faces.posing import align

SIZE = 64
FRONTAL = align.TEMPLATE * 100


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Clockwise in the picture (y points down)."""
    angle = np.radians(degrees)
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


@settings(max_examples=50, deadline=None)
@given(st.floats(0.1, 50), st.floats(-180, 180), st.floats(-500, 500), st.floats(-500, 500))
def test_similarity_finds_scale_turn_and_shift(scale: float, degrees: float, x: float, y: float) -> None:
    marks = turned(align.TEMPLATE * SIZE * scale, degrees) + np.array([x, y])
    matrix = align.similarity(marks, SIZE)
    np.testing.assert_allclose((align.TEMPLATE * SIZE) @ matrix[:, :2].T + matrix[:, 2], marks, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.floats(-9, 9), st.integers(-60, 60), st.integers(0, 1000), st.integers(0, 1000))
def test_public_alignment_is_the_exact_one_but_for_its_rounding(exponent: float, turn: int, x: int, y: int) -> None:
    marks = turned(align.TEMPLATE * SIZE * 2**exponent, 3.0 * turn) + np.array([x, y])
    exact = align.similarity(marks, SIZE)
    numbers = align.public_alignment(exact, SIZE)
    public = align.public_matrix(numbers, SIZE)
    eyes = align.TEMPLATE[:2].mean(axis=0) * SIZE
    assert np.abs(public[:, :2] @ eyes + public[:, 2] - exact[:, :2] @ eyes - exact[:, 2]).max() <= 2.01
    ratio = np.hypot(*public[:, 0]) / np.hypot(*exact[:, 0])
    assert abs(np.log2(ratio)) <= 0.0251
    assert numbers[0] % 4 == numbers[1] % 4 == numbers[3] % 3 == 0


def test_signs_of_the_angles() -> None:
    yaw, pitch, roll = align.pose(FRONTAL)
    assert max(abs(yaw), abs(pitch), abs(roll)) < 3
    assert align.pose(turned(FRONTAL, 20))[2] == pytest.approx(20, abs=2)  # leans clockwise: positive
    nose_right, nose_up = FRONTAL.copy(), FRONTAL.copy()
    nose_right[2, 0] += 8
    nose_up[2, 1] -= 6
    assert align.pose(nose_right)[0] > 10  # looks to the picture's right: positive
    assert align.pose(nose_up)[1] > 5  # looks up: positive
    leaning = align.pose(turned(nose_right, 40))
    assert leaning[0] == pytest.approx(align.pose(nose_right)[0], abs=1e-6)  # yaw is the head's own


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-300, 300),
    st.floats(-300, 300),
    st.floats(1, 400),
    st.floats(1, 400),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_cover_box_lies_in_the_picture_on_the_grid(
    left: float, top: float, w: float, h: float, width: int, height: int
) -> None:
    box = align.cover_box((left, top, left + w, top + h), width, height)
    if box.width > 0 and box.height > 0:
        box.check(width, height)
        # nothing of the detection that the picture shows is left out
        assert box.x <= max(0, left)
        assert box.right >= min(width, left + w)
        assert box.y <= max(0, top)
        assert box.bottom >= min(height, top + h)
    else:
        aside = max(0.3 * w, 0.55 * h - 0.5 * w)
        beyond = left - aside > width - 1 or top - 0.4 * h > height - 1
        assert beyond or left + w + aside < 1e-6 or top + 1.175 * h < 1e-6


def test_angles_are_rounded_to_three_degrees() -> None:
    assert [align.round_angle(a) for a in (0, 1.4, 1.6, -4.6, 180, -179.9)] == [0, 0, 3, -6, 180, -180]


def test_landmarks_in_one_point_have_a_public_alignment() -> None:
    numbers = align.public_alignment(align.similarity(np.full((5, 2), 7.0), SIZE), SIZE)
    assert all(np.isfinite(numbers))
    assert all(np.isfinite(align.pose(np.full((5, 2), 7.0))))


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5, 12.0])
def test_warping_in_and_out_meet(scale: float) -> None:
    """A smooth picture comes back in its place, also where it is averaged on the way in."""
    side = int(SIZE * scale) + 40
    y, x = np.mgrid[:side, :side] / side
    picture = np.stack([255 * x, 255 * y, 128 + 60 * np.sin(5 * x)], axis=2).astype(np.uint8)
    matrix = np.array([[scale, 0, 15.0], [0, scale, 11.0]])
    face = align.warp_in(picture, matrix, SIZE)
    box = Box(20, 20, int(SIZE * scale) - 12, int(SIZE * scale) - 16)
    back = align.warp_out(face.astype(np.float32), matrix, box)
    assert np.abs(back - picture[box.rows, box.columns]).mean() < 3


def test_warping_reaches_beyond_the_picture_and_over_large_ones() -> None:
    picture = np.full((20, 40_000, 3), 90, np.uint8)
    for shift in (-1e5, 0.0, 39_990.0, 1e5):
        face = align.warp_in(picture, np.array([[3.0, 0, shift], [0, 3.0, -50]]), SIZE)
        assert (face == 90).all()
