"""Putting one picture into another without a visible border."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
_COARSEST = 8  # px


def pyramid_blend(over: Float, under: Float, mask: Float) -> Float:
    """`over` where `mask` is 1, `under` where it is 0, both float32 (h, w, 3), mask (h, w): each octave of detail is
    blended over a width of its own (Burt & Adelson 1983). The pyramid goes down to about 8 px."""
    levels = max(0, int(np.log2(max(1, min(mask.shape) / _COARSEST))))
    overs, unders, masks = [over], [under], [mask]
    for _ in range(levels):
        for stack in (overs, unders, masks):
            stack.append(np.asarray(cv2.pyrDown(stack[-1]), np.float32))
    blended = _mix(overs[-1], unders[-1], masks[-1])
    for level in range(levels - 1, -1, -1):
        size = masks[level].shape[1::-1]
        detail = [
            stack[level] - np.asarray(cv2.pyrUp(stack[level + 1], dstsize=size), np.float32)
            for stack in (overs, unders)
        ]
        blended = np.asarray(cv2.pyrUp(blended, dstsize=size), np.float32) + _mix(detail[0], detail[1], masks[level])
    return blended


def _mix(over: Float, under: Float, mask: Float) -> Float:
    return np.asarray(under + mask[..., None] * (over - under), np.float32)
