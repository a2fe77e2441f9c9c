"""The Haar cascade of OpenCV 4 (Viola & Jones 2001; Lienhart & Maydt 2002), which OpenCV 5 no longer has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ffem_chain.faces.finding.detect import Detection
from ffem_cli.evidence.fairness import packages, pipe

# OpenCV's own example takes 1.1 and 3; 30 px keeps out what is no face in pictures of one face of 100 px and more
SCALE_FACTOR, MIN_NEIGHBOURS, MIN_SIZE = 1.1, 3, 30


class Haar:
    """`haarcascade_frontalface_default.xml` on the grey picture at its own size, as a detector.

    Its detections have no landmarks (NaN) and no score (1.0): a cascade answers yes or no.
    """

    name = "haar"

    def __init__(self, model_cache: Path) -> None:
        """Fetches OpenCV 4 into the model cache where it is not there (54 MB). Raises as `packages.ensure`."""
        place = packages.ensure(packages.OPENCV4, model_cache)
        self._worker = pipe.Worker("ffem_cli.evidence.fairness.haarworker", place)
        self.depends: dict[str, object] = {
            **self._worker.about,
            "scale_factor": SCALE_FACTOR,
            "min_neighbours": MIN_NEIGHBOURS,
            "min_size": MIN_SIZE,
        }

    def detect(self, picture: pipe.Picture) -> list[Detection]:
        """uint8 (H, W, 3) RGB -> faces, in reading order of their boxes' tops."""
        answer = self._worker.ask(picture, scale_factor=SCALE_FACTOR, min_neighbours=MIN_NEIGHBOURS, min_size=MIN_SIZE)
        found = [Detection((x, y, x + w, y + h), np.full((5, 2), np.nan), 1.0) for x, y, w, h in answer]
        return sorted(found, key=lambda d: (d.box[1], d.box[0]))

    def close(self) -> None:
        """Ends the process."""
        self._worker.close()
