"""What all attacks share: the people, their latents, the attacker's own faces, and one sealing after another."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.flow.weights import Model, load_model, model_names
from ffem_chain.faces.posing.pose import PoseEstimator
from ffem_cli.eval import data
from ffem_cli.eval.cache import Cache, Say, threads
from ffem_cli.eval.data import Photo
from ffem_cli.eval.recognisers import Recogniser
from ffem_cli.evidence.attacks import covers
from ffem_cli.evidence.attacks.scene import (
    ANOTHER,
    SAME,
    Faces,
    Floats,
    Looker,
    Pairs,
    Picture,
    encode,
    pairs,
    resized,
    stacked,
)
from ffem_cli.evidence.attacks.statistics import Scores

_BATCH = 8


def source(*modules: str) -> str:
    """Digest of the source of modules of this package, by their names: what was kept under another one is not used."""
    files = [resources.files("ffem_cli.evidence.attacks") / f"{name}.py" for name in modules]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """What is run: `people` a folder of people with two photos or more, `own` a folder of other faces that the attacker
    has (None: only people who are not attacked), how many of each, and which attacks and rotations."""

    people: Path
    own: Path | None
    probes: int
    known: int
    trained: int
    epochs: int
    keys: int
    trials: int
    only: tuple[str, ...] = ()
    rotations: tuple[str, ...] = ("block", "sphere")


class World:
    """The people under attack and the attacker's knowledge. Latents are float32 (N, n), made when first asked for."""

    def __init__(
        self,
        plan: Plan,
        model: Model,
        pose: PoseEstimator | None,
        recogniser: Recogniser | None,
        *,
        seed: int,
        cache: Cache,
        say: Say,
        retrain: bool = False,
    ) -> None:
        self.plan, self.model, self.recogniser, self.seed, self.say = plan, model, recogniser, seed, say
        self.cache, self.retrain = cache, retrain
        self.notes: dict[str, float] = {}  # what attacks say of themselves
        self._looker = Looker(model, pose, recogniser)

    @cached_property
    def _found(self) -> tuple[Pairs, Pairs]:
        plan = self.plan
        return pairs(plan.people, plan.probes, plan.known, self.seed, self._looker, self.say)

    @property
    def attacked(self) -> Pairs:
        """The people under attack: the photos that are sealed, and other photos of them."""
        return self._found[0]

    @property
    def others(self) -> Pairs:
        """People whom the attacker knows besides."""
        return self._found[1]

    def rng(self, *parts: object) -> np.random.Generator:
        """Random numbers of their own for each use, the same in every run with this seed."""
        return np.random.default_rng([self.seed, *(zlib.crc32(str(part).encode()) for part in parts)])

    @property
    def people(self) -> tuple[str, ...]:
        """Who is attacked, (P,): numbers, since results are kept."""
        return tuple(f"{at:04d}" for at in range(len(self.attacked.people)))

    def _encode(self, faces: Faces, name: str) -> Floats:
        return encode(self.model, faces.squares, self.rng("noise", name), self.say)

    @cached_property
    def sealed(self) -> Floats:
        """Latents of the photos that are sealed (P, n)."""
        return self._encode(self.attacked.first, "sealed")

    @cached_property
    def gallery(self) -> dict[str, Floats]:
        """The attacker's latents of the same photos and of the other photos of these people, (P, n) each."""
        return {
            SAME: self._encode(self.attacked.first, "gallery"),
            ANOTHER: self._encode(self.attacked.second, "gallery of others"),
        }

    def looks(self) -> dict[str, Faces]:
        """The attacker's photos of the people."""
        return {SAME: self.attacked.first, ANOTHER: self.attacked.second}

    @cached_property
    def known(self) -> tuple[Floats, Floats]:
        """Latents of two photos each of people whom the attacker knows besides, (Q, n) each."""
        return self._encode(self.others.first, "known"), self._encode(self.others.second, "known, again")

    @cached_property
    def trainees(self) -> Faces:
        """Faces that the attacker trains with: of his own folder, or of the people whom he knows besides."""
        if self.plan.own is None:
            both = (self.others.first, self.others.second)
            return Faces(*(np.concatenate([getattr(faces, name) for faces in both]) for name in Faces.__annotations__))
        rng, looks = self.rng("own faces"), []
        paths = data.pictures(self.plan.own)
        order = [paths[at] for at in rng.permutation(len(paths))]
        for look in self._looker.looks([Photo(path, path.name, path.stem) for path in order]):
            if look is not None:
                looks.append(look)
                self.say("the attacker's own faces", len(looks))
            if len(looks) == self.plan.trained:
                break
        return stacked(looks)

    @cached_property
    def trainee_latents(self) -> Floats:
        """Their latents (T, n)."""
        return self._encode(self.trainees, "own")

    @cached_property
    def other_model(self) -> Model | None:
        """The smallest shipped model that is not the camera's."""
        names = [name for name in model_names() if name != self.model.name]
        return min((load_model(name) for name in names), key=lambda model: model.size) if names else None

    def in_other_model(self, faces: Faces, name: str) -> Floats:
        """Latents of faces in that model (N, n')."""
        other = self.other_model
        if other is None:
            raise LookupError("one model only")
        squares = resized(faces.squares, self.model, other)
        return encode(other, squares, self.rng("other model", name), self.say, "encoding in another model")

    def scores(self, matrix: NDArray[np.floating]) -> Scores:
        """Scores (P, P) of the people's covers against a gallery in their order."""
        return Scores(matrix, np.arange(len(self.people)), self.people)


