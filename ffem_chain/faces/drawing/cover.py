"""Filling regions of a picture: the tile that I_enc shows, and a smooth fill from what is visible around."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import PRECISIONS, Box

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Float = NDArray[np.float32]
FLAT = 127  # grey of faces that are covered for ever
_FINEST = 1024


def latent_tile(q: NDArray[np.uint16], precision: str, box: Box) -> Picture:
    """Z_enc as a picture: the top 8 bits of each coordinate, (3, m, m) as RGB, each scaled to the box (nearest)."""
    side = round((q.size / 3) ** 0.5)
    tile = (q >> (PRECISIONS[precision] - 8)).astype(np.uint8).reshape(3, side, side).transpose(1, 2, 0)
    return np.asarray(cv2.resize(tile, (box.width, box.height), interpolation=cv2.INTER_NEAREST), np.uint8)


def smooth_fill(picture: Picture, hidden: Mask, finest: int = _FINEST) -> Picture:
    """`picture` uint8 (H, W, 3) with the pixels of `hidden` (H, W) filled smoothly from those around (push-pull:
    Gortler et al. 1996). Where everything is hidden, grey. Computed at a long side of at most `finest` px."""
    out = picture.copy()
    if not hidden.any():
        return out
    height, width = hidden.shape
    shrink = min(1.0, finest / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    seen = (~hidden).astype(np.uint8)
    colour = cv2.resize(picture * seen[..., None], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    weight = cv2.resize(seen * np.uint8(255), size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    filled = np.clip(_push_pull(colour, weight) + 0.5, 0, 255).astype(np.uint8)
    if shrink < 1:
        filled = np.asarray(cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    out[hidden] = filled[hidden]
    return out


def _push_pull(colour: Float, weight: Float) -> Float:
    """Colours float32 (h, w, 3), already times their weights (h, w) in [0, 1], spread to where the weight is less."""
    levels = [(colour, weight)]
    while min(levels[-1][1].shape) > 1:
        colour, weight = levels[-1]
        size = (max(1, (colour.shape[1] + 1) // 2), max(1, (colour.shape[0] + 1) // 2))
        smaller = cv2.resize(colour, size, interpolation=cv2.INTER_AREA)
        lighter = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
        # weights saturate, so that one visible pixel counts fully two levels up
        gain = np.minimum(1, 4 * lighter) / np.maximum(lighter, 1e-6)
        levels.append((np.asarray(smaller * gain[..., None], np.float32), np.asarray(lighter * gain, np.float32)))
    colour, weight = levels.pop()
    filled = np.where(weight[..., None] > 1e-6, colour / np.maximum(weight[..., None], 1e-6), FLAT)
    while levels:
        colour, weight = levels.pop()
        up = cv2.resize(filled.astype(np.float32), colour.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        filled = colour + np.atleast_3d(up).reshape(colour.shape) * (1 - weight[..., None])
    return np.asarray(filled, np.float32)


def around(box: Box, width: int, height: int, share: float = 0.5) -> Box:
    """The box widened on every side by `share` of its larger side, inside the picture."""
    margin = max(8, round(share * max(box.width, box.height)))
    x, y = max(0, box.x - margin), max(0, box.y - margin)
    right, bottom = min(width, box.right + margin), min(height, box.bottom + margin)
    return Box(x, y, right - x, bottom - y)
