"""Colours of a fake head: those of its face, in the light of what is visible around its box.

All in logarithms of grey levels, where a change of light is a shift. Coordinates are those of the canvas (`head.py`),
in sides of the model's square from its top left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]
COARSE = 32  # px of the canvas on which surroundings are looked at and heads compared
_MOST_SHIFT, _MOST_SPREAD = 0.6, 1.5  # of a head's colours to the face's: in log, and a factor
# how far a head goes to meet its surroundings, and at most, in log; a factor for the contrast
_LIGHT, _MOST_LIGHT, _TINT, _MOST_TINT, _CONTRAST, _MOST_CONTRAST = 0.3, 0.3, 0.15, 0.06, 0.25, 1.15
_GREY = 0.02  # mean chroma in log below which surroundings count as colourless
# likewise to the skin of the neck, which lies in the chin's shade; the share of its place that makes it sure
_TONE, _MOST_TONE, _MOST_HUE, _SHADE, _SURE = 0.65, 0.7, 0.1, 0.12, 0.2
_SPOT, _COLOURFUL = 0.024, 0.5  # sides of the square over which hue is smoothed; how much of it is kept


def canvas_grid(side: int) -> tuple[Float, Float]:
    """(x, y) of the centres of the canvas's pixels, float32 (side, side)."""
    y, x = (np.mgrid[:side, :side].astype(np.float32) + 0.5) / (side / 2) - 0.5
    return x, y


@dataclass(frozen=True)
class Surroundings:
    """What is visible around a box, on the coarse canvas: `colours` float32 (32, 32, 3) in grey levels, and the share
    `visible` float32 (32, 32) in [0, 1]."""

    colours: Float
    visible: Float


def log(colours: NDArray[np.generic]) -> Float:
    """Logarithms of grey levels from 0 up, float32; 8 levels are added, so that the noise of black does not count."""
    return np.log(colours.astype(np.float32) + 8)


def recoloured(head: Float, face: Float, mask: Float) -> Float:
    """`head` (s, s, 3) with mean and spread of its face's colours as in `face` (s, s, 3), in log."""
    weight = mask[..., None] / mask.sum()
    ours, theirs = log(head), log(face)
    mean, wanted = ((part * weight).sum(axis=(0, 1)) for part in (ours, theirs))
    spread, goal = (
        math.sqrt(float((weight[..., 0] * ((part - middle).mean(axis=2)) ** 2).sum()))
        for part, middle in ((ours, mean), (theirs, wanted))
    )
    gain = float(np.clip(goal / max(spread, 1e-3), 1 / _MOST_SPREAD, _MOST_SPREAD))
    shift = np.clip(wanted - mean, -_MOST_SHIFT, _MOST_SHIFT)
    changed = np.exp(mean + shift + (ours - mean) * (1 + (gain - 1) * mask[..., None])) - 8
    return np.asarray(np.clip(changed, 0, 255), np.float32)


def _skin(seen: Surroundings) -> tuple[Float, float]:
    """Colour in log (3,) of visible skin below the box, and in [0, 1] how sure that is one: colours of the neck's place
    whose chroma is that of skin (Chai & Ngan 1999)."""
    x, y = canvas_grid(COARSE)
    place = (np.abs(x - 0.5) < 0.35) & (y > 1.1)
    red, green, blue = (seen.colours[..., channel] for channel in range(3))
    cr = 128 + 0.5 * red - 0.4187 * green - 0.0813 * blue
    cb = 128 - 0.1687 * red - 0.3313 * green + 0.5 * blue
    skin = (cr >= 133) & (cr <= 173) & (cb >= 77) & (cb <= 127)
    weight = np.where(place & skin, seen.visible, 0)[..., None]
    total = float(weight.sum())
    colour = (log(seen.colours) * weight).sum(axis=(0, 1)) / max(total, 1e-6)
    return np.asarray(colour, np.float32), min(1.0, total / (_SURE * float(place.sum())))


def _calm(face: Float, mask: Float) -> Float:
    """Logarithms (m, m, 3) whose hue stays nearer to the mean in `mask` (m, m, 1): a flow's colours wander in spots
    where a face's do not. Brightness stays as it is."""
    level = face.mean(axis=2, keepdims=True)
    chroma = face - level
    mean = (chroma * mask).sum(axis=(0, 1)) / mask.sum()
    smooth = cv2.GaussianBlur(chroma - mean, (0, 0), _SPOT * len(face))
    return np.asarray(level + mean + _COLOURFUL * smooth, np.float32)


def toned(face: Picture, mask: Float, seen: Surroundings) -> Picture:
    """`face` uint8 (m, m, 3), which fills `mask` (m, m), its hue calmer and nearer to the tone of the skin that is
    visible below it."""
    colour, sure = _skin(seen)
    mask = mask[..., None]
    ours = _calm(log(face), mask)
    mean = (ours * mask).sum(axis=(0, 1)) / mask.sum()
    shift = np.clip(_TONE * sure * (colour + _SHADE - mean), -_MOST_TONE, _MOST_TONE)
    # what passes for skin may be cloth: brightness is taken over, little of the hue
    lighter = shift.mean()
    shift = lighter + np.clip(shift - lighter, -_MOST_HUE, _MOST_HUE)
    return np.asarray(np.clip(np.exp(ours + shift) - 7.5, 0, 255), np.uint8)


def matched(drawn: Float, mask: Float, seen: Surroundings) -> Float:
    """`drawn` float32 (s, s, 3) nearer to the light of what is visible around: in log, part of the way to its mean
    brightness and tint, and to its spread. Where the surroundings have no colour, neither has the head."""
    total = float(seen.visible.sum())
    if total < 1:
        return drawn
    weight, ours = mask / max(1e-6, float(mask.sum())), log(drawn)
    theirs, share = log(seen.colours), seen.visible[..., None] / total
    mean, wanted = (ours * weight).sum(axis=(0, 1)), (theirs * share).sum(axis=(0, 1))
    light, goal = float(mean.mean()), float(wanted.mean())
    spread, spread_there = (
        math.sqrt(float((portion * (part.mean(axis=2, keepdims=True) - middle) ** 2).sum()))
        for part, middle, portion in ((ours, light, weight), (theirs, goal, share))
    )
    contrast = float(np.clip((spread_there / max(spread, 1e-3)) ** _CONTRAST, 1 / _MOST_CONTRAST, _MOST_CONTRAST))
    light_share = _LIGHT * (1 - _skin(seen)[1])
    brighter = float(np.clip(light_share * (goal - light), -_MOST_LIGHT, _MOST_LIGHT))
    tint = np.clip(_TINT * ((wanted - goal) - (mean - light)), -_MOST_TINT, _MOST_TINT)
    colour = float((np.abs(theirs - theirs.mean(axis=2, keepdims=True)) * share).sum() / 3)
    saturation = min(1.0, colour / _GREY)
    level = ours.mean(axis=2, keepdims=True)
    chroma = saturation * (ours - level + tint)
    changed = np.exp(light + brighter + contrast * (level - light) + chroma) - 8
    return np.asarray(np.clip(changed, 0, 255), np.float32)
