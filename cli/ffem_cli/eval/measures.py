"""The figures: PSNR, SSIM, sharpness, Frechet distance, identification, intervals. numpy and OpenCV only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Array = NDArray[np.float64]
Vectors = NDArray[np.float32]
ROUNDS, LEVEL = 1000, 0.95  # of the bootstrap


def psnr(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 255; infinite where both are equal."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def ssim(a: Picture, b: Picture) -> float:
    """Structural similarity of uint8 (H, W, 3), at least 11 px a side: mean over the channels and over the pixels whose
    window is inside (Wang et al. 2004: Gaussian window, sigma 1.5, 11 x 11; K 0.01 and 0.03)."""
    x, y = a.astype(np.float64), b.astype(np.float64)

    def blur(picture: Array) -> Array:
        out = cv2.GaussianBlur(picture, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT)
        return np.asarray(out[5:-5, 5:-5], np.float64)

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    above = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return float(np.mean(above / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))))


def sharpness(face: Picture) -> float:
    """Variance of the Laplacian of the grey picture, in squared grey levels (Pech-Pacheco et al. 2000)."""
    return float(cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def frechet(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Squared Frechet distance between Gaussians fitted to the rows of a (N, d) and b (M, d) (Heusel et al. 2017).

    Biased upwards by few rows: compare only values for the same N and M. ValueError for fewer than two rows.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError("a covariance takes two rows")
    x, y = a.astype(np.float64), b.astype(np.float64)
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    # the square root of cov_x cov_y has the trace of that of the symmetric R cov_y R, R the root of cov_x
    values, vectors = np.linalg.eigh(cov_x)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    both = np.sqrt(np.clip(np.linalg.eigvalsh(root @ cov_y @ root), 0, None)).sum()
    mean = x.mean(axis=0) - y.mean(axis=0)
    return max(0.0, float(mean @ mean + np.trace(cov_x) + np.trace(cov_y) - 2 * both))


def iou(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of boxes (left, top, right, bottom)."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inter = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def pairwise_cosine(vectors: Vectors, people: Sequence[str] | None = None) -> float:
    """Mean cosine of unit rows (N, d) over all pairs; with `people`, over the pairs of different people."""
    sums = vectors.astype(np.float64)
    everything = float(sums.sum(axis=0) @ sums.sum(axis=0))
    groups = np.arange(len(vectors)) if people is None else np.unique(np.asarray(people), return_inverse=True)[1]
    own = np.zeros((int(groups.max()) + 1, vectors.shape[1]))
    np.add.at(own, groups, sums)
    counts = np.bincount(groups)
    pairs = len(vectors) ** 2 - int((counts**2).sum())
    return (everything - float((own**2).sum())) / pairs if pairs else math.nan


def ranks(probes: Vectors, mates: Sequence[str], gallery: Vectors, people: Sequence[str]) -> NDArray[np.int64]:
    """For each probe (unit row), how many gallery faces of other people are more similar than its best mate: 0 is a
    top-1 hit, below 5 a top-5 hit in closed-set identification. A probe without a mate is a ValueError."""
    names, out = np.asarray(people), np.empty(len(probes), np.int64)
    for at, (probe, mate) in enumerate(zip(probes, mates, strict=True)):
        similarity, own = gallery @ probe, names == mate
        if not own.any():
            raise ValueError(f"{mate} has no other photo in the gallery")
        out[at] = int((similarity[~own] > similarity[own].max()).sum())
    return out


def interval(
    values: NDArray[np.floating],
    groups: Sequence[str],
    statistic: Callable[[Array], float] | None = None,
    seed: int = 1,
) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles) of a statistic of `values` (N,), by default their mean; whole identities
    are drawn (Efron & Tibshirani 1993, 8.3), since photos of one person are not independent."""
    rng, cluster = np.random.default_rng(seed), np.unique(np.asarray(groups), return_inverse=True)[1]
    order, count = np.argsort(cluster, kind="stable"), int(cluster.max()) + 1
    chosen = (rng.integers(0, count, count) for _ in range(ROUNDS))
    if statistic is None:
        sums, sizes = np.bincount(cluster, values.astype(np.float64)), np.bincount(cluster)
        drawn = [float(sums[i].sum() / sizes[i].sum()) for i in chosen]
    else:
        members = np.split(values.astype(np.float64)[order], np.cumsum(np.bincount(cluster))[:-1])
        drawn = [statistic(np.concatenate([members[at] for at in i])) for i in chosen]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def proportion(hits: NDArray[np.floating], groups: Sequence[str], seed: int = 1) -> tuple[float, float]:
    """95 % interval of a share of 0s and 1s: `interval`, and where all are alike, which no bootstrap can judge, the
    exact bound for as many trials as there are identities (Clopper & Pearson 1934)."""
    share = float(hits.mean())
    if share not in (0.0, 1.0):
        return interval(hits, groups, seed=seed)
    edge = ((1 - LEVEL) / 2) ** (1 / len(set(groups)))
    return (0.0, 1 - edge) if share == 0 else (edge, 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number (Holm 1979): below 0.05 once in 20 such families if nothing is there."""
    order, worst = np.argsort(p_values, kind="stable"), 0.0
    out = [0.0] * len(p_values)
    for place, at in enumerate(order):
        worst = max(worst, min(1.0, p_values[at] * (len(p_values) - place)))
        out[at] = worst
    return out
