"""What recognisers make of covered photos: vectors, kept in the cache, a row a photo.

Two attackers look at every covered picture. The first knows where the face's landmarks were in the original, so that
no cover helps by hiding them; the second has the covered picture only and takes the face that a detector finds in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.finding.detect import CenterFace, Detector
from ffem_cli.eval import data, protocol
from ffem_cli.eval.cache import Cache, Say
from ffem_cli.eval.covers import COVERS, Face
from ffem_cli.eval.data import Photo
from ffem_cli.eval.recognisers import Recogniser, crop
from ffem_cli.eval.sealing import Camera, central, seal
from ffem_cli.pictures import FAKE_TEMPERATURE

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
Points = NDArray[np.float64]
FOUND = " found"  # ends the name of a view whose face a detector found
_METHOD = 1  # raised when a cover or a cut changes
_SIDE = 256  # px at which the attacker's detector looks


@dataclass(frozen=True)
class Job:
    """What is looked at: `covers` of others by name, those of them that a detector searches too; for sealed photos the
    temperatures of the fakes, and whether a detector searches I_enc and the first of the fakes."""

    covers: tuple[str, ...]
    searched: tuple[str, ...]
    temperatures: tuple[float, ...]
    search: bool

    @property
    def plain(self) -> list[str]:
        """Names of the views of a photo under the covers of others."""
        return [*self.covers, *(name + FOUND for name in self.searched)]

    @property
    def sealed(self) -> list[str]:
        """Names of the views of a sealed photo."""
        fakes = [f"fake-{temperature}" for temperature in self.temperatures]
        return ["I_enc", *fakes, *(["I_enc" + FOUND, fakes[0] + FOUND] if self.search else [])]


_SEARCHED = ("original", "pixels-8", "blur-9x9", "blur-4", "deface-blur")
WHOLE = Job(tuple(cover.name for cover in COVERS), _SEARCHED, (FAKE_TEMPERATURE, 0.3, 0.7, 1.0), True)
# with further keys
AGAIN = Job((), (), (FAKE_TEMPERATURE,), False)


@dataclass(frozen=True)
class Looker:
    """Covers photos and embeds them with several recognisers. `camera` should remember (`sealing.remembering`)."""

    camera: Camera
    recognisers: Sequence[Recogniser]
    cache: Cache
    say: Say
    seed: int
    finder: Detector = field(default_factory=lambda: CenterFace(coarse=(_SIDE,)))
    lengths: dict[str, int] = field(default_factory=dict)  # of the recognisers' vectors, by digest

    def plain(self, photos: Sequence[Photo], job: Job) -> dict[str, dict[str, Floats]]:
        """Unit vectors (N, d) by recogniser and view of `job.plain`; zeros where there was no face."""

        def one(photo: Photo) -> Floats:
            picture = data.read(photo.path)
            found = central(self.camera.detector.detect(picture), picture.shape)
            if found is None:
                return self._row([None] * len(job.plain))
            face, covered = Face(found.box, found.landmarks), {}
            for cover in COVERS:
                if cover.name in {*job.covers, *job.searched}:
                    covered[cover.name] = cover.apply(picture, face)
            views = [(covered[name], face.landmarks) for name in job.covers]
            return self._row([*views, *(self._searched(covered[name]) for name in job.searched)])

        depends = {"covers": job.covers, "searched": job.searched, "detector": self.camera.detector.name}
        depends["code"] = protocol.code("detect", "networks", "align", self.camera.detector.name)
        return self._rows("covers of others", photos, one, job.plain, **depends)

    def sealed(self, photos: Sequence[Photo], job: Job, rotation: str, key: int) -> dict[str, dict[str, Floats]]:
        """The same of photos sealed with the `key`-th fresh key each, by view of `job.sealed`."""
        camera = Camera(self.camera.model, self.camera.detector, self.camera.pose, rotation)

        def one(photo: Photo) -> Floats:
            sealed = seal(data.read(photo.path), f"{photo.name} {key}", self.seed, camera)
            face = sealed.subject()
            if face is None:
                return self._row([None] * len(job.sealed))
            shown = [sealed.image, *(sealed.fake(camera.model, temperature) for temperature in job.temperatures)]
            views: list[tuple[Picture, Points] | None] = [(picture, face.landmarks) for picture in shown]
            return self._row([*views, *(self._searched(picture) for picture in shown[: 2 * job.search])])

        depends = {**camera.depends, "code": protocol.code(), "seed": self.seed, "key": key}
        depends |= {"temperatures": job.temperatures, "search": job.search}
        return self._rows(f"sealed, {rotation}, key {key + 1}", photos, one, job.sealed, **depends)

    def _searched(self, picture: Picture) -> tuple[Picture, Points] | None:
        """The picture with the face that the attacker's detector finds in it."""
        found = central(self.finder.detect(picture), picture.shape)
        return (picture, found.landmarks) if found else None

    def _row(self, views: Sequence[tuple[Picture, Points] | None]) -> Floats:
        there = [at for at, view in enumerate(views) if view]
        parts = []
        for recogniser in self.recognisers:
            vectors = np.zeros((len(views), self._length(recogniser)), np.float32)
            if there:
                vectors[there] = recogniser.embed([crop(*view, recogniser) for view in views if view])
            parts.append(vectors.ravel())
        return np.concatenate(parts)

    def _rows(
        self, what: str, photos: Sequence[Photo], one: Any, views: Sequence[str], **depends: object
    ) -> dict[str, dict[str, Floats]]:
        items = [(f"{photo.name} {photo.path.stat().st_size}", photo) for photo in photos]
        digests = [recogniser.digest for recogniser in self.recognisers]
        rows = self.cache.rows(f"privacy: {what}", items, one, self.say, recognisers=digests, method=_METHOD, **depends)
        out: dict[str, dict[str, Floats]] = {}
        at = 0
        for recogniser in self.recognisers:
            width = self._length(recogniser) * len(views)
            parts = np.split(rows[:, at : at + width], len(views), axis=1)
            out[recogniser.name] = dict(zip(views, parts, strict=True))
            at += width
        return out

    def _length(self, recogniser: Recogniser) -> int:
        if recogniser.digest not in self.lengths:
            blank = np.zeros((recogniser.size, recogniser.size, 3), np.uint8)
            self.lengths[recogniser.digest] = int(recogniser.embed([blank]).shape[1])
        return self.lengths[recogniser.digest]
