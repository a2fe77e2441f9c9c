"""Detectors against each other, and pose estimators against each other, on folders of pictures. docs/PLUGINS.md has the
figures.

    python -m ffem_chain.faces.finding.compare detectors FOLDER... [--names centerface,scrfd] [--most 300]
    python -m ffem_chain.faces.finding.compare poses FOLDER... [--names facemesh,3ddfa] [--most 300]

Folders are searched to any depth; nothing is written but JSON on stdout, one line a folder.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ffem_chain.faces.finding import detectors
from ffem_chain.faces.finding.detect import Detection, Detector, Picture
from ffem_chain.faces.posing import pose
from ffem_chain.faces.posing.align import cover_box
from ffem_chain.faces.seal import SMALLEST

SURE = 0.6  # score from which a detection of one detector is asked of the others
_KINDS = {".jpg", ".jpeg", ".png"}


def pictures(folder: Path, most: int) -> list[Picture]:
    """uint8 (H, W, 3) RGB, at most `most` of a folder, evenly over its sorted names."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _KINDS)
    chosen = paths if len(paths) <= most else [paths[i * len(paths) // most] for i in range(most)]
    read = (cv2.imread(str(path), cv2.IMREAD_COLOR) for path in chosen)
    return [np.ascontiguousarray(picture[:, :, ::-1], np.uint8) for picture in read if picture is not None]


def covered(face: Detection, covers: Sequence[Detection], width: int, height: int) -> bool:
    """Whether all landmarks inside the picture and 90 % of the box lie under the public boxes of `covers`."""
    left, top, right, bottom = (round(v) for v in face.box)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if right <= left or bottom <= top:
        return True
    hidden = np.zeros((bottom - top, right - left), bool)
    boxes = [cover_box(cover.box, width, height) for cover in covers]
    for box in boxes:
        hidden[max(box.y - top, 0) : max(box.bottom - top, 0), max(box.x - left, 0) : max(box.right - left, 0)] = True
    points = [(x, y) for x, y in face.landmarks if 0 <= x < width and 0 <= y < height]
    seen = [any(b.x <= x < b.right and b.y <= y < b.bottom for b in boxes) for x, y in points]
    return all(seen) and bool(hidden.mean() >= 0.9)


def compare_detectors(named: dict[str, Detector], shown: Sequence[Picture]) -> dict[str, Any]:
    """`found`: of the faces of which the first detector is sure, those that the second covers, as [found, faces], 24 px
    and more and smaller; `boxes`, `cpu_ms` a picture (median) by detector."""
    results: dict[str, list[list[Detection]]] = {}
    spent: dict[str, float] = {}
    for name, detector in named.items():
        times = []
        results[name] = []
        for picture in shown:
            start = time.process_time()
            results[name].append(detector.detect(picture))
            times.append(1000 * (time.process_time() - start))
        spent[name] = round(statistics.median(times), 1)
    rows = []
    for reference, tried in permutations(named, 2):
        counts = {"large": [0, 0], "small": [0, 0]}
        for picture, faces, covers in zip(shown, results[reference], results[tried], strict=True):
            for face in faces:
                if face.score >= SURE:
                    size = counts["large" if face.side >= SMALLEST else "small"]
                    size[0] += covered(face, covers, picture.shape[1], picture.shape[0])
                    size[1] += 1
        rows.append({"reference": reference, "detector": tried, **counts})
    boxes = {name: sum(map(len, found)) for name, found in results.items()}
    empty = {name: sum(not found for found in per) for name, per in results.items()}
    return {"pictures": len(shown), "found": rows, "boxes": boxes, "pictures_without": empty, "cpu_ms": spent}


def compare_poses(names: Sequence[str], shown: Sequence[Picture], models: Path | None) -> dict[str, Any]:
    """Differences in degrees between estimators on the face nearest to each picture's middle: median of the absolute
    value, median with its sign (a constant offset), median of the absolute value about that, correlation and slope."""
    finder = detectors.detector()
    faces = []
    for picture in shown:
        middle = np.array(picture.shape[1::-1]) / 2
        found = sorted(finder.detect(picture), key=lambda d: float(np.hypot(*(d.landmarks.mean(axis=0) - middle))))
        faces += [(picture, found[0])] if found else []
    angles, spent = {}, {}
    for name in names:
        estimator = pose.pose_estimator(name, models)
        estimator.estimate(*faces[0])
        start = time.process_time()
        poses = [estimator.estimate(*face) for face in faces]
        spent[name] = round(1000 * (time.process_time() - start) / len(faces), 2)
        angles[name] = np.array([(p.yaw, p.pitch, p.roll) for p in poses])
    rows = []
    for one, other in combinations(names, 2):
        for axis, angle in enumerate(("yaw", "pitch", "roll")):
            a, b = angles[one][:, axis], angles[other][:, axis]
            off = (a - b + 180) % 360 - 180
            rows.append(
                {
                    "angle": angle,
                    "of": [one, other],
                    "median_abs": round(float(np.median(np.abs(off))), 2),
                    "median": round(float(np.median(off)), 2),
                    "median_abs_about_it": round(float(np.median(np.abs(off - np.median(off)))), 2),
                    "correlation": round(float(np.corrcoef(a, b)[0, 1]), 3),
                    "slope": round(float(np.polyfit(b, a, 1)[0]), 3),
                }
            )
    medians = {name: [round(float(v), 1) for v in np.median(found, axis=0)] for name, found in angles.items()}
    return {"faces": len(faces), "medians": medians, "differences": rows, "cpu_ms": spent}


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("detectors", "poses"))
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--names", help="which ones, separated by commas (default: all)")
    parser.add_argument("--most", type=int, default=300, help="pictures of each folder")
    parser.add_argument("--models", type=Path, help="folder of third-party models")
    args = parser.parse_args(arguments)
    if args.what == "detectors":
        named = {name: detectors.detector(name, args.models) for name in _split(args.names, detectors.NAMES)}

        def measure(shown: Sequence[Picture]) -> dict[str, Any]:
            return compare_detectors(named, shown)
    else:
        chosen = _split(args.names, pose.NAMES)

        def measure(shown: Sequence[Picture]) -> dict[str, Any]:
            return compare_poses(chosen, shown, args.models)

    for folder in args.folders:
        print(json.dumps({"folder": folder.name, **measure(pictures(folder, args.most))}), flush=True)


def _split(text: str | None, every: Sequence[str]) -> list[str]:
    return text.split(",") if text else list(every)


if __name__ == "__main__":
    main()
