"""The attacks' rows as tables, a plot and claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from ffem_cli.evidence.attacks.table import SIDE, Attack
from ffem_cli.evidence.result import Claim, Plot, Result, Series, Table, Text

Row = dict[str, Any]

_HOW = """\
An attacker knows everything but the keys: the encoder, the rotation, faces.cbor, pose.json, I_enc and the fakes. \
He has, of {people} people, the very photo that was sealed ("same photo"; "noise known": even the noise that the \
key adds before encoding) or another photo of the person ("another photo"). He encodes these galleries himself, \
and ranks them by how well they fit a sealed face. Top-1 is how often the right person comes first; guessing gives \
1 in {people}.

Each attack is also run on an ideal cover: numbers that were drawn without looking at the face, and then packed \
like Z_enc. No attack can beat that. `sphere` withstands an attack if its top-1 is not more than the ideal \
cover's. The difference is given with its 95 % interval (bootstrap over identities; where nothing differed, the \
exact bound), whose upper end has to stay within a margin: 1 point, and 7 to 8 points where there are only eight \
or four things to choose from. A small p says that an attack learns something: one-sided exact tests of top-1 and \
of the right one's place in the whole ranking, corrected for {comparisons} comparisons (Holm).

Keys are fresh for each face and each of {keys} sealings (one where an attack is costly). An attack that finds \
nothing anywhere would prove nothing, so each also meets a cover that is weak on purpose: no rotation, or fewer \
rounds."""

_LIMITS = """\
What this does not show. `sphere` is a heuristic cover that these attacks were tried on, not a proven cipher: \
another attack may do better, and the pixels do not rest on it but on AES-256-GCM. Three rounds would not be enough: a \
latent of a single coordinate, which no picture has, shows as a grid of values once the last transform is undone."""

_REUSE = """\
Known plaintext under one key: with a key that was used twice, both rotations fall, `block` to one pair, since its \
3m columns determine A's m rows, and `sphere` because rotations keep inner products. So the key of a face is \
derived from the capture, the index of the face, the model, the rotation and the precision, and sealing again \
draws a new capture uid."""

_SIDE = """\
A capture shows where a face is and how it is turned, and all that no box covers. That identifies the same photo, \
and now and then another photo of the same occasion: clothes, hair beyond the box, a place. No rotation changes it \
and no ideal cover would. Whoever must not be recognised by their surroundings needs more than this project gives."""


def percent(value: float, digits: int = 1) -> str:
    """A share in per cent."""
    return f"{100 * value:.{digits}f} %"


def result(rows: Sequence[Row], record: Mapping[str, Any], attacks: Sequence[Attack], *, proves: bool) -> Result:
    """What the section shows for its rows. `proves` False: too few trials to judge any claim."""
    side = {attack.name for attack in attacks if attack.family == SIDE}
    main = [row for row in rows if row["judged"] and row["rotation"] in ("block", "sphere")]
    weak = [row for row in rows if row["judged"] and row["rotation"] not in ("block", "sphere")]
    reuse = [row for row in rows if not row["judged"] and row["attack"] not in side]
    open_ = [row for row in rows if row["attack"] in side]
    comparisons = max((row["comparisons"] for row in main), default=0)
    text = _HOW.format(people=record["people"], comparisons=comparisons, keys=record["keys"])
    parts: list[Text | Table | Plot] = [Text(f"{_short(main)}\n\n{text}")]
    for rotation in ("sphere", "block"):
        chosen = [row for row in main if row["rotation"] == rotation]
        if chosen:
            good = "good: no difference" if rotation == "sphere" else "the paper's rotation, for comparison"
            parts.append(_table(f"`{rotation}` beside the ideal cover ({good})", chosen))
    if weak:
        parts.append(_table("The same attacks on covers that are weak on purpose (good: found)", weak))
    if reuse:
        parts += [Text(_REUSE), _table("Known plaintext under one key, which the key tree rules out", reuse)]
    if open_:
        parts += [Text(_SIDE), _table("What is not covered (control: people shuffled)", open_)]
    parts += _plots(main)
    if record["variance_explained_by_networks"]:
        told = [[name, f"{value:.3f}"] for name, value in record["variance_explained_by_networks"].items()]
        note = "On the attacker's own held-out faces. 0: no better than the mean face."
        parts.append(
            Table("What the trained networks explain of a face's description", ("network", "variance"), told, note)
        )
    parts.append(Text(_LIMITS))
    return Result({"rows": list(rows)}, record, parts, _claims(rows, proves))


