"""The section's texts, tables and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ffem_cli.evidence.fairness import haar, looking
from ffem_cli.evidence.fairness.faces import GENDERS, RACES
from ffem_cli.evidence.fairness.figures import cell_name
from ffem_cli.evidence.fairness.gaps import GENDER, RACE, SINGLE
from ffem_cli.evidence.fairness.looking import BARE, COVERS, FAKES, JUDGED, TEMPERATURES
from ffem_cli.evidence.result import Cell, Plot, Series, Table, Text

DEFAULT = FAKES[1]
_FACES = ("original", BARE, *COVERS)
_BARS = ("original", "pixelated", "blurred", *FAKES)  # nothing is found in I_enc
_FEW = 0.1  # share found below which a gap is not drawn
_ALL = "original, all faces"

_ABOUT = f"""A detector that finds some people's faces worse than others' is unfair to them, and a picture whose \
faces are covered may change that. For each face the score is the overlap (IoU, 0 to 1) of the detector's best box \
with the face's reference box; a missed face scores 0. Mean difference is the mean score of the unprivileged less that \
of the privileged: 0 is fair, below 0 is at the cost of the unprivileged. Disparate impact is the ratio of the same \
two: 1 is fair, and 0.8 is where US practice begins to suspect discrimination. Privileged are men and, for origin, \
Indians, as in the paper. Both figures are computed by AIF360, which is given each face twice: found with its score as \
weight, and not found with the rest.

A gap says nothing without the level. A detector that finds nobody has no gap, which is why the level stands in front, \
and why I_enc, in which no detector should find a face, is not called fair here.

The reference box is the one that the camera's own detector (CenterFace, at several scales) finds in the original; it \
is the same for every detector and cover. CenterFace as a judge looks once, at score {looking.SURE}; it has the \
advantage of having drawn the reference. Haar is OpenCV 4's frontal face cascade (scaleFactor {haar.SCALE_FACTOR}, \
minNeighbors {haar.MIN_NEIGHBOURS}, minSize {haar.MIN_SIZE} px): its boxes are wider, so it never reaches 1. \
YOLO5Face judges too where its model is at hand. UTKFace's pictures are cut so tightly that detectors miss many \
unchanged faces ("{BARE}" shows how many); all others get a border, a quarter of their side wide, of repeated edge \
pixels, before anything else is done. The labels are UTKFace's: apparent age, gender and origin, in its words."""
_SOURCE = """The paper's tables 4 to 6 are its fairness tables. Its text could not be had where this was written, so \
its numbers are not printed here, and which of them is gender, which origin and which age is not known: the tables by \
gender, by origin, and of apparent age and gender below stand for them."""
_KNOB = """Fakes are drawn from a key, not from the person. Lower temperatures (lambda) draw faces nearer to the \
average face: that is the knob which the paper calls fairness. If it works, apparent ages lie closer together at lower \
temperatures. What the average face looks like is a property of the flow's training pictures, and it need not be \
balanced: read the share that looks female beside it. Age and gender are judged by a network that makes mistakes; its \
mistakes on the originals are in the table."""
_CHANCE = """The same faces are compared, so a change is more certain than the two intervals beside each other \
suggest. `Chance` is how likely such a change would be if there were none, corrected for all comparisons with the \
original (Holm); below 0.05 a change is taken as real. Size is the gap without its sign: negative where the cover \
narrows it, which says something only where the original's gap is larger than its own uncertainty."""


def parts(body: Mapping[str, Any], sealed: int, everybody: int) -> list[Text | Table | Plot]:
    """Everything but the claims, in the order of reading."""
    detectors = list(body["covers"]["original"]["level"])
    return [
        Text(_ABOUT),
        Text(_SOURCE),
        _level(body, detectors, sealed, everybody),
        *(_gap(body, detectors, pair.name, title) for pair, title in ((GENDER, "By gender"), (RACE, "By origin"))),
        _single(body, detectors),
        Text(_CHANCE),
        _changes(body["changes"], "What covers change, by IoU with the reference box"),
        _found(body, detectors),
        _own(body, detectors),
        *(_cells(body, name) for name in detectors[:2]),
        *_gap_plots(body, detectors),
        Text(_KNOB),
        _apparent(body),
        *_knob_plots(body),
    ]


def signed(value: float | None, low_high: Sequence[float] | None = None) -> str:
    """A difference with its interval."""
    if value is None:
        return "-"
    return f"{value:+.3f}" + (f" ({low_high[0]:+.3f} to {low_high[1]:+.3f})" if low_high else "")


def plain(value: float | None, low_high: Sequence[float] | None = None, places: int = 3) -> str:
    """A figure with its interval."""
    if value is None:
        return "-"
    return f"{value:.{places}f}" + (f" ({low_high[0]:.{places}f} to {low_high[1]:.{places}f})" if low_high else "")


