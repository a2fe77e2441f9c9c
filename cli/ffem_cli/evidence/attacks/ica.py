"""Independent component analysis: the columns of A Z are mixtures by A; unmixed, they would be rows of Z."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from ffem_cli.evidence.attacks.features import Standard, side, unit
from ffem_cli.evidence.attacks.invariants import Step
from ffem_cli.evidence.attacks.scene import Floats
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Sealing, World

_SOURCES, _ROUNDS = 8, 40


def unmixing(world: World) -> Step:
    """Eight sources of each cover by FastICA (Hyvaerinen & Oja 2000; scikit-learn), matched by the largest correlation
    of each with any row of a gallery's latent."""
    m = side(world.sealed.shape[1])
    scale = Standard(np.concatenate(world.known))
    rows = {}
    for photo, z in world.gallery.items():
        lines = scale(z).reshape(-1, 3 * m)
        rows[photo] = unit(lines - lines.mean(axis=1, keepdims=True))

    def step(sealing: Sealing) -> Mapping[str, Scores]:
        matrices: dict[str, list[Floats]] = {photo: [] for photo in rows}
        for cover in sealing.probe:
            sources = _sources(cover.reshape(m, 3 * m))
            for photo, lines in rows.items():
                alike = np.abs(sources @ lines.T).reshape(len(sources), -1, m).max(axis=2)
                matrices[photo].append(np.asarray(alike.sum(axis=0)))
        return {photo: world.scores(np.stack(found)) for photo, found in matrices.items()}

    return step


def _sources(mixed: Floats) -> Floats:
    """Sources float32 (8, 3m) of mixtures (m, 3m), each with mean 0 and length 1."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # what has no sources never settles; its last state is as good as any
        warnings.simplefilter("ignore", ConvergenceWarning)
        ica = FastICA(_SOURCES, whiten="unit-variance", max_iter=_ROUNDS, tol=1e-3, random_state=1)
        found = ica.fit_transform(mixed.T.astype(np.float64)).T
    return unit(found - found.mean(axis=1, keepdims=True))
