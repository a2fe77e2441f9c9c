"""How near a face that was opened by the flow alone comes to the original, and whether the exact layer is exact.

A probe photo is sealed as the camera does it, read back from its files, and opened. What the flow was given is compared
with what it gave back, in the model's square; the opened picture is compared with the photo in the detector's box, and
by recognisers that are given the original's landmarks for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError
from ffem_cli.eval import data, protocol
from ffem_cli.eval.cache import Cache, Say
from ffem_cli.eval.data import Photo
from ffem_cli.eval.measures import interval, proportion, psnr, ranks, ssim
from ffem_cli.eval.perceptual import Perceptual
from ffem_cli.eval.protocol import Protocol
from ffem_cli.eval.recognisers import Recogniser, crop, crop_square
from ffem_cli.eval.sealing import Camera, seal

Floats = NDArray[np.float32]
Array = NDArray[np.float64]
FRONTAL = 30  # degrees of yaw up to which the headline figures count
BANDS = ((0, 15), (15, 30), (30, 45), (45, 181))
_COLUMNS = ("yaw", "psnr_db", "ssim", "box_psnr_db", "box_ssim", "identical", "perceptual", "square_perceptual")
_VIEWS = 4  # what is embedded: photo, opened picture, the square that the flow was given and its return
_BEST = 99.0  # dB; stands for infinite


@dataclass(frozen=True)
class Opened:
    """Probes whose face was sealed and opened by the flow alone, N of `items`: whose they are, `columns` by name (N,),
    and for each recogniser the unit vectors (N, 4, d) of photo, opened picture, the flow's square and its return.

    The columns `perceptual` (picture) and `square_perceptual` are NaN where there was no judge.
    """

    people: list[str]
    columns: dict[str, Array]
    vectors: list[Floats]
    items: int

    @property
    def frontal(self) -> NDArray[np.bool_]:
        """Which are turned at most `FRONTAL` degrees."""
        return self.columns["yaw"] <= FRONTAL


def _row(
    photo: Photo, seed: int, camera: Camera, recognisers: Sequence[Recogniser], judge: Perceptual | None
) -> Floats:
    """Whether there is a face, `_COLUMNS`, then of each recogniser four unit vectors (`Opened`)."""
    picture = data.read(photo.path)
    sealed = seal(picture, photo.name, seed, camera)
    face = sealed.subject()
    if face is None:
        blank = [r.embed([np.zeros((r.size, r.size, 3), np.uint8)]).size for r in recognisers]
        return np.zeros(1 + len(_COLUMNS) + _VIEWS * sum(blank), np.float32)
    opened, decoded = sealed.by_flow(camera.model)
    squares = (sealed.given[face.index], decoded[face.index])
    left, top = (max(0, round(v)) for v in face.box[:2])
    boxes = [p[top : round(face.box[3]), left : round(face.box[2])] for p in (picture, opened)]
    distances = [np.nan, np.nan]
    if judge is not None:
        distances = [
            judge.distance(crop(picture, face.landmarks, judge), crop(opened, face.landmarks, judge)),
            judge.distance(crop_square(squares[0], judge), crop_square(squares[1], judge)),
        ]
    figures = [
        1,
        abs(face.yaw),
        min(_BEST, psnr(*squares)),
        ssim(*squares),
        min(_BEST, psnr(*boxes)),
        ssim(*boxes),
        sealed.exact_is_identical(),
        *distances,
    ]
    vectors = []
    for one in recognisers:
        faces = [crop(p, face.landmarks, one) for p in (picture, opened)]
        vectors.append(one.embed([*faces, *(crop_square(square, one) for square in squares)]).ravel())
    return np.concatenate([figures, *vectors]).astype(np.float32)


def open_probes(
    split: Protocol,
    camera: Camera,
    recognisers: Sequence[Recogniser],
    *,
    seed: int,
    cache: Cache,
    say: Say,
    judge: Perceptual | None = None,
) -> Opened:
    """Seals and opens every probe. InputError where none has a face that can be sealed."""
    items = [(f"{photo.name} {photo.path.stat().st_size}", photo) for photo in split.probes]
    rows = cache.rows(
        "sealing and opening probes",
        items,
        lambda photo: _row(photo, seed, camera, recognisers, judge),
        say,
        recognisers=[one.digest for one in recognisers],
        judge=judge.digest if judge else None,
        seed=seed,
        code=protocol.code(),
        **camera.depends,
    )
    found = np.flatnonzero(rows[:, 0])
    if not len(found):
        raise InputError("no probe has a face that can be sealed", "photos of faces of 24 px and more")
    columns = {name: rows[found, 1 + at].astype(np.float64) for at, name in enumerate(_COLUMNS)}
    lengths = [_VIEWS * one.embed([np.zeros((one.size, one.size, 3), np.uint8)]).size for one in recognisers]
    parts = np.split(rows[found, 1 + len(_COLUMNS) :], np.cumsum(lengths)[:-1], axis=1)
    vectors = [part.reshape(len(found), _VIEWS, -1) for part in parts]
    return Opened([split.probes[at].person for at in found], columns, vectors, len(items))


def measure(
    split: Protocol, camera: Camera, recogniser: Recogniser, *, seed: int, cache: Cache, say: Say
) -> dict[str, Any]:
    """The figures of docs/EVAL.md. InputError where no probe has a face that can be sealed."""
    probes = open_probes(split, camera, [recogniser], seed=seed, cache=cache, say=say)
    return figures(probes, 0, split, recogniser, cache, say)


def figures(probes: Opened, at: int, split: Protocol, recogniser: Recogniser, cache: Cache, say: Say) -> dict[str, Any]:
    """The figures of docs/EVAL.md by one of the recognisers, which is at `at` in `probes.vectors`."""
    original, recovered, square, square_recovered = probes.vectors[at].transpose(1, 0, 2)
    people, frontal = probes.people, probes.frontal
    gallery = protocol.embed(split, recogniser, cache, say)
    hits = [
        (ranks(vectors, people, gallery.vectors, gallery.people) == 0).astype(np.float64)
        for vectors in (recovered, original)
    ]
    shown = ("yaw", "psnr_db", "ssim", "box_psnr_db", "box_ssim")
    columns = {
        **{name: probes.columns[name] for name in shown},
        "cosine": _cosines(original, recovered),
        "square_cosine": _cosines(square, square_recovered),
        "top1_recovered": hits[0],
        "top1_original": hits[1],
    }
    near = [person for person, is_near in zip(people, frontal, strict=True) if is_near]
    whole, front = _summary(columns, np.ones(len(people), bool)), _summary(columns, frontal)
    cosine = columns["cosine"]
    return {
        "flow_psnr_db": whole["psnr_db"],
        "flow_ssim": whole["ssim"],
        "box_psnr_db": whole["box_psnr_db"],
        "box_ssim": whole["box_ssim"],
        "cosine_mean": front["cosine_mean"],
        "cosine_p5": front["cosine_p5"],
        "square_cosine_mean": front["square_cosine_mean"],
        "square_cosine_p5": front["square_cosine_p5"],
        "cosine_all_mean": whole["cosine_mean"],
        "top1_recovered": whole["top1_recovered"],
        "top1_original": whole["top1_original"],
        "by_yaw": [
            {"from": low, "to": min(high, 180), **_summary(columns, (columns["yaw"] >= low) & (columns["yaw"] < high))}
            for low, high in BANDS
        ],
        "exact_identical": bool(probes.columns["identical"].all()),
        "ci95": {
            "flow_psnr_db": interval(columns["psnr_db"], people),
            "cosine_mean": interval(cosine[frontal], near) if near else None,
            "cosine_p5": interval(cosine[frontal], near, _fifth) if near else None,
            "top1_recovered": proportion(hits[0], people),
            "top1_original": proportion(hits[1], people),
            "top1_difference": interval(hits[0] - hits[1], people),
        },
        "probes": len(people),
        "probes_frontal": int(frontal.sum()),
        "probes_without_a_face": probes.items - len(people),
        "gallery": len(gallery.photos),
    }


def _cosines(a: Floats, b: Floats) -> Array:
    return np.asarray((a * b).sum(axis=1), np.float64)


def _fifth(values: Array) -> float:
    return float(np.quantile(values, 0.05))


def _summary(columns: dict[str, Array], which: NDArray[np.bool_]) -> dict[str, Any]:
    """Counts and figures of some of the probes; None where there are none."""
    out: dict[str, Any] = {"probes": int(which.sum())}
    for name, values in columns.items():
        if name == "yaw":
            continue
        chosen = values[which]
        is_cosine = name.endswith("cosine")
        out[f"{name}_mean" if is_cosine else name] = float(chosen.mean()) if len(chosen) else None
        if is_cosine:
            out[f"{name}_p5"] = _fifth(chosen) if len(chosen) else None
    return out