def share(value: float, low_high: Sequence[float] | None = None) -> str:
    """A share with its interval."""
    return f"{value:.1%}" + (f" ({low_high[0]:.1%} to {low_high[1]:.1%})" if low_high else "")


def _rows(body: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(_ALL, body["all_originals"]), *((cover, body["covers"][cover]) for cover in _FACES)]


def _level(body: Mapping[str, Any], detectors: Sequence[str], sealed: int, everybody: int) -> Table:
    columns = ["picture", *(f"{name}: {what}" for name in detectors for what in ("mean IoU", "found"))]
    rows: list[list[Cell]] = []
    for name, one in _rows(body):
        row: list[Cell] = [name]
        for by in detectors:
            level = one["level"][by]
            row += [plain(level["iou"], level["iou_ci95"]), share(level["found"], level["found_ci95"])]
        rows.append(row)
    note = f"{sealed} faces, alike many of each gender and origin ({everybody} in the first row); found: IoU of 0.5."
    return Table("Level: how well faces are found at all", columns, rows, note)


def _gap(body: Mapping[str, Any], detectors: Sequence[str], pair: str, title: str) -> Table:
    columns = ["picture", *(f"{name}: {what}" for name in detectors for what in ("difference", "impact"))]
    rows: list[list[Cell]] = []
    for name, one in _rows(body):
        row: list[Cell] = [name]
        for by in detectors:
            gap = one["gap"][by][pair]
            if one["level"][by]["iou"] == 0:
                row += ["nobody found", None]
                continue
            row.append(signed(gap["mean_difference"], gap["mean_difference_ci95"]))
            row.append(plain(gap["disparate_impact"], gap["disparate_impact_ci95"]))
        rows.append(row)
    note = "Good: a difference whose interval includes 0, an impact near 1, and a level (above) as on originals."
    return Table(f"{title}: {pair}, mean difference and disparate impact of IoU", columns, rows, note)


def _single(body: Mapping[str, Any], detectors: Sequence[str]) -> Table:
    rows: list[list[Cell]] = []
    for name in ("original", *FAKES):
        for by in detectors:
            gaps = body["covers"][name]["gap"][by]
            row: list[Cell] = [name, by]
            row += [
                signed(gaps[p.name]["mean_difference"], gaps[p.name]["mean_difference_ci95"])
                for p in SINGLE
                if p.name in gaps
            ]
            rows.append(row)
    present = [p.name for p in SINGLE if p.name in body["covers"]["original"]["gap"][detectors[0]]]
    return Table("By single origin: mean difference of IoU", ["picture", "detector", *present], rows)


def _changes(changes: Sequence[Mapping[str, Any]], title: str) -> Table:
    rows = [
        [
            row["cover"],
            row["detector"],
            row["pair"],
            signed(row["original"]),
            signed(row["covered"]),
            signed(row["change"], row["change_ci95"]),
            signed(row["size_change"], row["size_change_ci95"]),
            f"{row['chance']:.3f}",
        ]
        for row in changes
        if row["cover"] != "I_enc"
    ]
    columns = ["picture", "detector", "gap", "original", "covered", "change", "change of size", "chance"]
    return Table(title, columns, rows)


def _found(body: Mapping[str, Any], detectors: Sequence[str]) -> Table:
    columns = ["picture", *(f"{name}: {what}" for name in detectors for what in ("gender", "origin"))]
    rows: list[list[Cell]] = []
    for name, one in _rows(body):
        row: list[Cell] = [name]
        for by in detectors:
            alike = {0.0: "nobody found", 1.0: "everybody found"}.get(one["level"][by]["found"])
            for pair in (GENDER, RACE):
                gap = one["gap_found"][by][pair.name]
                difference = signed(gap["mean_difference"], gap["mean_difference_ci95"])
                row.append(alike or f"{difference}; {plain(gap['disparate_impact'])}")
        rows.append(row)
    return Table("The same of found or not (IoU of 0.5): mean difference; disparate impact", columns, rows)


def _own(body: Mapping[str, Any], detectors: Sequence[str]) -> Table:
    columns = ["picture", *(f"{name}: {what}" for name in detectors for what in ("level", "gender", "origin"))]
    rows: list[list[Cell]] = []
    for name, one in _rows(body):
        row: list[Cell] = [name]
        for by in detectors:
            level = one["level_own_box"][by]
            row.append(plain(level))
            for pair in (GENDER, RACE):
                gap = one["gap_own_box"][by][pair.name]
                row.append(signed(gap["mean_difference"], gap["mean_difference_ci95"]) if level else "nobody found")
        rows.append(row)
    changes = [row for row in body["changes_own_box"] if row["cover"] in FAKES]
    real = [f"{row['cover']}, {row['detector']}, {row['pair']}" for row in changes if row["chance"] < 0.05]
    note = (
        "A face that the detector misses on the original has no such box and scores 0 everywhere. By these boxes "
        f"{len(real) or 'none'} of {len(changes)} changes from original to fake is real (chance below 0.05, corrected)"
        + (f": {'; '.join(real)}." if real else ".")
    )
    title = "With the detector's own box on the original as the reference: level, mean differences"
    return Table(title, columns, rows, note)


