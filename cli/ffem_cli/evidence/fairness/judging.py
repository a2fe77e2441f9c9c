"""What the project says of fairness, judged by the figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffem_cli.eval.measures import holm
from ffem_cli.evidence.fairness.gaps import GENDER, RACE, Pair
from ffem_cli.evidence.fairness.looking import FAKES, JUDGED
from ffem_cli.evidence.fairness.words import DEFAULT, plain, signed
from ffem_cli.evidence.result import Claim

SURE_OF = 0.05  # chance below which a difference is taken as real
FOUR_FIFTHS = 0.8
KEPT = 0.05  # of mean IoU that a fake may cost


def claims(body: Mapping[str, Any]) -> list[Claim]:
    """Each with its goal and what was measured."""
    return [
        _narrows(body, GENDER, "Fakes narrow the detectors' gap between women and men"),
        _narrows(body, RACE, "Fakes narrow the detectors' gap between Indians and all others"),
        _widens(body),
        _four_fifths(body),
        _level(body),
        _knob(body),
        _follows(body),
    ]


def _narrows(body: Mapping[str, Any], pair: Pair, text: str) -> Claim:
    rows = [row for row in body["changes"] if row["cover"] == DEFAULT and row["pair"] == pair.name]
    unfair = [row for row in rows if row["original_chance_alone"] < SURE_OF]
    words = "; ".join(
        f"{row['detector']} {signed(row['original'])} to {signed(row['covered'])}, size "
        f"{signed(row['size_change'], row['size_change_ci95'])}"
        for row in rows
    )
    goal = "for every detector with a gap on originals, a smaller one on fakes (interval of the change of size below 0)"
    if not unfair:
        return Claim(text, goal, f"no detector has a gap on these originals: {words}", None)
    return Claim(text, goal, words, all(row["size_change_ci95"][1] < 0 for row in unfair))


def _widens(body: Mapping[str, Any]) -> Claim:
    rows = [row for row in body["changes"] if row["cover"] in FAKES]
    real = [
        f"{row['cover']}, {row['detector']}, {row['pair']}: {signed(row['original'])} to {signed(row['covered'])}"
        for row in rows
        if row["chance"] < SURE_OF and row["size_change"] > 0
    ]
    words = "; ".join(real) or f"none of {len(rows)} comparisons"
    known = [row for row in rows if row["size_change_ci95"]]
    if known:
        worst = max(known, key=lambda row: float(row["size_change_ci95"][1]))
        where = ", ".join(str(worst[name]) for name in ("cover", "detector", "pair"))
        words += f"; these faces do not rule out a widening by up to {worst['size_change_ci95'][1]:.3f} ({where})"
    goal = f"no change towards a larger gap is real (chance below {SURE_OF}, corrected) at any temperature"
    return Claim("Fakes widen no gap", goal, words, not real)


def _four_fifths(body: Mapping[str, Any]) -> Claim:
    found = {
        f"{by}, {pair.name}": gap[pair.name]
        for by, gap in body["covers"][DEFAULT]["gap"].items()
        for pair in (GENDER, RACE)
    }
    words = "; ".join(
        f"{name} {plain(gap['disparate_impact'], gap['disparate_impact_ci95'])}" for name, gap in found.items()
    )
    spans = [gap["disparate_impact_ci95"] for gap in found.values()]
    fair = all(low >= FOUR_FIFTHS and high <= 1 / FOUR_FIFTHS for low, high in spans) if all(spans) else None
    text = f"Detectors treat people alike on fakes ({DEFAULT})"
    goal = "disparate impact within 0.8 to 1.25, interval included, for every detector, by gender and by origin"
    return Claim(text, goal, words, fair)


def _level(body: Mapping[str, Any]) -> Claim:
    pairs = {
        by: (body["covers"]["original"]["level"][by]["iou"], body["covers"][DEFAULT]["level"][by]["iou"])
        for by in body["covers"]["original"]["level"]
    }
    words = ", ".join(f"{by} {was:.3f} to {now:.3f}" for by, (was, now) in pairs.items())
    text = "That is not bought with worse detection"
    return Claim(
        text, f"mean IoU on fakes at most {KEPT} below originals", words, all(w - n <= KEPT for w, n in pairs.values())
    )


def _knob(body: Mapping[str, Any]) -> Claim:
    spreads = [body["apparent"][cover]["age_sd"] for cover in JUDGED]
    between = body["age_sd_coolest_less_hottest_ci95"]
    words = ", ".join(f"{cover}: {sd:.1f} years" for cover, sd in zip(JUDGED, spreads, strict=True))
    if between:
        words += f"; lowest less highest {between[0]:+.1f} to {between[1]:+.1f}"
    goal = "the spread of apparent ages grows with the temperature, lowest to highest by more than chance"
    holds = between[1] < 0 and spreads == sorted(spreads) if between else None
    return Claim("A smaller lambda gives faces nearer to one average", goal, words, holds)


def _follows(body: Mapping[str, Any]) -> Claim:
    rows = {cover: body["apparent"][cover] for cover in JUDGED}
    words = ", ".join(f"{name} {signed(r['follows_gender'], r['follows_gender_ci95'])}" for name, r in rows.items())
    chances = holm([row["follows_gender_chance"] for row in rows.values()])
    goal = f"women's fakes look female as often as men's, at every temperature (chance above {SURE_OF}, corrected)"
    judged = all(row["follows_gender_ci95"] for row in rows.values())
    holds = min(chances) >= SURE_OF if judged else None
    return Claim("A fake does not show its person's gender", goal, words, holds)
