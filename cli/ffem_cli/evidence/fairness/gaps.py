"""Mean difference and disparate impact between groups of faces, and how sure they are.

For a score in [0, 1] of every face (IoU with its reference box, 0 where it is missed):
mean difference = mean(unprivileged) - mean(privileged), disparate impact = mean(unprivileged) / mean(privileged).
Men and Indians are the privileged, as in the paper. 0 and 1 are fair; a negative difference is at the cost of the
unprivileged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffem_cli.evidence.fairness.faces import FEMALE, INDIAN, MALE, RACES, Face

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
ROUNDS, LEVEL = 4000, 0.95


@dataclass(frozen=True)
class Pair:
    """Two groups: `attribute` with the value(s) of the unprivileged and of the privileged."""

    name: str
    attribute: str
    unprivileged: tuple[int, ...]
    privileged: tuple[int, ...]

    def masks(self, faces: Sequence[Face]) -> tuple[Mask, Mask]:
        """Which faces are unprivileged and which privileged."""
        values = np.array([getattr(face, self.attribute) for face in faces])
        return np.isin(values, self.unprivileged), np.isin(values, self.privileged)


_OTHERS = tuple(race for race in range(len(RACES)) if race != INDIAN)
GENDER = Pair("women to men", "gender", (FEMALE,), (MALE,))
RACE = Pair("all others to Indian", "race", _OTHERS, (INDIAN,))
SINGLE = tuple(Pair(f"{RACES[race]} to Indian", "race", (race,), (INDIAN,)) for race in _OTHERS)
PAIRS = (GENDER, RACE, *SINGLE)


def mean_difference(scores: Array, unprivileged: Mask, privileged: Mask) -> float:
    """Of scores (N,)."""
    return float(scores[unprivileged].mean() - scores[privileged].mean())


def disparate_impact(scores: Array, unprivileged: Mask, privileged: Mask) -> float:
    """Of scores (N,); NaN where the privileged score nothing."""
    below = float(scores[privileged].mean())
    return float(scores[unprivileged].mean()) / below if below > 0 else math.nan


class Bootstrap:
    """Faces drawn with replacement within each gender x race cell; the same draws for all covers and detectors, so that
    differences between them are of the same faces. Of one face in a cell nothing can be drawn: its values are NaN."""

    def __init__(self, faces: Sequence[Face], seed: int, rounds: int = ROUNDS) -> None:
        rng, cells = np.random.default_rng(seed), np.array([face.cell for face in faces])
        self.times = np.zeros((rounds, len(faces)), np.float32)  # how often a face was drawn
        for cell in np.unique(cells):
            members = np.flatnonzero(cells == cell)
            shares = np.full(len(members), 1 / len(members))
            enough = len(members) > 1
            self.times[:, members] = rng.multinomial(len(members), shares, rounds) if enough else np.nan

    def means(self, scores: Array, mask: Mask) -> Array:
        """The mean score of a group in every round, (rounds,)."""
        drawn = self.times[:, mask]
        return np.asarray((drawn @ scores[mask].astype(np.float32)) / drawn.sum(axis=1), np.float64)

    def differences(self, scores: Array, unprivileged: Mask, privileged: Mask) -> Array:
        """Mean differences, (rounds,)."""
        return self.means(scores, unprivileged) - self.means(scores, privileged)

    def impacts(self, scores: Array, unprivileged: Mask, privileged: Mask) -> Array:
        """Disparate impacts, (rounds,); NaN where the privileged score nothing."""
        below = self.means(scores, privileged)
        return np.where(below > 0, self.means(scores, unprivileged) / np.where(below > 0, below, 1), np.nan)


def interval(drawn: Array) -> tuple[float, float] | None:
    """95 % percentile interval of values of the bootstrap; None where a value is missing."""
    if np.isnan(drawn).any():
        return None
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def two_sided(drawn: Array) -> float:
    """How likely a value as far from 0 would be if there were no difference: twice the smaller share of draws on either
    side of 0, at least 2 / (rounds + 1). 1 where values are missing."""
    if np.isnan(drawn).any():
        return 1.0
    below, above = int((drawn <= 0).sum()), int((drawn >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(drawn) + 1))
