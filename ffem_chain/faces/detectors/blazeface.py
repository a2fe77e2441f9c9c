"""BlazeFace, full range (Bazarevsky et al., 2019; Apache-2.0), which everybody can fetch: `ffem models pull blazeface`.

It gives the middle of the mouth and not its corners. The corners here lie beside it along the line of the eyes, as far
apart as in the template of the training faces: good enough for an alignment, and no measurement of the mouth.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ffem_chain.faces import modelcache
from ffem_chain.faces.align import TEMPLATE
from ffem_chain.faces.detect import Detection, Picture, Search, merge, padded
from ffem_chain.faces.networks import Networks, read_tflite

_SIDE, _STRIDE = 192, 4
_OUTPUTS = ("reshaped_classifier_face_4", "reshaped_regressor_face_4")
_EYES = np.linalg.norm(TEMPLATE[1] - TEMPLATE[0])
_MOUTH = np.linalg.norm(TEMPLATE[4] - TEMPLATE[3]) / _EYES


class BlazeFace(Search):
    """Searches at long sides of 192, 384 and 768 px and at full size, in tiles of 192 px.

    Raises as `modelcache.path`.
    """

    name = "blazeface"

    def __init__(self, models: Path | None = None, threshold: float = 0.5) -> None:
        super().__init__(threshold, coarse=(_SIDE, 384, 768), fine=3840, tile=_SIDE, overlap=64)
        path = modelcache.path(self.name, models)
        self._nets = Networks(lambda: read_tflite(path))

    def look(self, view: Picture) -> list[Detection]:
        """See `Search.look`."""
        blob = cv2.dnn.blobFromImage(padded(view, _SIDE, _SIDE), 1 / 127.5, mean=(127.5, 127.5, 127.5))
        logits, raw = (output[0] for output in self._nets.run(blob, _OUTPUTS))
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))
        found = []
        for index in np.flatnonzero(scores > self.threshold):
            row, column = divmod(int(index), _SIDE // _STRIDE)
            place = np.array([column + 0.5, row + 0.5]) * _STRIDE
            # centre, size, then the eye on the picture's left, the other, nose tip, mouth, ears; px
            values = raw[index].reshape(8, 2)
            (left, top), (right, bottom) = place + values[0] - values[1] / 2, place + values[0] + values[1] / 2
            eyes, nose, mouth = place + values[2:4], place + values[4], place + values[5]
            half = (eyes[1] - eyes[0]) * _MOUTH / 2
            points = np.array([*eyes, nose, mouth - half, mouth + half])
            if right > left and bottom > top:
                found.append(Detection((left, top, right, bottom), points, float(scores[index])))
        return merge(found)
