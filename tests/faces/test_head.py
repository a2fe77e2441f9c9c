"""The head around a fake face: which one, in what colours, turned which way."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ffem_chain.faces.drawing.head import CANVAS, head, turned
from ffem_chain.faces.drawing.tone import COARSE, Surroundings, matched, toned

FACE = np.full((64, 64, 3), (170, 130, 110), np.uint8)
Z = bytes(range(32))


def around(colour: tuple[int, int, int], visible: float = 1.0) -> Surroundings:
    colours = np.zeros((COARSE, COARSE, 3), np.float32) + np.array(colour, np.float32)
    return Surroundings(colours, np.full((COARSE, COARSE), visible, np.float32))


GREY = around((120, 120, 120))


def test_a_head_surrounds_its_face() -> None:
    drawn, mask = head(FACE, GREY, Z, 0.5, (0, 0), Counter())
    assert drawn.shape == (CANVAS, CANVAS, 3)
    assert mask.shape == (CANVAS, CANVAS, 1)
    middle = CANVAS // 2
    assert np.abs(drawn[middle - 20 : middle + 20, middle - 20 : middle + 20] - FACE[0, 0]).mean() < 25
    covered = mask[..., 0] > 0.5
    assert covered[middle, middle]
    assert not covered[:, 0].any()
    assert not covered[-1].any()
    # there is something above the model's square, which begins at a quarter
    assert covered[: CANVAS // 4].any()


@pytest.mark.parametrize("side", [32, 64, 128])
def test_a_smaller_canvas_is_the_same_head(side: int) -> None:
    large, _ = head(FACE, GREY, Z, 0.5, (0, 0), Counter())
    small, mask = head(FACE, GREY, Z, 0.5, (0, 0), Counter(), side)
    step = CANVAS // side
    shrunk = large.reshape(side, step, side, step, 3).mean(axis=(1, 3))
    inside = mask[..., 0] > 0.9
    assert np.abs(small - shrunk)[inside].mean() < 12


def test_equal_arguments_equal_heads_and_one_picture_several_heads() -> None:
    used: Counter[int] = Counter()
    masks = [head(FACE, GREY, Z, 0.0, (0, 0), used)[1] for _ in range(8)]
    assert max(used.values()) <= 2
    assert len({mask.tobytes() for mask in masks}) >= 6
    assert np.array_equal(head(FACE, GREY, Z, 0.0, (0, 0), Counter())[1], masks[0])
    # at temperature 0 Z_enc does not choose, at 1 it does
    others = [bytes([i]) * 32 for i in range(12)]
    assert len({head(FACE, GREY, z, 0.0, (0, 0), Counter())[1].tobytes() for z in others}) == 1
    assert len({head(FACE, GREY, z, 1.0, (0, 0), Counter())[1].tobytes() for z in others}) > 1


def test_turning_moves_what_lies_behind_the_face_against_it() -> None:
    """Looking to the picture's right: the middle stays, the outline goes left. Looking up: it goes down."""
    canvas = np.zeros((128, 128, 1), np.float32)
    canvas[48:80, 24:104] = 1
    for angles, axis, sign in (((30, 0), 1, -1), ((-30, 0), 1, 1), ((0, 30), 0, 1), ((0, -30), 0, -1)):
        moved = turned(canvas, *angles)[..., 0]
        before, after = (
            np.average(np.indices(part.shape)[axis], weights=part) for part in (canvas[..., 0], moved)
        )  # fmt: skip
        assert sign * (after - before) > 1
    assert turned(canvas, 0, 0) is canvas
    far, farther = (head(FACE, GREY, Z, 0.5, (yaw, 0), Counter())[0] for yaw in (33, 90))
    assert np.array_equal(far, farther)


@pytest.mark.parametrize(("angles", "axis", "sign"), [((30, 0), 1, 1), ((-30, 0), 1, -1), ((0, 21), 0, -1)])
def test_a_frontal_face_is_turned_by_the_mesh(angles: tuple[float, float], axis: int, sign: int) -> None:
    """The nose, nearest to the viewer, moves the way the face looks; eyes and mouth hardly do."""
    nose = np.full((64, 64, 3), 150, np.uint8)
    nose[31:36, 29:35] = 20
    places = []
    for turn in ((0, 0), angles):
        drawn, _ = head(nose, GREY, Z, 0.0, turn, Counter(), frontal=True)
        dark = (drawn.mean(axis=2) < 70).astype(float)
        dark[: CANVAS * 2 // 5] = dark[CANVAS * 3 // 5 :] = 0
        dark[:, : CANVAS * 2 // 5] = dark[:, CANVAS * 3 // 5 :] = 0
        places.append(np.average(np.indices(dark.shape)[axis], weights=dark))
    assert sign * (places[1] - places[0]) > 2
    # beyond what the mesh turns it is the similarity alone
    past, similar = (head(nose, GREY, Z, 0.0, (60, 0), Counter(), frontal=frontal)[0] for frontal in (True, False))
    assert np.array_equal(past, similar)


def test_colours_follow_the_surroundings_within_limits() -> None:
    drawn, mask = np.zeros((32, 32, 3), np.float32) + FACE[0, 0], np.ones((32, 32, 1), np.float32)
    dark, bright = (matched(drawn, mask, around(3 * (level,))).mean() for level in (5, 250))
    assert 0.6 * drawn.mean() < dark < drawn.mean() - 5 < drawn.mean() + 5 < bright < 1.5 * drawn.mean()
    assert np.ptp(matched(drawn, mask, GREY), axis=2).max() < 1
    assert np.ptp(matched(drawn, mask, around((200, 90, 60))), axis=2).min() > 20
    assert matched(drawn, mask, around((9, 9, 9), visible=0)) is drawn


def test_the_tone_of_visible_skin_is_taken_on_and_no_other_colour() -> None:
    mask = np.ones((64, 64), np.float32)
    darker = toned(FACE, mask, around((95, 62, 50)))
    assert darker.mean() < FACE.mean() - 15
    assert darker.mean() > (95 + 62 + 50) / 3
    for other in ((40, 80, 200), (120, 120, 120), (20, 200, 30)):
        assert np.array_equal(toned(FACE, mask, around(other)), FACE)


def test_a_spot_of_colour_is_calmed_and_its_brightness_kept() -> None:
    spotted = FACE.copy()
    spotted[20:40, 20:40] = (110, 150, 140)  # as bright, and green
    nobody = Surroundings(np.zeros((COARSE, COARSE, 3), np.float32), np.zeros((COARSE, COARSE), np.float32))
    calm = toned(spotted, np.ones((64, 64), np.float32), nobody).astype(float)

    def hue(picture: np.ndarray) -> np.ndarray:
        level = np.log(picture + 8.0)
        return level - level.mean(axis=2, keepdims=True)

    before, after = (hue(p.astype(float)) for p in (spotted, calm))
    apart = [np.abs(h[30, 30] - h[5, 5]).max() for h in (before, after)]
    assert 0.4 * apart[0] < apart[1] < 0.6 * apart[0]
    assert np.abs(np.log(calm + 8).mean(axis=2) - np.log(spotted + 8.0).mean(axis=2)).max() < 0.01
