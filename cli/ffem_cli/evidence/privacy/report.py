"""The section's figures as text, tables, a plot and claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ffem_cli.eval import data
from ffem_cli.evidence.privacy.figures import ALARM, ALLOWED, FALSE_ACCEPTS, IMPOSTORS, OF, Score, above
from ffem_cli.evidence.privacy.run import ROTATIONS, Measured, is_ours, names, ordered
from ffem_cli.evidence.privacy.words import DEFAULT, closing, opening, short
from ffem_cli.evidence.result import Cell, Claim, Plot, Result, Series, Sheet, Table, Text
from ffem_cli.evidence.setting import Setting

# Zhu et al. 2023, table 2, as far as its figures are at hand: a blur whose strength the paper does not state
PAPER = {"blur-3x3": "0.2 % (blur of a strength not stated)"}
BEYOND_BLACK = 0.01  # share of top-1 hits by which I_enc may lie above the black box, with its interval
Part = Text | Table | Plot | Sheet


def result(setting: Setting, measured: Measured) -> Result:
    """The section's outcome."""
    known = [one.name for one in measured.recognisers]
    parts: list[Part] = [
        Text(short(measured)),
        Text(opening(measured)),
        _recognised(measured, known, 0),
        _plot(measured, known),
        _chance(measured),
        _recognised(measured, known, 1),
        *([_found(measured, known)] if measured.of("detector") else []),
        _verified(measured, known),
        _networks(measured),
        Text(closing(measured)),
    ]
    rows = [_row(one) for one in measured.scores]
    figures = {"rows": rows, "keys": measured.keys, "speed_ms": measured.speed}
    return Result(figures, _record(setting, measured), parts, _claims(measured))


def _cell(share: float, interval: tuple[float, float]) -> str:
    return f"{share:.1%} ({interval[0]:.1%} to {interval[1]:.1%})"


def _by_cover(scores: Sequence[Score], known: Sequence[str], cell: Callable[[Score], str]) -> list[list[Cell]]:
    """A row a cover: its label, trials, and a cell for each recogniser."""
    rows: list[list[Cell]] = []
    for name, label in names().items():
        of_it = {one.recogniser: one for one in scores if one.cover == name}
        if of_it:
            trials = " / ".join(str(n) for n in dict.fromkeys(one.trials for one in of_it.values()))
            rows.append([label, trials, *(cell(of_it[r]) if r in of_it else None for r in known)])
    return rows


def _recognised(measured: Measured, known: Sequence[str], which: int) -> Table:
    scores = measured.of("landmarks")
    rows = _by_cover(scores, known, lambda one: _cell(one.shares[which], one.intervals[which]))
    columns = ["cover", "trials", *known]
    if which == 0:
        labels = {names()[name]: value for name, value in PAPER.items()}
        rows = [[*row, labels.get(str(row[0]))] for row in rows]
        columns.append("the paper prints")
    chance = scores[0].chance[which]
    return Table(
        f"Who is recognised: top-{(1, 5)[which]}, by recogniser",
        columns,
        rows,
        f"Lower is better; a guess reaches {chance:.2%}. In brackets the 95 % interval, over whole people. Trials: "
        "people times fresh keys. The attacker knows the original's landmarks.",
    )


def _found(measured: Measured, known: Sequence[str]) -> Table:
    scores = measured.of("detector")
    rows = _by_cover(scores, known, lambda one: _cell(one.shares[0], one.intervals[0]))
    found = {names()[one.cover]: one.found for one in scores}
    rows = [[*row[:2], f"{found[str(row[0])]:.1%}", *row[2:]] for row in rows]
    return Table(
        "Who is recognised by an attacker who has the covered picture only: top-1",
        ["cover", "trials", "a face is found", *known],
        rows,
        "The face is the one that CenterFace finds nearest to the middle of the covered photo. No face is a miss.",
    )


def _verified(measured: Measured, known: Sequence[str]) -> Table:
    columns, rows = ["cover", "trials"], []
    scores = measured.of("landmarks")
    shown = [name for name in known if any(one.recogniser == name for one in scores)]
    for name in shown:
        columns += [f"{name}, at {rate:.1%}" for rate in FALSE_ACCEPTS]
    for row in _by_cover(scores, shown, lambda one: " | ".join(_accepted(one))):
        cells: list[Cell] = list(row[:2])
        for cell in row[2:]:
            cells += str(cell).split(" | ") if cell else [None] * len(FALSE_ACCEPTS)
        rows.append(cells)
    pairs = min(one.limits.pairs for one in scores)
    return Table(
        "How often a covered photo and another one of the same person are taken for the same person",
        columns,
        rows,
        f"True accepts at thresholds that {FALSE_ACCEPTS[0]:.1%} and {FALSE_ACCEPTS[1]:.1%} of the pairs of different "
        f"other people pass ({pairs:,} pairs or more a recogniser). A cover that hides all leaves as many as that.",
    )


