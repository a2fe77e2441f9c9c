"""Runs the tasks on originals and on covered pictures, and turns what comes out into shares with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.seal import SMALLEST
from ffem_cli.eval import data, protocol
from ffem_cli.eval.measures import interval, proportion
from ffem_cli.evidence.detection.finders import photos
from ffem_cli.evidence.detection.recall import pairs
from ffem_cli.evidence.downstream import clips
from ffem_cli.evidence.downstream.covering import COVERS, Shower
from ffem_cli.evidence.downstream.tasks import POINTS, Faces, Task
from ffem_cli.evidence.setting import Setting

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
Array = NDArray[np.float64]
SHOWN = COVERS[1:]
_METHOD = 1  # raised when covering or comparing changes: what was cached is then computed anew
_CHUNK = 16  # frames that are kept together


@dataclass(frozen=True)
class Frame:
    """A picture, what it is called, and the clip or photo that it belongs to: frames of a clip are not independent."""

    name: str
    cluster: str
    pixels: Picture


def stills(folder: str, most: int, setting: Setting) -> tuple[list[Frame], dict[str, Any]]:
    """Photos of a folder of the data, and what is recorded about them."""
    shown = photos(setting.folder(folder), most)
    frames = [
        Frame(f"{folder}/{photo.name} {photo.path.stat().st_size}", photo.name, data.read(photo.path))
        for photo in shown
    ]
    return frames, {"photos": len(shown), "sha256": data.digest((photo.name, photo.path) for photo in shown)}


def moving(folder: str, most: int, each: int, setting: Setting) -> tuple[list[Frame], dict[str, Any]]:
    """`each` frames of every clip of a folder of the data."""
    place = setting.folder(folder)
    shown = clips.clips(place)[:most]
    frames = []
    for path in shown:
        name = path.relative_to(place).as_posix()
        for number, pixels in enumerate(clips.frames(path, each)):
            frames.append(Frame(f"{folder}/{name} {path.stat().st_size} {number}/{each}", name, pixels))
    names = ((path.relative_to(place).as_posix(), path) for path in shown)
    return frames, {"clips": len(shown), "frames": len(frames), "sha256": data.digest(names)}


def rows(frames: Sequence[Frame], tasks: Sequence[Task], shower: Shower, setting: Setting) -> Floats:
    """For each frame the tasks' fields for every cover of `SHOWN`: (N, covers, fields)."""

    def one(frame: Frame) -> Floats:
        shown = shower.shown(frame.pixels, frame.name)
        seen = [task.look(frame.pixels) for task in tasks]
        values = [
            task.compare(reference, shown[cover])
            for cover in SHOWN
            for task, reference in zip(tasks, seen, strict=True)
        ]
        return np.concatenate([np.asarray(value, np.float32) for value in values])

    parts = []
    for at in range(0, len(frames), _CHUNK):
        items = [(frame.name, frame) for frame in frames[at : at + _CHUNK]]
        parts.append(
            setting.cache.rows(
                f"tasks on covered pictures, {at + 1} to {at + len(items)} of {len(frames)}",
                items,
                one,
                setting.say,
                tasks={task.name: task.depends for task in tasks},
                covers=list(SHOWN),
                **shower.depends,
                method=_METHOD,
                code=protocol.code(),
            )
        )
    return np.concatenate(parts).reshape(len(frames), len(SHOWN), -1)


def sealable(frames: Sequence[Frame], tasks: Sequence[Task], setting: Setting) -> dict[str, Array]:
    """For each counter of faces: how many of the faces that are large to it are large enough for the camera too, whose
    detector draws other boxes; (N,)."""
    counters = [task for task in tasks if isinstance(task, Faces)]
    finder = setting.camera.detector

    def one(frame: Frame) -> Floats:
        sealed = [face for face in finder.detect(frame.pixels) if face.side >= SMALLEST]
        large = [[face for face in task.look(frame.pixels) if face.side >= SMALLEST] for task in counters]
        return np.array([len(pairs(faces, sealed)) for faces in large], np.float32)

    found = setting.cache.rows(
        "faces that are large enough to be sealed",
        [(frame.name, frame) for frame in frames],
        one,
        setting.say,
        tasks=[task.depends for task in counters],
        detector=finder.name,
        code=protocol.code("detect", "networks", finder.name),
    )
    return {task.name: found[:, at].astype(np.float64) for at, task in enumerate(counters)}


def has_small(values: Array, tasks: Sequence[Task]) -> NDArray[np.bool_]:
    """Frames (N,) on whose original a counter finds a face too small to be sealed; `values` as for `figures`."""
    found, at = np.zeros(len(values), bool), 0
    for task in tasks:
        if isinstance(task, Faces):
            every, large = (values[:, at + task.fields.index(name)] for name in ("all_reference", "large_reference"))
            found |= every > large
        at += len(task.fields)
    return found


def figures(values: Array, tasks: Sequence[Task], clusters: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Figures of one cover by task; `values` (N, fields) as `rows` gives them."""
    out: dict[str, dict[str, Any]] = {}
    at = 0
    for task in tasks:
        part = dict(zip(task.fields, values[:, at : at + len(task.fields)].T, strict=True))
        at += len(task.fields)
        out[task.name] = _faces(part, clusters) if isinstance(task, Faces) else _shares(task.name, part, clusters)
    return out


def _shares(name: str, part: dict[str, Array], clusters: Sequence[str]) -> dict[str, Any]:
    if name == "persons":
        return {
            "recall": share(part["found"], part["reference"], clusters),
            "precision": share(part["found"], part["boxes"], clusters),
        }
    every = [f"{what}_{{}}" for what in ("kept", "points")]
    kept, points = (sum(part[pattern.format(group)] for group in POINTS) for pattern in every)
    found = {group: share(part[f"kept_{group}"], part[f"points_{group}"], clusters) for group in POINTS}
    return {"all": share(np.asarray(kept), np.asarray(points), clusters), **found}


def _faces(part: dict[str, Array], clusters: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"same": share(part["large_same"], part["large_reference"], clusters)}
    for size in ("all", "large"):
        reference, count = part[f"{size}_reference"], part[size]
        off = np.abs(count - reference)
        found[size] = {
            "ratio": share(count, reference, clusters, bounded=False),
            "mean_absolute_difference": float(off.mean()),
            "mean_absolute_difference_ci95": interval(off, clusters),
        }
    return found


def share(hits: Array, trials: Array, clusters: Sequence[str], *, bounded: bool = True) -> dict[str, Any]:
    """{"value", "ci95", "n", "clusters"}: sum of `hits` over that of `trials`, one entry a frame; None where there are
    no trials. Intervals draw whole clusters; where a bounded share is 0 or 1, `proportion`'s exact bound stands."""
    used = trials > 0 if bounded else (trials > 0) | (hits > 0)
    names = [cluster for cluster, one in zip(clusters, used, strict=True) if one]
    n = int(trials.sum())
    found: dict[str, Any] = {"value": None, "ci95": None, "n": n, "clusters": len(set(names))}
    if n == 0:
        return found
    both = np.column_stack([hits, trials])[used]
    found["value"] = value = float(both[:, 0].sum() / n)
    if bounded and value in (0.0, 1.0):
        found["ci95"] = proportion(np.full(len(names), value), names)
    else:
        # a draw without any trial says nothing of the share
        found["ci95"] = interval(both, names, lambda drawn: float(drawn[:, 0].sum() / max(1.0, drawn[:, 1].sum())))
    return found
