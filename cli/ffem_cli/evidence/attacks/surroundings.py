"""Side channels: what a capture shows beside Z_enc. None of it is hidden, so no ideal cover would hide it either.

The control is what the public part of a stranger's capture gives: people are shuffled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ffem_cli.evidence.attacks.features import Standard, nearness
from ffem_cli.evidence.attacks.invariants import Step
from ffem_cli.evidence.attacks.scene import Faces, Floats
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Sealing, World


def _side_channel(compare: Callable[[World, Faces, Faces], Floats]) -> Callable[[World], Step]:
    def start(world: World) -> Step:
        matrices = {photo: compare(world, world.attacked.first, faces) for photo, faces in world.looks().items()}

        def step(sealing: Sealing) -> Mapping[str, Scores]:
            order = np.arange(len(world.people))
            if sealing.ideal:
                order = world.rng("shuffled", sealing.number).permutation(len(order))
            return {photo: world.scores(matrix[order]) for photo, matrix in matrices.items()}

        return step

    return start


def _pose(world: World, own: Faces, theirs: Faces) -> Floats:
    scale = Standard(np.concatenate([world.others.first.numbers, world.others.second.numbers]))
    return nearness(scale(own.numbers), scale(theirs.numbers))


def _around(world: World, own: Faces, theirs: Faces) -> Floats:
    """Correlation of the pixels that are visible in both, of 24 x 24."""
    out = np.empty((len(own), len(theirs)), np.float32)
    seen = theirs.around[..., 3].reshape(len(theirs), -1)
    for at, one in enumerate(own.around):
        both = ((one[..., 3].reshape(1, -1) > 0.99) & (seen > 0.99)).astype(np.float32)
        count = np.maximum(both.sum(axis=1, keepdims=True), 1)
        products, powers = np.zeros(len(theirs)), [np.zeros(len(theirs)), np.zeros(len(theirs))]
        for channel in range(3):
            a = one[..., channel].reshape(1, -1) * both
            b = theirs.around[..., channel].reshape(len(theirs), -1) * both
            a = (a - a.sum(axis=1, keepdims=True) / count) * both
            b = (b - b.sum(axis=1, keepdims=True) / count) * both
            products += (a * b).sum(axis=1)
            powers = [powers[0] + (a * a).sum(axis=1), powers[1] + (b * b).sum(axis=1)]
        out[at] = products / np.sqrt(np.maximum(powers[0] * powers[1], 1e-6))
    return out


def _colours(world: World, own: Faces, theirs: Faces) -> Floats:
    return np.asarray(own.colours @ theirs.colours.T)


def _recognised(world: World, own: Faces, theirs: Faces) -> Floats:
    return np.asarray(own.around_vectors @ theirs.around_vectors.T)


pose = _side_channel(_pose)
around = _side_channel(_around)
colours = _side_channel(_colours)
recognised = _side_channel(_recognised)