def _accepted(one: Score) -> list[str]:
    return [_cell(share, ci) for share, ci in zip(one.accepted, one.accepted_intervals, strict=True)]


def _chance(measured: Measured) -> Table:
    rows: list[list[Cell]] = [
        [
            names()[one.cover],
            one.recogniser,
            one.hits[0],
            one.trials,
            _whom(measured, one),
            f"{one.chance[0] * one.trials:.1f}",
            f"{one.corrected:.2g}",
            "yes" if one.at_chance else "NO",
            _beyond(measured, one),
        ]
        for one in ordered([one for one in measured.of("landmarks") if is_ours(one)])
    ]
    return Table(
        "Is it more than chance?",
        [
            "cover",
            "recogniser",
            "top-1 hits",
            "of",
            "people hit",
            "a guess hits",
            "probability, corrected",
            "at chance",
            "above the black box",
        ],
        rows,
        "Probability: how often covers that are dealt to people at random are hit so often or more, all keys of a "
        "person together, since who is found by what is around the face, hair and clothes, is found with every key; "
        "corrected by Holm for the number of covers, rotations, recognisers and attackers. At chance: it is above "
        f"{ALARM}, and of {OF:,} trials at most {ALLOWED} hit. People hit, and in brackets how many of them the same "
        "recogniser finds behind the black box as well, where nothing of the face is left. Above the black box: "
        "top-1 in points, over the same people, with its 95 % interval.",
    )


def _black(measured: Measured, one: Score) -> Score:
    """What the same recogniser finds behind black boxes."""
    return next(s for s in measured.of("landmarks", one.recogniser) if s.cover == "black")


def _beyond(measured: Measured, one: Score) -> str:
    by, (low, high) = above(one, _black(measured, one))
    return f"{100 * by:+.2f} ({100 * low:+.2f} to {100 * high:+.2f})"


def _whom(measured: Measured, one: Score) -> str:
    """How many people are hit, and how many of them behind the black box as well."""
    black = {who for s in measured.of("landmarks", one.recogniser) if s.cover == "black" for who in s.who}
    return f"{len(one.who)} ({len(one.who & black)})"


def _beside_black(measured: Measured) -> Claim:
    """Whether I_enc shows recognisers more than the black box does, under any rotation."""
    scores = [one for one in measured.of("landmarks") if one.cover in [f"I_enc {name}" for name in ROTATIONS]]
    worst = max(scores, key=lambda one: above(one, _black(measured, one))[1][1])
    low, high = above(worst, _black(measured, worst))[1]
    return Claim(
        "I_enc shows recognisers no more than a black box in its place",
        f"top-1 over the same people at most {100 * BEYOND_BLACK:.0f} point above, by the 95 % interval, with every "
        "recogniser and rotation",
        f"at most {_beyond(measured, worst)} points ({worst.recogniser}, {names()[worst.cover]})",
        low <= 0 and high <= BEYOND_BLACK,
    )


def _networks(measured: Measured) -> Table:
    rows: list[list[Cell]] = []
    for one in measured.recognisers:
        (own,) = [s for s in measured.of("landmarks", one.name) if s.cover == "original"]
        limits = " and ".join(f"{cosine:.3f}" for cosine in own.limits.cosines)
        rows.append([one.name, f"{one.size} px", own.limits.pairs, limits, _cell(own.shares[0], own.intervals[0])])
    note = "Thresholds are cosines at 0.1 % and 1 % false accepts. Others drop in: --recogniser FILE or FAMILY:FILE."
    if any(s.limits.pairs < IMPOSTORS for s in measured.scores):
        note += f" THIS RUN HAS FEWER THAN {IMPOSTORS:,} IMPOSTOR PAIRS."
    return Table(
        "The recognisers", ["network", "input", "impostor pairs", "thresholds", "top-1, originals"], rows, note
    )


def _plot(measured: Measured, known: Sequence[str]) -> Plot:
    series = []
    for name in known:
        scores = ordered(measured.of("landmarks", name))
        series.append(
            Series(
                name,
                [names()[one.cover] for one in scores],
                [100 * one.shares[0] for one in scores],
                [100 * one.intervals[0][0] for one in scores],
                [100 * one.intervals[0][1] for one in scores],
            )
        )
    return Plot(
        "top1", "Recognised by cover", "bars", "cover", "top-1, %", series, "95 % intervals; a guess reaches 0.05 %."
    )


