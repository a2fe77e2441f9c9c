"""The section `downstream`: three tasks on three sets of pictures, under each cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ffem_chain.errors import MissingExtra
from ffem_chain.faces.finding.detect import Search
from ffem_chain.faces.seal import SMALLEST
from ffem_cli.evidence.detection import finders
from ffem_cli.evidence.downstream.covering import WORDS, Shower
from ffem_cli.evidence.downstream.measuring import SHOWN, Frame, figures, has_small, moving, rows, sealable, stills
from ffem_cli.evidence.downstream.tasks import POINTS, Bodies, Faces, Persons, Task, networks_for
from ffem_cli.evidence.result import Cell, Claim, Plot, Result, Series, Table, Text
from ffem_cli.evidence.setting import Setting
from ffem_cli.pictures import FAKE_TEMPERATURE

SETS = {"video": "clips of one or a few people", "group": "group photos", "widerface": "crowds"}
COUNTERS = ("yolo5face", "scrfd", "centerface")
# set before they were measured: (task, figure, cover, over which set) and what it has to reach
GOALS = (
    ("persons", "recall", "fake", 0.95, "persons found on originals are found on fakes"),
    ("persons", "recall", "I_enc", 0.90, "persons found on originals are found behind I_enc"),
    ("bodies", "arms", "fake", 0.95, "points of shoulders and arms on fakes agree with those on originals"),
    ("bodies", "arms", "I_enc", 0.95, "points of shoulders and arms behind I_enc agree with those on originals"),
    ("bodies", "all", "fake", 0.95, "body points on fakes, the face's among them, agree with those on originals"),
)
WHOLE = {
    "large": f"pictures without faces below {SMALLEST} px",
    "small": f"pictures with faces below {SMALLEST} px",
    "all": "all together",
}
COUNT_GOAL = 0.05
_ABOUT = """Pictures are protected so that they can still be used. Three tasks are done on the original and on the \
same picture under each cover: finding persons (CenterNet), 17 points of each body (MoveNet), and counting faces (by \
detectors that took no part in sealing). What was found on the original is the reference: boxes of persons that are \
found again (IoU 0.5), points that stay within a tenth of the body's size, faces counted in proportion. 100 % is \
perfect."""
_AGREEMENT = """This is agreement with the original and not truth: nobody marked these pictures, and where a network \
errs on the original, erring alike counts as right. How much any harmless change costs is the control, the original \
as JPEG of quality 75: a cover that agrees as well as the control disturbs the task no more than compression does. \
Frames of one clip, and faces of one photo, are one draw of the bootstrap."""
_SMALL = """Why fakes do worse in groups and crowds than in clips: a face that is too small to be sealed gets no fake \
but one flat colour, for ever. The rows by faces below 24 px tell both kinds of pictures apart; they were added after \
the goals had been set and measured, to find the reason, and no claim is made of them. I_enc and pixelation cost \
persons and bodies far more than fakes do: these networks lean on heads."""
_HMDB = """The paper's own task is action recognition on HMDB51, which is not at hand here. `ffem eval hmdb51 \
--videos DIR --splits DIR --network FILE --split 1 --cover fake` runs that protocol for who has the data and a video \
network; it is tested on a small generated data set and was not run on HMDB51."""