def _short(main: Sequence[Row]) -> str:
    """The answer in a few words: how often each rotation did as well as the ideal cover."""
    told = []
    for rotation in ("sphere", "block"):
        rows = [row for row in main if row["rotation"] == rotation]
        if rows:
            broken = max(rows, key=lambda row: row["top1"] - row["control_top1"])
            held = sum(bool(row["passes"]) for row in rows)
            told.append(
                f"`{rotation}` does as well as an ideal cover in {held} of {len(rows)} comparisons; the most that an "
                f"attack names is {percent(broken['top1'])} ({broken['title']}; ideal cover "
                f"{percent(broken['control_top1'])})"
            )
    return "In short: " + ". ".join(told or ["no attack on a rotation was asked for"]) + "."


def _table(title: str, rows: Sequence[Row]) -> Table:
    columns = ("attack", "photo", "rotation", "trials", "top-1", "ideal", "chance", "difference, points", "p", "")
    shown = []
    for row in rows:
        low, high = (100 * end for end in row["difference_ci95"])
        p = row.get("p_holm", min(row["p_top1"], row["p_place"]))
        shown.append(
            [
                row["title"],
                row["photo"],
                row["rotation"],
                row["trials"],
                percent(row["top1"], 2),
                percent(row["control_top1"], 2),
                percent(row["chance"], 2),
                f"{100 * row['difference']:+.2f} ({low:+.2f} to {high:+.2f})",
                f"{p:.3f}" if p >= 0.001 else "< 0.001",
                _verdict(row),
            ]
        )
    return Table(title, columns, shown)


def _verdict(row: Row) -> str:
    found = row["detected"] if row["detected"] is not None else min(row["p_top1"], row["p_place"]) < 0.05
    if row["passes"] is None:
        return "found" if found else "nothing found"
    if row["passes"]:
        return "withstands"
    return "BROKEN" if found else "not shown (margin)"


def _plots(rows: Sequence[Row]) -> list[Plot]:
    out = []
    for photo, what in (("same", "the very photo"), ("another", "another photo of the person")):
        chosen = [row for row in rows if row["photo"].split(",")[0] == photo]
        names = list(dict.fromkeys(_label(row) for row in chosen))
        series = []
        for rotation in dict.fromkeys(row["rotation"] for row in chosen):
            by_name = {_label(row): row for row in chosen if row["rotation"] == rotation}
            # an attack that was not run on this rotation has no bar
            ends = [by_name[name]["ci95"] if name in by_name else (nan, nan) for name in names]
            tops = [100 * by_name[name]["top1"] if name in by_name else nan for name in names]
            low, high = ([100 * end[at] for end in ends] for at in (0, 1))
            series.append(Series(rotation, names, tops, low, high))
        if series:
            by_name = {_label(row): row for row in chosen}
            series.append(Series("ideal cover", names, [100 * by_name[name]["control_top1"] for name in names]))
            title = f"How often an attacker who has {what} names the right person"
            out.append(Plot(f"attacks_{photo}", title, "bars", "attack", "top-1, %", series))
    return out


def _label(row: Row) -> str:
    return str(row["title"]) + (f" ({row['photo'].split(', ')[1]})" if ", " in row["photo"] else "")


def _claims(rows: Sequence[Row], proves: bool) -> list[Claim]:
    out = []
    for attack in dict.fromkeys(row["attack"] for row in rows if row["judged"] and row["rotation"] == "sphere"):
        own = [row for row in rows if row["attack"] == attack and row["rotation"] == "sphere"]
        worst = max(own, key=lambda row: row["difference_ci95"][1])
        low, high = (100 * end for end in worst["difference_ci95"])
        measured = f"{100 * worst['difference']:+.2f} points ({low:+.2f} to {high:+.2f})"
        points = f"{100 * worst['margin']:.0f}"
        goal = f"no more than the ideal cover, at most {points} {'point' if points == '1' else 'points'} above"
        text = f"`sphere` withstands: {own[0]['title']}"
        out.append(Claim(text, goal, measured, all(row["passes"] for row in own) if proves else None))
    block = [row for row in rows if row["attack"] == "gram" and row["rotation"] == "block"]
    for row in block:
        design = "100 %" if row["photo"] == "same" else "13.5 to 15.8 % with the design's flow of 64 px"
        text = f"`block` is broken by Gram matrices, {row['photo']} photo"
        measured = f"{percent(row['top1'])} (chance {percent(row['chance'])})"
        out.append(
            Claim(text, f"above the ideal cover ({design})", measured, bool(row["detected"]) if proves else None)
        )
    return out
