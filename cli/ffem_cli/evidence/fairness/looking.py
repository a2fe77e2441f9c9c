"""What detectors and the judge of age and gender see in a face under each cover, one row of numbers a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.finding.detect import Detection, Detector, Search
from ffem_cli.eval import data, protocol
from ffem_cli.eval.cache import Cache, Say
from ffem_cli.eval.measures import iou
from ffem_cli.eval.sealing import Camera, Sealed, central, seal
from ffem_cli.evidence.fairness.ages import FIGURES, Ages
from ffem_cli.evidence.fairness.faces import Face

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
MARGIN = 0.25  # of a picture's shorter side
SURE = 0.5  # score from which a detection counts
BLOCK, SIGMA = 16, 12  # px where the covered box has 128: pixelation and Gaussian blur
TEMPERATURES = (0.3, 0.45, 0.7, 1.0)
FAKES = tuple(f"fake {temperature}" for temperature in TEMPERATURES)
COVERS = ("pixelated", "blurred", "I_enc", *FAKES)  # beside the original
JUDGED = FAKES  # and the original: covers of which age and gender are judged
BARE = "original, no border"
_NUMBERS = 4  # of a detector
_METHOD = 1  # raised when rows change


@dataclass(frozen=True)
class Seen:
    """Figures of faces under one cover: for each detector IoU with the reference box and with that detector's own box
    on the original (NaN: it has none), both 0 where it finds nothing, its number of detections, and the best score
    among them; `FIGURES` of age and gender, NaN where they were not judged."""

    iou: dict[str, NDArray[np.float64]]
    own: dict[str, NDArray[np.float64]]
    count: dict[str, NDArray[np.float64]]
    score: dict[str, NDArray[np.float64]]
    judged: dict[str, NDArray[np.float64]]


class Looker:
    """Measures faces with detectors and a judge of age and gender. Boxes are those of the bordered picture, px."""

    def __init__(self, camera: Camera, detectors: Sequence[Detector], ages: Ages, seed: int) -> None:
        self.camera, self.detectors, self.ages, self.seed = camera, detectors, ages, seed
        self.depends: dict[str, object] = {
            "camera": camera.depends,
            "detectors": [{"name": d.name, **getattr(d, "depends", {})} for d in detectors],
            "ages": ages.depends,
            "seed": seed,
            "margin": MARGIN,
            "sure": SURE,
            "method": _METHOD,
        }
        self._width = _NUMBERS * len(detectors) + len(FIGURES)

    def originals(self, faces: Sequence[Face], cache: Cache, say: Say) -> Floats:
        """Rows of originals alone: 1 where the camera's detector finds the face and its box; for each detector 1 and
        its own box; `Seen` of the original. Zeros where the camera's detector finds none."""
        code = protocol.code("detect", "networks", *(detector.name for detector in self.detectors))
        return cache.rows("faces as they are", _items(faces), self._alone, say, code=code, **self.depends)

    def covers(self, faces: Sequence[Face], cache: Cache, say: Say) -> tuple[Floats, Floats]:
        """Rows of `originals`, and rows of `Seen` of `BARE` and of every cover, of faces that are sealed."""
        cover = {"covers": COVERS, "block": BLOCK, "sigma": SIGMA}
        rows = cache.rows(
            "faces under covers",
            _items(faces),
            self._sealed,
            say,
            code=protocol.code(),
            **cover,
            **self.depends,
        )
        at = 5 + 5 * len(self.detectors) + self._width
        return rows[:, :at], rows[:, at:]

    def seen(self, rows: Floats, at: int) -> Seen:
        """The figures of the cover number `at` of `covers` rows (0: `BARE`, 1 the first of `COVERS`)."""
        part = rows[:, at * self._width : (at + 1) * self._width].astype(np.float64)
        names = [d.name for d in self.detectors]
        by = [{name: part[:, _NUMBERS * i + which] for i, name in enumerate(names)} for which in range(_NUMBERS)]
        figures = {name: part[:, _NUMBERS * len(names) + i] for i, name in enumerate(FIGURES)}
        return Seen(by[0], by[1], by[2], by[3], figures)

    def seen_original(self, rows: Floats) -> Seen:
        """The figures of the original in rows of `originals`."""
        return self.seen(rows[:, 5 + 5 * len(self.detectors) :], 0)

    def _alone(self, face: Face) -> Floats:
        picture = bordered(data.read(face.path))
        reference = central(self.camera.detector.detect(picture), picture.shape)
        return self._original(picture, None if reference is None else reference.box)

    def _original(self, picture: Picture, reference: Sequence[float] | None) -> Floats:
        if reference is None:
            return np.zeros(5 + 5 * len(self.detectors) + self._width, np.float32)
        head = [1.0, *reference]
        for detector in self.detectors:
            own = central(_sure(detector, picture), picture.shape)
            head += [0, 0, 0, 0, 0] if own is None else [1, *own.box]
        return np.concatenate([head, self._seen(picture, np.array(head), judged=True)]).astype(np.float32)

    def _sealed(self, face: Face) -> Floats:
        bare = data.read(face.path)
        picture = bordered(bare)
        sealed = seal(picture, face.name, self.seed, self.camera)
        subject = sealed.subject()  # its box is the camera's detection
        original = self._original(picture, subject.box if subject else None)
        if subject is None:
            return np.concatenate([original, np.zeros((1 + len(COVERS)) * self._width, np.float32)])
        head = original[: 5 + 5 * len(self.detectors)].astype(np.float64)
        pictures = {
            "pixelated": obscured(sealed, blur=False),
            "blurred": obscured(sealed, blur=True),
            "I_enc": sealed.image,
            **{name: sealed.fake(self.camera.model, t) for name, t in zip(FAKES, TEMPERATURES, strict=True)},
        }
        rows = [self._seen(bare, head, border(bare), judged=False)]
        rows += [self._seen(pictures[cover], head, judged=cover in JUDGED) for cover in COVERS]
        return np.concatenate([original, *rows]).astype(np.float32)

    def _seen(
        self, picture: Picture, head: NDArray[np.float64], offset: int = 0, *, judged: bool
    ) -> NDArray[np.float64]:
        """`head` as rows of `originals` begin; `offset` px of the border are missing in `picture`."""
        out: list[float] = []
        for i, detector in enumerate(self.detectors):
            found = [d.moved(1, offset, offset) for d in _sure(detector, picture)]
            own = head[5 + 5 * i : 10 + 5 * i]
            out += [_best(found, head[1:5]), _best(found, own[1:]) if own[0] else np.nan, len(found)]
            out.append(max((d.score for d in found), default=0.0))
        figures = self.ages.judge(picture, head[1:5].tolist()) if judged else np.full(len(FIGURES), np.nan)
        return np.concatenate([out, figures])


