"""Who is looked for among whom: 500 people with one probe photo each, all other photos are the gallery."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError
from ffem_chain.faces.finding.detect import CenterFace
from ffem_cli.eval import data
from ffem_cli.eval.cache import Cache, Say
from ffem_cli.eval.data import Photo
from ffem_cli.eval.recognisers import Recogniser, crop
from ffem_cli.eval.sealing import central

Points = NDArray[np.float64]
_SIDE = 256  # px
_METHOD = 1  # raised when finding or cutting an original changes: what was cached is then computed anew


@dataclass(frozen=True)
class Protocol:
    """Closed-set identification: every probe has a mate in the gallery."""

    probes: list[Photo]
    gallery: list[Photo]

    @property
    def photos(self) -> list[Photo]:
        return [*self.probes, *self.gallery]


def split(folder: Path, distractors: Path | None, probes: int, seed: int) -> Protocol:
    """`probes` people of `folder` (one folder a person) with two photos or more, drawn by the seed, and one photo of
    each; the gallery is the rest and `distractors`. InputError where nobody has two photos."""
    by_person: dict[str, list[Photo]] = defaultdict(list)
    for photo in data.people(folder):
        by_person[photo.person].append(photo)
    several = [person for person, photos in by_person.items() if len(photos) > 1]
    if not several:
        raise InputError(f"nobody in {folder} has two photos", "identification compares a photo with another one")
    rng = np.random.default_rng(seed)
    chosen = [several[at] for at in sorted(rng.permutation(len(several))[:probes])]
    taken = [by_person[person][int(rng.integers(len(by_person[person])))] for person in chosen]
    probed = set(taken)
    rest = [photo for photos in by_person.values() for photo in photos if photo not in probed]
    return Protocol(taken, rest + (data.singles(distractors) if distractors else []))


@dataclass(frozen=True)
class Gallery:
    """Faces of original photos that the detector found: unit vectors (N, d), whose they are, and in which photo."""

    vectors: NDArray[np.float32]
    photos: list[Photo]

    @property
    def people(self) -> list[str]:
        return [photo.person for photo in self.photos]


def find(photos: Sequence[Photo], cache: Cache, say: Say) -> dict[Photo, Points | None]:
    """Landmarks (5, 2) of the central face that CenterFace finds in each photo at a long side of 256 px, None for none;
    these are portraits, a search for small faces would only cost time."""
    detector = CenterFace(coarse=(_SIDE,))

    def one(photo: Photo) -> NDArray[np.float32]:
        picture = data.read(photo.path)
        face = central(detector.detect(picture), picture.shape)
        return np.array([0] * 11 if face is None else [1, *face.landmarks.ravel()], np.float32)

    rows = cache.rows("finding faces in originals", _items(photos), one, say, method=_METHOD)
    return {
        photo: row[1:].reshape(5, 2).astype(np.float64) if row[0] else None
        for photo, row in zip(photos, rows, strict=True)
    }


def embed(split: Protocol, recogniser: Recogniser, cache: Cache, say: Say) -> Gallery:
    """The gallery's photos with a face that `find` finds. All photos are embedded, whatever the split."""
    photos = sorted(split.photos, key=lambda photo: (photo.person, photo.name))
    faces: dict[Photo, Points | None] = {}
    finding = Lock()

    def one(photo: Photo) -> NDArray[np.float32]:
        with finding:
            if not faces:  # found once for all recognisers, and only where vectors are missing
                faces.update(find(photos, cache, say))
        marks = faces[photo]
        cut = np.zeros((recogniser.size, recogniser.size, 3), np.uint8)
        if marks is not None:
            cut = crop(data.read(photo.path), marks, recogniser)
        return np.concatenate([[marks is not None], recogniser.embed([cut])[0]]).astype(np.float32)

    rows = cache.rows("embedding originals", _items(photos), one, say, recogniser=recogniser.digest, method=_METHOD)
    by_photo = dict(zip(photos, rows, strict=True))
    found = [photo for photo in split.gallery if by_photo[photo][0]]
    vectors = np.stack([by_photo[photo][1:] for photo in found]) if found else np.empty((0, 0), np.float32)
    return Gallery(vectors, found)


def _items(photos: Sequence[Photo]) -> list[tuple[str, Photo]]:
    return [(f"{photo.name} {photo.path.stat().st_size}", photo) for photo in photos]


def code(*modules: str) -> str:
    """Digest of the source of modules of `ffem_chain.faces`, by their last names (where none is named, of all but those
    that train): what was cached under another one is computed anew."""
    files = sorted(Path(str(resources.files("ffem_chain.faces"))).rglob("*.py"), key=lambda path: path.name)
    wanted = [path for path in files if path.stem in modules or not (modules or path.parent.name == "training")]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in wanted)).hexdigest()[:16]
