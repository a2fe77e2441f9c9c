"""Runs the attacks: every face sealed again and again under fresh keys, and beside each cover an ideal one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ffem_chain.errors import InputError, MissingExtra
from ffem_cli.eval import data, protocol
from ffem_cli.eval.measures import holm, proportion
from ffem_cli.eval.recognisers import OnnxRecogniser, Recogniser, open_recogniser
from ffem_cli.evidence.attacks import showing
from ffem_cli.evidence.attacks.invariants import Step
from ffem_cli.evidence.attacks.statistics import Array, by_group, difference, p_above
from ffem_cli.evidence.attacks.table import FAMILIES, SIDE, Attack, chosen_attacks
from ffem_cli.evidence.attacks.world import Plan, Sealing, World, source
from ffem_cli.evidence.result import Result
from ffem_cli.evidence.setting import Setting

ANY = "any"  # rotation of what no rotation hides
_RECOGNISER = "weights/mobilefacenet_128d.onnx"


def plan_of(setting: Setting, **given: Any) -> Plan:
    """The full or the small plan on the data of a setting, with fields of it as given."""
    own = setting.data / "utkface" / "train"
    plan: dict[str, Any] = {
        "own": own if own.is_dir() else None,
        "probes": setting.size(400, 16),
        "known": setting.size(120, 12),
        "trained": setting.size(1500, 32),
        "epochs": setting.size(20, 1),
        "keys": setting.size(2, 1),
        "trials": setting.size(60, 4),
        **given,
    }
    if "people" not in plan:
        plan["people"] = setting.folder("lfw/identities")
    return Plan(**plan)


def measure(setting: Setting, plan: Plan) -> Result:
    """The section, or what `plan` selects of it. InputError where it selects nothing."""
    attacks = chosen_attacks(plan.only)
    if not attacks or not plan.rotations:
        raise InputError(f"there is no attack {', '.join(plan.only)}", f"--only one of: {', '.join(FAMILIES)}")
    recogniser = _recogniser(setting)
    camera = setting.camera
    world = World(
        plan,
        camera.model,
        camera.pose,
        recogniser,
        seed=setting.seed,
        cache=setting.cache,
        say=setting.say,
        retrain=setting.retrain,
    )
    depends: dict[str, object] = {
        "code": protocol.code(),
        "camera": {**camera.depends, "detector": "256 px", "rotation": None},
        "recogniser": recogniser.digest if recogniser else None,
        "seed": setting.seed,
        "people": [data.listing(plan.people), plan.probes, plan.known],
        "own": [data.listing(plan.own) if plan.own else None, plan.trained, plan.epochs],
        "trials": plan.trials,
        "retrained": setting.retrain,
    }
    rows = judged(run(world, attacks, depends), setting.seed)

    def who() -> dict[str, object]:
        return {
            "people": len(world.people),
            "known_people": len(world.others.people),
            "data": data.describe(world.attacked.photos),
        }

    record = {
        "model": camera.model.name,
        "model_id": camera.model.model_id.hex(),
        "pose": camera.pose.name if camera.pose else None,
        "recogniser": {"name": recogniser.name, "sha256": recogniser.digest} if recogniser else None,
        "seed": setting.seed,
        **setting.cache.document("people under attack", who, **depends),
        "own_faces": {"folder": plan.own.name if plan.own else None, "at_most": plan.trained},
        "keys": plan.keys,
        "small": setting.small,
        "variance_explained_by_networks": world.notes,
    }
    return showing.result(rows, record, attacks, proves=not setting.small)


def _recogniser(setting: Setting) -> Recogniser | None:
    if setting.recognisers:
        return open_recogniser(setting.recognisers[0])
    if (setting.data / _RECOGNISER).exists():
        return OnnxRecogniser(setting.data / _RECOGNISER)
    try:
        return open_recogniser("dlib")
    except MissingExtra:
        return None


@dataclass
class Found:
    """What one attack found under one rotation with one photo: (trials, 3) of `Scores.found` a key, beside those of
    ideal covers."""

    attack: Attack
    rotation: str
    photo: str
    candidates: int
    groups: list[str] = field(default_factory=list)
    real: list[Array] = field(default_factory=list)
    ideal: list[Array] = field(default_factory=list)


def run(world: World, attacks: Sequence[Attack], depends: dict[str, object]) -> list[Found]:
    """All trials of the attacks, in the order of the table; what was run before with the same `depends` is not run
    again."""
    steps: dict[str, Step] = {}

    def trials(attack: Attack, sealing: Sealing) -> dict[str, Any]:
        world.say(f"{attack.title}, {sealing.name}, key {sealing.number + 1}", 0)
        if attack.name not in steps:
            steps[attack.name] = attack.start(world)
        before = set(world.notes)
        kept = {
            photo: {"candidates": s.matrix.shape[1], "groups": s.groups, "found": s.found().tolist()}
            for photo, s in steps[attack.name](sealing).items()
        }
        return {"photos": kept, "notes": {k: world.notes[k] for k in world.notes if k not in before}}

    def kept(attack: Attack, sealing: Sealing) -> dict[str, Any]:
        rotation = sealing.rotation if attack.by_rotation or not sealing.ideal else None
        which = [attack.name, rotation, sealing.ideal, sealing.number, _code(attack)]
        found = world.cache.document("attack", lambda: trials(attack, sealing), which=which, **depends)
        world.notes.update(found["notes"])
        return dict(found["photos"])

    out: dict[tuple[str, str, str], Found] = {}
    for number in range(world.plan.keys):
        shared: dict[str, dict[str, Any]] = {}  # ideal covers are the same for all rotations
        for rotation, sealed in _rotations(world, attacks, number):
            ideal = Sealing(world, rotation, number, ideal=True)
            for attack in _due(attacks, rotation, number, world.plan):
                name = f"{attack.name} {rotation}" if attack.by_rotation else attack.name
                if name not in shared:
                    shared[name] = kept(attack, ideal)
                label = ANY if attack.family == SIDE else rotation
                for photo, one in kept(attack, sealed).items():
                    key = (attack.name, label, photo)
                    found = out.setdefault(key, Found(attack, label, photo, one["candidates"]))
                    found.groups += one["groups"]
                    found.real.append(np.array(one["found"]))
                    found.ideal.append(np.array(shared[name][photo]["found"]))
    names = [attack.name for attack in attacks]
    return sorted(out.values(), key=lambda found: names.index(found.attack.name))


def _rotations(world: World, attacks: Sequence[Attack], number: int) -> Iterator[tuple[str, Sealing]]:
    references = dict.fromkeys(name for attack in attacks for name in attack.references)
    for rotation in dict.fromkeys([*world.plan.rotations, *(references if number == 0 else ())]):
        yield rotation, Sealing(world, rotation, number)


def _due(attacks: Sequence[Attack], rotation: str, number: int, plan: Plan) -> list[Attack]:
    """The attacks that are run on this rotation with the key of this number."""
    out = []
    for attack in attacks:
        if number >= (attack.keys or plan.keys):
            continue
        if attack.family == SIDE:
            wanted = rotation == plan.rotations[-1]
        else:
            wanted = rotation in (*plan.rotations, *attack.references)
        if wanted:
            out.append(attack)
    return out


def _code(attack: Attack) -> str:
    """Digest of the source that an attack's outcome depends on."""
    names = ("covers", "features", "scene", "statistics", "world", attack.start.__module__.rpartition(".")[2])
    return source(*names)


