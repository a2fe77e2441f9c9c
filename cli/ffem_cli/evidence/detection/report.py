"""The section `detection`: recall by face size on two sets of photos, false alarms at most, and time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ffem_chain.errors import MissingExtra
from ffem_chain.faces.finding.compare import SURE
from ffem_chain.faces.finding.detect import Detector
from ffem_chain.faces.seal import SMALLEST
from ffem_cli.bench import machine
from ffem_cli.eval import data
from ffem_cli.evidence.detection import finders, recall, truth
from ffem_cli.evidence.detection.recall import BANDS, Scene
from ffem_cli.evidence.detection.timing import cpu_ms
from ffem_cli.evidence.result import Cell, Claim, Plot, Result, Series, Table, Text
from ffem_cli.evidence.setting import Setting

SETS = {"group": "group photos", "widerface": "crowds"}
SIDES = (416, 1024, 2048)  # px, at which time is taken
# of the camera's own detector, set before it was measured: share of the reference faces that its boxes cover
GOALS = {("group", "large"): 0.99, ("group", "small"): 0.95, ("widerface", "large"): 0.98, ("widerface", "small"): 0.95}

_ABOUT = """A camera can protect only the faces that it finds. This table asks how many of the faces in photos of \
many people each detector plug-in finds (recall: a box that overlaps the face's by an IoU of 0.5), and how many would \
be covered: all five landmarks and nine tenths of the face's box lie under the boxes that the camera draws around \
what it found. The second is what protects; it forgives a box that is placed or sized differently. 100 % is \
perfect."""
_AGREED = """These photos come without true boxes. A detector is therefore asked for the faces of which at least two \
of the other detectors are sure (score 0.6), so that none is judged by itself. That flatters all of them: a face that \
everybody misses, or that only one finds, is not in the reference, and the detectors were trained on photos of the \
same kind and fail alike. The column "unsure ones too" asks for all that two others find at their own threshold of \
0.3, harder faces and more false alarms among them. The references differ a little from detector to detector. Who has \
WIDER FACE in its own layout gets its true boxes instead."""
_TRUE = "The boxes of WIDER FACE's annotation are the reference; those that it marks as invalid are left out."
_HAAR = (
    " The Haar cascade (OpenCV 4, faces from 30 px) is judged as the others are and asked about none of them; its "
    "process is not timed."
)


def measure(setting: Setting) -> Result:
    """See `Section.measure`."""
    named = finders.available(setting)
    if setting.camera.detector.name not in named:
        named = {setting.camera.detector.name: setting.camera.detector, **named}
    record: dict[str, Any] = {"seed": setting.seed, "detectors": list(named), "sure": SURE, "iou": recall.OVERLAP}
    cascade = finders.haar(setting)
    judged: dict[str, Detector] = {**named, cascade.name: cascade} if cascade else named
    sets: dict[str, dict[str, Any]] = {}
    for folder in SETS:
        scenes, described = _scenes(folder, judged, setting)
        if len(named) < 3 and scenes[0].true is None:
            raise MissingExtra(
                f"two other detectors have to agree on a face, and only {', '.join(named)} can be had",
                "ffem models import FILE (docs/PLUGINS.md: which)",
            )
        record[folder] = described
        sets[folder] = {name: _row(scenes, name) for name in judged}
    times = _times(named, setting)
    if cascade:
        cascade.close()
    record["machine"] = machine.describe()
    body = {"sets": sets, "cpu_ms": times, "sides": list(SIDES)}
    own = setting.camera.detector.name
    parts: list[Text | Table | Plot] = [
        Text(_short(sets, own)),
        Text(_ABOUT),
        *_words(record),
        *(_table(folder, sets[folder], times) for folder in SETS),
    ]
    parts += [_by_size(folder, sets[folder]) for folder in SETS]
    parts += [*(_plot(folder, sets[folder]) for folder in SETS), _time_table(times), _time_plot(times)]
    return Result(body, record, parts, _claims(sets, own))


def _scenes(folder: str, named: Mapping[str, Detector], setting: Setting) -> tuple[list[Scene], dict[str, Any]]:
    place, most = setting.folder(folder), setting.size(100_000, 2)
    if truth.has_truth(place):
        known = truth.read(place)[:most]
        shown, true = [photo for photo, _ in known], [faces for _, faces in known]
    else:
        shown, true = finders.photos(place, most), None
    found = {name: finders.find(detector, shown, setting) for name, detector in named.items()}
    scenes = []
    for at, photo in enumerate(shown):
        height, width = data.read(photo.path).shape[:2]
        seen = {name: faces[at] for name, faces in found.items()}
        scenes.append(Scene(photo.name, width, height, seen, true[at] if true is not None else None))
    described = {
        "photos": len(shown),
        "sha256": data.digest((photo.name, photo.path) for photo in shown),
        "reference": "agreement of two others" if true is None else "true boxes",
    }
    if true is not None:
        described["truth_sha256"] = hashlib.sha256((place / truth.ANNOTATION).read_bytes()).hexdigest()
    return scenes, described


def _row(scenes: Sequence[Scene], name: str) -> dict[str, Any]:
    found = recall.trials(scenes, name)
    return {
        "all": found.shares(),
        "large": found.shares(SMALLEST),
        "small": found.shares(0, SMALLEST),
        "unsure": recall.trials(scenes, name, 0).shares() if scenes[0].true is None else None,
        "bands": [{"from": low, "to": high, **found.shares(low, high)} for low, high in BANDS],
        "boxes_a_photo": sum(len(scene.found[name]) for scene in scenes) / len(scenes),
        "unconfirmed_a_photo": recall.unconfirmed(scenes, name),
    }


def _times(named: Mapping[str, Detector], setting: Setting) -> dict[str, dict[str, float]]:
    shown = [data.read(photo.path) for photo in finders.photos(setting.folder("group"), 1000)]
    shown = sorted(shown, key=lambda picture: -picture.size)[: setting.size(3, 1)]
    out = {}
    for done, (name, detector) in enumerate(named.items()):
        setting.say("timing detectors", done)
        out[name] = {str(side): round(cpu_ms(detector, shown, side), 1) for side in setting.size(SIDES, SIDES[:1])}
    return out


# ---------------------------------------------------------------- words


def _short(sets: Mapping[str, Mapping[str, Any]], own: str) -> str:
    """The answer in a few figures."""
    large = {folder: sets[folder][own]["large"] for folder in SETS}
    covered = " and ".join(
        f"{row['covered']:.1%} of {row['faces']} in {SETS[folder]}" for folder, row in large.items() if row["faces"]
    )
    most = [max((one["all"]["recall"] or 0, name) for name, one in sets[folder].items()) for folder in SETS]
    best = " and ".join(
        f"{name} in {SETS[folder]} ({share:.1%})" for folder, (share, name) in zip(SETS, most, strict=True)
    )
    return (
        f"In short: of the faces of {SMALLEST} px and more on which others agree, the camera's own detector ({own}) "
        f"covers {covered or 'none: there were none'}. Most faces of all sizes are found by {best}."
    )


def share(row: Mapping[str, Any], name: str) -> str:
    """A share with its interval, or a dash where there was nothing to count."""
    if row[name] is None:
        return "-"
    low, high = row[f"{name}_ci95"]
    return f"{row[name]:.1%} ({low:.1%} to {high:.1%})"


def _words(record: Mapping[str, Any]) -> list[Text]:
    kinds = {record[folder]["reference"] for folder in SETS}
    return [Text(text) for text, kind in ((_AGREED, "agreement of two others"), (_TRUE, "true boxes")) if kind in kinds]


def _table(folder: str, rows: Mapping[str, Any], times: Mapping[str, Mapping[str, float]]) -> Table:
    side = "416" if folder == "widerface" else "1024"
    cells: list[list[Cell]] = []
    for name, row in rows.items():
        whole, large, small = row["all"], row["large"], row["small"]
        cells.append(
            [
                name,
                whole["faces"],
                share(whole, "recall"),
                share(large, "covered"),
                share(small, "covered"),
                "-" if row["unsure"] is None else f"{share(row['unsure'], 'covered')} of {row['unsure']['faces']}",
                f"{row['boxes_a_photo']:.1f}",
                f"{row['unconfirmed_a_photo']:.2f}",
                times.get(name, {}).get(side),
            ]
        )
    columns = (
        "detector",
        "faces",
        "recall",
        f"covered, {SMALLEST} px and more",
        f"covered, below {SMALLEST} px",
        "covered, unsure ones too",
        "boxes a photo",
        "sure, but nobody agrees, a photo",
        f"CPU ms, {side} px",
    )
    note = (
        "95 % intervals in brackets, by a bootstrap that draws whole photos. A sure box on which nobody agrees is a "
        "false alarm or a face that only this detector finds."
    ) + (_HAAR if "haar" in rows else "")
    return Table(f"Recall on {SETS[folder]}", columns, cells, note)


def _by_size(folder: str, rows: Mapping[str, Any]) -> Table:
    cells: list[list[Cell]] = []
    for name, row in rows.items():
        for band in row["bands"]:
            cells.append([name, _band(band), band["faces"], share(band, "recall"), share(band, "covered")])
    columns = ("detector", "shorter side, px", "faces", "recall", "covered")
    return Table(f"By size of the face, {SETS[folder]}", columns, cells)


def _band(band: Mapping[str, Any]) -> str:
    return f"{band['from']} and more" if band["to"] == BANDS[-1][1] else f"{band['from']} to {band['to']}"


def _plot(folder: str, rows: Mapping[str, Any]) -> Plot:
    series = []
    for name, row in rows.items():
        bands = [band for band in row["bands"] if band["faces"]]
        low = [band["recall_ci95"][0] for band in bands]
        high = [band["recall_ci95"][1] for band in bands]
        series.append(Series(name, [_band(band) for band in bands], [band["recall"] for band in bands], low, high))
    title = f"Recall by size of the face, {SETS[folder]}"
    return Plot(f"recall-{folder}", title, "bars", "shorter side of the face, px", "share found", series)


def _time_table(times: Mapping[str, Mapping[str, float]]) -> Table:
    sides = list(next(iter(times.values())))
    cells: list[list[Cell]] = [[name, *(row[side] for side in sides)] for name, row in times.items()]
    note = (
        "Milliseconds of processor time of one thread, medians over group photos scaled to this long side; the search "
        "runs at several scales, as in the camera."
    )
    return Table("Time a picture", ("detector", *(f"{side} px" for side in sides)), cells, note)


def _time_plot(times: Mapping[str, Mapping[str, float]]) -> Plot:
    series = [Series(name, [float(side) for side in row], list(row.values())) for name, row in times.items()]
    return Plot("time", "Time a picture", "lines", "long side, px", "CPU ms", series)


def _claims(sets: Mapping[str, Mapping[str, Any]], own: str) -> list[Claim]:
    claims = []
    for (folder, size), goal in GOALS.items():
        row = sets[folder][own][size]
        what = f"{SMALLEST} px and more" if size == "large" else f"below {SMALLEST} px"
        text = f"the camera's detector ({own}) covers the reference faces of {what} in {SETS[folder]}"
        holds = None if row["covered"] is None else row["covered"] >= goal
        claims.append(Claim(text, f"at least {goal:.0%}", f"{share(row, 'covered')} of {row['faces']}", holds))
    return claims
