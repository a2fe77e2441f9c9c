"""How well scores name the right one, and whether that is more than an ideal cover gives away.

Hits are shares: where several score alike, a guess among them. Intervals and tests go by identity: keys and photos of
one person are not independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffem_cli.eval.measures import LEVEL, interval

Array = NDArray[np.float64]
_FLIPS = 10_000


@dataclass(frozen=True)
class Scores:
    """How alike each trial (row) is to each candidate (column), larger is more; `truth` (N,) is the right column,
    `groups` whose trial it is (identities)."""

    matrix: NDArray[np.floating]
    truth: NDArray[np.intp]
    groups: tuple[str, ...]

    def found(self) -> Array:
        """(N, 3): top-1 hit, top-5 hit, and the right one's place from 0 (first) to 1 (last); by chance 0.5."""
        right = self.matrix[np.arange(len(self.matrix)), self.truth][:, None]
        above, alike = (self.matrix > right).sum(axis=1), (self.matrix == right).sum(axis=1)
        hits = [np.clip((within - above) / alike, 0, 1) for within in (1, 5)]
        place = (above + (alike - 1) / 2) / max(1, self.matrix.shape[1] - 1)
        return np.stack([*hits, place], axis=1)


def by_group(values: Array, groups: Sequence[str]) -> Array:
    """Means of values (N, k) by identity, (identities, k), in the order of their names."""
    index = np.unique(np.asarray(groups), return_inverse=True)[1]
    sums = np.zeros((int(index.max()) + 1, values.shape[1]))
    np.add.at(sums, index, values)
    return np.asarray(sums / np.bincount(index)[:, None])


def difference(real: Array, control: Array, seed: int = 1) -> tuple[float, float]:
    """95 % interval of mean(real - control), both (identities,): a bootstrap over identities; where they never differ,
    the exact bound for as many trials as there are identities, to both sides."""
    apart = real - control
    if not apart.any():
        edge = ((1 - LEVEL) / 2) ** (1 / len(apart))
        return edge - 1, 1 - edge
    return interval(apart, [str(at) for at in range(len(apart))], seed=seed)


def p_above(real: Array, control: Array, seed: int = 1) -> float:
    """How often identities whose two results are swapped at random (the exact test of no difference, 10,000 draws)
    show a mean difference as large as that of `real` over `control`: one-sided, smaller is worse for a cover."""
    apart = (real - control)[real != control]
    if not len(apart):
        return 1.0
    rng, reached = np.random.default_rng(seed), 0
    for _ in range(0, _FLIPS, 1000):
        signs = rng.integers(0, 2, (1000, len(apart)), np.int8) * 2 - 1
        reached += int((signs @ apart >= apart.sum() - 1e-12).sum())
    return (reached + 1) / (_FLIPS + 1)
