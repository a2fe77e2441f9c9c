"""Statistics of the attacks, and the command."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data as pictures

from ffem_cli.evidence.attacks import running, showing
from ffem_cli.evidence.attacks.running import Found
from ffem_cli.evidence.attacks.statistics import by_group, difference, p_above
from ffem_cli.evidence.attacks.table import ATTACKS, chosen_attacks
from tests.support.cli import Cli
from tests.support.onnxfile import thumbnails

RNG = np.random.default_rng(4)


def hits(share: float, count: int) -> np.ndarray:
    return (RNG.random(count) < share).astype(np.float64)


def test_the_difference_to_the_control() -> None:
    low, high = difference(hits(0.30, 2000), hits(0.10, 2000))
    assert low < 0.2 < high and high - low < 0.07
    same = np.zeros(500)
    assert difference(same, same) == pytest.approx((-(1 - 0.025 ** (1 / 500)), 1 - 0.025 ** (1 / 500)))


def test_p_is_small_where_there_is_a_difference_and_anything_where_there_is_none() -> None:
    assert p_above(hits(0.15, 500), hits(0.02, 500)) < 0.001
    assert p_above(np.zeros(9), np.zeros(9)) == 1.0
    several = [p_above(hits(0.3, 60), hits(0.3, 60), seed=at) for at in range(60)]
    # uniform, or larger: the share below a half within 6 sigma
    assert np.mean(np.array(several) < 0.5) < 0.5 + 6 * 0.5 / np.sqrt(60)
    assert min(several) > 1e-4


def test_identities_count_once() -> None:
    means = by_group(np.array([[1.0], [0.0], [1.0]]), ["a", "a", "b"])
    assert means.tolist() == [[0.5], [1.0]]


def found(share: float, rotation: str = "sphere", count: int = 500, control: float | None = None) -> Found:
    (one,) = (entry for entry in ATTACKS if entry.name == "gram")
    groups = [f"{at:03d}" for at in range(count)]

    def trials(part: float) -> np.ndarray:
        top = hits(part, count)
        return np.stack([top, top, np.where(top > 0, 0, RNG.random(count))], axis=1)

    return Found(
        one, rotation, "same", count, groups, [trials(share)], [trials(1 / count if control is None else control)]
    )


def test_what_is_at_chance_passes_and_what_is_found_does_not() -> None:
    rows = running.judged([found(1 / 500), found(0.05), found(1.0, "block")], 1)
    assert [row["passes"] for row in rows] == [True, False, False]
    assert [row["detected"] for row in rows] == [False, True, True]
    assert [row["comparisons"] for row in rows] == [4, 4, 2]
    assert rows[2]["top1"] == 1 and rows[2]["ci95"][1] == 1 and rows[0]["chance"] == 1 / 500


def test_too_few_trials_never_pass() -> None:
    (row,) = running.judged([found(0.0, count=40, control=0.0)], 1)
    assert row["passes"] is False and row["detected"] is False


def test_a_broken_sphere_is_claimed_to_be_broken() -> None:
    record = {"people": 500, "keys": 1, "variance_explained_by_networks": {}}
    rows = running.judged([found(0.05), found(1.0, "block")], 1)
    result = showing.result(rows, record, chosen_attacks(["gram"]), proves=True)
    assert [claim.holds for claim in result.claims] == [False, True]
    small = showing.result(rows, record, chosen_attacks(["gram"]), proves=False)
    assert [claim.holds for claim in small.claims] == [None, None]


def people(folder: Path) -> Path:
    """Eight "people": the astronaut in eight tints, two photos each."""
    head = pictures.astronaut()[:256, 96:352, ::-1].astype(float)
    for at in range(8):
        tint = np.array([0.6 + 0.05 * at, 1 - 0.04 * at, 0.7 + 0.3 * (at % 2)])
        for photo in (1, 2):
            path = folder / f"person_{at}" / f"{photo}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.clip(head * tint * (1 - 0.05 * photo), 0, 255).astype(np.uint8))
    return folder


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("FFEM_HOME", str(tmp_path / "home"))
    return Cli(tmp_path / "home")


def test_the_command(cli: Cli, tmp_path: Path) -> None:
    folder, network = people(tmp_path / "lfw"), tmp_path / "thumbnails.onnx"
    network.write_bytes(thumbnails())
    words = ["--pose", "landmarks", "eval", "attacks", "--lfw", folder, "--small", "--only", "gram,pose", "--json"]
    words += ["--recogniser", network, "--cache", tmp_path / "cache"]
    data = cli.ok(*words).data
    rows = {(row["attack"], row["photo"], row["rotation"]): row for row in data["rows"]}
    assert rows["gram", "same", "block"]["top1"] == 1
    assert {rotation for _, _, rotation in rows} == {"block", "sphere", "none", "any"}
    wanted = {"attack", "rotation", "gallery", "probes", "top1", "top5", "chance", "ci95", "control_top1"}
    assert all(wanted <= set(row) and row["gallery"] == 8 for row in rows.values())
    assert data["record"]["people"] == 8 and data["record"]["data"]["photos"] == 16
    # from the cache, without a look at any photo
    for path in folder.rglob("*.png"):
        path.write_bytes(bytes(path.stat().st_size))
    assert cli.ok(*words).data == data


def test_what_is_no_attack(cli: Cli, tmp_path: Path) -> None:
    done = cli("eval", "attacks", "--lfw", people(tmp_path / "lfw"), "--only", "magic")
    assert done.status != 0 and "chosen" in done.err
    assert "--lfw" in cli("eval", "attacks").err
