"""Head pose: what an estimator answers with, and estimators by name.

Angles in degrees. Roll positive: the face leans clockwise in the picture. Yaw positive: it looks to the picture's
right. Pitch positive: it looks up. The rotation is roll after yaw after pitch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError
from ffem_chain.faces.finding.detect import Detection
from ffem_chain.faces.posing import align

Picture = NDArray[np.uint8]
NAMES = ("facemesh", "landmarks", "3ddfa")


@dataclass(frozen=True)
class Pose:
    """Angles in degrees, and `mesh` (468, 3): x, y in px of the picture, z in the same unit; None where the estimator
    has no dense landmarks."""

    yaw: float
    pitch: float
    roll: float
    mesh: NDArray[np.float64] | None = None

    @property
    def angles(self) -> tuple[float, float, float]:
        """Yaw, pitch, roll."""
        return self.yaw, self.pitch, self.roll

    def moved(self, x: float, y: float) -> Pose:
        """The same in a picture whose corner lies at (-x, -y)."""
        return self if self.mesh is None else replace(self, mesh=self.mesh + np.array([x, y, 0]))


class PoseEstimator(Protocol):
    """Anything that tells the pose of a face that was found."""

    name: str

    def estimate(self, picture: Picture, detection: Detection) -> Pose:
        """uint8 (H, W, 3) RGB and a face in it -> its pose."""
        ...


class FiveLandmarks:
    """The detector's five landmarks: rough, about 10 degrees, but there for every face."""

    name = "landmarks"

    def estimate(self, picture: Picture, detection: Detection) -> Pose:
        """See `PoseEstimator.estimate`."""
        return Pose(*align.pose(detection.landmarks))


def pose_estimator(name: str, models: Path | None = None) -> PoseEstimator:
    """The estimator `name`, its model from the folder `models` (default: `modelcache.default_folder`).

    InputError where there is none of that name, MissingExtra where its model is not on this machine.
    """
    if name == "facemesh":
        from ffem_chain.faces.posing.facemesh import FaceMesh

        return FaceMesh(models)
    if name == "landmarks":
        return FiveLandmarks()
    if name == "3ddfa":
        from ffem_chain.faces.posing.tddfa import Tddfa

        return Tddfa(models)
    raise InputError(f"there is no pose estimator {name!r}", f"estimators: {', '.join(NAMES)}")
