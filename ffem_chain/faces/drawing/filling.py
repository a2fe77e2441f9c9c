"""Filling a box as if nobody had stood there: smooth, with the picture's grain, and mirrored along the rim.

What it costs is bounded by the box: it looks no further around than the box is wide.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import Box
from ffem_chain.faces.drawing.cover import around, smooth_fill

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
# how far the reflection reaches into a hole: share of its shorter side, px at least (half of it at most) and at most
_RIM, _NARROWEST, _WIDEST = 0.14, 10, 96
_BELOW = 0.3  # of that where the visible lies below: what shoulders mirror is no background
_GRAIN_SIDE, _MOST_GRAIN = 256, 4.0  # px; grey levels
_FINEST = 512  # px at which what is smooth is computed
_BESIDE = 64  # px around the middle of a side, where grain is measured


def near(box: Box, width: int, height: int) -> Box:
    """The box widened on every side by half of its shorter side, inside the picture."""
    return around(box, width, height, 0.5 * min(box.width, box.height) / max(box.width, box.height))


def fill(
    out: Picture, picture: Picture, owner: NDArray[np.int16], box: Box, index: int, known: Mask | None = None
) -> None:
    """Fills the pixels of `out` uint8 (H, W, 3) that face `index` owns (`capture.exact.ownership`, (H, W)) from what of
    `picture` no box covers, and from those of the box that are `known` (h, w); in place."""
    mine = owner[box.rows, box.columns] == index
    if known is not None:
        mine &= ~known
    if not mine.any():
        return
    view = near(box, picture.shape[1], picture.shape[0])
    part, hidden = picture[view.rows, view.columns], owner[view.rows, view.columns] >= 0
    inner = Box(box.x - view.x, box.y - view.y, box.width, box.height)
    unknown = hidden.copy()
    if known is not None:
        unknown[inner.rows, inner.columns] &= ~known
    filled = smooth_fill(part, unknown, _FINEST)
    add_grain(filled, noise_level(filled, ~hidden, inner), inner)
    reflect_rim(filled, part, hidden, inner)
    out[box.rows, box.columns][mine] = filled[inner.rows, inner.columns][mine]


def reflect_rim(out: Picture, picture: Picture, hidden: Mask, box: Box) -> None:
    """Lets what is visible around `box` go on into it, in place: along the border of the `hidden` (H, W) the pixels of
    `out` (H, W, 3) become the mirror image of those of `picture` on the other side, fading inwards. Structure and grain
    then have no step at the border. Costs the border's length times at most 192 px."""
    short = min(box.width, box.height)
    deep = int(max(1, min(_WIDEST, short // 2, max(_NARROWEST, round(_RIM * short)))))
    for strip in _strips(box, deep):
        _reflect_strip(out, picture, hidden, strip, deep)


def _strips(box: Box, deep: int) -> list[Box]:
    """The rim of a box, `deep` px wide: top and bottom, then what is left of the sides."""
    if 2 * deep >= min(box.width, box.height):
        return [box]
    inner = box.height - 2 * deep
    return [
        Box(box.x, box.y, box.width, deep),
        Box(box.x, box.bottom - deep, box.width, deep),
        Box(box.x, box.y + deep, deep, inner),
        Box(box.right - deep, box.y + deep, deep, inner),
    ]


def _reflect_strip(out: Picture, picture: Picture, hidden: Mask, strip: Box, deep: int) -> None:
    height, width = hidden.shape
    margin = deep + 2
    y0, x0 = max(0, strip.y - margin), max(0, strip.x - margin)
    view = hidden[y0 : strip.bottom + margin, x0 : strip.right + margin]
    if view.all():
        return
    distance, labels = cv2.distanceTransformWithLabels(
        view.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE, labelType=cv2.DIST_LABEL_PIXEL
    )
    # every visible pixel has a label of its own; a hidden pixel has that of the nearest visible one
    ys, xs = np.nonzero(~view)
    where_y, where_x = np.zeros(int(labels.max()) + 1, np.int32), np.zeros(int(labels.max()) + 1, np.int32)
    where_y[labels[ys, xs]], where_x[labels[ys, xs]] = ys, xs
    inner = np.zeros(view.shape, bool)
    inner[strip.y - y0 : strip.bottom - y0, strip.x - x0 : strip.right - x0] = True
    py, px = np.nonzero(inner & view & (distance < deep))
    near_y, near_x = where_y[labels[py, px]], where_x[labels[py, px]]
    my, mx = 2 * near_y - py + y0, 2 * near_x - px + x0
    usable = (my >= 0) & (my < height) & (mx >= 0) & (mx < width)
    my, mx = np.where(usable, my, near_y + y0), np.where(usable, mx, near_x + x0)
    usable = ~hidden[my, mx]
    my, mx = np.where(usable, my, near_y + y0), np.where(usable, mx, near_x + x0)
    reach = np.where(near_y > py, max(2.0, _BELOW * deep), deep)
    fade = (1 - (distance[py, px] - 1) / reach).clip(0, 1)[:, None]
    fade = fade * fade * (3 - 2 * fade)
    under = out[py + y0, px + x0].astype(np.float32)
    out[py + y0, px + x0] = (under + fade * (picture[my, mx] - under) + 0.5).clip(0, 255).astype(np.uint8)


def noise_level(picture: Picture, visible: Mask, box: Box) -> float:
    """Strength of a picture's grain beside `box`, where it is `visible` and even: a standard deviation in grey levels,
    at most 4. What is not visible must have been filled, for it is looked at within 2 px of the border."""
    rough = []
    for x, y in (
        (box.x, box.y + box.height // 2), (box.right, box.y + box.height // 2),
        (box.x + box.width // 2, box.y), (box.x + box.width // 2, box.bottom),
    ):  # fmt: skip
        window = slice(max(0, y - _BESIDE), y + _BESIDE), slice(max(0, x - _BESIDE), x + _BESIDE)
        grey = picture[window].astype(np.float32).mean(axis=2)
        inside = cv2.erode(visible[window].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        rough.append(np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.5))[inside])
    values = np.concatenate(rough)
    # the smoothest fifth, where a normal's 20th percentile of |x| is a quarter of its deviation: edges are not grain
    return float(min(_MOST_GRAIN, 4 * np.percentile(values, 20))) if values.size >= 64 else 0.0


@cache
def _grain() -> Float:
    """Grain of standard deviation 1, float32 (256, 256), periodic and always the same."""
    noise = np.random.Generator(np.random.PCG64(1)).standard_normal((_GRAIN_SIDE, _GRAIN_SIDE))
    tile = cv2.GaussianBlur(np.pad(noise, 8, mode="wrap"), (0, 0), 0.6)[8:-8, 8:-8]
    return np.asarray(tile / tile.std(), np.float32)


def add_grain(picture: Picture, level: float, box: Box) -> None:
    """Adds grain of standard deviation `level` (grey levels) to the pixels of `box`, in place."""
    if level < 0.3:
        return
    tile = (level * _grain())[..., None]
    for y in range(box.y, box.bottom, _GRAIN_SIDE):
        for x in range(box.x, box.right, _GRAIN_SIDE):
            part = picture[y : min(y + _GRAIN_SIDE, box.bottom), x : min(x + _GRAIN_SIDE, box.right)]
            part[...] = (part + tile[: part.shape[0], : part.shape[1]] + 0.5).clip(0, 255).astype(np.uint8)
