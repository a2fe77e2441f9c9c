"""From vectors of covered probes to figures: identification, verification, and whether it is more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffem_cli.eval.measures import proportion

Floats = NDArray[np.float32]
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
FALSE_ACCEPTS = (0.001, 0.01)
IMPOSTORS = 500_000  # pairs that a threshold takes at least
ALARM = 0.05  # corrected probability below which hits are more than chance
ALLOWED, OF = 8, 5_000  # top-1 hits, of trials, that still are at chance


@dataclass(frozen=True)
class Crowd:
    """Among whom is looked for: unit vectors (G, d) of gallery photos, and which of them show a probe's person,
    bool (N, G). Photos that are a probe's near duplicate are in no row of `others` or `mates`."""

    vectors: Floats
    mates: Mask
    others: Mask

    @property
    def chance(self) -> tuple[float, float]:
        """Share of top-1 and top-5 hits of an attacker who guesses."""
        mates, all_ = self.mates.sum(axis=1), (self.mates | self.others).sum(axis=1)
        first = float(np.mean(mates / all_))
        missed = np.ones(len(mates))
        for drawn in range(5):
            missed *= np.clip((all_ - mates - drawn) / (all_ - drawn), 0, 1)
        return first, float(np.mean(1 - missed))


@dataclass(frozen=True)
class Limits:
    """Cosines from which a pair is accepted, one for each of `FALSE_ACCEPTS`, and from how many pairs they are."""

    cosines: tuple[float, ...]
    pairs: int


@dataclass(frozen=True)
class Score:
    """What an attacker reaches against a cover with one recogniser. Shares are in [0, 1], intervals of 95 %; `accepted`
    are the shares of pairs of a covered probe and a mate that are accepted at `FALSE_ACCEPTS`. `p` is the probability
    of so many top-1 hits or more by chance, and `corrected` the same after Holm; `found` is the share of covered photos
    in which there was a face, `who` are the people with a top-1 hit."""

    cover: str
    recogniser: str
    attacker: str
    trials: int
    people: int
    hits: tuple[int, int]
    shares: tuple[float, float]
    intervals: tuple[tuple[float, float], tuple[float, float]]
    accepted: tuple[float, float]
    accepted_intervals: tuple[tuple[float, float], tuple[float, float]]
    chance: tuple[float, float]
    found: float
    p: float
    limits: Limits
    who: frozenset[str]
    corrected: float = math.nan

    @property
    def at_chance(self) -> bool:
        """Whether the hits are no more than guesses give."""
        few = self.trials < OF or self.hits[0] * OF <= ALLOWED * self.trials
        return few and self.corrected > ALARM


def score(
    cover: str,
    recogniser: str,
    attacker: str,
    views: Sequence[Floats],
    people: Sequence[str],
    crowd: Crowd,
    limits: Limits,
) -> Score:
    """Identifies `views`, unit vectors (N, d) of the probes for each key; a row of zeros is a photo without a face,
    and a miss."""
    ranked, accepted, found = [], [], []
    for vectors in views:
        similar = vectors @ crowd.vectors.T
        there: Mask = np.abs(vectors).max(axis=1) > 0
        best = np.where(crowd.mates, similar, -np.inf).max(axis=1)
        rank = ((similar > best[:, None]) & crowd.others).sum(axis=1)
        ranked.append(np.where(there, rank, len(crowd.vectors)))
        count = np.maximum(1, crowd.mates.sum(axis=1))
        passed = [((similar >= t) & crowd.mates).sum(axis=1) / count for t in limits.cosines]
        accepted.append(np.stack(passed, axis=1) * there[:, None])
        found.append(there)
    ranks, owners = np.concatenate(ranked), list(people) * len(views)
    tops = [(ranks < within).astype(np.float64) for within in (1, 5)]
    # a probe's share of accepted mates, so that people with many photos do not count more
    passes = np.concatenate(accepted).astype(np.float64)
    chance = crowd.chance
    hits = int(tops[0].sum())
    return Score(
        cover,
        recogniser,
        attacker,
        len(ranks),
        len(set(people)),
        (hits, int(tops[1].sum())),
        (float(tops[0].mean()), float(tops[1].mean())),
        (proportion(tops[0], owners), proportion(tops[1], owners)),
        (float(passes[:, 0].mean()), float(passes[:, 1].mean())),
        (proportion(passes[:, 0], owners), proportion(passes[:, 1], owners)),
        chance,
        float(np.concatenate(found).mean()),
        at_least(hits, len(ranks), chance[0]),
        limits,
        frozenset(owner for owner, hit in zip(owners, tops[0], strict=True) if hit),
    )


def thresholds(vectors: Floats, people: Sequence[str], left_out: set[str], seed: int) -> Limits:
    """Cosines that are exceeded by `FALSE_ACCEPTS` of the pairs of different people, none of them in `left_out`: of at
    most 3,000 photos, drawn by the seed."""
    kept = [at for at, person in enumerate(people) if person not in left_out]
    unit, names = vectors[kept], np.unique(np.asarray(people)[kept], return_inverse=True)[1]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(kept))[:3_000]
    unit, names = unit[order], names[order]
    parts = []
    for at in range(len(unit) - 1):
        parts.append((unit[at + 1 :] @ unit[at])[names[at + 1 :] != names[at]])
    pairs = np.concatenate(parts) if parts else np.zeros(1, np.float32)
    return Limits(tuple(float(np.quantile(pairs, 1 - rate)) for rate in FALSE_ACCEPTS), len(pairs))


def at_least(hits: int, trials: int, chance: float) -> float:
    """Probability of `hits` or more of independent `trials` with this chance each (binomial)."""
    if hits <= 0:
        return 1.0
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(chance)
        + (trials - k) * math.log1p(-chance)
        for k in range(hits, trials + 1)
    ]
    top = max(logs)
    return min(1.0, math.exp(top) * sum(math.exp(value - top) for value in logs))


def holm(values: Sequence[float]) -> list[float]:
    """Probabilities corrected for their number (Holm 1979), in the order given."""
    order = sorted(range(len(values)), key=lambda at: values[at])
    out, worst = [0.0] * len(values), 0.0
    for rank, at in enumerate(order):
        worst = max(worst, min(1.0, values[at] * (len(values) - rank)))
        out[at] = worst
    return out
