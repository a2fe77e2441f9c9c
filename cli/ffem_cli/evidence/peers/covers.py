"""Tools that cover faces, in turns on the same pictures: deface, OpenCV's filters, this project's seal and its readers.

Processor time, since the machine may do other things as well. deface is used as its command uses it (threshold 0.2,
masks of 1.3 times the box), with OpenCV as its runtime: the same as here, and the cheaper of its two in processor time.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from deface.centerface import CenterFace
from deface.deface import anonymize_frame
from numpy.typing import NDArray

from ffem_chain.capture.exact import open_faces
from ffem_chain.capture.picture import encode
from ffem_cli.bench.faces import using_threads
from ffem_cli.eval import data
from ffem_cli.eval.cache import Say
from ffem_cli.eval.measures import interval
from ffem_cli.eval.sealing import Camera, Sealed, seal
from ffem_cli.evidence.detection.timing import one_thread
from ffem_cli.pictures import FAKE_TEMPERATURE

Picture = NDArray[np.uint8]
Boxes = NDArray[np.float64]
_THRESHOLD, _SCALE, _MOSAIC = 0.2, 1.3, 20  # deface's defaults
_CELLS = 8  # a face is this many pixels wide after pixelation
_JPEG = 90
BASE = "deface, blur"
DEFACE = {BASE: "blur", "deface, mosaic": "mosaic", "deface, solid": "solid"}
OPENCV = ("OpenCV, pixelation", "OpenCV, Gaussian blur")
OWN = ("ffem, seal", "ffem, fake", "ffem, open exactly", "ffem, open by the flow")
COVERS = (*DEFACE, *OPENCV, "ffem, seal", "ffem, fake")
WAYS = (*DEFACE, *OPENCV, *OWN)


@dataclass
class Work:
    """What became of one picture: milliseconds of processor time by way, results, and bytes of what is published."""

    ms: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    finding_ms: dict[str, list[float]] = field(default_factory=lambda: {"deface": [], "ffem": []})
    results: dict[str, Picture] = field(default_factory=dict)
    faces: dict[str, int] = field(default_factory=dict)
    capture: dict[str, int] = field(default_factory=dict)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.process_time()
    found = work()
    return found, 1000 * (time.process_time() - start)


class Tools:
    """All of them, made once."""

    def __init__(self, camera: Camera, seed: int) -> None:
        self._camera, self._seed = camera, seed
        # deface tells its runtime on standard output, where this command's answer goes
        with contextlib.redirect_stdout(io.StringIO()):
            self._deface = CenterFace(backend="opencv")

    def once(self, picture: Picture, name: str, work: Work) -> None:
        """Every way once on uint8 (H, W, 3), in turn; times and results go to `work`."""
        (found, _), finding = _timed(lambda: self._deface(picture, threshold=_THRESHOLD))
        work.finding_ms["deface"].append(finding)
        for way, mode in DEFACE.items():
            frame = picture.copy()
            _, spent = _timed(partial(anonymize_frame, found, frame, _SCALE, mode, True, False, None, _MOSAIC))
            work.ms[way].append(finding + spent)
            work.results[way] = frame
        boxes = np.asarray(found[:, :4], np.float64)
        for way, cover in zip(OPENCV, (pixelated, blurred), strict=True):
            covered, spent = _timed(partial(cover, picture, boxes))
            work.ms[way].append(finding + spent)
            work.results[way] = covered
        _, spent = _timed(lambda: self._camera.detector.detect(picture))
        work.finding_ms["ffem"].append(spent)
        self._own(picture, name, work)
        work.faces["deface"] = len(found)

    def _own(self, picture: Picture, name: str, work: Work) -> None:
        camera = self._camera
        sealed: Sealed
        sealed, spent = _timed(lambda: seal(picture, name, self._seed, camera))
        work.ms["ffem, seal"].append(spent)
        work.results["ffem, seal"] = sealed.image
        fake, spent = _timed(lambda: sealed.fake(camera.model, FAKE_TEMPERATURE))
        work.ms["ffem, fake"].append(spent)
        work.results["ffem, fake"] = fake
        opened, spent = _timed(lambda: open_faces(sealed.capture, sealed.image, sealed.keys))
        work.ms["ffem, open exactly"].append(spent)
        work.results["ffem, open exactly"] = opened
        (flow, _), spent = _timed(lambda: sealed.by_flow(camera.model))
        work.ms["ffem, open by the flow"].append(spent)
        work.results["ffem, open by the flow"] = flow
        work.faces["ffem"] = len(sealed.capture.public_faces)
        work.faces["sealed"] = len(sealed.keys)
        work.faces["exact"] = int(sealed.exact_is_identical())
        work.capture = {file: len(content) for file, content in sealed.capture.to_files().items()}
        work.capture["image.png"] = len(encode(sealed.image))


def _inside(picture: Picture, boxes: Boxes) -> list[tuple[slice, slice]]:
    """Where masks of deface's size lie in the picture."""
    out = []
    for left, top, right, bottom in boxes:
        wide, high = (_SCALE - 1) * (right - left), (_SCALE - 1) * (bottom - top)
        x = slice(max(0, round(left - wide)), min(picture.shape[1], round(right + wide)))
        y = slice(max(0, round(top - high)), min(picture.shape[0], round(bottom + high)))
        if x.stop > x.start and y.stop > y.start:
            out.append((y, x))
    return out


