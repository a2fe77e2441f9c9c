"""SCRFD (Guo et al., 2021), 2.5 GFlops, with five landmarks. The weights are for research only: the user has them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ffem_chain.faces import modelcache
from ffem_chain.faces.detect import Detection, Picture, Search, merge, padded_to
from ffem_chain.faces.networks import Networks, read_onnx

# stride: outputs of scores (n, 1), box sides (n, 4) and landmarks (n, 10), the last two in strides from the anchor
_OUTPUTS = {8: ("446", "449", "452"), 16: ("466", "469", "472"), 32: ("486", "489", "492")}
_ANCHORS = 2  # a place


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
        outputs = iter(self._nets.run(blob, [name for names in _OUTPUTS.values() for name in names]))
        found = []
        for stride in _OUTPUTS:
            scores, sides, marks = next(outputs)[:, 0], next(outputs) * stride, next(outputs) * stride
            for index in np.flatnonzero(scores > self.threshold):
                row, column = divmod(int(index) // _ANCHORS, whole.shape[1] // stride)
                x, y = column * stride, row * stride
                left, top, right, bottom = (float(v) for v in sides[index])
                points = marks[index].reshape(5, 2) + np.array([x, y])
                found.append(Detection((x - left, y - top, x + right, y + bottom), points, float(scores[index])))
        return merge(found)
