"""What the public sees in place of a face: is it a face, whose is it, and how near are fakes to real faces.

A photo is sealed as the camera does it, read back from its files, and the fake picture is made from what is public. An
attacker is given the original's landmarks, so that no error of a detector on the fake helps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError
from ffem_chain.faces.finding.detect import Detection, Detector
from ffem_chain.faces.posing import align
from ffem_cli.eval import data, protocol
from ffem_cli.eval.cache import Cache, Say
from ffem_cli.eval.data import Photo
from ffem_cli.eval.measures import frechet, interval, iou, pairwise_cosine, proportion, ranks, sharpness
from ffem_cli.eval.protocol import Gallery, Protocol
from ffem_cli.eval.recognisers import Recogniser, crop
from ffem_cli.eval.sealing import Camera, central, seal

Floats = NDArray[np.float32]
Array = NDArray[np.float64]
Picture = NDArray[np.uint8]
OVERLAP, SURE = 0.5, 0.5  # IoU with the reference box, score of a judge's detection
_FIGURES = ("found", "yaw", "sharpness", "sharpness_real")


@dataclass(frozen=True)
class Maker:
    """Seals a photo, makes the fake and measures it."""

    camera: Camera
    judges: Sequence[Detector]
    recogniser: Recogniser
    temperature: float
    seed: int

    @property
    def depends(self) -> dict[str, object]:
        """All that a row depends on but the photo and the number of its key."""
        return {
            **self.camera.depends,
            "judges": [judge.name for judge in self.judges],
            "recogniser": self.recogniser.digest,
            "temperature": self.temperature,
            "seed": self.seed,
            "code": protocol.code(),
        }

    def row(self, photo: Photo, key: int, references: Sequence[Floats]) -> Floats:
        """`_FIGURES`; for each judge IoU with its reference box (-1: it has none) and with the sealing detector's box;
        unit vectors of the fake and of the original."""
        picture = data.read(photo.path)
        sealed = seal(picture, f"{photo.name} {key}", self.seed, self.camera)
        face = sealed.subject()
        if face is None:
            blank = self.recogniser.embed([np.zeros((self.recogniser.size, self.recogniser.size, 3), np.uint8)])
            return np.zeros(len(_FIGURES) + 2 * len(self.judges) + 2 * blank.size, np.float32)
        shown = sealed.fake(self.camera.model, self.temperature)
        sharp = [sharpness(align.warp_in(p, face.matrix, self.camera.model.size)) for p in (shown, picture)]
        overlaps = []
        for judge, reference in zip(self.judges, references, strict=True):
            seen = [d for d in judge.detect(shown) if d.score >= SURE]
            overlaps += [_best(seen, reference[1:].tolist()) if reference[0] else -1.0, _best(seen, face.box)]
        vectors = self.recogniser.embed([crop(p, face.landmarks, self.recogniser) for p in (shown, picture)])
        return np.concatenate([[1, face.yaw], sharp, overlaps, vectors.ravel()]).astype(np.float32)


def _reference(judge: Detector, photo: Photo) -> Floats:
    """(1, left, top, right, bottom) of the central face that a judge finds in an original, zeros for none."""
    picture = data.read(photo.path)
    face = central([d for d in judge.detect(picture) if d.score >= SURE], picture.shape)
    return np.array([0, 0, 0, 0, 0] if face is None else [1, *face.box], np.float32)


def _best(seen: Sequence[Detection], box: Sequence[float]) -> float:
    return max((iou(d.box, box) for d in seen), default=0.0)


def measure(split: Protocol, maker: Maker, *, keys: int, count: int, cache: Cache, say: Say) -> dict[str, Any]:
    """The figures of docs/EVAL.md: `keys` fakes of every probe, and `count` photos with a fake each for the distance.

    InputError where no photo has a face that can be sealed.
    """
    rng = np.random.default_rng(maker.seed)
    more = [split.gallery[at] for at in rng.permutation(len(split.gallery))[: max(0, count - len(split.probes))]]
    used = [*split.probes, *more]
    first = _rows(used, 0, maker, cache, say)
    again = [_rows(split.probes, key, maker, cache, say) for key in range(1, keys)]
    probes, found = [first[: len(split.probes)], *again], first[:, 0] > 0
    if not found[: len(split.probes)].any():
        raise InputError("no probe has a face that can be sealed", "photos of faces of 24 px and more")
    gallery = protocol.embed(split, maker.recogniser, cache, say)
    sealed = [photo for photo, is_found in zip(used, found, strict=True) if is_found]
    return {
        **_faces(np.concatenate([first, *again]), used, split, keys, maker),
        **_identities(probes, split, gallery, maker),
        **_distance(first[found], sealed, gallery, maker, rng),
        "temperature": maker.temperature,
        "keys": keys,
        "photos_without_a_face": int((~found).sum()),
    }


def _rows(photos: Sequence[Photo], key: int, maker: Maker, cache: Cache, say: Say) -> Floats:
    items = [(f"{photo.name} {photo.path.stat().st_size}", photo) for photo in photos]
    boxes = [
        cache.rows(
            f"{judge.name} on originals",
            items,
            lambda photo, judge=judge: _reference(judge, photo),  # type: ignore[misc]
            say,
            code=protocol.code("detect", "networks", judge.name),
        )
        for judge in maker.judges
    ]
    references = {photo.name: [rows[at] for rows in boxes] for at, photo in enumerate(photos)}
    what = "making fakes" if key == 0 else f"making fakes, key {key + 1}"
    return cache.rows(
        what, items, lambda photo: maker.row(photo, key, references[photo.name]), say, key=key, **maker.depends
    )


def _faces(rows: Floats, used: list[Photo], split: Protocol, keys: int, maker: Maker) -> dict[str, Any]:
    """Found by the judges, and how sharp: over all fakes."""
    people = [photo.person for photo in [*used, *split.probes * (keys - 1)]]
    found = rows[:, 0] > 0
    detected, details = {}, {}
    for at, judge in enumerate(maker.judges):
        own, sealing = (rows[:, len(_FIGURES) + 2 * at + which].astype(np.float64) for which in (0, 1))
        counted = found & (own >= 0)
        hits = (own[counted] >= OVERLAP).astype(np.float64)
        owners = [person for person, one in zip(people, counted, strict=True) if one]
        detected[judge.name] = float(hits.mean()) if len(hits) else None
        details[judge.name] = {
            "fakes": int(counted.sum()),
            "ci95": proportion(hits, owners) if len(hits) else None,
            "iou": float(own[counted].mean()) if len(hits) else None,
            "by_sealing_box": float((sealing[found] >= OVERLAP).mean()),
        }
    sharp, real = (float(np.median(rows[found, _FIGURES.index(name)])) for name in ("sharpness", "sharpness_real"))
    return {
        "detected": detected,
        "detection": {"iou_at_least": OVERLAP, "score_at_least": SURE, **details},
        "sharpness": sharp,
        "sharpness_real": real,
        "sharpness_ratio": sharp / real if real else None,
        "fakes": int(found.sum()),
    }


def _vectors(rows: Floats, maker: Maker) -> tuple[Floats, Floats]:
    """Unit vectors of fakes and of originals."""
    fakes, originals = np.split(rows[:, len(_FIGURES) + 2 * len(maker.judges) :], 2, axis=1)
    return fakes, originals


def _identities(probes: list[Floats], split: Protocol, gallery: Gallery, maker: Maker) -> dict[str, Any]:
    """Identification of fakes and originals of the probes among the gallery."""
    people, known = [photo.person for photo in split.probes], set(gallery.people)
    asked = np.array([probe[0] > 0 and person in known for probe, person in zip(probes[0], people, strict=True)])
    if not asked.any():
        raise InputError("no probe and mate have a face that is found", "photos of faces of 24 px and more")
    owners = [person for person, one in zip(people, asked, strict=True) if one]
    ranked = [ranks(_vectors(rows[asked], maker)[0], owners, gallery.vectors, gallery.people) for rows in probes]
    faked = np.concatenate(ranked)
    real = ranks(_vectors(probes[0][asked], maker)[1], owners, gallery.vectors, gallery.people)
    names, counts = np.unique(gallery.people, return_counts=True)
    mates = dict(zip(names.tolist(), counts.tolist(), strict=True))
    chance = float(np.mean([mates[person] for person in owners])) / len(gallery.photos)
    out: dict[str, Any] = {"probes": len(owners), "trials": len(faked), "gallery": len(gallery.photos), "ci95": {}}
    for name, within in (("top1", 1), ("top5", 5)):
        hits = (faked < within).astype(np.float64)
        out[name], out[f"{name}_hits"] = float(hits.mean()), int(hits.sum())
        out[f"{name}_original"] = float((real < within).mean())
        out["ci95"][name] = proportion(hits, owners * len(probes))
    out["chance_top1"] = chance
    # different people at any two probes
    fakes, originals = _vectors(probes[0][asked], maker)
    out["pairwise_cosine"], out["pairwise_cosine_real"] = pairwise_cosine(fakes), pairwise_cosine(originals)
    own = (fakes * originals).sum(axis=1).astype(np.float64)
    out["cosine_to_own_original"] = float(own.mean())
    out["ci95"]["cosine_to_own_original"] = interval(own, owners)
    return out


def _distance(
    rows: Floats, used: list[Photo], gallery: Gallery, maker: Maker, rng: np.random.Generator
) -> dict[str, Any]:
    """Frechet distance of the fakes, and of their originals, to as many faces of other people (of other photos where
    there are not enough other people)."""
    people, names = {photo.person for photo in used}, {photo.name for photo in used}
    others = np.array([at for at, photo in enumerate(gallery.photos) if photo.person not in people], np.intp)
    if len(others) < len(rows):
        others = np.array([at for at, photo in enumerate(gallery.photos) if photo.name not in names], np.intp)
    others = rng.permutation(others)[: len(rows)]
    if min(len(rows), len(others)) < 2:
        return {"frechet": None, "frechet_real": None, "frechet_faces": len(rows), "frechet_others": len(others)}
    fakes, originals = _vectors(rows, maker)
    reference = gallery.vectors[others]
    return {
        "frechet": frechet(fakes, reference),
        "frechet_real": frechet(originals, reference),
        "frechet_faces": len(rows),
        "frechet_others": len(others),
    }
