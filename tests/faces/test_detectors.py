"""Plug-in detectors: the search that all share, how outputs become faces, and, where a model is in the cache, faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from ffem_chain.errors import InputError, MissingExtra
from ffem_chain.faces import modelcache
from ffem_chain.faces.finding import detectors
from ffem_chain.faces.finding.detect import CenterFace, Detection, Search
from ffem_chain.faces.finding.detectors import scrfd, yolo5face

from .support import Picture

BLOB = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


class Bright(Search):
    """Finds the white rectangle of a view, surer of it the less there is."""

    name = "bright"

    def look(self, view: Picture) -> list[Detection]:
        rows, columns = np.nonzero(view[:, :, 0] > 128)
        if not rows.size:
            return []
        box = (float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1))
        side = np.array([box[2] - box[0], box[3] - box[1]])
        return [Detection(box, BLOB * side + box[:2], min(0.9, 20 / side.min() + 0.1))]


def white(shape: tuple[int, int], box: tuple[int, int, int, int]) -> Picture:
    picture = np.zeros((*shape, 3), np.uint8)
    picture[box[1] : box[3], box[0] : box[2]] = 255
    return picture


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 40, 50),  # seen whole by one tile
        (85, 20, 115, 60),  # in what two tiles have in common
        (60, 60, 260, 220),  # larger than a tile: of this the tiles see parts only, and are surer
        (0, 0, 30, 30),
        (370, 270, 400, 300),
    ],
)
def test_a_face_is_found_once_and_whole_wherever_it_lies(box: tuple[int, int, int, int]) -> None:
    finder = Bright(0.1, coarse=(100,), fine=400, tile=100, overlap=40)
    (found,) = finder.detect(white((300, 400), box))
    assert found.box == pytest.approx(box, abs=8)
    side = np.array([box[2] - box[0], box[3] - box[1]])
    assert found.landmarks == pytest.approx(BLOB * side + box[:2], abs=8)


def test_a_part_that_no_view_shows_whole_is_still_a_face() -> None:
    """Without a coarse view that shows a face, tiles that cut it must not drop it."""

    class Blind(Bright):
        def look(self, view: Picture) -> list[Detection]:
            return super().look(view) if view.shape[0] == 100 else []

    found = Blind(0.1, coarse=(50,), fine=400, tile=100, overlap=40).detect(white((300, 400), (60, 60, 260, 220)))
    assert min(d.box[0] for d in found) == 60 and max(d.box[2] for d in found) == 260


def test_names_lead_to_detectors(tmp_path: Path) -> None:
    assert isinstance(detectors.detector(), CenterFace) and detectors.detector().name == "centerface"
    with pytest.raises(InputError, match="no detector 'nobody'") as caught:
        detectors.detector("nobody")
    assert all(name in caught.value.hint for name in detectors.NAMES)
    for name in set(detectors.NAMES) - {detectors.DEFAULT}:
        with pytest.raises(MissingExtra, match=name) as missing:
            detectors.detector(name, tmp_path)
        assert "ffem models import" in missing.value.hint


def logit(p: float) -> float:
    return float(np.log(p / (1 - p)))


@pytest.mark.parametrize(("stride", "anchor"), [(8, 0), (16, 2), (32, 1)])
def test_yolo5face_outputs(stride: int, anchor: int) -> None:
    """A face written into the raw output, by the paper's formulas, comes back."""
    row, column, size = 7, 11, np.array(yolo5face.ANCHORS[stride][anchor])
    centre, extent = np.array([column, row]) * stride + 0.4 * stride, 1.5 * size
    marks = BLOB * extent + centre - extent / 2
    output = np.full((3, 20, 20, 16), -10.0)
    raw = output[anchor, row, column]
    raw[:2] = [logit((0.4 + 0.5) / 2)] * 2
    raw[2:4] = [logit(np.sqrt(1.5) / 2)] * 2
    raw[4], raw[15] = logit(0.9), logit(0.8)
    raw[5:15] = ((marks - np.array([column, row]) * stride) / size).ravel()
    (found,) = yolo5face.decode(output, stride, 0.3)
    assert found.score == pytest.approx(0.72)
    assert found.box == pytest.approx((*(centre - extent / 2), *(centre + extent / 2)))
    assert found.landmarks == pytest.approx(marks)
    assert yolo5face.decode(output, stride, 0.73) == []


@pytest.mark.parametrize("stride", list(scrfd.OUTPUTS))
def test_scrfd_outputs(stride: int) -> None:
    """Two anchors a cell, row by row; distances and points in strides."""
    rows, columns = 6, 9
    scores = np.zeros((rows * columns * 2, 1))
    sides, marks = np.zeros((len(scores), 4)), np.zeros((len(scores), 10))
    index = (4 * columns + 7) * 2 + 1
    scores[index], sides[index], marks[index] = 0.8, (1, 2, 3, 4), BLOB.ravel()
    (found,) = scrfd.decode((scores, sides, marks), columns, stride, 0.3)
    x, y = 7 * stride, 4 * stride
    assert found.box == (x - stride, y - 2 * stride, x + 3 * stride, y + 4 * stride)
    assert found.landmarks == pytest.approx(BLOB * stride + (x, y))
    sides[index] = (-1, 0, -1, 0)
    (flat,) = scrfd.decode((scores, sides, marks), columns, stride, 0.3)
    assert flat.side == 0


PLUG_INS = sorted(set(detectors.NAMES) - {detectors.DEFAULT})


@pytest.mark.parametrize("name", PLUG_INS)
def test_a_plug_in_agrees_with_centerface(name: str, photo: Picture, detector: CenterFace) -> None:
    if modelcache.state(modelcache.known(name)) != "ok":
        pytest.skip(f"the model {name} is not on this machine")
    plug_in = detectors.detector(name)
    assert plug_in.name == name
    (expected,) = detector.detect(photo)
    (found,) = plug_in.detect(photo)
    assert found.box == pytest.approx(expected.box, abs=12)
    assert found.landmarks == pytest.approx(expected.landmarks, abs=8)
    crowd = np.tile(cv2.resize(photo[20:240, 120:340], (80, 80), interpolation=cv2.INTER_AREA), (2, 5, 1))
    centres = {(int(d.landmarks[2, 1] // 80), int(d.landmarks[2, 0] // 80)) for d in plug_in.detect(crowd)}
    assert centres == {(row, column) for row in range(2) for column in range(5)}
    for shape in ((1, 1), (1, 700), (31, 33)):
        assert plug_in.detect(np.full((*shape, 3), 99, np.uint8)) == []
