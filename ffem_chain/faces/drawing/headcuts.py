"""Cuts the heads of `data/heads-1.webp` out of portraits of people who do not exist.

    python -m ffem_chain.faces.drawing.headcuts PORTRAITS OUT.webp

PORTRAITS is a folder of CC0 pictures made by a text-to-image model; which of them are used is in `CHOSEN`. Each head
is aligned as the model's faces are, cut out by GrabCut (Rother et al. 2004) and stored with its coverage as the fourth
channel, on a canvas of two sides of the model's square (`head.py`).
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ffem_chain.faces.drawing.cover import smooth_fill
from ffem_chain.faces.drawing.head import CANVAS, canvas_matrix, ellipse
from ffem_chain.faces.drawing.tone import canvas_grid
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.posing import align

# Well lit, nearly frontal, and cut out cleanly. None whose number ends in 0: those measure what the heads look like.
CHOSEN = {
    "female": (1, 2, 4, 6, 7, 13, 18, 25, 32, 35, 36, 37, 44, 47, 49, 51, 52, 53, 57, 72, 74, 75, 77, 78),
    "male": (3, 5, 12, 14, 16, 17, 19, 21, 27, 28, 31, 32, 34, 35, 37, 43, 47, 48, 53, 55, 66, 74, 78, 79),
}
_QUALITY = 72


def cut(picture: NDArray[np.uint8], detector: CenterFace) -> NDArray[np.uint8]:
    """The largest face of a portrait uint8 (H, W, 3) -> its head, uint8 (c, c, 4) with coverage."""
    found = max(detector.detect(picture), key=lambda d: d.side)
    matrix = canvas_matrix(align.similarity(found.landmarks, CANVAS // 2), CANVAS // 2)
    flags = cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(picture, matrix, (CANVAS, CANVAS), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    canvas = np.asarray(warped, np.uint8)
    inside = _segment(canvas)
    # colours go on beyond the rim, so that its soft pixels hold nothing of the portrait's background
    core = cv2.erode(inside, np.ones((5, 5), np.uint8)) > 0
    colours = smooth_fill(canvas, ~core)
    rim = cv2.GaussianBlur(cv2.erode(inside, np.ones((3, 3), np.uint8)) * np.float32(255), (0, 0), 1.2)
    return np.asarray(np.dstack([colours, rim.astype(np.uint8)]), np.uint8)


def _segment(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """1 where the head is, uint8 (c, c)."""
    x, y = canvas_grid(CANVAS)
    label = np.full((CANVAS, CANVAS), cv2.GC_BGD, np.uint8)
    label[ellipse(x, y, (0.5, 0.35), (0.78, 0.92)) < 1] = cv2.GC_PR_BGD
    label[ellipse(x, y, (0.5, 0.38), (0.56, 0.72)) < 1] = cv2.GC_PR_FGD
    label[(np.abs(x - 0.5) < 0.32) & (y > 0.8)] = cv2.GC_PR_FGD
    label[ellipse(x, y, (0.5, 0.45), (0.40, 0.52)) < 1] = cv2.GC_FGD
    label[(np.abs(x - 0.5) < 0.2) & (y > 0.8) & (y < 1.1)] = cv2.GC_FGD
    cv2.setRNGSeed(1)
    none = (0, 0, 1, 1)  # the mask says where to begin, not a rectangle
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(canvas[:, :, ::-1].copy(), label, none, *models, 6, cv2.GC_INIT_WITH_MASK)
    found = ((label == cv2.GC_FGD) | (label == cv2.GC_PR_FGD)).astype(np.uint8)
    _, parts = cv2.connectedComponents(found)
    found = (parts == parts[CANVAS // 2, CANVAS // 2]).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    closed = cv2.morphologyEx(found, cv2.MORPH_CLOSE, kernel)
    return np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel), np.uint8)


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    folder, out, detector = Path(sys.argv[1]), Path(sys.argv[2]), CenterFace(threshold=0.5, coarse=(512,))
    names = [f"{kind}_{number:02d}.jpg" for kind, numbers in CHOSEN.items() for number in numbers]
    heads = [cut(np.asarray(Image.open(folder / name).convert("RGB")), detector) for name in names]
    Image.fromarray(np.vstack(heads), "RGBA").save(out, quality=_QUALITY, method=6, alpha_quality=80, exact=True)
    print(f"{len(heads)} heads, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
