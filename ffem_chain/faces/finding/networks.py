"""Third-party networks as OpenCV runs them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

_CACHED = 6


def read_onnx(path: Path) -> Any:
    """The `cv2.dnn.Net` of an ONNX file."""
    return cv2.dnn.readNetFromONNX(str(path))


def read_tflite(path: Path) -> Any:
    """The `cv2.dnn.Net` of a TFLite file, with all its outputs."""
    if not hasattr(cv2.dnn, "ENGINE_CLASSIC"):  # before OpenCV 4.11
        return cv2.dnn.readNetFromTFLite(str(path))
    # OpenCV 5's own engine keeps only the last output, and from a buffer it is chosen whatever one asks for
    return cv2.dnn.readNetFromTFLite(str(path), engine=cv2.dnn.ENGINE_CLASSIC)


class Networks:
    """One network for several sizes of input, which threads may share. `read` makes another instance of it.

    cv2's network gives garbage once its input size changes, so there is one a size; the last few are kept.
    """

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._nets: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, blob: NDArray[Any], outputs: Sequence[str]) -> list[NDArray[np.float64]]:
        """float32 (b, c, h, w) -> the named outputs, float64."""
        with self._lock:
            net = self._nets.pop(blob.shape, None) or self._read()
            self._nets[blob.shape] = net
            while len(self._nets) > _CACHED:
                self._nets.popitem(last=False)
            net.setInput(blob)
            return [np.asarray(output, np.float64) for output in net.forward(outputs)]
