"""Recall of detectors: of faces that are known to be there, how many are found, and how many are covered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.finding.compare import SURE, covered
from ffem_chain.faces.finding.detect import Detection
from ffem_cli.eval.measures import iou, proportion

OVERLAP = 0.5  # IoU from which two boxes are of one face
NO_VOTE = frozenset({"haar"})  # judged as all others, and asked about none of them: it is wrong too often
BANDS = ((0, 12), (12, 24), (24, 48), (48, 96), (96, 100_000))  # shorter side of a face, px


@dataclass(frozen=True)
class Scene:
    """A photo's name, its size in px, and what each detector found in it."""

    name: str
    width: int
    height: int
    found: Mapping[str, Sequence[Detection]]
    true: Sequence[Detection] | None = None


@dataclass(frozen=True)
class Trials:
    """One entry a reference face: was it found (a box of IoU 0.5), is it covered, its shorter side in px, its photo."""

    found: NDArray[np.float64]
    covered: NDArray[np.float64]
    side: NDArray[np.float64]
    photos: list[str]

    def shares(self, low: float = 0, high: float = float("inf")) -> dict[str, Any]:
        """Recall and covered share of faces with a side in [low, high), with 95 % intervals by photo; n 0: None."""
        chosen = (self.side >= low) & (self.side < high)
        groups = [photo for photo, one in zip(self.photos, chosen, strict=True) if one]
        row: dict[str, Any] = {"faces": int(chosen.sum()), "photos": len(set(groups))}
        for name, values in (("recall", self.found[chosen]), ("covered", self.covered[chosen])):
            row[name] = float(values.mean()) if len(values) else None
            row[f"{name}_ci95"] = proportion(values, groups) if len(values) else None
        return row


def pairs(a: Sequence[Detection], b: Sequence[Detection]) -> list[tuple[int, int]]:
    """Indices of boxes of `a` and `b` that are of one face, each used once, the best overlaps first."""
    overlaps = [(iou(one.box, other.box), i, j) for i, one in enumerate(a) for j, other in enumerate(b)]
    taken_a, taken_b, out = set[int](), set[int](), []
    for value, i, j in sorted(overlaps, key=lambda entry: -entry[0]):
        if value < OVERLAP:
            break
        if i not in taken_a and j not in taken_b:
            taken_a.add(i)
            taken_b.add(j)
            out.append((i, j))
    return out


def agreed(found: Mapping[str, Sequence[Detection]], without: str, least: float = SURE) -> list[Detection]:
    """Faces that at least two detectors other than `without` find with a score of `least`, each as the surer of them
    sees it."""
    groups: list[list[Detection]] = []
    for name, faces in found.items():
        if name == without or name in NO_VOTE:
            continue
        sure = [face for face in faces if face.score >= least]
        matched = {j: i for i, j in pairs([group[0] for group in groups], sure)}
        for at, face in enumerate(sure):
            if at in matched:
                groups[matched[at]].append(face)
            else:
                groups.append([face])
    return [max(group, key=lambda face: face.score) for group in groups if len(group) > 1]


def trials(scenes: Sequence[Scene], name: str, least: float = SURE) -> Trials:
    """A detector against the true boxes, or where a scene has none against what the others agree on (`agreed`)."""
    hits, hidden, sides, photos = [], [], [], []
    for scene in scenes:
        seen = scene.found[name]
        faces = agreed(scene.found, name, least) if scene.true is None else scene.true
        matched = {i for i, _ in pairs(faces, seen)}
        for at, face in enumerate(faces):
            hits.append(at in matched)
            hidden.append(covered(face, seen, scene.width, scene.height))
            sides.append(face.side)
            photos.append(scene.name)
    return Trials(np.array(hits, float), np.array(hidden, float), np.array(sides, float), photos)


def unconfirmed(scenes: Sequence[Scene], name: str) -> float:
    """Boxes a photo of which a detector is sure and that neither another detector nor, where there are any, a true box
    confirms: a bound on its false alarms from above."""
    count = 0
    for scene in scenes:
        sure = [face for face in scene.found[name] if face.score >= SURE]
        if scene.true is not None:
            others = [list(scene.true)]
        else:
            others = [list(faces) for other, faces in scene.found.items() if other not in NO_VOTE | {name}]
        confirmed = {i for faces in others for i, _ in pairs(sure, faces)}
        count += len(sure) - len(confirmed)
    return count / len(scenes)
