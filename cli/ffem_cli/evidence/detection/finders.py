"""Detectors that can be had here, and what they find in photos, kept in the cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError, MissingExtra
from ffem_chain.faces.finding import detectors
from ffem_chain.faces.finding.detect import Detection, Detector
from ffem_cli.eval import data, protocol
from ffem_cli.eval.data import Photo
from ffem_cli.evidence.fairness import packages
from ffem_cli.evidence.fairness.haar import Haar
from ffem_cli.evidence.setting import Setting

MOST = 640  # faces a photo that are kept, the surest ones; more than in all but a handful of WIDER FACE's
_NUMBERS = 15  # of a face: box 4, landmarks 10, score


def available(setting: Setting) -> dict[str, Detector]:
    """The detector plug-ins by name whose models are in the model cache or in the data's folder `weights`."""
    found: dict[str, Detector] = {}
    for name in detectors.NAMES:
        for folder in (setting.model_cache, setting.data / "weights"):
            try:
                found[name] = detectors.detector(name, folder)
                break
            except (MissingExtra, InputError):
                continue
    return found


def haar(setting: Setting) -> Haar | None:
    """The Haar cascade in its own process, where the package that has it was fetched already (`fairness` does that)."""
    return Haar(setting.model_cache) if packages.present(packages.OPENCV4, setting.model_cache) else None


def photos(folder: Path, most: int) -> list[Photo]:
    """At most `most` pictures below a folder, evenly over their sorted paths. InputError where there are none."""
    paths = data.pictures(folder)
    chosen = paths if len(paths) <= most else [paths[at * len(paths) // most] for at in range(most)]
    return [Photo(path, path.relative_to(folder).as_posix(), path.stem) for path in chosen]


def find(detector: Detector, shown: Sequence[Photo], setting: Setting) -> list[list[Detection]]:
    """What a detector finds in each photo, at its own threshold: the surest `MOST` faces."""

    def one(photo: Photo) -> NDArray[np.float32]:
        row = np.zeros(1 + MOST * _NUMBERS, np.float32)
        seen = sorted(detector.detect(data.read(photo.path)), key=lambda d: -d.score)[:MOST]
        row[0] = len(seen)
        if seen:
            row[1 : 1 + len(seen) * _NUMBERS] = np.concatenate([[*d.box, *d.landmarks.ravel(), d.score] for d in seen])
        return row

    extra = {"settings": detector.depends} if isinstance(detector, Haar) else {}
    rows = setting.cache.rows(
        f"{detector.name} on photos",
        [(f"{photo.name} {photo.path.stat().st_size}", photo) for photo in shown],
        one,
        setting.say,
        detector=detector.name,
        most=MOST,
        code=protocol.code("detect", "networks", detector.name),
        **extra,
    )
    return [_faces(row.astype(np.float64)) for row in rows]


def _faces(row: NDArray[np.float64]) -> list[Detection]:
    count = int(row[0])
    numbers = row[1 : 1 + count * _NUMBERS].reshape(count, _NUMBERS)
    return [
        Detection((float(n[0]), float(n[1]), float(n[2]), float(n[3])), n[4:14].reshape(5, 2), float(n[14]))
        for n in numbers
    ]
