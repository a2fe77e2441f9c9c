"""Figures of the privacy section: identification, thresholds, chance, corrections; and the camera that remembers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage import data as pictures

from ffem_chain.faces.finding.detect import CenterFace, Detection, Picture
from ffem_chain.faces.flow.weights import load_model
from ffem_cli.eval.recognisers import unit
from ffem_cli.eval.sealing import Camera, remembering, seal
from ffem_cli.evidence.privacy.figures import FALSE_ACCEPTS, Crowd, Limits, above, by_luck, score, thresholds

RNG = np.random.default_rng(13)
PEOPLE, MATES, OTHERS = 40, 2, 160
NAMES = [f"p{n}" for n in range(PEOPLE)]


def crowd(twins: bool = False) -> tuple[Crowd, np.ndarray]:
    """Forty people of two gallery photos each, near their own direction, and 160 others."""
    own = unit(RNG.standard_normal((PEOPLE, 64)))
    shown = [name for name in NAMES for _ in range(MATES)] + [f"other {n}" for n in range(OTHERS)]
    mates = unit(np.repeat(own, MATES, axis=0) + 0.4 * unit(RNG.standard_normal((PEOPLE * MATES, 64))))
    vectors = np.concatenate([mates, unit(RNG.standard_normal((OTHERS, 64)))])
    is_mate = np.zeros((PEOPLE, len(vectors)), bool)
    for n in range(PEOPLE):
        is_mate[n, n * MATES : (n + 1) * MATES] = True
    others = ~is_mate
    if twins:
        is_mate[:, ::2] = False
    return Crowd(vectors, shown, is_mate, others), own


def test_who_is_like_is_found_and_who_is_not_found_is_a_miss() -> None:
    among, own = crowd()
    limits = Limits((0.5, 0.3), 1)
    whole = score("c", "r", "landmarks", [own], NAMES, among, limits)
    assert whole.shares == (1, 1) and whole.hits == (PEOPLE, PEOPLE) and whole.accepted == (1, 1) and whole.found == 1
    assert whole.intervals[0][1] == 1 and whole.p < 2e-4
    none = score("c", "r", "detector", [np.zeros_like(own)] * 2, NAMES, among, limits)
    assert none.hits == (0, 0) and none.trials == 2 * PEOPLE and none.accepted == (0, 0) and none.found == 0
    assert none.p == 1
    half = np.where(np.arange(PEOPLE)[:, None] % 2, own, 0).astype(np.float32)
    assert score("c", "r", "detector", [half], NAMES, among, limits).shares[0] == 0.5


def test_near_duplicates_count_neither_as_mates_nor_as_others() -> None:
    among, own = crowd(twins=True)
    assert among.mates.sum() == PEOPLE
    found = score("c", "r", "landmarks", [own], NAMES, among, Limits((0.5, 0.3), 1))
    assert found.shares[0] == 1
    assert found.chance[0] == pytest.approx(1 / (len(among.vectors) - 1))


def test_chance_is_what_guesses_reach() -> None:
    among, _ = crowd()
    first, five = among.chance
    total = len(among.vectors)
    assert first == pytest.approx(MATES / total)
    assert five == pytest.approx(1 - math.comb(total - MATES, 5) / math.comb(total, 5))
    keys = 200
    guesses = [unit(RNG.standard_normal((PEOPLE, 64))) for _ in range(keys)]
    found = score("c", "r", "landmarks", guesses, NAMES, among, Limits((0.5, 0.3), 1))
    # mates of a person lie close together, so a hit of one is often near the other: a share below the guess's
    spread = math.sqrt(first / found.trials)
    assert first / 2 - 6 * spread < found.shares[0] < first + 6 * spread
    assert found.hits[1] > found.hits[0] and found.p > 1e-3


def test_thresholds_let_through_what_they_say() -> None:
    vectors = unit(RNG.standard_normal((1200, 32)))
    people = [f"p{n // 2}" for n in range(1200)]
    limits = thresholds(vectors, people, {"p0"}, seed=1)
    assert limits.pairs == 1198 * 1197 // 2 - 599
    similar = (vectors[2:] @ vectors[2:].T)[np.triu_indices(1198, 1)]
    for cosine, rate in zip(limits.cosines, FALSE_ACCEPTS, strict=True):
        assert (similar > cosine).mean() == pytest.approx(rate, rel=0.05)


def test_luck_goes_by_people() -> None:
    names = [f"p{n}" for n in range(100)]
    assert by_luck([""] * 100, names) == 1 and by_luck(["stranger"] * 100, names) == 1
    assert by_luck(names[:5] + [""] * 95, names) < 2e-4, "five covers that name their own person are no luck"
    # one who is named in every trial, whoever's cover it is, is hit by his own, too
    assert by_luck(["p0"] * 100, names) == 1
    # ten keys of one photo that all name its person are one piece of luck, beside others that all name somebody
    keys, wrong = 10, [names[(n + 1) % 100] for n in range(100)]
    once = by_luck(["p0", *wrong[1:]] * keys, names * keys)
    assert once == by_luck(["p0", *wrong[1:]], names) > 0.3
    assert by_luck([*(["p0"] * keys), *([""] * (99 * keys))], [*(["p0"] * keys), *(names[1:] * keys)]) < 0.02


def test_what_lies_above_the_black_box() -> None:
    among, own = crowd()
    limits = Limits((0.5, 0.3), 1)
    black = score("black", "r", "landmarks", [np.zeros_like(own)], NAMES, among, limits)
    whole = score("c", "r", "landmarks", [own, np.zeros_like(own)], NAMES, among, limits)
    assert whole.who == frozenset(NAMES) and black.who == frozenset()
    by, (low, high) = above(whole, black)
    assert by == low == high == 0.5, "every person, under one key of two"
    by, (low, high) = above(black, black)
    assert by == 0 and low == -high and 0.05 < high < 0.1, "forty people who do not differ leave a doubt"


def test_a_camera_that_remembers_seals_the_same_and_looks_once() -> None:
    looked = []

    class Counting(CenterFace):
        def detect(self, picture: Picture) -> list[Detection]:
            looked.append(picture.shape)
            return super().detect(picture)

    photo = np.ascontiguousarray(pictures.astronaut()[:256, 96:352])
    camera = Camera(load_model("ffem-128"), Counting(coarse=(256,)))  # its noise is from the key
    quick = remembering(camera)
    assert quick.depends == camera.depends
    for name in ("first", "second"):
        plain, fast = seal(photo, name, 1, camera), seal(photo, name, 1, quick)
        assert np.array_equal(plain.image, fast.image)
        assert [face.z for face in plain.capture.faces] == [face.z for face in fast.capture.faces]
        assert plain.capture.public_faces == fast.capture.public_faces
    assert len(looked) == 3, "twice without memory, once with it"
    flipped = np.ascontiguousarray(photo[:, ::-1])
    assert not np.array_equal(seal(flipped, "first", 1, quick).image, plain.image)
    assert len(looked) == 4, "another picture is looked at"
