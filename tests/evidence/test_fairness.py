"""Fairness: names of faces, gaps between groups and how sure they are, what claims are made of figures."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from ffem_chain.errors import InputError
from ffem_cli.evidence.fairness import aif, figures, gaps, judging, report, words
from ffem_cli.evidence.fairness.ages import FIGURES
from ffem_cli.evidence.fairness.faces import Face, load, sample
from ffem_cli.evidence.fairness.gaps import GENDER, PAIRS, RACE, Bootstrap
from ffem_cli.evidence.fairness.looking import BARE, COVERS, JUDGED, Seen


def people(a_cell: int) -> list[Face]:
    """As many faces of each gender and race."""
    return [
        Face(Path(f"{g}_{r}_{i}.jpg"), f"{g}_{r}_{i}.jpg", 20 + i % 50, g, r)
        for i in range(a_cell)
        for g in (0, 1)
        for r in range(5)
    ]


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((8, 8, 3), 99, np.uint8))


def test_names_of_utkface_are_read_and_others_skipped_and_counted(tmp_path: Path) -> None:
    good = {
        "100_0_0_20170112213500903.jpg": (100, 0, 0),
        "26_1_3_20170104235453457.jpg.chip.jpg": (26, 1, 3),
        "part2/9_0_4_00012.JPG": (9, 0, 4),
    }
    # the first three are in the original data set: no race; no gender; the others are nobody's
    bad = ("39_1_20170116174525125.jpg", "53__0_20170116184028385.jpg", "61_3_20170109150557335.jpg.chip.jpg")
    for name in (*good, *bad, "1_2_0_5.jpg", "1_0_5_5.jpg", "portrait.png"):
        write(tmp_path / name)
    found = load(tmp_path)
    assert {face.name: (face.age, face.gender, face.race) for face in found.faces} == good
    assert found.skipped == 6


def test_a_folder_without_such_names_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "Aaron_0001.jpg")
    with pytest.raises(InputError, match="named after age, gender and race"):
        load(tmp_path)


def test_a_sample_has_as_many_of_each_and_begins_with_a_smaller_one() -> None:
    faces = people(7)
    few, more = sample(faces, 2, seed=3), sample(faces, 5, seed=3)
    assert np.bincount([face.cell for face in few]).tolist() == [2] * 10
    assert more[:20] == few and len(set(more)) == 50
    assert sample(faces, 2, seed=4) != few
    assert len(sample(faces, 100, seed=3)) == 70


def test_aif360_gives_what_numpy_gives(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    faces, rng = people(6)[:53], np.random.default_rng(5)
    handlers = list(logging.root.handlers)
    for scores in (rng.random(53), np.round(rng.random(53)), np.where(rng.random(53) < 0.4, 0, rng.random(53))):
        metrics = aif.Metrics(faces, scores)
        for pair in PAIRS:
            unprivileged, privileged = pair.masks(faces)
            difference, impact = metrics.of(pair)
            assert abs(difference - (scores[unprivileged].mean() - scores[privileged].mean())) < 1e-9
            assert abs(impact - scores[unprivileged].mean() / scores[privileged].mean()) < 1e-9
    # where nothing is found there is no difference, and no ratio
    difference, impact = aif.Metrics(faces, np.zeros(53)).of(GENDER)
    assert difference == 0 and np.isnan(impact)
    assert not caplog.records and capfd.readouterr() == ("", "") and logging.root.handlers == handlers


def test_privileged_are_men_and_indians() -> None:
    faces = people(1)
    scores = np.array([1.0 if face.gender == 0 else 0.25 for face in faces])
    assert gaps.mean_difference(scores, *GENDER.masks(faces)) == -0.75
    scores = np.array([1.0 if face.race == 3 else 0.5 for face in faces])
    assert gaps.mean_difference(scores, *RACE.masks(faces)) == -0.5
    assert gaps.disparate_impact(scores, *RACE.masks(faces)) == 0.5
    assert [pair.name for pair in PAIRS[2:]] == [
        "White to Indian",
        "Black to Indian",
        "Asian to Indian",
        "Other to Indian",
    ]


def test_intervals_hold_the_truth_and_see_a_difference() -> None:
    faces, rng = people(100), np.random.default_rng(1)
    masks = GENDER.masks(faces)
    alike = rng.random(1000)
    drawn = Bootstrap(faces, seed=1)
    differences = drawn.differences(alike, *masks)
    deviation = np.sqrt(1 / 12 / 500 * 2)
    assert abs(differences.std() / deviation - 1) < 0.15
    # the mean of the draws is the figure itself: 6 sigma of 4,000 draws
    assert abs(differences.mean() - gaps.mean_difference(alike, *masks)) < 6 * deviation / np.sqrt(gaps.ROUNDS)
    low, high = gaps.interval(differences) or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.15)
    unlike = alike - 10 * deviation * masks[0]
    assert gaps.two_sided(drawn.differences(unlike, *masks)) < 0.001
    # paired: the same change of every face is certain, however much faces differ
    changed = drawn.differences(alike, *masks) - drawn.differences(alike * 1.0, *masks)
    assert np.abs(changed).max() == 0
    assert gaps.two_sided(changed) == 1.0


def test_one_face_of_a_cell_gives_no_interval() -> None:
    faces = people(1)
    drawn = Bootstrap(faces, seed=1).differences(np.linspace(0, 1, 10), *GENDER.masks(faces))
    assert gaps.interval(drawn) is None and gaps.two_sided(drawn) == 1.0


def test_balance_is_one_bit_at_a_half() -> None:
    assert figures.entropy(np.array([0.5, 0.0, 1.0, 0.11])) == pytest.approx([1.0, 0.0, 0.0, 0.49992], abs=1e-4)


def seen(faces: list[Face], level: float, bias: float, spread: float, seed: int, follows: bool = False) -> Seen:
    """Two detectors that both score `level`, `bias` less for women; ages of this spread around 35."""
    rng = np.random.default_rng(seed)
    women = GENDER.masks(faces)[0]
    scores = np.clip(level - bias * women + rng.normal(0, 0.05, len(faces)) * (level > 0), 0, 1)
    both = {"haar": scores, "centerface": scores}
    looks = np.array([face.gender if follows else face.age % 2 for face in faces], float)
    judged = dict(zip(FIGURES, (rng.normal(35, spread, len(faces)), np.full(len(faces), 0.5), looks), strict=True))
    ones = {name: np.ones(len(faces)) for name in both}
    return Seen(both, both, ones, ones, judged)


@pytest.mark.parametrize("fair", [True, False])
def test_claims_hold_where_fakes_are_fair_and_are_missed_where_not(fair: bool) -> None:
    faces = people(12)
    under = {cover: seen(faces, 0.0, 0.0, 5, 3) for cover in ("pixelated", "blurred", "I_enc")}
    for at, cover in enumerate(JUDGED):
        # unfair: a larger gap, worse found, more spread where it should be less, and its person's gender
        under[cover] = seen(faces, 0.9, 0.0, 4 + 4 * at, at) if fair else seen(faces, 0.7, 0.3, 16 - 4 * at, at, True)
    original = seen(faces, 0.9, 0.1, 12, 9, follows=True)
    body = report._figures({"original": original, BARE: original, **under}, faces, original, faces, 1)
    judged = {claim.text: claim.holds for claim in judging.claims(body)}
    origin = "Fakes narrow the detectors' gap between Indians and all others"
    assert judged.pop(origin) is None  # there was none
    assert set(judged.values()) == {fair}, judged
    # I_enc has no gap, since nobody is found in it
    hidden = body["covers"]["I_enc"]
    assert hidden["level"]["haar"]["iou"] == 0 and hidden["gap"]["haar"][GENDER.name]["disparate_impact"] is None
    was = body["covers"]["original"]["gap"]["haar"][GENDER.name]
    assert was["mean_difference_ci95"][0] < -0.1 < was["mean_difference_ci95"][1] and was["faces"] == [60, 60]
    parts = words.parts(body, len(faces), len(faces))
    cells = [cell for part in parts if hasattr(part, "rows") for row in part.rows for cell in row]
    assert all(cell is None or isinstance(cell, str | int | float) for cell in cells)
    assert all(len(row) == len(part.columns) for part in parts if hasattr(part, "rows") for row in part.rows)


def test_faces_that_a_detector_misses_on_the_original_count_nothing_by_its_own_box() -> None:
    faces = people(2)
    own = np.full(20, 0.8)
    own[:5] = np.nan
    one = Seen({"haar": np.ones(20)}, {"haar": own}, {}, {}, {})
    assert report._own(one)["haar"].mean() == pytest.approx(0.6)
    assert len(faces) == 20 and len(COVERS) == 7
