"""Features of latents and covers that attacks compare, and how: Gram matrices, cosines, distances."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def side(n: int) -> int:
    """m of a latent of 3 x m x m coordinates."""
    return math.isqrt(n // 3)


def gram(latents: Floats) -> Floats:
    """Upper triangles of Z^T Z, Z as m x 3m: what no orthogonal A on the left changes. float32 (N, 3m (3m + 1) / 2)."""
    m = side(latents.shape[1])
    upper = np.triu_indices(3 * m)
    out = np.empty((len(latents), len(upper[0])), np.float32)
    for at, z in enumerate(latents):
        rows = z.reshape(m, 3 * m)
        out[at] = (rows.T @ rows)[upper]
    return out


def unit(rows: NDArray[np.floating]) -> Floats:
    """Rows at length 1."""
    length = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return np.asarray(rows / length, np.float32)


class Standard:
    """Subtracts the mean and divides by the spread of a reference, column by column."""

    def __init__(self, reference: Floats) -> None:
        self.mean, spread = reference.mean(axis=0), reference.std(axis=0)
        self.spread = np.maximum(spread, 1e-6 * float(spread.max()) + 1e-12)

    def __call__(self, rows: Floats) -> Floats:
        return np.asarray((rows - self.mean) / self.spread, np.float32)


def nearness(rows: Floats, gallery: Floats) -> Floats:
    """Minus the squared distance of each row to each of the gallery, (N, G)."""
    own, theirs = (rows**2).sum(axis=1)[:, None], (gallery**2).sum(axis=1)[None]
    return np.asarray(2 * (rows @ gallery.T) - own - theirs, np.float32)


def templates(gallery: Floats, first: Floats, second: Floats, slices: list[slice]) -> Floats:
    """What another photo of a person leads one to expect: the mean latent, and of what a photo differs from it the
    share that photos of one person have in common, measured on pairs (Q, n) for each level of the flow."""
    mean, out = (first.mean(axis=0) + second.mean(axis=0)) / 2, gallery.copy()
    for where in slices:
        a, b = first[:, where] - mean[where], second[:, where] - mean[where]
        share = float((a * b).sum() / math.sqrt(float((a * a).sum()) * float((b * b).sum())))
        out[:, where] = mean[where] + max(share, 1e-3) * (gallery[:, where] - mean[where])
    return out


class Principal:
    """The first `count` principal components of a reference (N, d), each scaled to spread 1."""

    def __init__(self, reference: Floats, count: int) -> None:
        self._scale = Standard(reference)
        rows = self._scale(reference)
        values, vectors = np.linalg.eigh((rows @ rows.T).astype(np.float64))
        kept = np.argsort(values)[::-1][: min(count, len(rows) - 1)]
        values = np.maximum(values[kept], 1e-9)
        self._basis = np.asarray(rows.T @ (vectors[:, kept] / values), np.float32) * np.float32(math.sqrt(len(rows)))

    def __call__(self, rows: Floats) -> Floats:
        """(N, d) -> (N, count)."""
        return np.asarray(self._scale(rows) @ self._basis, np.float32)