def measure(setting: Setting) -> Result:
    """See `Section.measure`."""
    tasks, missing = _tasks(setting)
    shower = Shower(setting.camera, FAKE_TEMPERATURE, setting.seed)
    record: dict[str, Any] = {**shower.depends, "tasks": {task.name: task.depends for task in tasks}}
    every: dict[str, list[Frame]] = {}
    every["video"], record["video"] = moving("video", setting.size(1000, 1), setting.size(6, 2), setting)
    for folder, most in (("group", setting.size(1000, 1)), ("widerface", setting.size(40, 1))):
        every[folder], record[folder] = stills(folder, most, setting)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    values = {name: rows(frames, tasks, shower, setting).astype(np.float64) for name, frames in every.items()}
    values["all"] = np.concatenate(list(values.values()))
    large = {name: {t: int(n.sum()) for t, n in sealable(some, tasks, setting).items()} for name, some in every.items()}
    large["all"] = {task: sum(counts[task] for counts in large.values()) for task in large["video"]}
    clusters = {name: [f"{name}/{frame.cluster}" for frame in frames] for name, frames in every.items()}
    clusters["all"] = [cluster for some in clusters.values() for cluster in some]
    small = has_small(values["all"][:, 0], tasks)
    for name, chosen in (("large", ~small), ("small", small)):
        values[name] = values["all"][chosen]
        clusters[name] = [cluster for cluster, one in zip(clusters["all"], chosen, strict=True) if one]
    for name, some in ((name, some) for name, some in values.items() if len(some)):
        found[name] = {cover: figures(some[:, at], tasks, clusters[name]) for at, cover in enumerate(SHOWN)}
    parts: list[Text | Table | Plot] = [
        Text(_short(found, [task.name for task in tasks])),
        Text(_ABOUT),
        Text(_AGREEMENT),
    ]
    if missing:
        parts.append(Text(f"Not measured here: {missing}"))
    names = [task.name for task in tasks]
    if "persons" in names:
        parts += [_persons(found), _plot(found, "persons", "recall", "Persons found again")]
    if "bodies" in names:
        parts += [_bodies(found), _body_plot(found)]
    for name in names:
        if name.startswith("faces"):
            parts += [_faces(found, name, large), _count_plot(found, name)]
    parts += [Text(_SMALL), Text(_HMDB)]
    return Result(
        {"sets": found, "sealable": large, "missing": missing or None}, record, parts, _claims(found, names, large)
    )


def _short(found: Mapping[str, Any], names: Sequence[str]) -> str:
    """The answer in a few figures."""

    def said(cover: str, some: str) -> str:
        row, out = found[some][cover], []
        for name in names:
            if name == "persons":
                what, one = "persons that are found again", row[name]["recall"]
            elif name == "bodies":
                what, one = "body points that stay in place", row[name]["all"]
            else:
                what, one = f"{name}, in proportion", row[name]["large"]["ratio"]
            out += [f"{what} {one['value']:.0%}"] if one["value"] is not None else []
        return "; ".join(out)

    text = f"In short: on fakes {said('fake', 'all')}. Behind I_enc {said('I_enc', 'all')}."
    if "large" in found:
        text += f" On fakes in {WHOLE['large']}: {said('fake', 'large')}."
    return text


def _tasks(setting: Setting) -> tuple[list[Task], str]:
    tasks: list[Task] = []
    missing = ""
    try:
        nets = networks_for(setting.model_cache)
        tasks += [Persons(nets["centernet"]), Bodies(nets["centernet"], nets["movenet-lightning"])]
    except MissingExtra as error:
        missing = f"persons and bodies, since {error.message} ({error.hint})"
    have = finders.available(setting)
    others = [name for name in COUNTERS if name in have and name != setting.camera.detector.name]
    for name in others[:2]:
        detector = have[name]
        if isinstance(detector, Search):
            detector.coarse = (640,)  # one look suffices to compare a picture with itself
            tasks.append(Faces(detector))
    if not tasks:
        raise MissingExtra("neither a network for persons nor a second face detector is here", "ffem eval networks")
    return tasks, missing


# ---------------------------------------------------------------- words


def percent(one: Mapping[str, Any]) -> str:
    """A share with its interval, or a dash where there was nothing to count."""
    if one["value"] is None:
        return "-"
    low, high = one["ci95"]
    return f"{one['value']:.1%} ({low:.1%} to {high:.1%})"


def _each(found: Mapping[str, Any]) -> list[tuple[str, str, str, Any]]:
    """(set, set in words, cover in words, figures) in the order of reading."""
    names = {**SETS, **WHOLE}
    return [(name, names[name], WORDS[cover], found[name][cover]) for name in names if name in found for cover in SHOWN]


def _persons(found: Mapping[str, Any]) -> Table:
    cells: list[Sequence[Cell]] = []
    for _, name, cover, row in _each(found):
        one = row["persons"]
        cells.append([name, cover, one["recall"]["n"], percent(one["recall"]), percent(one["precision"])])
    columns = ("pictures", "cover", "persons on originals", "found again", "boxes that are on the original too")
    return Table("Persons (CenterNet, score 0.3, IoU 0.5)", columns, cells)