def judged(found: Sequence[Found], seed: int) -> list[dict[str, Any]]:
    """The rows of the JSON document: docs in `showing`. P values are corrected over all rows of a rotation."""
    rows = [_row(one, seed) for one in found]
    for rotation in dict.fromkeys(row["rotation"] for row in rows):
        family = [row for row in rows if row["rotation"] == rotation and row["judged"]]
        corrected = holm([p for row in family for p in (row["p_top1"], row["p_place"])])
        for at, row in enumerate(family):
            row["p_holm"] = min(corrected[2 * at : 2 * at + 2])
            row["comparisons"] = len(corrected)
            beyond = row["difference_ci95"][1] > row["margin"]
            row["passes"] = None if rotation not in ("block", "sphere") else row["p_holm"] >= 0.05 and not beyond
            row["detected"] = row["p_holm"] < 0.05
    return rows


def _row(found: Found, seed: int) -> dict[str, Any]:
    values = np.concatenate([np.concatenate(found.real), np.concatenate(found.ideal)], axis=1)
    means = by_group(values, found.groups)
    real, ideal = means[:, :3], means[:, 3:]
    hits = np.concatenate(found.real)[:, 0]
    return {
        "attack": found.attack.name,
        "title": found.attack.title,
        "photo": found.photo,
        "rotation": found.rotation,
        "gallery": found.candidates,
        "probes": len(means),
        "trials": len(values),
        "top1": float(real[:, 0].mean()),
        "top5": float(real[:, 1].mean()),
        "place": float(real[:, 2].mean()),
        "chance": 1 / found.candidates,
        "ci95": list(proportion(hits, found.groups, seed=seed)),
        "control_top1": float(ideal[:, 0].mean()),
        "control_top5": float(ideal[:, 1].mean()),
        "control_place": float(ideal[:, 2].mean()),
        "difference": float((real - ideal)[:, 0].mean()),
        "difference_ci95": list(difference(real[:, 0], ideal[:, 0], seed)),
        "difference_top5_ci95": list(difference(real[:, 1], ideal[:, 1], seed)),
        "p_top1": p_above(real[:, 0], ideal[:, 0], seed),
        "p_place": p_above(-real[:, 2], -ideal[:, 2], seed),
        "margin": found.attack.margin,
        "judged": found.attack.judged,
        "passes": None,
        "detected": None,
    }
