"""Recall of detectors: what counts as found, who decides what is a face, and WIDER FACE's own layout."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from ffem_chain.errors import FormatError, MissingExtra
from ffem_chain.faces.finding.detect import CenterFace, Detection
from ffem_chain.faces.flow.weights import load_model
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.sealing import Camera
from ffem_cli.evidence import detection
from ffem_cli.evidence.detection import truth
from ffem_cli.evidence.detection.recall import Scene, agreed, pairs, trials, unconfirmed
from ffem_cli.evidence.setting import Setting


def face(left: float, top: float = 0, side: float = 40, score: float = 0.9) -> Detection:
    corners = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]])
    return Detection((left, top, left + side, top + side), corners * side + (left, top), score)


def setting(folder: Path) -> Setting:
    camera = Camera(load_model("ffem-64"), CenterFace())
    return Setting(folder, camera, folder / "models", Cache(None), lambda _what, _done: None, small=True)


def test_each_box_counts_once() -> None:
    assert pairs([face(0), face(100)], [face(102), face(3), face(1)]) == [(0, 2), (1, 0)]
    assert pairs([face(0)], [face(0, side=20)]) == []  # IoU 0.25
    assert pairs([], [face(0)]) == []


def test_nobody_is_judged_by_itself() -> None:
    found = {
        "a": [face(0, score=0.7), face(100), face(200)],
        "b": [face(2, score=0.8), face(101, score=0.5), face(200)],
        "c": [face(100), face(1), face(300)],
    }
    # 0: b and c; 100: b is not sure of it; 200: only b; 300: only c
    assert [one.box for one in agreed(found, "a")] == [(1, 0, 41, 40)]
    assert {one.box[0] for one in agreed(found, "c")} == {2, 200}
    assert agreed({"a": found["a"], "b": found["b"]}, "a") == []


def test_recall_by_size_and_what_nobody_confirms() -> None:
    seen = {"a": [face(0), face(400)], "b": [face(1), face(100, side=16)], "c": [face(0), face(100, side=16)]}
    scenes = [Scene("1", 600, 100, seen), Scene("2", 600, 100, {name: [face(5)] for name in seen})]
    shares = trials(scenes, "a").shares()
    assert (shares["faces"], shares["recall"], shares["covered"]) == (3, 2 / 3, 2 / 3)
    low, high = shares["recall_ci95"]
    assert low <= 2 / 3 <= high and (low, high) != (2 / 3, 2 / 3)
    assert trials(scenes, "a").shares(24)["recall"] == 1 and trials(scenes, "a").shares(0, 24)["recall"] == 0
    assert trials(scenes, "a").shares(100)["recall"] is None
    assert unconfirmed(scenes, "a") == 0.5 and unconfirmed(scenes, "b") == 0


def test_a_box_elsewhere_may_cover_without_being_found() -> None:
    wide = Detection((0, 0, 100, 100), face(20, 20, 60).landmarks, 0.9)
    scene = Scene("1", 200, 200, {"a": [wide]}, true=[face(30, 30, 40)])
    shares = trials([scene], "a").shares()
    assert (shares["recall"], shares["covered"]) == (0, 1)


def wider(folder: Path, lines: str) -> Path:
    file = folder / truth.ANNOTATION
    file.parent.mkdir(parents=True)
    file.write_text(lines)
    return folder


def test_wider_face(tmp_path: Path) -> None:
    lines = "0--A/1.jpg\n3\n10 20 30 40 0 0 0 0 0 0\n1 2 3 4 0 0 0 1 0 0\n50 60 7 8 2 0 0 0 2 0 \n"
    folder = wider(tmp_path, lines + "0--A/none.jpg\n1\n1 1 9 9 0 0 0 0 0 0\n0--A/2.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n")
    place = folder / "WIDER_val/images/0--A"
    place.mkdir(parents=True)
    for name in ("1.jpg", "2.jpg"):
        (place / name).write_bytes(b"")
    first, second = truth.read(folder)
    assert first[0].path == place / "1.jpg" and second[1] == []
    assert [one.box for one in first[1]] == [(10, 20, 40, 60), (50, 60, 57, 68)]


@pytest.mark.parametrize(
    "lines", ["0--A/1.jpg\n2\n1 2 3 4 0 0 0 0 0 0\n", "0--A/1.jpg\nx\n", "0--A/1.jpg\n1\n1 2\n", ""]
)
def test_damaged_annotation(tmp_path: Path, lines: str) -> None:
    with pytest.raises(FormatError):
        truth.read(wider(tmp_path, lines))


def test_section(tmp_path: Path) -> None:
    photo = cv2.resize(np.asarray(astronaut()), (256, 256), interpolation=cv2.INTER_AREA)  # type: ignore[no-untyped-call]
    for name in ("group", "widerface"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "1.png"), photo[:, :, ::-1])
    with pytest.raises(MissingExtra, match="only centerface"):
        detection.measure(setting(tmp_path))
    box = "88 30 40 52 0 0 0 0 0 0"  # the astronaut's face, by eye
    for name in ("group", "widerface"):
        wider(tmp_path / name, f"1.png\n2\n{box}\n200 200 30 30 0 0 0 0 0 0\n")
    result = detection.measure(setting(tmp_path))
    for name in ("group", "widerface"):
        row = result.data["sets"][name]["centerface"]
        assert row["all"]["faces"] == 2 and row["all"]["recall"] == 0.5
        assert result.record[name]["reference"] == "true boxes"
    assert result.data["cpu_ms"]["centerface"]["416"] > 0
    assert {claim.holds for claim in result.claims} == {False, None}  # half of what is marked is no face
