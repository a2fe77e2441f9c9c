"""Putting one picture into another without a visible border."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import Box

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
# how far the reflection reaches into a hole: share of its shorter side, px at least (half of it at most) and at most
_RIM, _NARROWEST, _WIDEST = 0.14, 10, 96
_BELOW = 0.3  # of that where the visible lies below: what shoulders mirror is no background
_COARSEST = 8  # px; a pyramid goes down to about this side
_GRAIN_SIDE, _MOST_GRAIN = 256, 4.0  # px; grey levels


def pyramid_blend(over: Float, under: Float, mask: Float, levels: int | None = None) -> Float:
    """`over` where `mask` is 1, `under` where it is 0, both float32 (h, w, 3), mask (h, w): each octave of detail is
    blended over a width of its own (Burt & Adelson 1983). `levels` None: down to 8 px."""
    if levels is None:
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


def noise_level(picture: Picture, visible: Mask) -> float:
    """Strength of a picture's grain where it is `visible` and even: a standard deviation in grey levels, at most 4.
    What is not visible must have been filled, for it is looked at within 2 px of the border."""
    grey = picture.astype(np.float32).mean(axis=2)
    residual = grey - cv2.GaussianBlur(grey, (0, 0), 1.5)
    kernel = np.ones((5, 5), np.uint8)
    rough = np.abs(residual[cv2.erode(visible.astype(np.uint8), kernel) > 0])
    # the smoothest fifth, where a normal's 20th percentile of |x| is a quarter of its deviation: edges are not grain
    return float(min(_MOST_GRAIN, 4 * np.percentile(rough, 20))) if rough.size >= 64 else 0.0


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
