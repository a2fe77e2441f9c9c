"""How visible the border of a box is in a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import Box

OFFSET = 6  # px between the seam and the parallel lines
_FLAT = 0.5  # grey levels added on both sides: on a flat wall a step of one level is no seam


def seam_ratio(picture: NDArray[np.uint8], box: Box) -> float:
    """Gradient across the border of `box` over that across the parallel lines 6 px outside and inside of it.

    `picture` uint8 (H, W, 3). A gradient is the mean absolute difference of neighbouring pixels across a line, over all
    channels; a border on the picture's edge, or nearer to it than 8 px, does not count. 1 where the border looks like
    any other line; about 1 on pictures that nobody touched. NaN where no border counts (the box fills the picture).
    """
    at_seam, beside, length = 0.0, 0.0, 0
    turned = np.swapaxes(picture, 0, 1)
    sides = (
        (picture, box.y, box.columns), (picture, box.bottom, box.columns),
        (turned, box.x, box.rows), (turned, box.right, box.rows),
    )  # fmt: skip
    for rows, line, along in sides:
        if not OFFSET + 2 <= line <= rows.shape[0] - OFFSET - 2:
            continue
        band = rows[line - OFFSET - 1 : line + OFFSET + 1, along].astype(np.float32)
        across = np.abs(np.diff(band, axis=0)).mean(axis=2).sum(axis=1)
        at_seam += float(across[OFFSET])
        beside += float(across[0] + across[-1]) / 2
        length += band.shape[1]
    if not length:
        return float("nan")
    return (at_seam / length + _FLAT) / (beside / length + _FLAT)