def pixelated(picture: Picture, boxes: Boxes) -> Picture:
    """Boxes float64 (N, 4) replaced by 8 x 8 squares of their mean colours."""
    out = picture.copy()
    for place in _inside(picture, boxes):
        part = out[place]
        small = cv2.resize(part, (_CELLS, _CELLS), interpolation=cv2.INTER_AREA)
        out[place] = cv2.resize(small, part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return out


def blurred(picture: Picture, boxes: Boxes) -> Picture:
    """Boxes float64 (N, 4) blurred by a Gaussian whose sigma is an eighth of their width."""
    out = picture.copy()
    for place in _inside(picture, boxes):
        out[place] = cv2.GaussianBlur(out[place], (0, 0), max(1.0, out[place].shape[1] / 8))
    return out


def measure(paths: Sequence[Path], camera: Camera, *, repeats: int, seed: int, say: Say) -> dict[str, Any]:
    """Rows by way, medians over pictures of medians over `repeats` rounds after one that is not counted:
    {"way", "ms", "ratio", "ratio_ci95", "png", "jpeg"}; ratios to `BASE`, sizes to the original's."""
    with using_threads(1), one_thread():
        return _measure(paths, camera, repeats, seed, say)


def _measure(paths: Sequence[Path], camera: Camera, repeats: int, seed: int, say: Say) -> dict[str, Any]:
    tools, works, sizes = Tools(camera, seed), [Work() for _ in paths], list[dict[str, tuple[int, int]]]()
    pictures = [data.read(path) for path in paths]
    tools.once(pictures[0], paths[0].name, Work())
    for number in range(repeats):
        for at, (picture, path) in enumerate(zip(pictures, paths, strict=True)):
            say(f"covers: round {number + 1} of {repeats}", at)
            tools.once(picture, path.name, works[at])
    for picture, work in zip(pictures, works, strict=True):
        shown = {"original": picture, **{way: work.results[way] for way in COVERS}}
        sizes.append({way: (len(encode(pixels)), _jpeg(pixels)) for way, pixels in shown.items()})
    names = [path.name for path in paths]
    base = np.array([statistics.median(work.ms[BASE]) for work in works])
    rows = []
    for way in WAYS:
        spent = np.array([statistics.median(work.ms[way]) for work in works])
        row: dict[str, Any] = {"way": way, "ms": float(np.median(spent)), **_ratio("ratio", spent / base, names)}
        if way in COVERS:
            for at, kind in enumerate(("png", "jpeg")):
                found = np.array([one[way][at] / one["original"][at] for one in sizes])
                row |= _ratio(kind, found, names)
        rows.append(row)
    whole = np.array([sum(w.capture.values()) / one["original"][0] for w, one in zip(works, sizes, strict=True)])
    finding = {
        name: float(np.median([statistics.median(work.finding_ms[name]) for work in works]))
        for name in ("deface", "ffem")
    }
    return {
        "rows": rows,
        "finding_ms": finding,
        "capture": _ratio("png", whole, names),
        "capture_bytes": {file: float(np.median([work.capture[file] for work in works])) for file in works[0].capture},
        "pictures": len(paths),
        "repeats": repeats,
        "faces": {name: sum(work.faces[name] for work in works) for name in ("deface", "ffem", "sealed")},
        "exact": sum(work.faces["exact"] for work in works),
    }


def _ratio(name: str, values: NDArray[np.float64], names: Sequence[str]) -> dict[str, Any]:
    return {name: _median(values), f"{name}_ci95": interval(values, names, _median)}


def _median(values: NDArray[np.float64]) -> float:
    return float(np.median(values))


def _jpeg(picture: Picture) -> int:
    return len(cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG])[1])


def shown(paths: Sequence[Path], camera: Camera, seed: int, side: int = 224) -> Picture:
    """A row a portrait: original, then what each cover makes of it, `side` px each: uint8 (H, W, 3)."""
    tools, rows = Tools(camera, seed), []
    for path in paths:
        picture, work = data.read(path), Work()
        tools.once(picture, path.name, work)
        panels = [picture, *(work.results[way] for way in (*COVERS, "ffem, open exactly"))]
        rows.append(np.hstack([cv2.resize(panel, (side, side), interpolation=cv2.INTER_AREA) for panel in panels]))
    return np.asarray(np.vstack(rows), np.uint8)
