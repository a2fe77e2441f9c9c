"""Action recognition on covered clips with a network that the user has: train it, test it, or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ffem_chain.errors import InputError
from ffem_cli.eval.cache import Say
from ffem_cli.eval.measures import proportion
from ffem_cli.evidence.downstream.hmdb51 import Split
from ffem_cli.evidence.downstream.volumes import Clips, Recipe, Volume

_MOMENTUM, _DECAY = 0.9, 1e-4


def run(
    split: Split, network: torch.nn.Module, covers: Sequence[str], clips: Clips, recipe: Recipe, say: Say
) -> dict[str, Any]:
    """{"covers": {cover: figures}, "train", "test", "loss"}: top-1 and top-5 on the split's test part, with 95 %
    intervals that draw whole films, and how often the class is the one that the original gets.

    InputError where the network does not fit the clips or the classes.
    """
    losses = _train(split, network, clips, recipe, say) if recipe.epochs else []
    scores: dict[str, list[NDArray[np.float64]]] = {cover: [] for cover in covers}
    network.eval()
    for done, clip in enumerate(split.test):
        say("testing", done)
        for cover, view in clips.get(clip, covers).items():
            with torch.no_grad():
                scores[cover].append(_logits(network, view[None], len(split.classes))[0].double().numpy())
    found = {cover: np.stack(rows) for cover, rows in scores.items()}
    figures = {cover: _figures(rows, found.get("original"), split) for cover, rows in found.items()}
    return {
        "covers": figures,
        "train": len(split.train) if recipe.epochs else 0,
        "test": len(split.test),
        "loss": losses,
    }


def _train(split: Split, network: torch.nn.Module, clips: Clips, recipe: Recipe, say: Say) -> list[float]:
    """Mean losses, one an epoch."""
    if not split.train:
        raise InputError("the split has no clips to train with", "--epochs 0 only tests")
    rng = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if not weights:
        raise InputError("the network has nothing to train", "--epochs 0 only tests")
    optimiser = torch.optim.SGD(weights, recipe.rate, _MOMENTUM, weight_decay=_DECAY)
    network.train()
    cover, kept = recipe.trained_on, dict[str, Volume]()
    losses = []
    for epoch in range(recipe.epochs):
        order, sums = rng.permutation(len(split.train)), 0.0
        for at in range(0, len(order), recipe.batch):
            say(f"training, epoch {epoch + 1} of {recipe.epochs}", at)
            chosen = [split.train[index] for index in order[at : at + recipe.batch]]
            for clip in chosen:
                if clip.name not in kept:
                    kept[clip.name] = clips.get(clip, [cover])[cover]
            views = np.stack([kept[clip.name] for clip in chosen])
            labels = torch.tensor([clip.label for clip in chosen])
            loss = torch.nn.functional.cross_entropy(_logits(network, views, len(split.classes)), labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            sums += loss.item() * len(chosen)
        losses.append(sums / len(order))
    return losses


def _logits(network: torch.nn.Module, views: Volume, classes: int) -> torch.Tensor:
    """(B, T, side, side, 3) -> (B, classes)."""
    given = torch.from_numpy(np.ascontiguousarray(views.transpose(0, 4, 1, 2, 3))).float() / 255
    try:
        found = network(given)
    except RuntimeError as error:
        last = str(error).strip().splitlines()[-1]
        shape = tuple(given.shape)
        raise InputError(f"the network does not take {shape}: {last[:200]}", "--frames and --side fit it") from None
    if not isinstance(found, torch.Tensor) or found.shape != (len(views), classes):
        raise InputError(f"the network does not give {classes} classes", "one number a class of the splits' folder")
    return found


def _figures(rows: NDArray[np.float64], original: NDArray[np.float64] | None, split: Split) -> Mapping[str, Any]:
    labels = np.array([clip.label for clip in split.test])
    sources = [clip.source for clip in split.test]
    order = np.argsort(-rows, axis=1, kind="stable")
    out: dict[str, Any] = {"clips": len(labels), "films": len(set(sources))}
    for name, within in (("top1", 1), ("top5", 5)):
        hits = (order[:, :within] == labels[:, None]).any(axis=1).astype(np.float64)
        out[name], out[f"{name}_ci95"] = float(hits.mean()), proportion(hits, sources)
    if original is not None:
        same = (order[:, 0] == original.argmax(axis=1)).astype(np.float64)
        out["as_original"], out["as_original_ci95"] = float(same.mean()), proportion(same, sources)
    return out
