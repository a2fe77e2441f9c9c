"""SCRFD (Guo et al., 2021), 2.5 GFlops, with five landmarks. The weights are for research only: the user has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces import modelcache
from ffem_chain.faces.finding.detect import Detection, Picture, Search, merge, padded_to
from ffem_chain.faces.finding.networks import Networks, read_onnx

# stride: names of the outputs that `decode` takes
OUTPUTS = {8: ("446", "449", "452"), 16: ("466", "469", "472"), 32: ("486", "489", "492")}
_ANCHORS = 2  # a cell


class Scrfd(Search):
    """Searches at long sides of 640 and 1280 px and at full size, in tiles. Raises as `modelcache.path`."""

    name = "scrfd"

    def __init__(self, models: Path | None = None, threshold: float = 0.3) -> None:
        super().__init__(threshold, coarse=(640, 1280), fine=3840, tile=1280, overlap=192)
        path = modelcache.path(self.name, models)
        self._nets = Networks(lambda: read_onnx(path))

    def look(self, view: Picture) -> list[Detection]:
        """See `Search.look`."""
        whole = padded_to(view, 32)
        blob = cv2.dnn.blobFromImage(whole, 1 / 128, mean=(127.5, 127.5, 127.5))
        outputs = self._nets.run(blob, [name for names in OUTPUTS.values() for name in names])
        found = []
        for level, stride in enumerate(OUTPUTS):
            found += decode(outputs[3 * level :][:3], whole.shape[1] // stride, stride, self.threshold)
        return merge(found)


def decode(outputs: Sequence[NDArray[np.float64]], columns: int, stride: int, threshold: float) -> list[Detection]:
    """Faces in one level's outputs, two anchors a cell, row by row: scores (n, 1); distances of left, top, right and
    bottom from the cell (n, 4) and landmarks relative to it (n, 10), both in strides."""
    scores, sides, marks = outputs[0][:, 0], np.maximum(outputs[1], 0) * stride, outputs[2] * stride
    found = []
    for index in np.flatnonzero(scores > threshold):
        row, column = divmod(int(index) // _ANCHORS, columns)
        x, y = column * stride, row * stride
        left, top, right, bottom = (float(side) for side in sides[index])
        points = marks[index].reshape(5, 2) + np.array([x, y])
        found.append(Detection((x - left, y - top, x + right, y + bottom), points, float(scores[index])))
    return found
