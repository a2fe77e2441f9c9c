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
from ffem_cli.evidence.privacy.figures import FALSE_ACCEPTS, Crowd, Limits, at_least, holm, score, thresholds

RNG = np.random.default_rng(13)
PEOPLE, MATES, OTHERS = 40, 2, 160
NAMES = [f"p{n}" for n in range(PEOPLE)]


def crowd(twins: bool = False) -> tuple[Crowd, np.ndarray]:
    """Forty people of two gallery photos each, near their own direction, and 160 others."""
    own = unit(RNG.standard_normal((PEOPLE, 64)))
    mates = unit(np.repeat(own, MATES, axis=0) + 0.4 * unit(RNG.standard_normal((PEOPLE * MATES, 64))))
    vectors = np.concatenate([mates, unit(RNG.standard_normal((OTHERS, 64)))])
    is_mate = np.zeros((PEOPLE, len(vectors)), bool)
    for n in range(PEOPLE):
        is_mate[n, n * MATES : (n + 1) * MATES] = True
    others = ~is_mate
    if twins:
        is_mate[:, ::2] = False
    return Crowd(vectors, is_mate, others), own


def test_who_is_like_is_found_and_who_is_not_found_is_a_miss() -> None:
    among, own = crowd()
    limits = Limits((0.5, 0.3), 1)
    whole = score("c", "r", "landmarks", [own], NAMES, among, limits)
    assert whole.shares == (1, 1) and whole.hits == (PEOPLE, PEOPLE) and whole.accepted == (1, 1) and whole.found == 1
    assert whole.intervals[0][1] == 1 and whole.p < 1e-30
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
    assert found.hits[1] > found.hits[0] and found.p > 1e-9


def test_thresholds_let_through_what_they_say() -> None:
    vectors = unit(RNG.standard_normal((1200, 32)))
    people = [f"p{n // 2}" for n in range(1200)]
    limits = thresholds(vectors, people, {"p0"}, seed=1)
    assert limits.pairs == 1198 * 1197 // 2 - 599
    similar = (vectors[2:] @ vectors[2:].T)[np.triu_indices(1198, 1)]
    for cosine, rate in zip(limits.cosines, FALSE_ACCEPTS, strict=True):
        assert (similar > cosine).mean() == pytest.approx(rate, rel=0.05)


def test_probabilities() -> None:
    assert at_least(0, 10, 0.1) == 1
    assert at_least(1, 10, 0.1) == pytest.approx(1 - 0.9**10)
    assert at_least(3, 5, 0.5) == pytest.approx(0.5)
    assert at_least(9, 5000, 0.0005) == pytest.approx(0.0011, abs=2e-4), "nine hits of 5,000 are no chance"
    assert at_least(400, 500, 0.0005) < 1e-300 or at_least(400, 500, 0.0005) == 0
    # Holm 1979: the smallest times their number, never decreasing
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


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
