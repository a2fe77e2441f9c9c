"""Fake faces of a model that no camera took: how far they are from held-out faces, how sharp, and how alike.

Of the training folders' pictures, sorted by path, one in `ffem_chain.faces.training.data.HELD_OUT` is held out. The
distance of the fakes to the held-out faces stands beside that of as many training faces, so what a perfect model could
reach is in the same row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.training.data import HELD_OUT
from ffem_cli.eval import data
from ffem_cli.eval.cache import Cache, Say
from ffem_cli.eval.measures import frechet, pairwise_cosine, sharpness
from ffem_cli.eval.recognisers import Recogniser, crop_square

Picture = NDArray[np.uint8]
SHEET = 64  # fakes on a sheet, 8 in a row
_BATCH = 16


@dataclass(frozen=True)
class Faces:
    """Aligned faces: `held_out` ones, and `others` that training saw (none where the folder is held out as a whole)."""

    held_out: list[Path]
    others: list[Path]


def split(folders: Sequence[Path], every: int | None = None) -> Faces:
    """The pictures of `folders`, every `every`-th held out; None: as training splits them."""
    every = every or HELD_OUT
    files = sorted(path for folder in folders for path in data.pictures(folder))
    return Faces(files[::every], [path for at, path in enumerate(files) if at % every])


def draw(model: Model, count: int, temperature: float, seed: int, say: Say) -> Picture:
    """Fakes of latents drawn on the sphere of the sealed ones: uint8 (count, m, m, 3)."""
    rng, n = np.random.default_rng(seed), 3 * model.size**2
    out = np.empty((count, model.size, model.size, 3), np.uint8)
    for at in range(0, count, _BATCH):
        say("drawing fakes", at)
        z = rng.standard_normal((min(_BATCH, count - at), n))
        z *= np.sqrt(n) / np.linalg.norm(z, axis=1, keepdims=True)
        out[at : at + len(z)] = model.draw(z, temperature)
    return out


def sheet(fakes: Picture) -> Picture:
    """The first fakes, 8 in a row: uint8 (H, W, 3)."""
    first = list(fakes[: min(SHEET, len(fakes)) // 8 * 8])
    return np.vstack([np.hstack(first[at : at + 8]) for at in range(0, len(first), 8)])


def measure(
    model: Model,
    faces: Faces,
    recogniser: Recogniser,
    *,
    temperature: float,
    count: int,
    seed: int,
    nearest: bool,
    cache: Cache,
    say: Say,
) -> tuple[dict[str, Any], Picture]:
    """(figures, fakes) of `count` fakes; see docs/EVAL.md for what each figure is. `nearest` compares each fake and
    each held-out face with all of the training faces, which embeds them all once."""
    held, others = some(faces.held_out, count, seed), some(faces.others, count, seed)
    fakes = draw(model, count, temperature, seed, say)

    def embed(paths: list[Path], what: str) -> NDArray[np.float32]:
        # through the model's own size: a model of 64 px is compared with faces of 64 px
        def one(path: Path) -> NDArray[np.float32]:
            (vector,) = recogniser.embed([crop_square(data.read_aligned(path, model.size), recogniser)])
            return np.asarray(vector)

        items = [(f"{path.name} {path.stat().st_size}", path) for path in paths]
        return cache.rows(what, items, one, say, recogniser=recogniser.digest, size=model.size)

    drawn = [(str(at), face) for at, face in enumerate(fakes)]
    # never kept: weights and refiners change between tries
    vectors = Cache(None).rows(
        "embedding fakes", drawn, lambda f: recogniser.embed([crop_square(f, recogniser)])[0], say
    )
    real = embed(held, "embedding held-out faces")
    other = embed(others, "embedding training faces")
    sharp = [float(np.median([sharpness(face) for face in fakes]))]
    sharp.append(float(np.median([sharpness(data.read_aligned(path, model.size)) for path in held])))
    figures: dict[str, Any] = {
        "model": model.name,
        "model_id": model.model_id.hex(),
        "steps": model.steps,
        "size": model.size,
        "temperature": temperature,
        "fakes": count,
        "held_out": len(held),
        "frechet": frechet(vectors, real),
        "frechet_real": frechet(other, real) if len(others) > 1 else None,
        "real": len(others),
        "sharpness": sharp[0],
        "sharpness_real": sharp[1],
        "sharpness_ratio": sharp[0] / sharp[1],
        "pairwise_cosine": pairwise_cosine(vectors),
        "pairwise_cosine_real": pairwise_cosine(real),
        "nearest": None,
        "recogniser": {"name": recogniser.name, "sha256": recogniser.digest},
        "seed": seed,
        "data": {"photos": len(held), "sha256": data.digest((path.name, path) for path in held)},
    }
    if nearest and faces.others:
        everything = embed(faces.others, "embedding all training faces")
        figures["nearest"] = {
            "training_faces": len(everything),
            "fakes": _nearest(vectors, everything),
            "held_out": _nearest(real, everything),
        }
    return figures, fakes


def some(paths: list[Path], count: int, seed: int) -> list[Path]:
    """At most `count` of the paths, in their order."""
    if len(paths) <= count:
        return paths
    drawn = np.random.default_rng(seed).choice(len(paths), count, replace=False)
    return [paths[at] for at in np.sort(drawn)]


def _nearest(vectors: NDArray[np.float32], training: NDArray[np.float32]) -> dict[str, float]:
    """Cosine to the most similar training face: its mean, its 95th percentile and its maximum over the vectors."""
    best = (vectors @ training.T).max(axis=1)
    return {"mean": float(best.mean()), "p95": float(np.quantile(best, 0.95)), "max": float(best.max())}
