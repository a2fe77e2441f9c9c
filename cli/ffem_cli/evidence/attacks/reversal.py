"""A trained reversal network: the attacker seals faces of his own under fresh keys and learns to see through.

A network predicts a face's description (a recogniser's vector if there is one, and principal components of its
pixels) from views of a cover: principal components of it as it is, with the last transform undone, of Z^T Z, which
`block` does not change, and of the picture that the flow, which is public, decodes from it; and what a recogniser sees
in that picture. That it can learn is shown on latents without a rotation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from ffem_cli.eval.recognisers import crop_square
from ffem_cli.evidence.attacks import covers
from ffem_cli.evidence.attacks.features import Principal, Standard, gram, unit
from ffem_cli.evidence.attacks.invariants import Step
from ffem_cli.evidence.attacks.scene import Faces, Floats, Picture, inside
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Sealing, World, decoded

_PIXELS = 48  # principal components of the pixels
_SEEN = 150  # principal components of each view of a cover
_HIDDEN = 192
_BATCH, _RATE, _DECAY = 32, 1e-3, 0.1
_HELD = 10  # every tenth face is held out
_SEALINGS = 2  # of each face, under fresh keys


class Network(nn.Module):
    """Components of covers (B, k) -> descriptions (B, d): a linear map and one hidden layer beside it."""

    def __init__(self, k: int, d: int) -> None:
        super().__init__()
        self.straight = nn.Linear(k, d)
        self.deep = nn.Sequential(nn.Linear(k, _HIDDEN), nn.ReLU(), nn.Dropout(0.3), nn.Linear(_HIDDEN, d))
        self.drop = nn.Dropout(0.3)
        for layer in (self.straight, self.deep[-1]):
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = self.drop(x)
        return torch.as_tensor(self.straight(x) + self.deep(x))


class Views:
    """What the attacker sees in covers, learnt from some."""

    def __init__(self, world: World, rows: Floats, drawn: Picture) -> None:
        self._world = world
        self._views: tuple[Callable[[Floats], Floats], ...] = (lambda given: given, covers.undone, gram)
        self._components = [Principal(view(rows), _SEEN) for view in self._views]
        self._pixels = Principal(thumbnails(drawn), _SEEN)
        self._vectors = Standard(self._recognised(drawn))

    def __call__(self, rows: Floats, drawn: Picture) -> torch.Tensor:
        """Covers (N, n) and the pictures that were decoded from them -> (N, k)."""
        parts = [own(view(rows)) for own, view in zip(self._components, self._views, strict=True)]
        parts += [self._pixels(thumbnails(drawn)), self._vectors(self._recognised(drawn))]
        return torch.from_numpy(np.concatenate(parts, axis=1))

    def _recognised(self, drawn: Picture) -> Floats:
        """Vectors of decoded faces (N, d); without a recogniser a column of zeros."""
        network, model = self._world.recogniser, self._world.model
        if network is None:
            return np.zeros((len(drawn), 1), np.float32)
        inner = inside(model)
        return np.concatenate([network.embed([crop_square(face[inner, inner], network)]) for face in drawn])


@dataclass(frozen=True)
class Trained:
    """A network and the views it was trained on."""

    views: Views
    network: Network

    @torch.inference_mode()
    def __call__(self, rows: Floats, drawn: Picture) -> Floats:
        """Descriptions (N, d) of covers (N, n)."""
        self.network.eval()
        return np.asarray(self.network(self.views(rows, drawn)).numpy(), np.float32)


@dataclass(frozen=True)
class Described:
    """Descriptions of faces: how they are made, and their scale."""

    pixels: Principal
    scale: Standard

    def __call__(self, faces: Faces) -> Floats:
        return self.scale(raw_descriptions(faces, self.pixels))


def raw_descriptions(faces: Faces, pixels: Principal) -> Floats:
    """(N, d): recogniser's vectors (none: no columns) and components of the pixels."""
    return np.concatenate([faces.vectors, pixels(thumbnails(faces.squares))], axis=1)


def thumbnails(squares: Picture) -> Floats:
    """(N, 24 * 24 * 3), in grey levels."""
    small = [cv2.resize(square, (24, 24), interpolation=cv2.INTER_AREA).ravel() for square in squares]
    return np.stack(small).astype(np.float32)


def reversal(world: World) -> Step:
    """One network for each rotation that is asked about, trained when it first is; ideal covers meet the one that was
    trained on the rotation in whose place they stand."""
    trainees = world.trainees
    pixels = Principal(thumbnails(trainees.squares), _PIXELS)
    described = Described(pixels, Standard(raw_descriptions(trainees, pixels)))
    gallery = {photo: unit(described(faces)) for photo, faces in world.looks().items()}
    networks: dict[str, Trained] = {}

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        name = sealing.rotation
        if name not in networks:
            wanted = described(trainees)
            networks[name] = train(world, name, wanted)
            world.notes[f"reversal, {name}"] = explained(world, networks[name], name, wanted)
        drawn = decoded(world, sealing.probe, sealing.name, world.model.decode)
        predicted = unit(networks[name](sealing.probe, drawn))
        return {photo: world.scores(predicted @ rows.T) for photo, rows in gallery.items()}

    return step


def train(world: World, rotation: str, wanted: Floats) -> Trained:
    """Trains on nine of ten of the attacker's faces, whose descriptions are `wanted`, each sealed twice."""
    torch.manual_seed(world.seed)
    learnt = np.arange(len(wanted)) % _HELD != 0
    latents, sealings = world.trainee_latents[learnt], 1 if rotation == covers.NONE else _SEALINGS
    shown: list[torch.Tensor] = []
    views = None
    for number in range(sealings):
        rows = covers.cover(latents, rotation, world.rng("training", rotation, number))
        drawn = decoded(world, rows, f"{rotation}, to train", world.model.decode)
        views = views or Views(world, rows, drawn)
        shown.append(views(rows, drawn))
    assert views is not None
    given, target = torch.cat(shown), torch.from_numpy(wanted[learnt]).repeat(sealings, 1)
    network = Network(given.shape[1], wanted.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    network.train()
    for epoch in range(world.plan.epochs):
        order = world.rng("training", rotation, "order", epoch).permutation(len(given))
        for part in np.array_split(order, -(-len(order) // _BATCH)):
            picked = torch.from_numpy(part)
            loss = nn.functional.mse_loss(network(given[picked]), target[picked])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        world.say(f"training a reversal network, {rotation}", epoch + 1)
    return Trained(views, network)


def explained(world: World, trained: Trained, rotation: str, wanted: Floats) -> float:
    """Share of the variance of held-out faces' descriptions that a network explains; 0 is what their mean explains."""
    held = np.arange(len(wanted)) % _HELD == 0
    rows = covers.cover(world.trainee_latents[held], rotation, world.rng("held out", rotation))
    drawn = decoded(world, rows, f"{rotation}, held out", world.model.decode)
    off = trained(rows, drawn) - wanted[held]
    return 1 - float((off**2).mean() / ((wanted[held] - wanted[held].mean(axis=0)) ** 2).mean())
