"""Chosen pictures: the attacker lets the camera seal pictures of his choice, under fresh keys, and learns to tell the
covers apart. Then he is shown covers of the same pictures under keys that he has not seen.

Pictures are as extreme as pictures can be. Latents go further than any picture: a single coordinate, a single block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ffem_chain.faces.flow.rotation import hadamard_block
from ffem_cli.evidence.attacks import covers
from ffem_cli.evidence.attacks.features import side
from ffem_cli.evidence.attacks.scene import Floats, Picture, encode
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Sealing, World


def pictures(size: int, rng: np.random.Generator) -> Picture:
    """Eight squares uint8 (8, m, m, 3): black, grey, white, red, a white pixel, checks, stripes, noise."""
    y, x = np.mgrid[:size, :size]
    flat = [np.full((size, size, 3), value, np.uint8) for value in (0, 128, 255)]
    red, pixel = flat[0].copy(), flat[0].copy()
    red[..., 0] = 255
    pixel[size // 2, size // 2] = 255
    checks, stripes = (np.repeat((on % 2 * 255)[..., None], 3, axis=2).astype(np.uint8) for on in (x + y, x))
    return np.stack([*flat, red, pixel, checks, stripes, rng.integers(0, 256, (size, size, 3), np.uint8)])


def spikes(n: int, rng: np.random.Generator) -> Floats:
    """Four latents float32 (4, n) of norm sqrt(n): one coordinate, a third of them alike, all alike, a Gaussian."""
    out = np.zeros((4, n))
    out[0, n // 3] = 1
    out[1, : n // 3] = 1
    out[2] = 1
    out[3] = rng.standard_normal(n)
    out *= math.sqrt(n) / np.linalg.norm(out, axis=1, keepdims=True)
    return out.astype(np.float32)


def described(rows: Floats) -> NDArray[np.float64]:
    """What a structure may show in: moments, extremes, grids of values, energies of parts, singular values; of the
    cover and of the cover with the last transform undone. float64 (N, d)."""
    return np.concatenate([_one(rows), _one(covers.undone(rows))], axis=1)


def frequencies(n: int) -> NDArray[np.float64]:
    """Where the characteristic function is looked at: broadly, and where the grids that one spike or equal values have
    after two rounds show (spacings 2 sqrt(n) / block and 2 / sqrt(block)), with their first harmonics."""
    block = hadamard_block(n)
    grids = math.pi * np.array([block / math.sqrt(n), math.sqrt(block)])
    return np.concatenate([np.geomspace(2.0, 2000.0, 12), grids, 2 * grids])


def _one(rows: Floats) -> NDArray[np.float64]:
    n, m = rows.shape[1], side(rows.shape[1])
    out, looked = [], frequencies(n)
    for row in rows.astype(np.float64):
        power = row * row
        moments = [row.mean(), power.mean(), (power * row).mean(), (power**2).mean(), (power**3).mean(), power.max()]
        part = row[: min(n, 4096)]
        # e^(i f x): 1 where all values lie on a grid of 2 pi / f
        grid = np.abs(np.exp(1j * np.outer(looked, part)).mean(axis=1))
        energies = np.sort(power.reshape(3, -1).mean(axis=1))
        singular = np.linalg.svd(row.reshape(m, 3 * m), compute_uv=False)[[0, 1, 2, -1]] / math.sqrt(n)
        near_zero = [float((np.abs(row) < width).mean()) for width in (0.01, 0.1)]
        out.append([*moments, *grid, *energies, *singular, *near_zero])
    return np.array(out)


def chosen_pictures(world: World) -> Callable[[Sealing], Mapping[str, Scores]]:
    """Tells eight pictures apart; each sealing has noise of its own."""
    squares = pictures(world.model.size, world.rng("pictures"))

    def latents(count: int, what: str) -> Floats:
        return encode(world.model, np.repeat(squares, count, axis=0), world.rng(what), world.say)

    return _told_apart(world, len(squares), latents, world.plan.trials)


def chosen_latents(world: World) -> Callable[[Sealing], Mapping[str, Scores]]:
    """Tells four latents apart that no picture has."""
    given = spikes(3 * world.model.size**2, world.rng("spikes"))
    return _told_apart(world, len(given), lambda count, _: np.repeat(given, count, axis=0), 2 * world.plan.trials)


def _told_apart(
    world: World, kinds: int, latents: Callable[[int, str], Floats], trials: int
) -> Callable[[Sealing], Mapping[str, Scores]]:
    # the same sealed again and again: latents are made once
    learnt, asked = latents(trials, "learnt"), latents(trials, "asked")
    truth = np.repeat(np.arange(kinds), trials)

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        judge = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
        judge.fit(described(sealing.seal(learnt, "learnt")), truth)
        matrix = judge.decision_function(described(sealing.seal(asked, "asked")))
        trial = tuple(f"{kind} {at:04d}" for at, kind in enumerate(truth))
        return {"": Scores(np.asarray(matrix), truth, trial)}

    return step
