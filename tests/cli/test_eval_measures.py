"""The figures of `ffem eval` against other libraries, closed forms and what must hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage import data, metrics, transform

from ffem_cli.eval import measures
from ffem_cli.eval.measures import frechet, holm, interval, iou, pairwise_cosine, psnr, ranks, sharpness, ssim
from ffem_cli.eval.recognisers import similarity, unit

RNG = np.random.default_rng(3)
PHOTO = np.ascontiguousarray(data.astronaut()[:120, 160:300])
NOISY = np.clip(PHOTO + RNG.normal(0, 12, PHOTO.shape), 0, 255).astype(np.uint8)


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    assert psnr(PHOTO, NOISY) == pytest.approx(metrics.peak_signal_noise_ratio(PHOTO, NOISY), abs=1e-9)
    reference = metrics.structural_similarity(
        PHOTO, NOISY, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(PHOTO, NOISY) == pytest.approx(reference, abs=1e-6)
    assert psnr(PHOTO, PHOTO) == math.inf and ssim(PHOTO, PHOTO) == 1


def test_frechet_of_known_gaussians() -> None:
    # commuting covariances: the distance is |m1 - m2|^2 + sum (s1 - s2)^2
    a, b = RNG.normal(0, 1, (40_000, 3)), RNG.normal(0, 1, (40_000, 3)) * [1, 2, 0.5] + [0, 0, 3]
    assert frechet(a, b) == pytest.approx(9 + 1 + 0.25, rel=0.03)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet(a, b) == pytest.approx(frechet(b, a))
    # a degenerate covariance is no trouble: fewer rows than dimensions
    assert math.isfinite(frechet(RNG.normal(size=(5, 16)), RNG.normal(size=(6, 16))))
    with pytest.raises(ValueError, match="two rows"):
        frechet(a[:1], b)


def test_sharpness_falls_with_blur() -> None:
    soft = (255 * transform.rescale(transform.rescale(PHOTO, 0.25, channel_axis=2), 4, channel_axis=2)).astype(np.uint8)
    assert sharpness(soft) < 0.2 * sharpness(PHOTO)
    assert sharpness(np.full((32, 32, 3), 90, np.uint8)) == 0


def test_iou() -> None:
    assert iou((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert iou((0, 0, 4, 4), (2, 0, 6, 4)) == pytest.approx(1 / 3)
    assert iou((0, 0, 1, 1), (5, 5, 6, 6)) == 0 and iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0


def test_pairwise_cosine_is_the_mean_over_pairs() -> None:
    vectors = unit(RNG.normal(size=(30, 8)))
    people = [f"p{at % 7}" for at in range(30)]
    pairs = [(i, j) for i in range(30) for j in range(i)]
    plain = np.mean([vectors[i] @ vectors[j] for i, j in pairs])
    others = np.mean([vectors[i] @ vectors[j] for i, j in pairs if people[i] != people[j]])
    assert pairwise_cosine(vectors) == pytest.approx(plain, abs=1e-6)
    assert pairwise_cosine(vectors, people) == pytest.approx(others, abs=1e-6)
    assert math.isnan(pairwise_cosine(vectors, ["one"] * 30))


def test_ranks_count_other_people_before_the_best_mate() -> None:
    gallery = unit(np.eye(5)[[0, 1, 2, 3]] + 0.0)
    people = ["a", "b", "a", "c"]
    probe = unit(np.array([[0.1, 0.9, 0.5, 0.0, 0.0]]))
    # b is nearest; the better one of a's two photos is next
    assert ranks(probe, ["b"], gallery, people).tolist() == [0]
    assert ranks(probe, ["a"], gallery, people).tolist() == [1]
    assert ranks(probe, ["c"], gallery, people).tolist() == [3], "photos count, not people"
    with pytest.raises(ValueError, match="gallery"):
        ranks(probe, ["d"], gallery, people)


def test_an_interval_draws_whole_identities() -> None:
    groups = [f"p{at // 50}" for at in range(1000)]
    level = np.repeat(RNG.normal(size=20), 50)
    low, high = interval(level, groups)
    assert low < level.mean() < high
    # photos of a person say the same here: as if each were one photo, not fifty
    assert high - low == pytest.approx(2 * 1.96 * level.std() / math.sqrt(20), rel=0.2)
    alone = interval(level, [str(at) for at in range(1000)])
    assert alone[1] - alone[0] < 0.3 * (high - low)
    assert interval(level, groups) == (low, high), "the same seed gives the same interval"
    assert measures.LEVEL == 0.95


def test_similarity_finds_scale_turn_and_shift() -> None:
    source = RNG.normal(size=(5, 2))
    turn = np.array([[0.0, -2.0], [2.0, 0.0]])
    matrix = similarity(source, source @ turn.T + [7, -3])
    assert np.allclose(matrix, [[0, -2, 7], [2, 0, -3]])


def test_many_comparisons_are_corrected() -> None:
    # Holm 1979: the smallest times their number, never decreasing
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []
