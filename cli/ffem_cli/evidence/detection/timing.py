"""How long detectors take: processor time of one thread on group photos at stated sizes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.finding.detect import Detector

Picture = NDArray[np.uint8]


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV with one thread, so that processor time is what one core takes."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def cpu_ms(detector: Detector, pictures: Sequence[Picture], long_side: int) -> float:
    """Median milliseconds of processor time a picture, scaled so that its long side has so many px; the first picture
    is searched once before, since networks are built at the first use of a size."""
    times = []
    with one_thread():
        for at, picture in enumerate(pictures):
            scale = long_side / max(picture.shape[:2])
            size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            view = np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)
            if at == 0:
                detector.detect(view)
            start = time.process_time()
            detector.detect(view)
            times.append(1000 * (time.process_time() - start))
    return statistics.median(times)