def _items(faces: Sequence[Face]) -> list[tuple[str, Face]]:
    return [(f"{face.name} {face.path.stat().st_size}", face) for face in faces]


def border(picture: Picture) -> int:
    """How many px of border a picture gets on every side."""
    return int(MARGIN * min(picture.shape[:2]))


def bordered(picture: Picture) -> Picture:
    """A crop with a border of its own edge pixels: detectors are made for faces in photos, and miss faces that fill a
    picture, whoever's they are."""
    width = border(picture)
    return np.asarray(cv2.copyMakeBorder(picture, width, width, width, width, cv2.BORDER_REPLICATE), np.uint8)


def obscured(sealed: Sealed, *, blur: bool) -> Picture:
    """What I_enc covers, in the original: pixelated or blurred."""
    out = sealed.original.copy()
    for face in sealed.capture.public_faces:
        region = out[face.box.rows, face.box.columns]
        height, width = region.shape[:2]
        scale = max(height, width) / 128
        if blur:
            changed = cv2.GaussianBlur(region, (0, 0), SIGMA * scale, borderType=cv2.BORDER_REPLICATE)
        else:
            size = (max(1, round(width / scale / BLOCK)), max(1, round(height / scale / BLOCK)))
            small = cv2.resize(region, size, interpolation=cv2.INTER_AREA)
            changed = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
        out[face.box.rows, face.box.columns] = changed
    return out


def _sure(detector: Detector, picture: Picture) -> list[Detection]:
    """Detections that count. A picture of one face is looked at once, at its own size, by every detector."""
    found = detector.look(picture) if isinstance(detector, Search) else detector.detect(picture)
    return [d for d in found if d.score >= SURE]


def _best(found: Sequence[Detection], box: NDArray[np.float64]) -> float:
    return float(max((iou(d.box, box.tolist()) for d in found), default=0.0))