def _claims(measured: Measured) -> list[Claim]:
    goal = f"at most {ALLOWED} top-1 hits of {OF:,}, corrected probability above {ALARM}, with every recogniser"
    claims = []
    for rotation in ROTATIONS:
        for view, text in (
            ("I_enc", "Recognisers that look at I_enc do no better than a guess"),
            (DEFAULT, "Recognisers that look at the default fake do no better than a guess"),
            ("fake-", "The same at every lambda that was tried"),
        ):
            scores = [
                one
                for one in measured.scores
                if is_ours(one) and one.cover.endswith(f" {rotation}") and one.cover.startswith(view)
            ]
            most = max(one.trials for one in scores)
            worst = max((one for one in scores if one.trials == most), key=lambda one: one.hits[0])
            said = f"at most {worst.hits[0]} of {worst.trials:,} ({worst.recogniser}, {names()[worst.cover]})"
            said += f", people hit (behind black as well): {_whom(measured, worst)}"
            said += f"; lowest corrected probability {min(one.corrected for one in scores):.2g}"
            fewest = min(one.trials for one in scores if one.attacker == "landmarks")  # the stronger attacker
            if fewest < OF:
                said += f"; some views have {fewest:,} trials, which cannot show this goal"
            verdict = (fewest >= OF or None) if all(one.at_chance for one in scores) else False
            claims.append(Claim(f"{text}, rotation {rotation}", goal, said, verdict))
    claims.append(_beside_black(measured))
    originals = [one for one in measured.of("landmarks") if one.cover == "original"]
    said = ", ".join(f"{one.recogniser} {one.shares[0]:.1%}" for one in originals)
    able = len(originals) >= 3 and max(one.shares[0] for one in originals) >= 0.9
    claims.append(Claim("The recognisers can tell people apart", "three of them, the best 90 % or more", said, able))
    weak = [one for one in measured.of("landmarks") if one.cover in ("pixels-4", "pixels-8", "blur-9x9", "blur-4")]
    leak = [one for one in weak if one.intervals[0][0] > one.chance[0]]
    labels = ", ".join(names()[name] for name in dict.fromkeys(one.cover for one in ordered(leak)))
    claims.append(
        Claim(
            "Pixels and blur that look like a cover still show who it is",
            "top-1 above a guess by the 95 % interval: pixels of 4 and 8 px, blur of 9 x 9 and of 4 px",
            labels or "none",
            {one.cover for one in leak} == {one.cover for one in weak},
        )
    )
    if measured.split.probes and int(measured.ground.asked.sum()) < 100:
        return [Claim(one.text, one.goal, one.measured, None) for one in claims]
    return claims


def _row(one: Score) -> dict[str, Any]:
    return {
        "cover": one.cover,
        "recogniser": one.recogniser,
        "attacker": one.attacker,
        "trials": one.trials,
        "people": one.people,
        "found": one.found,
        "top1": one.shares[0],
        "top1_hits": one.hits[0],
        "top1_people": len(one.who),
        "top1_ci95": one.intervals[0],
        "top5": one.shares[1],
        "top5_hits": one.hits[1],
        "top5_ci95": one.intervals[1],
        "chance_top1": one.chance[0],
        "chance_top5": one.chance[1],
        "p": one.p,
        "p_corrected": one.corrected if is_ours(one) else None,
        "at_chance": one.at_chance if is_ours(one) else None,
        "true_accepts": {str(rate): share for rate, share in zip(FALSE_ACCEPTS, one.accepted, strict=True)},
        "true_accepts_ci95": {str(r): ci for r, ci in zip(FALSE_ACCEPTS, one.accepted_intervals, strict=True)},
        "paper_top1": 0.002 if one.cover in PAPER and one.attacker == "landmarks" else None,
    }


def _record(setting: Setting, measured: Measured) -> dict[str, Any]:
    limits = {one.recogniser: one.limits for one in measured.scores}
    return {
        "camera": setting.camera.depends,
        "seed": setting.seed,
        "probes": len(measured.split.probes),
        "probes_left_out": int((~measured.ground.asked).sum()),
        "gallery": len(measured.ground.people),
        "near_duplicates": int(measured.ground.twins.sum()),
        "data": data.describe(measured.split.photos),
        "recognisers": [
            {
                "name": one.name,
                "sha256": one.digest,
                "impostor_pairs": limits[one.name].pairs,
                "thresholds": dict(zip(map(str, FALSE_ACCEPTS), limits[one.name].cosines, strict=True)),
            }
            for one in measured.recognisers
        ],
    }