def _cells(body: Mapping[str, Any], detector: str) -> Table:
    shown = ("original", "pixelated", DEFAULT)
    columns = ["faces of", "original, all faces", *shown]
    rows: list[list[Cell]] = []
    for cell in range(len(GENDERS) * len(RACES)):
        name, row = cell_name(cell), list[Cell]([cell_name(cell)])
        for one in (body["all_originals"], *(body["covers"][cover] for cover in shown)):
            figures = one["cells"][detector].get(name)
            row.append(f"{plain(figures['iou'], figures['iou_ci95'])}; {figures['found']:.0%}" if figures else None)
        rows.append(row)
    return Table(f"By gender and origin, {detector}: mean IoU; share found", columns, rows)


def _gap_plots(body: Mapping[str, Any], detectors: Sequence[str]) -> list[Plot]:
    made = []
    for pair, what in ((GENDER, "gender"), (RACE, "origin")):
        for key, name, label in (
            ("mean_difference", "difference", "mean difference of IoU, 0 is fair"),
            ("disparate_impact", "impact", "disparate impact, 1 is fair"),
        ):
            series = [_series(by, key, _drawn(body, by, pair.name)) for by in detectors]
            title = f"{pair.name.capitalize()}: {label.split(',')[0]} by cover, with 95 % intervals"
            note = "Left out: covers under which a detector finds fewer than a tenth of the faces."
            made.append(Plot(f"{name}-{what}", title, "bars", "picture", label, series, note))
    levels = [_series(by, "iou", {cover: body["covers"][cover]["level"][by] for cover in _BARS}) for by in detectors]
    made.insert(0, Plot("level", "How well faces are found at all", "bars", "picture", "mean IoU", levels))
    return made


def _drawn(body: Mapping[str, Any], by: str, pair: str) -> dict[str, Any]:
    """The gaps by cover that are drawn: none where hardly anybody is found, which would look fair, or absurd."""
    covers = body["covers"]
    return {cover: covers[cover]["gap"][by][pair] for cover in _BARS if covers[cover]["level"][by]["found"] >= _FEW}


def _series(name: str, key: str, figures: Mapping[str, Mapping[str, Any]]) -> Series:
    """Bars by cover; nothing is drawn where there is no figure."""
    kept = {cover: one for cover, one in figures.items() if one[key] is not None}
    values = [float(one[key]) for one in kept.values()]
    spans = [one[f"{key}_ci95"] or (value, value) for value, one in zip(values, kept.values(), strict=True)]
    return Series(name, list(kept), values, [low for low, _ in spans], [high for _, high in spans])


def _apparent(body: Mapping[str, Any]) -> Table:
    columns = ["picture", "age", "spread of age (SD)", "looks female", "balance, bits", "sureness", "follows gender"]
    rows: list[list[Cell]] = []
    for name, one in (
        (_ALL, body["apparent_all_originals"]),
        *((c, body["apparent"][c]) for c in ("original", *JUDGED)),
    ):
        rows.append(
            [
                name,
                plain(one["age"], one["age_ci95"], 1),
                plain(one["age_sd"], one["age_sd_ci95"], 1),
                share(one["female"], one["female_ci95"]),
                plain(one["female_entropy_bits"], one["female_entropy_bits_ci95"], 2),
                share(one["gender_sureness"]),
                signed(one["follows_gender"], one["follows_gender_ci95"]),
            ]
        )
    first = body["apparent_all_originals"]
    note = (
        f"On originals the network is off by {first['age_error']:.1f} years on average and agrees with the labelled "
        f"gender for {first['gender_as_labelled']:.1%}. Balance: 1 bit where half look female. Sureness: mean "
        "probability of the likelier gender. Follows gender: share that looks female among women less that among men; "
        "0 where a fake says nothing of the person's gender."
    )
    return Table("Apparent age and gender by temperature", columns, rows, note)


def _knob_plots(body: Mapping[str, Any]) -> list[Plot]:
    made = []
    for key, title, label in (
        ("age_sd", "Spread of apparent ages by temperature", "standard deviation, years"),
        ("age", "Apparent age by temperature", "mean, years"),
        ("female", "Share of fakes that look female, by temperature", "share"),
    ):
        rows = [body["apparent"][cover] for cover in JUDGED]
        spans = [row[f"{key}_ci95"] for row in rows]
        # one face a cell has no intervals
        ends = [[span[end] for span in spans] for end in (0, 1)] if all(spans) else (None, None)
        fakes = Series("fakes", TEMPERATURES, [row[key] for row in rows], *ends)
        level = body["apparent"]["original"][key]
        series = [fakes, Series("originals", TEMPERATURES, [level] * len(rows))]
        made.append(Plot(f"{key.replace('_', '-')}-by-temperature", title, "lines", "temperature", label, series))
    return made
