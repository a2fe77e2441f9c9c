"""What the figures mean: the same figures for changes of a face that everybody can picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.finding.detect import CenterFace
from ffem_cli.eval import data
from ffem_cli.eval.cache import Cache, Say
from ffem_cli.eval.data import Photo
from ffem_cli.eval.measures import interval, psnr, ssim
from ffem_cli.eval.perceptual import Perceptual
from ffem_cli.eval.protocol import Protocol
from ffem_cli.eval.recognisers import Aligned, Recogniser, crop
from ffem_cli.eval.sealing import central

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
Points = NDArray[np.float64]
_SIDE = 256  # px at which the central face of these portraits is looked for, as in the gallery
_BEST = 99.0  # dB; stands for infinite


def _jpeg(quality: int) -> Callable[[Picture], Picture]:
    def change(face: Picture) -> Picture:
        packed = cv2.imencode(".jpg", face[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        back = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
        return np.ascontiguousarray(back[:, :, ::-1])

    return change


def _blur(face: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(face, (0, 0), 0.02 * face.shape[0]), np.uint8)


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "JPEG, quality 95": _jpeg(95),
    "JPEG, quality 75": _jpeg(75),
    "JPEG, quality 30": _jpeg(30),
    "Gaussian blur, sigma 2 % of the crop": _blur,
}
OTHERS = ("another photo of the same person", "a photo of somebody else")
NAMES = (*CHANGES, *OTHERS)
_FIGURES = ("psnr_db", "ssim", "perceptual")


def _face(photo: Photo, detector: CenterFace) -> tuple[Picture, Points] | None:
    picture = data.read(photo.path)
    found = central(detector.detect(picture), picture.shape)
    return None if found is None else (picture, found.landmarks)


def measure(
    split: Protocol, count: int, recognisers: Sequence[Recogniser], judge: Perceptual, cache: Cache, say: Say
) -> list[dict[str, Any]]:
    """A row for each of `NAMES`: means over at most `count` probes in which the detector finds a face, with intervals:
    {"change", "faces", "psnr_db", "ssim", "perceptual", "cosine": [of each recogniser], "ci95"}."""
    detector = CenterFace(coarse=(_SIDE,))
    mates: dict[str, Photo] = {}
    for photo in split.gallery:
        mates.setdefault(photo.person, photo)
    triples = [
        (probe, mates[probe.person], split.probes[at - 1])
        for at, probe in enumerate(split.probes[:count])
        if probe.person in mates
    ]

    def one(triple: tuple[Photo, Photo, Photo]) -> Floats:
        faces = [_face(photo, detector) for photo in triple]
        width = len(NAMES) * (len(_FIGURES) + len(recognisers))
        if any(face is None for face in faces):
            return np.zeros(1 + width, np.float32)
        found = [face for face in faces if face is not None]
        networks: list[Aligned] = [judge, *recognisers]
        seen = [_versions(found, network) for network in networks]
        rows = np.empty((len(NAMES), len(_FIGURES) + len(recognisers)))
        own, *changed = seen[0]
        for at, face in enumerate(changed):
            rows[at, :3] = min(_BEST, psnr(own, face)), ssim(own, face), judge.distance(own, face)
        for at, (network, versions) in enumerate(zip(recognisers, seen[1:], strict=True)):
            vectors = network.embed(versions)
            rows[:, len(_FIGURES) + at] = vectors[1:] @ vectors[0]
        return np.concatenate([[1], rows.ravel()]).astype(np.float32)

    items = [(" ".join(f"{p.name} {p.path.stat().st_size}" for p in triple), triple) for triple in triples]
    rows = cache.rows(
        "what the figures mean",
        items,
        one,
        say,
        judge=judge.digest,
        recognisers=[network.digest for network in recognisers],
        changes=NAMES,
        method=1,
    )
    kept = np.flatnonzero(rows[:, 0]) if len(rows) else np.empty(0, np.int64)
    people = [triples[at][0].person for at in kept]
    values = rows[kept, 1:].reshape(len(kept), len(NAMES), -1).astype(np.float64) if len(kept) else None
    return [] if values is None else [_summary(name, values[:, at], people) for at, name in enumerate(NAMES)]


def _versions(found: Sequence[tuple[Picture, Points]], network: Aligned) -> list[Picture]:
    """A face as a network is shown it, then in each of `NAMES`."""
    own, mate, stranger = (crop(picture, marks, network) for picture, marks in found)
    return [own, *(change(own) for change in CHANGES.values()), mate, stranger]


def _summary(name: str, values: NDArray[np.float64], people: list[str]) -> dict[str, Any]:
    means = [float(v) for v in values.mean(axis=0)]
    ranges = [interval(column, people) for column in values.T]
    return {
        "change": name,
        "faces": len(people),
        **dict(zip(_FIGURES, means, strict=False)),
        "cosine": means[len(_FIGURES) :],
        "ci95": {**dict(zip(_FIGURES, ranges, strict=False)), "cosine": ranges[len(_FIGURES) :]},
    }
