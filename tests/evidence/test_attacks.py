"""Attacks on made-up latents: each finds what a broken cover leaves, and nothing in `sphere` and the ideal cover."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ffem_cli.evidence.attacks import chosen, covers, ica, invariants, pairs, reversal
from ffem_cli.evidence.attacks.features import Standard
from ffem_cli.evidence.attacks.scene import ANOTHER, SAME
from ffem_cli.evidence.attacks.statistics import Scores
from ffem_cli.evidence.attacks.world import Plan, Sealing, World

PEOPLE, M = 120, 16
N = 3 * M * M
KNOWN = f"{SAME}, noise known"


def decoded(latents: np.ndarray) -> np.ndarray:
    """What stands for the flow here: each coordinate is a channel of a pixel."""
    return np.clip(128 + 40 * latents.reshape(-1, M, M, 3), 0, 255).astype(np.uint8)


def world(people: int = PEOPLE, *, laplace: bool = False) -> World:
    """People whose latents differ in direction and length; the attacker's encodings of the same photos are off by
    2 %, those of other photos share a third with them."""
    rng = np.random.default_rng(3)

    def drawn(count: int) -> np.ndarray:
        z = rng.laplace(size=(count, N)) / math.sqrt(2) if laplace else rng.standard_normal((count, N))
        return (z * rng.uniform(0.7, 1.3, (count, 1))).astype(np.float32)

    def again(z: np.ndarray, kept: float) -> np.ndarray:
        fresh = rng.standard_normal(z.shape)
        return (kept * z + math.sqrt(1 - kept**2) * fresh).astype(np.float32)

    made = World.__new__(World)
    sealed, known = drawn(people), drawn(80)
    names = tuple(map(str, range(people)))
    parts = {
        "plan": Plan(Path(), None, people, 80, 0, 0, 1, 4),
        "model": SimpleNamespace(
            flow=SimpleNamespace(level_slices=[slice(0, N // 2), slice(N // 2, N)]), size=M, margin=0.0, decode=decoded
        ),
        "recogniser": None,
        "seed": 1,
        "say": lambda what, done: None,
        "notes": {},
        "_found": (SimpleNamespace(people=names), None),
        "sealed": sealed,
        "gallery": {SAME: again(sealed, 0.9998), ANOTHER: again(sealed, 0.33)},
        "known": (known, again(known, 0.33)),
    }
    made.__dict__.update(parts)
    return made


def top1(step: invariants.Step, made: World, rotation: str, photo: str, *, ideal: bool = False) -> float:
    return float(step(Sealing(made, rotation, 0, ideal=ideal))[photo].found()[:, 0].mean())


def by_chance(share: float, count: int = PEOPLE, chance: float = 1 / PEOPLE) -> bool:
    """Within 6 sigma of guessing."""
    return abs(share - chance) <= 6 * math.sqrt(chance / count)


MADE = world()


@pytest.mark.parametrize(
    ("attack", "broken", "photo"),
    [
        (invariants.gram_matching, "block", SAME),
        (invariants.gram_matching, "block", ANOTHER),
        (invariants.norm, "block", KNOWN),
        (invariants.undo_last, "sphere-1", KNOWN),
        (invariants.latents, "none", ANOTHER),
        (invariants.linking_by_gram, "block", SAME),
        (invariants.linking_by_values, "none", SAME),
        (pairs.known_plaintext(1, one_key=True), "block", SAME),
        (pairs.known_plaintext(64, one_key=True), "sphere", SAME),
    ],
)
def test_an_attack_finds_what_a_broken_cover_leaves(attack, broken: str, photo: str) -> None:
    step = attack(MADE)
    assert top1(step, MADE, broken, photo) > 0.6
    assert by_chance(top1(step, MADE, broken, photo, ideal=True))


@pytest.mark.parametrize(
    "attack",
    [
        invariants.gram_matching,
        invariants.norm,
        invariants.norm_rounding,
        invariants.undo_last,
        invariants.latents,
        invariants.linking_by_gram,
        invariants.linking_by_values,
        pairs.known_plaintext(64, one_key=False),
    ],
)
def test_sphere_leaves_them_nothing(attack) -> None:
    found = attack(MADE)(Sealing(MADE, "sphere", 0))
    for photo, scores in found.items():
        assert by_chance(scores.found()[:, 0].mean()), photo
        assert abs(scores.found()[:, 2].mean() - 0.5) < 6 * math.sqrt(1 / 12 / PEOPLE)


def test_a_radius_that_is_not_removed_is_found() -> None:
    made = world()
    step = invariants.norm(made)
    leaky = Sealing(made, "sphere", 0)
    leaky.__dict__["probe"] = leaky.probe * (np.linalg.norm(made.sealed, axis=1, keepdims=True) / math.sqrt(N))
    assert step(leaky)[KNOWN].found()[:, 0].mean() > 0.9


def test_independent_components_of_block_are_found_where_rows_are_not_gaussian() -> None:
    made = world(12, laplace=True)
    step = ica.unmixing(made)
    assert top1(step, made, "none", SAME) > 0.8
    assert by_chance(top1(step, made, "sphere", SAME), 12, 1 / 12)


def test_four_rounds_hide_the_grid_that_three_show_once_the_last_is_undone() -> None:
    """A latent of one coordinate at the size of ffem-128: its values lie on a grid whose spacing the attacker knows."""
    n = 3 * 128 * 128
    spike = chosen.spikes(n, np.random.default_rng(1))[:1]

    def peak(rounds: str) -> float:
        seen = covers.undone(covers.cover(spike, rounds, np.random.default_rng(2)))[0].astype(np.float64)
        return max(abs(np.exp(1j * f * seen).mean()) for f in chosen.frequencies(n)[-4:])

    assert peak("sphere-2") > 0.4 and peak("sphere-3") > 0.2
    assert peak("sphere") < 6 / math.sqrt(n)


def test_chosen_pictures_are_as_many_as_said_and_differ() -> None:
    made = chosen.pictures(32, np.random.default_rng(1))
    assert made.shape == (8, 32, 32, 3) and made.dtype == np.uint8
    assert len({picture.tobytes() for picture in made}) == 8


def test_covers_go_through_the_packing() -> None:
    z = MADE.sealed[:3]
    for name in ("sphere", "block", "ideal", "none", "sphere-2"):
        rows = covers.cover(z, name, np.random.default_rng(1))
        steps = (rows.astype(np.float64) + 5) * 1024 / 10 - 0.5
        assert np.allclose(steps, np.round(steps), atol=1e-3), name
    ideal = covers.cover(z, "ideal", np.random.default_rng(1))
    assert np.allclose(ideal, covers.cover(z[::-1], "ideal", np.random.default_rng(1)))
    alike = covers.cover(np.repeat(z[:1], 2, axis=0), "sphere", np.random.default_rng(1), one_key=True)
    assert np.array_equal(*alike)
    fresh = covers.cover(np.repeat(z[:1], 2, axis=0), "sphere", np.random.default_rng(1))
    assert abs(np.corrcoef(fresh)[0, 1]) < 6 / math.sqrt(N)


def test_the_last_transform_is_undone() -> None:
    z = MADE.sealed[:1].astype(np.float64)
    once = covers.fewer_rounds(z[0], 1, np.random.default_rng(1))
    back = covers.undone(once[None].astype(np.float32))[0]
    expected = np.abs(z[0]) * math.sqrt(N) / np.linalg.norm(z[0])
    assert np.allclose(np.sort(np.abs(back)), np.sort(expected), atol=1e-4)


def test_a_network_learns_through_no_rotation_and_through_block_but_not_through_sphere() -> None:
    rng = np.random.default_rng(1)
    wanted = rng.standard_normal((500, 4)).astype(np.float32)
    # a face's description moves the rows of the latent together, so that Z^T Z tells of it
    base = rng.standard_normal((5, 3 * M)).astype(np.float32)
    level = base[0] + 1.5 * wanted @ base[1:] / 2
    z = (np.repeat(level[:, None, :], M, axis=1) + rng.standard_normal((500, M, 3 * M))).reshape(500, N)
    made = world(16)
    made.__dict__.update(trainee_latents=z.astype(np.float32) / 2)
    made.__dict__["plan"] = Plan(Path(), None, 16, 80, 500, 12, 1, 4)
    target = Standard(wanted)(wanted)
    told = {
        name: reversal.explained(made, reversal.train(made, name, target), name, target)
        for name in ("none", "block", "sphere")
    }
    assert told["none"] > 0.5 and told["block"] > 0.3
    assert told["sphere"] < 0.05


def test_ties_count_as_guesses() -> None:
    matrix = np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 1.0, 0.0]])
    found = Scores(matrix, np.array([0, 1]), ("a", "b")).found()
    assert found.tolist() == [[0.25, 1.0, 0.5], [1.0, 1.0, 0.0]]
