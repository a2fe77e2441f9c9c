"""Comparing detectors and pose estimators: what counts as found, and the figures of known answers."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from ffem_chain.faces.finding import compare
from ffem_chain.faces.finding.detect import Detection
from ffem_chain.faces.posing import pose

from .support import Picture, Says, face_at


def test_a_face_is_found_where_its_landmarks_and_most_of_its_box_are_covered() -> None:
    face = face_at(100, 100, 80)
    assert compare.covered(face, [face], 400, 400)
    assert not compare.covered(face, [], 400, 400)
    assert not compare.covered(face, [face_at(100, 200, 80)], 400, 400)
    left, right = face_at(70, 100, 40), face_at(130, 100, 40)
    assert compare.covered(face, [left, right, face], 400, 400)
    assert not compare.covered(face, [left], 400, 400)


def test_only_what_lies_in_the_picture_has_to_be_covered() -> None:
    """At the rim: covers end there, and landmarks outside cannot be seen."""
    rim = face_at(-40, 20, 80)
    assert compare.covered(rim, [rim], 400, 400)
    outside = face_at(500, 20, 80)
    assert compare.covered(outside, [], 400, 400)


def test_detectors_are_asked_for_what_another_is_sure_of() -> None:
    sure, doubt, small = face_at(50, 50, 60, 0.9), face_at(250, 50, 60, 0.4), face_at(50, 250, 12, 0.8)
    every, one = Says([sure, doubt, small], "every"), Says([sure], "one")
    shown = [np.zeros((400, 400, 3), np.uint8)] * 2
    data = compare.compare_detectors({"every": every, "one": one}, shown)
    rows = {(row["reference"], row["detector"]): row for row in data["found"]}
    assert rows["every", "one"]["large"] == [2, 2] and rows["every", "one"]["small"] == [0, 2]
    assert rows["one", "every"]["large"] == [2, 2] and rows["one", "every"]["small"] == [0, 0]
    assert data["boxes"] == {"every": 6, "one": 2} and data["pictures_without"] == {"every": 0, "one": 0}


class Fixed:
    """An estimator whose yaw is a factor times where the face is, and whose pitch is off by a constant."""

    def __init__(self, name: str, factor: float, pitch: float) -> None:
        self.name, self.factor, self.offset = name, factor, pitch

    def estimate(self, picture: Picture, detection: Detection) -> pose.Pose:
        x = detection.box[0]
        return pose.Pose(self.factor * x, x / 2 + self.offset, x / 10 + (175 if self.name == "a" else -175))


def test_poses_are_compared_face_by_face(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"a": Fixed("a", 1, 0), "b": Fixed("b", 1, 5), "c": Fixed("c", -1, 0)}
    monkeypatch.setattr(pose, "pose_estimator", lambda name, models: known[name])
    places = iter(range(1, 9))

    class Moving(Says):
        def detect(self, picture: Picture) -> list[Detection]:
            x = next(places)
            return [face_at(x + 200, 10, 80), face_at(x, 150, 80)]  # the second is nearer to the middle

    monkeypatch.setattr(compare.detectors, "detector", lambda: Moving([]))
    data = compare.compare_poses(["a", "b", "c"], [np.zeros((400, 90, 3), np.uint8)] * 8, None)
    rows = {(*row["of"], row["angle"]): row for row in data["differences"]}
    assert data["faces"] == 8
    assert rows["a", "b", "yaw"]["median_abs"] == 0 and rows["a", "b", "yaw"]["slope"] == 1
    assert rows["a", "b", "pitch"]["median"] == -5 and rows["a", "b", "pitch"]["median_abs"] == 5
    assert rows["a", "c", "yaw"]["correlation"] == -1
    assert rows["a", "b", "roll"]["median_abs"] == 10  # across 180 degrees


def test_the_command_reads_folders_of_any_depth(
    photo: Picture, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "faces" / "somebody"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "one.png"), photo[20:240, 120:340, ::-1])
    (folder / "broken.jpg").write_bytes(b"no picture")
    compare.main(["detectors", str(tmp_path / "faces"), "--names", "centerface"])
    data = json.loads(capsys.readouterr().out)
    assert data["folder"] == "faces" and data["pictures"] == 1 and data["boxes"] == {"centerface": 1}