def decoded(world: World, rows: Floats, what: str, decode: Callable[[NDArray[np.float64]], Picture]) -> Picture:
    """What anybody decodes from covers (N, n), without any key: uint8 (N, side, side, 3)."""
    out: list[Picture] = []
    with threads() as pool:
        for part in pool.map(decode, (rows[at : at + _BATCH].astype(np.float64) for at in range(0, len(rows), _BATCH))):
            out.append(part)
            world.say(f"decoding, {what}", min(_BATCH * len(out), len(rows)))
    return np.concatenate(out)


class Sealing:
    """The people's faces sealed once: covers by `rotation`, or ideal ones in its place. Made when asked for, kept."""

    def __init__(self, world: World, rotation: str, number: int, *, ideal: bool = False) -> None:
        self.world, self.rotation, self.ideal, self.number = world, rotation, ideal, number
        self.name = covers.IDEAL if ideal else rotation

    def seal(self, latents: Floats, what: str, *, one_key: bool = False) -> Floats:
        """Covers (N, n) of latents under fresh keys, or all under one."""
        rng = self.world.rng("sealing", self.number, self.name, what)
        return covers.cover(latents, self.name, rng, one_key=one_key)

    @cached_property
    def probe(self) -> Floats:
        """Covers (P, n) of the people's photos, a fresh key each."""
        return self.seal(self.world.sealed, "probe")

    @cached_property
    def undone(self) -> Floats:
        """The same with the last Walsh-Hadamard transform taken off."""
        return covers.undone(self.probe)

    @cached_property
    def second(self) -> dict[str, Floats]:
        """Second captures: of the same photos and of the other photos, fresh keys."""
        return {photo: self.seal(z, f"second, {photo}") for photo, z in self.world.gallery.items()}

    @cached_property
    def under_one_key(self) -> tuple[Floats, Floats]:
        """Covers of the people's photos and of the known people's first photos, all under one key."""
        both = self.seal(np.concatenate([self.world.sealed, self.world.known[0]]), "one key", one_key=True)
        return both[: len(self.world.people)], both[len(self.world.people) :]

    @cached_property
    def known(self) -> Floats:
        """Covers of the known people's first photos, a fresh key each."""
        return self.seal(self.world.known[0], "known")


__all__ = ["ANOTHER", "SAME", "Pairs", "Plan", "Sealing", "World", "source"]
