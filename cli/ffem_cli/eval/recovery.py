"""How near a face that was opened by the flow alone comes to the original, and whether the exact layer is exact.

A probe photo is sealed as the camera does it, read back from its files, and opened. What the flow was given is compared
with what it gave back, in the model's square; the opened picture is compared with the photo in the detector's box, and
by a recogniser that is given the original's landmarks for both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError
from ffem_cli.eval import data, protocol
from ffem_cli.eval.cache import Cache, Say
from ffem_cli.eval.data import Photo
from ffem_cli.eval.measures import interval, proportion, psnr, ranks, ssim
from ffem_cli.eval.protocol import Protocol
from ffem_cli.eval.recognisers import Recogniser, crop, crop_square
from ffem_cli.eval.sealing import Camera, seal

Floats = NDArray[np.float32]
Array = NDArray[np.float64]
FRONTAL = 30  # degrees of yaw up to which the headline figures count
BANDS = ((0, 15), (15, 30), (30, 45), (45, 181))
_COLUMNS = ("found", "yaw", "psnr", "ssim", "box_psnr", "box_ssim", "identical")
_BEST = 99.0  # dB; stands for infinite


def _row(photo: Photo, seed: int, camera: Camera, recogniser: Recogniser) -> Floats:
    """`_COLUMNS`, then four unit vectors: photo, opened picture, the square that the flow was given and its return."""
    picture = data.read(photo.path)
    sealed = seal(picture, photo.name, seed, camera)
    face = sealed.subject()
    if face is None:
        blank = recogniser.embed([np.zeros((recogniser.size, recogniser.size, 3), np.uint8)])
        return np.zeros(len(_COLUMNS) + 4 * blank.size, np.float32)
    opened, decoded = sealed.by_flow(camera.model)
    squares = (sealed.given[face.index], decoded[face.index])
    left, top = (max(0, round(v)) for v in face.box[:2])
    boxes = [p[top : round(face.box[3]), left : round(face.box[2])] for p in (picture, opened)]
    figures = [
        1,
        face.yaw,
        min(_BEST, psnr(*squares)),
        ssim(*squares),
        min(_BEST, psnr(*boxes)),
        ssim(*boxes),
        sealed.exact_is_identical(),
    ]
    faces = [crop(p, face.landmarks, recogniser) for p in (picture, opened)]
    vectors = recogniser.embed([*faces, *(crop_square(square, recogniser) for square in squares)])
    return np.concatenate([figures, vectors.ravel()]).astype(np.float32)


def measure(
    split: Protocol, camera: Camera, recogniser: Recogniser, *, seed: int, cache: Cache, say: Say
) -> dict[str, Any]:
    """The figures of docs/EVAL.md. InputError where no probe has a face that can be sealed."""
    items = [(f"{photo.name} {photo.path.stat().st_size}", photo) for photo in split.probes]
    rows = cache.rows(
        "sealing and opening probes",
        items,
        lambda photo: _row(photo, seed, camera, recogniser),
        say,
        recogniser=recogniser.digest,
        seed=seed,
        code=protocol.code(),
        **camera.depends,
    )
    found = np.flatnonzero(rows[:, 0])
    if not len(found):
        raise InputError("no probe has a face that can be sealed", "photos of faces of 24 px and more")
    figure = {name: rows[found, at].astype(np.float64) for at, name in enumerate(_COLUMNS)}
    original, recovered, square, square_recovered = np.split(rows[found, len(_COLUMNS) :], 4, axis=1)
    people = [split.probes[at].person for at in found]
    gallery = protocol.embed(split, recogniser, cache, say)
    hits = [
        (ranks(vectors, people, gallery.vectors, gallery.people) == 0).astype(np.float64)
        for vectors in (recovered, original)
    ]
    columns = {
        "yaw": np.abs(figure["yaw"]),
        "psnr_db": figure["psnr"],
        "ssim": figure["ssim"],
        "box_psnr_db": figure["box_psnr"],
        "box_ssim": figure["box_ssim"],
        "cosine": _cosines(original, recovered),
        "square_cosine": _cosines(square, square_recovered),
        "top1_recovered": hits[0],
        "top1_original": hits[1],
    }
    frontal = columns["yaw"] <= FRONTAL
    near = [person for person, is_near in zip(people, frontal, strict=True) if is_near]
    whole, front = _summary(columns, np.ones(len(found), bool)), _summary(columns, frontal)
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
        "exact_identical": bool(figure["identical"].all()),
        "ci95": {
            "flow_psnr_db": interval(columns["psnr_db"], people),
            "cosine_mean": interval(cosine[frontal], near) if near else None,
            "cosine_p5": interval(cosine[frontal], near, _fifth) if near else None,
            "top1_recovered": proportion(hits[0], people),
            "top1_original": proportion(hits[1], people),
            "top1_difference": interval(hits[0] - hits[1], people),
        },
        "probes": len(found),
        "probes_frontal": int(frontal.sum()),
        "probes_without_a_face": len(items) - len(found),
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
