"""The section on fakes: what it claims of figures, on figures written here."""

from __future__ import annotations

import math
from typing import Any

import pytest

from ffem_cli.evidence import fakes
from ffem_cli.evidence.result import Plot, Result, Sheet, Table, Text

MADE: dict[str, Any] = {
    "detected": {"one": 1.0, "two": 0.97, "blind": None},
    "detection": {"one": {"ci95": (0.99, 1.0), "fakes": 300}, "two": {"ci95": (0.95, 0.99), "fakes": 299}},
    "fakes": 300,
    "trials": 300,
    "probes": 300,
    "gallery": 4600,
    "temperature": 0.45,
    "top1": 0.0,
    "top1_hits": 0,
    "top5": 0.01,
    "top1_original": 0.96,
    "top5_original": 0.98,
    "chance_top1": 0.0005,
    "ci95": {"top1": (0.0, 0.012), "top5": (0.0, 0.02)},
    "cosine_to_own_original": 0.02,
    "pairwise_cosine": 0.13,
    "pairwise_cosine_real": 0.01,
    "frechet": None,
    "frechet_real": 0.1,
    "sharpness": 400.0,
    "sharpness_real": 500.0,
    "sharpness_ratio": 0.8,
}
DRAWN: dict[str, Any] = {
    "model": "ffem-64",
    "seed": 1,
    "temperature": 0.45,
    "fakes": 1500,
    "held_out": 857,
    "real": 1500,
    "frechet": 0.2,
    "frechet_real": 0.05,
    "sharpness": 36.0,
    "sharpness_real": 91.0,
    "pairwise_cosine": 0.17,
    "pairwise_cosine_real": 0.09,
    "nearest": {
        "training_faces": 16272,
        "fakes": {"mean": 0.48, "p95": 0.55, "max": 0.6},
        "held_out": {"mean": 0.58, "p95": 0.93, "max": 1.0},
    },
}


def told(**changed: Any) -> Result:
    return fakes.told({**MADE, **changed}, DRAWN, {"seed": 1}, b"png")


def test_claims_follow_the_figures() -> None:
    result = told()
    holds = [claim.holds for claim in result.claims]
    assert holds == [True, False, True, False, True, True], "97 % are too few, 0.12 above real faces too alike"
    assert [claim.holds for claim in told(pairwise_cosine=0.11).claims][3] is True
    assert [claim.holds for claim in told(sharpness_ratio=0.49).claims][4] is False
    assert [claim.holds for claim in told(top1_hits=1).claims][2] is True, "14 of 100 guessers hit once"
    assert [claim.holds for claim in told(top1_hits=3).claims][2] is False
    copied = {**DRAWN, "nearest": {**DRAWN["nearest"], "fakes": {"mean": 0.5, "p95": 0.95, "max": 1.0}}}
    assert fakes.told(MADE, copied, {}, b"").claims[-1].holds is False, "faces learnt by heart"
    assert [type(part) for part in result.parts] == [Text, Table, Table, Plot, Sheet]
    # what a detector never found has no share and no claim
    table = result.parts[1]
    assert isinstance(table, Table) and ("found by blind", "-", "", "100 %") in table.rows


@pytest.mark.parametrize(("hits", "trials", "chance"), [(0, 10, 0.1), (1, 10, 0.1), (10, 10, 0.5)])
def test_the_tail_of_guessing(hits: int, trials: int, chance: float) -> None:
    exact = sum(math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(hits, trials + 1))
    assert fakes.tail(hits, trials, chance) == pytest.approx(exact, abs=1e-12)
