"""From vectors of covered probes to figures: identification, verification, and whether it is more than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffem_cli.eval.measures import interval, proportion

Floats = NDArray[np.float32]
Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
FALSE_ACCEPTS = (0.001, 0.01)
IMPOSTORS = 500_000  # pairs that a threshold takes at least
ALARM = 0.05  # corrected probability below which hits are more than chance
ALLOWED, OF = 8, 5_000  # top-1 hits, of trials, that still are at chance
_DRAWS = 10_000


@dataclass(frozen=True)
class Crowd:
    """Among whom is looked for: unit vectors (G, d) of gallery photos, whose they are, and which of them show a probe's
    person, bool (N, G). Photos that are a probe's near duplicate are in no row of `others` or `mates`."""

    vectors: Floats
    people: Sequence[str]
    mates: Mask
    others: Mask

    @property
    def chance(self) -> tuple[float, float]:
        """Share of top-1 and top-5 hits of an attacker who guesses."""
        mates, all_ = self.mates.sum(axis=1), (self.mates | self.others).sum(axis=1)
        first = float(np.mean(mates / all_))
        missed = np.ones(len(mates))
        for drawn in range(5):
            missed *= np.clip((all_ - mates - drawn) / np.maximum(all_ - drawn, 1), 0, 1)
        return first, float(np.mean(1 - missed))


@dataclass(frozen=True)
class Limits:
    """Cosines from which a pair is accepted, one for each of `FALSE_ACCEPTS`, and from how many pairs they are."""

    cosines: tuple[float, ...]
    pairs: int


@dataclass(frozen=True)
class Score:
    """What an attacker reaches against a cover with one recogniser. Shares are in [0, 1], intervals of 95 %; `accepted`
    are the shares of pairs of a covered probe and a mate that are accepted at `FALSE_ACCEPTS`. `p` is how often
    so many top-1 hits or more come by luck (`by_luck`), and `corrected` the same after Holm; `found` is the share of
    covered photos in which there was a face, `of_person` each person's share of top-1 hits."""

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
    of_person: Mapping[str, float]
    corrected: float = math.nan

    @property
    def at_chance(self) -> bool:
        """Whether the hits are no more than guesses give."""
        few = self.trials < OF or self.hits[0] * OF <= ALLOWED * self.trials
        return few and self.corrected > ALARM

    @property
    def who(self) -> frozenset[str]:
        """The people with a top-1 hit."""
        return frozenset(person for person, share in self.of_person.items() if share)


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
    ranked, accepted, found, named = [], [], [], []
    allowed, names = crowd.mates | crowd.others, np.asarray(crowd.people)
    for vectors in views:
        similar = vectors @ crowd.vectors.T
        there: Mask = np.abs(vectors).max(axis=1) > 0
        best = np.where(crowd.mates, similar, -np.inf).max(axis=1)
        rank = ((similar > best[:, None]) & crowd.others).sum(axis=1)
        ranked.append(np.where(there, rank, len(crowd.vectors)))
        first = names[np.where(allowed, similar, -np.inf).argmax(axis=1)]
        named.append(np.where(there, first, ""))
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
        by_luck(np.concatenate(named), owners),
        limits,
        _shares(tops[0], owners),
    )


def _shares(hits: Array, owners: Sequence[str]) -> dict[str, float]:
    people, index = np.unique(np.asarray(owners), return_inverse=True)
    shares = np.bincount(index, hits) / np.bincount(index)
    return dict(zip(people.tolist(), shares.tolist(), strict=True))


def above(one: Score, reference: Score) -> tuple[float, tuple[float, float]]:
    """By how much the share of top-1 hits of `one` lies above that of `reference`, over the same people, and its 95 %
    interval: a bootstrap over people; where nobody's shares differ, the exact bound for as many trials as people."""
    apart = np.array([share - reference.of_person[person] for person, share in one.of_person.items()])
    if not apart.any():
        _, edge = proportion(apart, list(one.of_person))
        return 0.0, (-edge, edge)
    return float(apart.mean()), interval(apart, list(one.of_person))


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


def by_luck(named: Sequence[str] | NDArray[np.str_], owners: Sequence[str], seed: int = 1) -> float:
    """How often so many trials or more name their owner if covers are dealt to people at random (10,000 draws): the
    exact test of no connection between a cover and its person. All trials of a person are dealt together, since what
    is around a face looks the same under every key. `named` is who is found in each trial, "" for nobody."""
    people = {person: at for at, person in enumerate(sorted(set(owners)))}
    pairs = [(people[owner], people[name]) for owner, name in zip(owners, named, strict=True) if name in people]
    if not pairs:
        return 1.0
    whose, whom = np.array(pairs).T
    reached, hits, rng = 0, int((whose == whom).sum()), np.random.default_rng(seed)
    for _ in range(0, _DRAWS, 1000):
        dealt = rng.permuted(np.tile(np.arange(len(people)), (1000, 1)), axis=1)
        reached += int(((dealt[:, whose] == whom).sum(axis=1) >= hits).sum())
    return (reached + 1) / (_DRAWS + 1)
