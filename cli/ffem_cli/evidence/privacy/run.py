"""Runs the section: originals, the covers of others, I_enc and fakes, each looked at by every recogniser."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError, MissingExtra
from ffem_chain.faces.posing import align
from ffem_cli.eval import data, protocol
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.covers import COVERS
from ffem_cli.eval.measures import holm
from ffem_cli.eval.protocol import Gallery, Protocol
from ffem_cli.eval.recognisers import GRAPHS, Recogniser, open_recogniser
from ffem_cli.eval.sealing import remembering, seal
from ffem_cli.evidence.privacy.figures import Crowd, Score, score, thresholds
from ffem_cli.evidence.privacy.views import AGAIN, FOUND, WHOLE, Looker
from ffem_cli.evidence.result import Result
from ffem_cli.evidence.setting import Setting

Floats = NDArray[np.float32]
SHARED = "weights/mobilefacenet_128d.onnx"
ROTATIONS = ("sphere", "block")
PROBES = 500
# fresh keys a probe: what is claimed to be at chance is tried 5,000 times; a key costs a minute
KEYS = {"sphere": 10, "block": 10}
ALIKE, NEAR = 0.85, 0.95  # cosine of two photos, and correlation of their aligned pixels, of a near duplicate


@dataclass(frozen=True)
class Ground:
    """Among whom is looked for: people of the gallery's photos, which of them show a probe's person, which are near
    duplicates of the probe, bool (N, G), and which probes are asked about, bool (N,)."""

    people: list[str]
    mates: NDArray[np.bool_]
    twins: NDArray[np.bool_]
    asked: NDArray[np.bool_]


@dataclass(frozen=True)
class Measured:
    """All scores, and what they were reached with. `speed` is in ms; `notes` are what the reader has to know."""

    scores: list[Score]
    recognisers: list[Recogniser]
    split: Protocol
    ground: Ground
    speed: dict[str, float]
    keys: dict[str, int]
    notes: list[str]

    def of(self, attacker: str, recogniser: str | None = None) -> list[Score]:
        """The scores of an attacker (`landmarks`, `detector`), of one recogniser or of all."""
        return [s for s in self.scores if s.attacker == attacker and recogniser in (None, s.recogniser)]


def is_ours(one: Score) -> bool:
    """Whether the cover is I_enc or a fake."""
    return one.cover.partition(" ")[2] in ROTATIONS


def measure(setting: Setting) -> Result:
    """See `Section.measure`."""
    from ffem_cli.evidence.privacy.report import result

    camera = remembering(setting.camera)
    split, notes = _split(setting), list[str]()
    recognisers = _recognisers(setting, notes)
    keys = {rotation: setting.size(KEYS[rotation], 1 + (rotation == ROTATIONS[0])) for rotation in ROTATIONS}
    looker = Looker(camera, recognisers, setting.cache, setting.say, setting.seed)
    views = dict(_views(looker, split, keys))
    galleries = [protocol.embed(split, one, setting.cache, setting.say) for one in recognisers]
    ground = _ground(looker, split, galleries[0], views["original"][0][recognisers[0].name])
    found = list(_scores(looker, split, views, galleries, ground))
    ours = [at for at, one in enumerate(found) if is_ours(one)]
    for at, p in zip(ours, holm([found[at].p for at in ours]), strict=True):
        found[at] = replace(found[at], corrected=p)
    return result(setting, Measured(found, recognisers, split, ground, _speed(setting, split), keys, notes))


def _split(setting: Setting) -> Protocol:
    whole = protocol.split(
        setting.folder("lfw/identities"), setting.folder("lfw/singles"), setting.size(PROBES, 3), setting.seed
    )
    if not setting.small:
        return whole
    people = {photo.person for photo in whole.probes}
    mates = [photo for photo in whole.gallery if photo.person in people]
    return Protocol(whole.probes, mates + [photo for photo in whole.gallery if photo.person not in people][::200])


def _recognisers(setting: Setting, notes: list[str]) -> list[Recogniser]:
    """Those that were named, or all that can be had. InputError where there is none."""
    if setting.recognisers:
        return [open_recogniser(name, setting.model_cache) for name in setting.recognisers]
    shared, found = setting.data / SHARED, list[Recogniser]()
    names = [str(shared)] if shared.is_file() else []
    for name in (*names, *GRAPHS, "dlib"):
        try:
            found.append(open_recogniser(name, setting.model_cache))
        except MissingExtra as missing:
            notes.append(f"The recogniser {name} was left out: {missing.message} ({missing.hint}).")
    if not found:
        raise InputError("there is no recogniser", notes[0] if notes else "")
    return found


def _ground(looker: Looker, split: Protocol, gallery: Gallery, originals: Floats) -> Ground:
    """`originals` are the probes' own vectors of the gallery's recogniser, zeros where no face was found."""
    mates = np.asarray([photo.person for photo in split.probes])[:, None] == np.asarray(gallery.people)[None, :]
    # under whatever name: some photos are there under two
    twins = _twins(split, gallery, originals @ gallery.vectors.T >= ALIKE, looker.cache, looker.say)
    asked = originals.any(axis=1) & (mates & ~twins).any(axis=1)
    if not asked.any():
        raise InputError("no probe and mate have a face that is found", "photos of faces of 24 px and more")
    return Ground(gallery.people, mates, twins, asked)


def _scores(
    looker: Looker,
    split: Protocol,
    views: dict[str, list[dict[str, Floats]]],
    galleries: Sequence[Gallery],
    ground: Ground,
) -> Iterator[Score]:
    asked = ground.asked
    owners = [photo.person for photo, one in zip(split.probes, asked, strict=True) if one]
    for one, gallery in zip(looker.recognisers, galleries, strict=True):
        other = ~ground.mates & ~ground.twins
        crowd = Crowd(gallery.vectors, gallery.people, (ground.mates & ~ground.twins)[asked], other[asked])
        limits = thresholds(gallery.vectors, gallery.people, {p.person for p in split.probes}, looker.seed)
        for name, rows in views.items():
            attacker = "detector" if name.endswith(FOUND) else "landmarks"
            cut = [row[one.name][asked] for row in rows]
            yield score(name.removesuffix(FOUND), one.name, attacker, cut, owners, crowd, limits)


def _views(looker: Looker, split: Protocol, keys: dict[str, int]) -> Iterator[tuple[str, list[dict[str, Floats]]]]:
    """(name of a view, vectors by recogniser for each key)."""
    plain = looker.plain(split.probes, WHOLE)
    for name in WHOLE.plain:
        yield name, [{one: rows[name] for one, rows in plain.items()}]
    for rotation, count in keys.items():
        runs = [looker.sealed(split.probes, WHOLE, rotation, 0)]
        runs += [looker.sealed(split.probes, AGAIN, rotation, key) for key in range(1, count)]
        for name in WHOLE.sealed:
            cover, found = name.removesuffix(FOUND), FOUND if name.endswith(FOUND) else ""
            yield (
                f"{cover} {rotation}{found}",
                [{one: rows[name] for one, rows in run.items()} for run in runs if name in next(iter(run.values()))],
            )


def _twins(split: Protocol, gallery: Gallery, alike: NDArray[np.bool_], cache: Cache, say: Any) -> NDArray[np.bool_]:
    """Of pairs of a probe and a photo that are alike to a recogniser, those whose pixels are alike, too: the same
    photograph, cut or coloured another way. Bool (N, G)."""
    out = np.zeros_like(alike)
    pairs = np.argwhere(alike)
    if not len(pairs):
        return out
    photos = sorted(split.photos, key=lambda photo: (photo.person, photo.name))
    marks = protocol.find(photos, cache, say)

    def face(photo: data.Photo) -> NDArray[np.float64]:
        points = marks[photo]
        if points is None:
            return np.zeros(64 * 64)
        grey = cv2.cvtColor(data.read(photo.path), cv2.COLOR_RGB2GRAY)
        cut = cv2.warpAffine(
            grey, align.similarity(points, 64), (64, 64), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        ).astype(np.float64)
        return np.asarray((cut - cut.mean()) / max(1e-6, float(cut.std())) / 64).ravel()

    for probe, mate in pairs:
        out[probe, mate] = float(face(split.probes[probe]) @ face(gallery.photos[mate])) >= NEAR
    return out


def _speed(setting: Setting, split: Protocol) -> dict[str, float]:
    """Processor time of sealing a photo, in ms: looked at for the first time, and again under another key."""
    camera, photos = remembering(setting.camera), split.probes[:5]
    pictures = [data.read(photo.path) for photo in photos]
    spent = []
    for key in ("first", "again"):
        began = time.process_time()
        for number, picture in enumerate(pictures):
            seal(picture, f"{key} {number}", setting.seed, camera)
        spent.append((time.process_time() - began) / len(pictures) * 1e3)
    return {"seal_first_ms": round(spent[0], 1), "seal_again_ms": round(spent[1], 1)}


def names() -> dict[str, str]:
    """What covers are called in tables, by name, in their order."""
    out = {cover.name: cover.label for cover in COVERS}
    for rotation in ROTATIONS:
        for view in WHOLE.sealed:
            if not view.endswith(FOUND):
                label = "I_enc" if view == "I_enc" else f"fake, lambda {view.removeprefix('fake-')}"
                out[f"{view} {rotation}"] = f"{label}, {rotation}"
    return out


def ordered(scores: Sequence[Score]) -> list[Score]:
    """In the order of `names`."""
    order = list(names())
    return sorted(scores, key=lambda one: order.index(one.cover))
