"""The path of a photo through the camera, stage by stage: detect, encode, rotate, exact, pack, store, register.

All pictures have the same size and differ in the number of faces, so that what a face costs is the difference of two
rows. Rounds go over all pictures in turn: a machine that slows down in between slows all rows alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import FfemError
from ffem_cli.bench import machine
from ffem_cli.demo.pictures import public_photo
from ffem_cli.sandbox import Person, Sandbox

if TYPE_CHECKING:
    from ffem_chain.faces.finding.detect import Detector
    from ffem_chain.faces.flow.weights import Model
    from ffem_chain.faces.posing.pose import PoseEstimator

Picture = NDArray[np.uint8]
STAGES = ("detect", "encode", "rotate", "exact", "pack", "store", "register")
_TILE = 256
_HEAD = (slice(0, _TILE), slice(96, 96 + _TILE))  # of the astronaut: head and shoulders
_ALBUM = "bench"


def compose(photo: Picture, faces: int, cells: int) -> Picture:
    """`faces` copies of the photo's head, every other one mirrored, in a grid of at least `cells` tiles of 256 px.

    Tiles without a face show the mean colour of one with.
    """
    columns = max(1, round((cells * 4 / 3) ** 0.5))
    rows = -(-cells // columns)
    head = photo[_HEAD]
    canvas = np.empty((rows * _TILE, columns * _TILE, 3), np.uint8)
    canvas[:] = head.reshape(-1, 3).mean(axis=0)
    for index in range(faces):
        y, x = index // columns * _TILE, index % columns * _TILE
        canvas[y : y + _TILE, x : x + _TILE] = head[:, ::-1] if index % 2 else head
    return canvas


def measure(
    faces: Sequence[int],
    repeats: int,
    model: Model,
    detector: Detector,
    pose: PoseEstimator,
    say: Callable[[str, int], None],
) -> dict[str, Any]:
    """Rows for pictures with so many faces each: medians of `repeats` rounds after one that is not counted.

    `say` takes what is going on and how many photos are done. Raises FfemError where the detector finds another number
    of faces than a picture holds.
    """
    photo = public_photo("pip install scikit-image")
    pictures = {count: compose(photo, count, max(faces)) for count in faces}
    runs: dict[int, list[dict[str, Any]]] = {count: [] for count in faces}
    with Sandbox() as box:
        person = box.person("camera", keystore=False)
        once = _camera(box, person, model, detector, pose)
        done = 0
        for number in range(repeats + 1):
            for count, picture in pictures.items():
                say(f"{f'run {number} of {repeats}' if number else 'warming up'}: {count} of {max(faces)} faces", done)
                found = once(picture)
                if found["faces"] != count:
                    raise FfemError(f"the detector found {found['faces']} faces in a picture of {count}")
                runs[count] += [found] if number else []
                done += 1
    rows = [_median(count, runs[count]) for count in faces]
    for row in rows:
        row["ratio"] = round(row["total_ms"] / rows[0]["total_ms"], 3)
    size = next(iter(pictures.values())).shape
    return {
        "rows": rows,
        "picture": {"width": size[1], "height": size[0]},
        "repeats": repeats,
        "store": "local",
        "detector": detector.name,
        "pose": pose.name,
        "machine": machine.describe(),
    }


def _camera(
    box: Sandbox, person: Person, model: Model, detector: Detector, pose: PoseEstimator
) -> Callable[[Picture], dict[str, Any]]:
    """Seals one picture, registration included, and says what it took."""
    from ffem_chain.roles.owner import Owner
    from ffem_node.seal import seal_photo

    owner = Owner(person.registry, person.vault, person.account)
    owner.create_album(_ALBUM)

    def once(picture: Picture) -> dict[str, Any]:
        start = time.perf_counter()
        sealed = seal_photo(picture, owner, _ALBUM, person.registry, box.store, model, detector, pose=pose)
        total = 1000 * (time.perf_counter() - start)
        stages = {f"{stage}_ms": sealed.timings_ms[stage] for stage in STAGES}
        return {"faces": sealed.faces + sealed.covered, **stages, "total_ms": total, "bytes": sealed.bytes}

    return once


def _median(faces: int, runs: list[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"faces": faces}
    for name in (*(f"{stage}_ms" for stage in STAGES), "total_ms"):
        row[name] = round(statistics.median(run[name] for run in runs), 3)
    return {**row, "bytes": runs[-1]["bytes"]}
