"""Tasks on pictures of people, each with the network that does it, and how its results on two pictures are compared.

A result on the original is the reference. That is agreement and not truth: where the network errs on the original, to
err alike counts as right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.finding.detect import Detection, Search
from ffem_chain.faces.seal import SMALLEST
from ffem_cli.eval import networks, protocol
from ffem_cli.eval.measures import iou
from ffem_cli.eval.tfjs import Network
from ffem_cli.evidence.detection.recall import pairs

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]
Box = tuple[float, float, float, float]
SURE, OVERLAP = 0.3, 0.5  # score of a person, IoU with the person of the original
COUNTED = 0.5  # score of a face that is counted
POINTS = {"head": range(5), "arms": range(5, 11), "legs": range(11, 17)}  # of COCO's 17: eyes, ears, nose; shoulders...
SEEN, NEAR = 0.3, 0.1  # score of a point on the original, distance in parts of the person's longer side
LEAST, MOST = 96, 8  # px of the longer side of a person whose body is followed; so many a picture


class Task(Protocol):
    """`fields` are what `compare` returns, sums over the picture."""

    fields: tuple[str, ...]

    @property
    def name(self) -> str: ...

    @property
    def depends(self) -> dict[str, object]:
        """What a result depends on, as JSON values."""
        ...

    def look(self, picture: Picture) -> Any:
        """What the network sees in the original."""
        ...

    def compare(self, reference: Any, picture: Picture) -> Sequence[float]:
        """`fields` of a covered picture."""
        ...


@dataclass
class Persons:
    """Person boxes by CenterNet: how many of the original's are found again, and how many are found at all."""

    network: Network
    name = "persons"
    fields: tuple[str, ...] = ("found", "reference", "boxes")

    @property
    def depends(self) -> dict[str, object]:
        return {"network": self.network.digest, "sure": SURE, "overlap": OVERLAP}

    def look(self, picture: Picture) -> list[Detection]:
        return persons(self.network, picture)

    def compare(self, reference: list[Detection], picture: Picture) -> Sequence[float]:
        seen = self.look(picture)
        return len(pairs(reference, seen)), len(reference), len(seen)


@dataclass
class Bodies:
    """MoveNet's 17 points of each person that CenterNet finds in the original, cut out at the same place of the covered
    picture: points that the network is sure of in the original and that stay where they are."""

    finder: Network
    network: Network
    name = "bodies"
    fields: tuple[str, ...] = tuple(f"{what}_{part}" for part in POINTS for what in ("kept", "points"))

    @property
    def depends(self) -> dict[str, object]:
        limits = [SURE, SEEN, NEAR, LEAST, MOST]
        return {"networks": [self.finder.digest, self.network.digest], "limits": limits}

    def look(self, picture: Picture) -> list[tuple[Box, Array]]:
        found = [one.box for one in persons(self.finder, picture)]
        large = sorted((box for box in found if _long(box) >= LEAST), key=lambda box: -_long(box))[:MOST]
        return [(box, body(self.network, picture, box)) for box in large]

    def compare(self, reference: list[tuple[Box, Array]], picture: Picture) -> Sequence[float]:
        sums = dict.fromkeys(self.fields, 0.0)
        for box, points in reference:
            again = body(self.network, picture, box)
            kept = np.hypot(*(again[:, :2] - points[:, :2]).T) <= NEAR * _long(box)
            for part, numbers in POINTS.items():
                chosen = [number for number in numbers if points[number, 2] >= SEEN]
                sums[f"points_{part}"] += len(chosen)
                sums[f"kept_{part}"] += int(kept[chosen].sum())
        return list(sums.values())


@dataclass
class Faces:
    """Faces counted by a detector that did not seal them: all, and those that are large enough to be sealed."""

    detector: Search
    fields: tuple[str, ...] = ("all_reference", "all", "large_reference", "large", "large_same")

    @property
    def name(self) -> str:
        return f"faces by {self.detector.name}"

    @property
    def depends(self) -> dict[str, object]:
        code = protocol.code("detect", "networks", self.detector.name)
        return {"detector": self.detector.name, "coarse": list(self.detector.coarse), "counted": COUNTED, "code": code}

    def look(self, picture: Picture) -> list[Detection]:
        return [face for face in self.detector.detect(picture) if face.score >= COUNTED]

    def compare(self, reference: list[Detection], picture: Picture) -> Sequence[float]:
        seen = self.look(picture)
        large = [face for face in reference if face.side >= SMALLEST]
        count = sum(face.side >= SMALLEST for face in seen)
        return len(reference), len(seen), len(large), count, len(pairs(large, seen))


def networks_for(model_cache: Path) -> Mapping[str, Network]:
    """The networks of the tasks. MissingExtra where they are not on this machine."""
    return {name: networks.load(name, model_cache) for name in ("centernet", "movenet-lightning")}


def persons(network: Network, picture: Picture) -> list[Detection]:
    """Persons that CenterNet (Zhou et al. 2019; 512 px, 0 to 255, COCO's classes, person first) finds with a score of
    `SURE`, in px of the picture; without landmarks. Of two that overlap by an IoU of 0.7 the surer one."""
    height, width = picture.shape[:2]
    side = network.shape[1]
    view = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    rows = network.run(view[None].astype(np.float32))["tower_0/detections"][0].astype(np.float64)
    found: list[Detection] = []
    for left, top, right, bottom, score, kind in sorted(rows.tolist(), key=lambda row: -row[4]):
        if kind != 0 or score < SURE:
            continue
        x, y = width / side, height / side
        box = (max(0.0, left * x), max(0.0, top * y), min(width, right * x), min(height, bottom * y))
        if all(iou(box, other.box) < 0.7 for other in found):
            found.append(Detection(box, np.empty((0, 2)), score))
    return found


def body(network: Network, picture: Picture, box: Box) -> Array:
    """17 points (17, 3) of the person in a box: x, y in px of the picture, score. MoveNet (single pose, 192 px, 0 to
    255) looks at the square around the box, a quarter larger; beyond the picture it is black."""
    half = 0.625 * _long(box)
    x, y = (box[0] + box[2]) / 2 - half, (box[1] + box[3]) / 2 - half
    side = network.shape[1]
    scale = side / (2 * half)
    move = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
    view = cv2.warpAffine(picture, move, (side, side), flags=cv2.INTER_LINEAR)
    (points,) = network.run(view[None].astype(np.float32)).values()
    found = points.reshape(17, 3).astype(np.float64)  # y, x, score
    return np.column_stack([found[:, 1] * 2 * half + x, found[:, 0] * 2 * half + y, found[:, 2]])


def _long(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])
