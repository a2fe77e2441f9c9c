"""Who is attacked, and what an attacker sees and has: photos as a camera takes them, and as anybody prepares them.

Every person has two photos: one is sealed; the attacker has a gallery of both, encoded by himself, with noise of his
own. He also has faces of other people. Squares and latents are pictures of people: they are never written anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError
from ffem_chain.faces.finding.detect import CenterFace, Detection, Detector
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.posing import align
from ffem_chain.faces.posing.pose import FiveLandmarks, PoseEstimator
from ffem_chain.faces.seal import SMALLEST, square_of
from ffem_cli.eval import data
from ffem_cli.eval.cache import Say, threads
from ffem_cli.eval.data import Photo
from ffem_cli.eval.recognisers import Recogniser, crop
from ffem_cli.eval.sealing import central

Floats = NDArray[np.float32]
Picture = NDArray[np.uint8]
SAME, ANOTHER = "same", "another"  # which photo of the person the attacker has
_SIDE = 256  # px of the detector's long side: portraits
_SEEN = 24  # px of what is visible around the box
_BINS = 8  # of a colour channel
_WIDE = 2.0  # how much more of the photo than usual a recogniser gets where the face is hidden
_BATCH = 8
_AT_ONCE = 32  # photos that are looked at before anybody asks for them


@dataclass(frozen=True)
class Look:
    """A photo's face. `square` uint8 (m, m, 3) is what the flow gets; all else is public once it is sealed: `numbers`
    (11,) of pose.json, `around` (24, 24, 4) colours and visibility of what no box covers, `colours` (512,) of it.

    `vector` and `around_vector` are a recogniser's, of the face and of the photo without its box (empty without one).
    """

    square: Picture
    numbers: Floats
    around: Floats
    colours: Floats
    vector: Floats
    around_vector: Floats


@dataclass(frozen=True)
class Looker:
    """Finds and prepares faces as the camera does, at a long side of 256 px."""

    model: Model
    pose: PoseEstimator | None
    recogniser: Recogniser | None
    finder: Detector = field(default_factory=lambda: CenterFace(coarse=(_SIDE,)))

    def looks(self, photos: Sequence[Photo]) -> Iterator[Look | None]:
        """`look` of one photo after the other, several of them made at a time."""
        with threads() as pool:
            for at in range(0, len(photos), _AT_ONCE):
                yield from pool.map(self.look, photos[at : at + _AT_ONCE])

    def look(self, photo: Photo) -> Look | None:
        """The face in the middle of a photo, None where there is none to seal."""
        picture = data.read(photo.path)
        face = central(self.finder.detect(picture), picture.shape)
        if face is None or face.side < SMALLEST:
            return None
        pose = (self.pose or FiveLandmarks()).estimate(picture, face)
        square = square_of(picture, face, pose, self.model)
        height, width = picture.shape[:2]
        box = align.cover_box(face.box, width, height)
        angles = [align.round_angle(angle) for angle in pose.angles]
        lie = align.public_alignment(square.matrix, self.model.size)
        numbers = np.array([box.x, box.y, box.width, box.height, *angles, *lie], np.float32)
        seen = np.ones((height, width, 1), np.float32)
        seen[box.rows, box.columns] = 0
        hidden = np.asarray(picture * seen, np.uint8)
        small = cv2.resize(np.dstack([hidden.astype(np.float32), seen]), (_SEEN, _SEEN), interpolation=cv2.INTER_AREA)
        bins = (picture[seen[..., 0] > 0] // (256 // _BINS)).astype(np.intp) @ np.array([_BINS * _BINS, _BINS, 1])
        colours = np.bincount(bins, minlength=_BINS**3).astype(np.float32)
        colours = np.sqrt(colours / max(1.0, float(colours.sum())))
        vectors = self._vectors(picture, hidden, face)
        return Look(square.pixels, numbers, np.asarray(small, np.float32), colours, *vectors)

    def _vectors(self, picture: Picture, hidden: Picture, face: Detection) -> tuple[Floats, Floats]:
        if self.recogniser is None:
            return np.empty(0, np.float32), np.empty(0, np.float32)
        middle = face.landmarks.mean(axis=0)
        wide = middle + (face.landmarks - middle) * _WIDE
        crops = [crop(picture, face.landmarks, self.recogniser), crop(hidden, wide, self.recogniser)]
        first, second = self.recogniser.embed(crops)
        return first, second


@dataclass(frozen=True)
class Faces:
    """Looks of as many photos, stacked."""

    squares: Picture
    numbers: Floats
    around: Floats
    colours: Floats
    vectors: Floats
    around_vectors: Floats

    def __len__(self) -> int:
        return len(self.squares)


def stacked(looks: Sequence[Look]) -> Faces:
    """Looks as arrays."""
    columns = zip(*((k.square, k.numbers, k.around, k.colours, k.vector, k.around_vector) for k in looks), strict=True)
    return Faces(*(np.stack(column) for column in columns))


@dataclass(frozen=True)
class Pairs:
    """Two photos of each of some people."""

    people: tuple[str, ...]
    first: Faces
    second: Faces
    photos: tuple[Photo, ...]


def pairs(folder: Path, count: int, others: int, seed: int, looker: Looker, say: Say) -> tuple[Pairs, Pairs]:
    """`count` people of `folder` (one folder a person) to attack, and up to `others` more whom the attacker knows.

    InputError where fewer than eight people have two photos with a face.
    """
    by_person: dict[str, list[Photo]] = {}
    for photo in data.people(folder):
        by_person.setdefault(photo.person, []).append(photo)
    several = sorted(person for person, photos in by_person.items() if len(photos) > 1)
    rng, found = np.random.default_rng(seed), []
    # a small folder keeps a third of its people for the attacker
    count = min(count, max(8, len(several) * 2 // 3))
    taken: list[Photo] = []
    for at in rng.permutation(len(several)):
        photos = by_person[several[at]]
        taken += [photos[i] for i in rng.permutation(len(photos))[:2]]
    looks = looker.looks(taken)
    for first, second in zip(taken[::2], taken[1::2], strict=True):
        one, other = next(looks), next(looks)
        if one is not None and other is not None:
            found.append((first.person, one, other, first, second))
            say("finding faces", len(found))
        if len(found) == count + others:
            break
    if len(found) < 8:
        raise InputError(f"{len(found)} people in {folder} have two photos with a face", "eight at least")
    return _pairs(found[:count]), _pairs(found[count:] or found[:count])


def _pairs(found: Sequence[tuple[str, Look, Look, Photo, Photo]]) -> Pairs:
    names, first, second, a, b = zip(*found, strict=True)
    return Pairs(tuple(names), stacked(first), stacked(second), (*a, *b))


def encode(model: Model, squares: Picture, rng: np.random.Generator, say: Say, what: str = "encoding") -> Floats:
    """Latents float32 (N, n) of uint8 (N, m, m, 3), each with noise of its own, as under a fresh key."""
    noise = rng.random((len(squares), 3, model.size, model.size), np.float32)
    parts = [slice(at, at + _BATCH) for at in range(0, len(squares), _BATCH)]
    out = []
    with threads() as pool:
        for part in pool.map(lambda part: model.encode(squares[part], noise[part]).astype(np.float32), parts):
            out.append(part)
            say(what, min(_BATCH * len(out), len(squares)))
    return np.concatenate(out)


def inside(model: Model) -> slice:
    """Rows and columns of a model's square without the margin around the face."""
    rim = round(model.size * model.margin / (1 + 2 * model.margin))
    return slice(rim, model.size - rim)


def resized(squares: Picture, source: Model, target: Model) -> Picture:
    """Squares of one model as another takes them, as far as that is a matter of size and margin: uint8 (N, m, m, 3)."""
    size = squares.shape[1]
    side = round(size * (1 + 2 * target.margin) / (1 + 2 * source.margin))
    out = []
    for square in squares:
        more = max(0, (side - size + 1) // 2)
        wide = cv2.copyMakeBorder(square, more, more, more, more, cv2.BORDER_REPLICATE)
        at = (len(wide) - side) // 2
        part = wide[at : at + side, at : at + side]
        out.append(np.asarray(cv2.resize(part, (target.size, target.size), interpolation=cv2.INTER_AREA), np.uint8))
    return np.stack(out)