def _bodies(found: Mapping[str, Any]) -> Table:
    cells: list[Sequence[Cell]] = []
    for _, name, cover, row in _each(found):
        one = row["bodies"]
        cells.append([name, cover, one["all"]["n"], *(percent(one[part]) for part in ("all", *POINTS))])
    columns = ("pictures", "cover", "points", "all", "eyes, ears, nose", "shoulders, arms", "hips, legs")
    note = "Share of the points seen on the original that are within a tenth of the body's longer side (PCK at 0.1)."
    return Table("Points of bodies (MoveNet)", columns, cells, note)


def _faces(found: Mapping[str, Any], task: str, large: Mapping[str, Mapping[str, int]]) -> Table:
    cells: list[Sequence[Cell]] = []
    for name, words, cover, row in _each(found):
        one = row[task]
        cells.append(
            [
                words,
                cover,
                one["large"]["ratio"]["n"],
                large[name][task] if name in large else None,
                percent(one["large"]["ratio"]),
                f"{one['large']['mean_absolute_difference']:.2f}",
                percent(one["same"]),
                one["all"]["ratio"]["n"],
                percent(one["all"]["ratio"]),
            ]
        )
    columns = (
        "pictures",
        "cover",
        f"faces of {SMALLEST} px and more",
        "sealed of them",
        "counted again, in proportion",
        "off by, a picture",
        "same place",
        "faces of all sizes",
        "counted again",
    )
    note = (
        f"Faces below {SMALLEST} px are covered for ever: they have no fake, and nobody is meant to count them. The "
        "camera measures them in its own detector's boxes, which are smaller: `sealed of them` is how many have a fake."
    )
    return Table(task.capitalize(), columns, cells, note)


def _plot(found: Mapping[str, Any], task: str, figure: str, title: str) -> Plot:
    series = []
    for cover in SHOWN:
        ones = {SETS[name]: found[name][cover][task][figure] for name in SETS}
        some = {name: one for name, one in ones.items() if one["value"] is not None}
        low, high = ([one["ci95"][at] for one in some.values()] for at in (0, 1))
        series.append(Series(WORDS[cover], list(some), [one["value"] for one in some.values()], low, high))
    return Plot(task.replace(" ", "-"), title, "bars", "pictures", "share", series)


def _body_plot(found: Mapping[str, Any]) -> Plot:
    words = {"head": "eyes, ears, nose", "arms": "shoulders, arms", "legs": "hips, legs"}
    series = []
    for cover in SHOWN:
        ones = {words[part]: found["all"][cover]["bodies"][part] for part in POINTS}
        some = {name: one for name, one in ones.items() if one["value"] is not None}
        low, high = ([one["ci95"][at] for one in some.values()] for at in (0, 1))
        series.append(Series(WORDS[cover], list(some), [one["value"] for one in some.values()], low, high))
    return Plot("bodies", "Points of bodies that stay in place", "bars", "points", "share", series)


def _count_plot(found: Mapping[str, Any], task: str) -> Plot:
    flat = {name: {cover: {task: row[task]["large"]} for cover, row in one.items()} for name, one in found.items()}
    return _plot(flat, task, "ratio", f"Faces of {SMALLEST} px and more, counted again: {task}")


def _claims(found: Mapping[str, Any], names: Sequence[str], large: Mapping[str, Mapping[str, int]]) -> list[Claim]:
    claims = []
    for task, figure, cover, goal, text in GOALS:
        if task in names:
            one = found["all"][cover][task][figure]
            holds = None if one["value"] is None else one["value"] >= goal
            claims.append(Claim(text, f"at least {goal:.0%}", f"{percent(one)} of {one['n']}", holds))
    for task in names:
        if task.startswith("faces"):
            one = found["all"]["fake"][task]["large"]["ratio"]
            holds = None if one["value"] is None else abs(one["value"] - 1) <= COUNT_GOAL
            text = f"as many faces of {SMALLEST} px and more are counted on fakes as on originals ({task})"
            measured = f"{percent(one)} of {one['n']}, of which {large['all'][task]} are large enough to have a fake"
            claims.append(Claim(text, "95 % to 105 %", measured, holds))
    return claims
