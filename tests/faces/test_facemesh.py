"""FaceMesh on a rendered head, where its model is on this machine (`ffem models pull facemesh`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ffem_chain.errors import MissingExtra
from ffem_chain.faces import modelcache
from ffem_chain.faces.finding.detect import CenterFace, Detection
from ffem_chain.faces.posing import posecheck
from ffem_chain.faces.posing.facemesh import FaceMesh
from ffem_chain.faces.posing.pose import PoseEstimator, pose_estimator

Picture = NDArray[np.uint8]
PRESENT = modelcache.state(modelcache.known("facemesh")) == "ok"
needs_model = pytest.mark.skipif(not PRESENT, reason="the model facemesh is not on this machine")


@pytest.fixture(scope="module")
def estimator() -> PoseEstimator:
    return pose_estimator("facemesh")


@pytest.fixture(scope="module")
def found(photo: Picture, detector: CenterFace) -> Detection:
    return detector.detect(photo[:300, 80:380])[0].moved(1, 80, 0)


def test_without_its_model_it_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingExtra) as caught:
        pose_estimator("facemesh", tmp_path)
    assert "ffem models pull facemesh" in str(caught.value.hint)


@needs_model
@pytest.mark.parametrize(("yaw", "pitch"), [(-30, 0), (-15, 0), (15, 0), (30, 0), (0, 12), (0, -12), (0, 0)])
def test_a_rendered_head(yaw: float, pitch: float, photo: Picture, found: Detection, estimator: PoseEstimator) -> None:
    ahead = estimator.estimate(photo, found)
    picture = posecheck.rendered(photo, found.landmarks, yaw, pitch)
    pose = estimator.estimate(picture, CenterFace(coarse=(512,)).detect(picture)[0])
    assert abs(pose.yaw - ahead.yaw - yaw) < 8 and abs(pose.pitch - ahead.pitch - pitch) < 8


@needs_model
def test_mirrored_and_turned_pictures(photo: Picture, found: Detection, estimator: PoseEstimator) -> None:
    (row,) = posecheck.check_consistent([estimator], [photo[:400, :400]])
    assert row["faces"] == 1
    assert float(str(row["flip"])) < 3 and float(str(row["roll"])) < 2


@needs_model
def test_points_lie_on_the_face(photo: Picture, found: Detection) -> None:
    pose = FaceMesh().estimate(photo, found)
    assert pose.mesh is not None and pose.mesh.shape == (468, 3)
    eyes = np.array([pose.mesh[[33, 133], :2].mean(axis=0), pose.mesh[[263, 362], :2].mean(axis=0)])
    assert np.abs(eyes - found.landmarks[:2]).max() < 0.15 * found.side
    nowhere = np.zeros((40, 40, 3), np.uint8)
    assert np.isfinite(FaceMesh().estimate(nowhere, Detection((0, 0, 1, 1), np.zeros((5, 2)), 0.5)).angles).all()
