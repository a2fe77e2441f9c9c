"""YOLO5Face (Qi et al., 2021), the detector of the FFEM paper, in its nano variant of half width.

Its code and weights are under GPL-3.0, so they are no part of this library and are imported by the user. The decoding
below follows the paper and the graph's shapes.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces import modelcache
from ffem_chain.faces.finding.detect import Detection, Picture, Search, merge, padded
from ffem_chain.faces.finding.networks import Networks, read_onnx

# stride: widths and heights of the three anchors, px
ANCHORS = {
    8: ((4, 5), (8, 10), (13, 16)),
    16: ((23, 29), (43, 55), (73, 105)),
    32: ((146, 217), (231, 300), (335, 433)),
}
_SIDE = 640  # the graph takes no other
_GREY = 114  # around pictures in its training


class Yolo5Face(Search):
    """Searches at long sides of 640 and 1280 px and at full size, in tiles of 640 px. Raises as `modelcache.path`."""

    name = "yolo5face"

    def __init__(self, models: Path | None = None, threshold: float = 0.3) -> None:
        super().__init__(threshold, coarse=(_SIDE, 1280), fine=3840, tile=_SIDE, overlap=128)
        path = modelcache.path(self.name, models)
        self._nets = Networks(lambda: read_onnx(path))

    def look(self, view: Picture) -> list[Detection]:
        """See `Search.look`."""
        blob = cv2.dnn.blobFromImage(padded(view, _SIDE, _SIDE, _GREY), 1 / 255)
        outputs = self._nets.run(blob, [f"stride_{stride}" for stride in ANCHORS])
        every = zip(ANCHORS, outputs, strict=True)
        return merge([d for stride, output in every for d in decode(output[0], stride, self.threshold)])


def decode(output: NDArray[np.float64], stride: int, threshold: float) -> list[Detection]:
    """Faces in one output (3, rows, columns, 16) of the network: for each anchor and cell the centre 2, size 2,
    objectness, landmarks 10 and class; all but the landmarks are logits."""
    scores = _sigmoid(output[..., 4]) * _sigmoid(output[..., 15])
    found = []
    for anchor, row, column in zip(*np.nonzero(scores > threshold), strict=True):
        cell, raw, size = np.array([column, row]), output[anchor, row, column], np.array(ANCHORS[stride][anchor])
        centre = (_sigmoid(raw[:2]) * 2 - 0.5 + cell) * stride
        half = (_sigmoid(raw[2:4]) * 2) ** 2 * size / 2
        (left, top), (right, bottom) = centre - half, centre + half
        points = raw[5:15].reshape(5, 2) * size + cell * stride
        found.append(Detection((left, top, right, bottom), points, float(scores[anchor, row, column])))
    return found


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)), np.float64)
