"""A trained reversal network: the attacker seals faces of his own under fresh keys and learns to see through.

A small network predicts a face's description (a recogniser's vector if there is one, and principal components of its
pixels) from a cover. It sees the cover as m x 3m, and the same with the last transform undone. Of each it takes
products with learned matrices from both sides, which suits a plain latent, and a learned part of Z^T Z, which suits
`block`. That it can learn is shown on latents without a rotation and on `block`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from ffem_cli.evidence.attacks import covers
from ffem_cli.evidence.attacks.features import Principal, Standard, side, unit
from ffem_cli.evidence.attacks.invariants import Step
from ffem_cli.evidence.attacks.scene import Faces, Floats
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Sealing, World, source

_PIXELS = 48  # principal components of the pixels
_INNER, _HIDDEN = 32, 128
_BATCH, _RATE = 64, 2e-3
_HELD = 10  # every tenth face is held out


class Network(nn.Module):
    """Covers float32 (B, 2, m, 3m) -> descriptions (B, d); under 2 MB of weights."""

    def __init__(self, m: int, d: int) -> None:
        super().__init__()
        spread = (3 * m) ** -0.5
        self.left = nn.Parameter(torch.randn(2, _INNER, m) * m**-0.5)
        self.right = nn.Parameter(torch.randn(2, 3 * m, _INNER) * spread)
        self.square = nn.Parameter(torch.randn(2, 3 * m, _INNER) * spread)
        self.norm = nn.BatchNorm1d(4 * _INNER * _INNER)
        self.head = nn.Sequential(
            nn.Dropout(0.3), nn.Linear(4 * _INNER * _INNER, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, d)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        linear = self.left @ x @ self.right
        part = x @ self.square
        squared = part.transpose(2, 3) @ part / x.shape[2]
        return torch.as_tensor(self.head(self.norm(torch.cat([linear.flatten(1), squared.flatten(1)], dim=1))))


@dataclass(frozen=True)
class Described:
    """Descriptions of faces: how they are made, and their scale."""

    pixels: Principal
    scale: Standard

    def __call__(self, faces: Faces) -> Floats:
        return self.scale(raw_descriptions(faces, self.pixels))


def raw_descriptions(faces: Faces, pixels: Principal) -> Floats:
    """(N, d): recogniser's vectors (none: no columns) and components of the pixels."""
    return np.concatenate([faces.vectors, pixels(thumbnails(faces))], axis=1)


def thumbnails(faces: Faces) -> Floats:
    """(N, 24 * 24 * 3), in grey levels."""
    return np.stack(
        [cv2.resize(square, (24, 24), interpolation=cv2.INTER_AREA).ravel() for square in faces.squares]
    ).astype(np.float32)


def reversal(world: World) -> Step:
    """One network for each rotation that is asked about, trained when it first is; ideal covers meet the one that was
    trained on the rotation in whose place they stand."""
    trainees = world.trainees
    pixels = Principal(thumbnails(trainees), _PIXELS)
    described = Described(pixels, Standard(raw_descriptions(trainees, pixels)))
    gallery = {photo: unit(described(faces)) for photo, faces in world.looks().items()}
    networks: dict[str, Network] = {}

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        name = sealing.rotation
        if name not in networks:
            wanted = described(trainees)
            networks[name] = trained(world, name, wanted)
            world.notes[f"reversal, {name}"] = explained(world, networks[name], name, wanted)
        predicted = unit(predict(networks[name], sealing.probe))
        return {photo: world.scores(predicted @ rows.T) for photo, rows in gallery.items()}

    return step


def views(rows: Floats) -> torch.Tensor:
    """Covers (N, n) as the network takes them, (N, 2, m, 3m)."""
    m = side(rows.shape[1])
    return torch.from_numpy(np.stack([rows, covers.undone(rows)], axis=1).reshape(len(rows), 2, m, 3 * m))


@torch.inference_mode()
def predict(network: Network, rows: Floats) -> Floats:
    """Descriptions (N, d) of covers (N, n)."""
    network.eval()
    parts = [network(views(rows[at : at + _BATCH])).numpy() for at in range(0, len(rows), _BATCH)]
    return np.concatenate(parts).astype(np.float32)


def trained(world: World, rotation: str, wanted: Floats) -> Network:
    """The network for a rotation, from the cache or trained on the attacker's faces whose descriptions are `wanted`."""
    m = world.model.size

    def flat(_: None) -> Floats:
        network = train(world, rotation, wanted)
        return np.concatenate([part.numpy().ravel() for part in _state(network)])

    plan = world.plan
    depends = {
        "model": world.model.model_id.hex(),
        "rotation": rotation,
        "faces": [len(wanted), str(plan.own and plan.own.name), float(np.abs(wanted).mean())],
        "epochs": plan.epochs,
        "seed": world.seed,
        "shape": [_INNER, _HIDDEN, wanted.shape[1]],
        "retrained": world.retrain,
        "code": source("covers", "features", "scene", "world", "reversal"),
    }
    cache = world.cache
    weights = cache.rows("training a reversal network", [("weights", None)], flat, world.say, **depends)
    network = Network(m, wanted.shape[1])
    at = 0
    for part in _state(network):
        part.copy_(torch.from_numpy(weights[0, at : at + part.numel()]).view_as(part))
        at += part.numel()
    return network


def _state(network: Network) -> list[torch.Tensor]:
    """Parameters and running statistics."""
    kept = [part for part in network.state_dict().values() if part.is_floating_point()]
    return [part.detach() for part in kept]


def train(world: World, rotation: str, wanted: Floats) -> Network:
    """Trains on nine of ten of the attacker's faces, sealed anew in every other epoch."""
    torch.manual_seed(world.seed)
    latents, learnt = world.trainee_latents, np.arange(len(wanted)) % _HELD != 0
    target = torch.from_numpy(wanted[learnt])
    network = Network(world.model.size, wanted.shape[1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.05)
    steps = world.plan.epochs * (-(-len(target) // _BATCH))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    for epoch in range(world.plan.epochs):
        rng = world.rng("training", rotation, epoch)
        if epoch == 0 or (epoch % 2 == 0 and rotation != covers.NONE):
            shown = views(covers.cover(latents[learnt], rotation, rng))
        network.train()
        for part in np.array_split(rng.permutation(len(shown)), -(-len(shown) // _BATCH)):
            picked = torch.from_numpy(part)
            loss = nn.functional.mse_loss(network(shown[picked]), target[picked])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        world.say(f"training a reversal network, {rotation}", epoch + 1)
    return network


def explained(world: World, network: Network, rotation: str, wanted: Floats) -> float:
    """Share of the variance of held-out faces' descriptions that a network explains; 0 is what their mean explains."""
    held = np.arange(len(wanted)) % _HELD == 0
    rows = covers.cover(world.trainee_latents[held], rotation, world.rng("held out", rotation))
    off = predict(network, rows) - wanted[held]
    return 1 - float((off**2).mean() / ((wanted[held] - wanted[held].mean(axis=0)) ** 2).mean())
