"""The figures of the section: plain values, from what was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_cli.eval.measures import holm, proportion
from ffem_cli.evidence.fairness import aif, gaps
from ffem_cli.evidence.fairness.faces import FEMALE, GENDERS, RACES, Face
from ffem_cli.evidence.fairness.gaps import GENDER, PAIRS, RACE, Bootstrap, interval
from ffem_cli.evidence.fairness.looking import Seen

Array = NDArray[np.float64]
FOUND = 0.5  # IoU from which a face counts as found


def number(value: float) -> float | None:
    """A JSON number; None for NaN."""
    return None if math.isnan(value) else value


def everyone(faces: Sequence[Face]) -> NDArray[np.bool_]:
    """The mask of all faces."""
    return np.ones(len(faces), bool)


def levels(seen: Seen, faces: Sequence[Face], drawn: Bootstrap) -> dict[str, Any]:
    """For each detector: mean IoU (a missed face counts 0), share found, boxes a face, score of what it finds."""
    out = {}
    for name, scores in seen.iou.items():
        found = (scores >= FOUND).astype(np.float64)
        best = seen.score[name][seen.score[name] > 0]
        out[name] = {
            "faces": len(faces),
            "iou": float(scores.mean()),
            "iou_ci95": interval(drawn.means(scores, everyone(faces))),
            "found": float(found.mean()),
            "found_ci95": share_interval(found, faces, drawn),
            "boxes": float(seen.count[name].mean()),
            "score": float(best.mean()) if len(best) else None,
            "score_sd": float(best.std()) if len(best) else None,
        }
    return out


def share_interval(hits: Array, faces: Sequence[Face], drawn: Bootstrap) -> tuple[float, float] | None:
    """Of a share of 0s and 1s; where all are alike, which no bootstrap can judge, the exact bound."""
    if hits.min() != hits.max():
        return interval(drawn.means(hits, everyone(faces)))
    return proportion(hits, [face.name for face in faces])


def gap(scores: Array, faces: Sequence[Face], drawn: Bootstrap) -> dict[str, Any]:
    """For each pair of groups mean difference and disparate impact of scores in [0, 1], through AIF360."""
    metrics, out = aif.Metrics(faces, scores), {}
    for pair in PAIRS:
        masks = pair.masks(faces)
        if not (masks[0].any() and masks[1].any()):
            continue
        difference, impact = metrics.of(pair)
        out[pair.name] = {
            "mean_difference": difference,
            "mean_difference_ci95": interval(drawn.differences(scores, *masks)),
            "disparate_impact": number(impact),
            "disparate_impact_ci95": interval(drawn.impacts(scores, *masks)),
            "faces": [int(mask.sum()) for mask in masks],
        }
    return out


def changes(covers: Mapping[str, Mapping[str, Array]], original: Mapping[str, Array], faces: Sequence[Face],
            drawn: Bootstrap) -> list[dict[str, Any]]:  # fmt: skip
    """How each cover changes a detector's mean difference, women to men and all others to Indian, on the same faces;
    `chance` two-sided, corrected for all of these comparisons (Holm)."""
    rows: list[dict[str, Any]] = []
    for cover, by in covers.items():
        for detector, scores in by.items():
            for pair in (GENDER, RACE):
                masks = pair.masks(faces)
                before = drawn.differences(original[detector], *masks)
                after = drawn.differences(scores, *masks)
                was = gaps.mean_difference(original[detector], *masks)
                now = gaps.mean_difference(scores, *masks)
                rows.append(
                    {
                        "cover": cover,
                        "detector": detector,
                        "pair": pair.name,
                        "original": was,
                        "covered": now,
                        "change": now - was,
                        "change_ci95": interval(after - before),
                        "size_change": abs(now) - abs(was),
                        "size_change_ci95": interval(np.abs(after) - np.abs(before)),
                        "chance_alone": gaps.two_sided(after - before),
                        "original_chance_alone": gaps.two_sided(before),
                    }
                )
    for row, chance in zip(rows, holm([row["chance_alone"] for row in rows]), strict=True):
        row["chance"] = chance
    return rows


def cells(seen: Seen, faces: Sequence[Face], drawn: Bootstrap) -> dict[str, Any]:
    """For each detector and gender x race cell: faces, mean IoU, share found."""
    out: dict[str, Any] = {}
    at = np.array([face.cell for face in faces])
    for name, scores in seen.iou.items():
        out[name] = {}
        for cell in np.unique(at):
            own = at == cell
            out[name][cell_name(int(cell))] = {
                "faces": int(own.sum()),
                "iou": float(scores[own].mean()),
                "iou_ci95": interval(drawn.means(scores, own)),
                "found": float((scores[own] >= FOUND).mean()),
            }
    return out


def cell_name(cell: int) -> str:
    """As `Black women`."""
    gender, race = divmod(cell, len(RACES))
    return f"{RACES[race]} {'women' if gender == FEMALE else 'men'}"


def apparent(seen: Seen, faces: Sequence[Face], drawn: Bootstrap) -> dict[str, Any]:
    """Apparent age and gender of faces under one cover: level, spread, and whether they follow the person."""
    age, female = seen.judged["age"], seen.judged["female"]
    looks = (female > 0.5).astype(np.float64)
    all_, women, men = everyone(faces), *GENDER.masks(faces)
    spread = deviations(age, faces, drawn)
    true = np.array([face.age for face in faces], np.float64)
    follows = drawn.means(looks, women) - drawn.means(looks, men)
    share, shares = float(looks.mean()), drawn.means(looks, all_)
    return {
        "faces": len(faces),
        "age": float(age.mean()),
        "age_ci95": interval(drawn.means(age, all_)),
        "age_sd": float(age.std()),
        "age_sd_ci95": interval(spread),
        "age_confidence": float(seen.judged["age_confidence"].mean()),
        "age_error": float(np.abs(age - true).mean()),
        "age_correlation": number(correlation(age, true)),
        "female": share,
        "female_ci95": interval(shares),
        "female_entropy_bits": entropy(np.array([share]))[0],
        "female_entropy_bits_ci95": interval(entropy(shares)),
        "gender_sureness": float(np.maximum(female, 1 - female).mean()),
        "gender_sd": float(female.std()),
        "gender_as_labelled": float((looks == np.array([face.gender == FEMALE for face in faces])).mean()),
        "follows_gender": float(looks[women].mean() - looks[men].mean()),
        "follows_gender_ci95": interval(follows),
        "follows_gender_chance": gaps.two_sided(follows),
    }


def deviations(values: Array, faces: Sequence[Face], drawn: Bootstrap) -> Array:
    """Standard deviations in every round."""
    centred = values - values.mean()  # float32 products lose little of small numbers
    mean = drawn.means(centred, everyone(faces))
    return np.sqrt(np.clip(drawn.means(centred**2, everyone(faces)) - mean**2, 0, None))


def entropy(shares: Array) -> Array:
    """Of a coin with these shares, bits: 1 is balanced, 0 is all alike."""
    both = np.clip(np.stack([shares, 1 - shares]), 1e-300, 1)
    return np.asarray(-(both * np.log2(both)).sum(axis=0), np.float64)


def correlation(a: Array, b: Array) -> float:
    """Pearson's; NaN where one does not vary."""
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return math.nan
    return float(np.corrcoef(a, b)[0, 1])


def counts(faces: Sequence[Face]) -> dict[str, int]:
    """Faces by gender and by race."""
    by_gender = {GENDERS[g]: sum(face.gender == g for face in faces) for g in range(len(GENDERS))}
    return {**by_gender, **{RACES[r]: sum(face.race == r for face in faces) for r in range(len(RACES))}}
