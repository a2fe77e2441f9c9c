"""`ffem eval` on pictures made from one public-domain photo, with a recogniser that is written here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data as pictures

from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_cli.eval import fakes, protocol
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.recognisers import OnnxRecogniser
from ffem_cli.eval.sealing import Camera
from tests.support.cli import Cli
from tests.support.onnxfile import thumbnails

TINTS = {"Ada": (1.0, 1.0, 1.0), "Ben": (0.55, 1.0, 0.8), "Cy": (1.0, 0.6, 1.0), "Di": (0.9, 0.95, 0.5)}


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("network") / "thumbnails.onnx"
    file.write_bytes(thumbnails())
    return file


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four "people": the astronaut in four tints, two photos each. In one of Ben's there is nobody."""
    folder = tmp_path_factory.mktemp("lfw")
    head = pictures.astronaut()[:256, 96:352, ::-1].astype(float)
    for name, tint in TINTS.items():
        (folder / name).mkdir()
        for number in range(2):
            moved = np.roll(head, 6 * number, axis=1) * np.array(tint) * (1 - 0.06 * number)
            small = cv2.resize(moved.astype(np.uint8), (160, 160), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / name / f"{number}.png"), small)
    (folder / "Nobody").mkdir()
    for number in range(2):
        cv2.imwrite(str(folder / "Nobody" / f"{number}.png"), np.full((160, 160, 3), 120, np.uint8))
    return folder


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches of a photo, as if they were aligned faces."""
    folder, photo = tmp_path_factory.mktemp("aligned"), pictures.astronaut()[:, :, ::-1]
    for number in range(40):
        y, x = divmod(number, 8)
        cv2.imwrite(str(folder / f"{number:02}.png"), photo[80 * y : 80 * y + 64, 60 * x : 60 * x + 64])
    return folder


def test_recovery(cli: Cli, people: Path, network: Path, tmp_path: Path) -> None:
    words = [
        "--pose",
        "landmarks",
        "eval",
        "recovery",
        "--lfw",
        people,
        "--recogniser",
        network,
        "--cache",
        tmp_path / "cache",
    ]
    data = cli.ok(*words, "--json").data
    assert data["probes"] == 4 and data["probes_without_a_face"] == 1 and data["gallery"] == 4
    assert data["exact_identical"] is True
    assert data["flow_psnr_db"] > 40 and 0.95 < data["flow_ssim"] < 1
    # the flow returns its square; around that the opened picture is only filled
    assert 0.99 < data["square_cosine_p5"] <= data["square_cosine_mean"] <= 1.000001
    assert data["cosine_p5"] <= data["cosine_mean"] < data["square_cosine_mean"]
    assert data["top1_original"] == 1 and 0 <= data["top1_recovered"] <= 1
    assert sum(band["probes"] for band in data["by_yaw"]) == 4
    (low, high) = data["ci95"]["flow_psnr_db"]
    assert low <= data["flow_psnr_db"] <= high
    assert data["model"] == load_model().name and data["data"]["photos"] == 10 and len(data["data"]["sha256"]) == 64
    # the flow's noise is drawn anew each time: the same figures come from the cache
    assert cli.ok(*words, "--json").data == data
    table = cli.ok(*words).out
    assert "exact layer: identical in all of 4 photos" in table and "0 to 15" in table


class _Judge(CenterFace):
    """CenterFace under another name, or one that finds nothing."""

    def __init__(self, name: str, blind: bool = False) -> None:
        super().__init__(threshold=1.0 if blind else 0.5)
        self.name = name


def test_fakes(people: Path, network: Path) -> None:
    judges = [_Judge("sees"), _Judge("blind", blind=True)]
    recogniser = OnnxRecogniser(network)
    split = protocol.split(people, None, 500, seed=1)
    maker = fakes.Maker(Camera(load_model(), CenterFace()), judges, recogniser, 0.5, 1)
    said: list[str] = []
    data: dict[str, Any] = fakes.measure(
        split, maker, keys=2, count=8, cache=Cache(None), say=lambda what, done: said.append(what)
    )
    assert data["probes"] == 4 and data["trials"] == 8 and data["gallery"] == 4
    # four probes with two fakes each; three of the gallery's photos more, of which one or two show nobody
    assert 8 <= data["fakes"] <= 11 and data["photos_without_a_face"] in (1, 2)
    assert data["detected"]["sees"] == 1 and data["detected"]["blind"] is None
    assert data["detection"]["sees"]["by_sealing_box"] >= 0.75 and data["detection"]["blind"]["by_sealing_box"] == 0
    assert data["detection"]["sees"]["ci95"][1] == 1 and data["detection"]["sees"]["ci95"][0] < 1
    assert 0 <= data["top1"] <= data["top5"] == 1, "five of a gallery of four"
    assert data["top1_original"] == 1 and data["chance_top1"] == 0.25
    assert data["cosine_to_own_original"] < 0.99, "the fake is not the face"
    assert data["sharpness"] > 0 and data["sharpness_ratio"] == data["sharpness"] / data["sharpness_real"]
    assert data["frechet"] >= 0 and data["frechet_faces"] >= 4
    assert set(said) >= {"making fakes", "making fakes, key 2", "sees on originals", "embedding originals"}


def test_fakes_need_the_judges(cli: Cli, people: Path, network: Path, tmp_path: Path) -> None:
    done = cli(
        "--model-cache", tmp_path, "--pose", "landmarks", "eval", "fakes", "--lfw", people, "--recogniser", network
    )
    assert done.status == 11 and "ffem models import" in done.err


def test_precision(cli: Cli, aligned: Path, network: Path) -> None:
    words = ["eval", "precision", "--faces", aligned, "--every", 10, "--recogniser", network, "--json"]
    data = cli.ok(*words).data
    rows = {row["precision"]: row for row in data["rows"]}
    assert list(rows) == ["float32", "float16", "q12", "q10", "q8"] and data["faces"] == 4
    n = 3 * data["size"] ** 2
    assert [row["bytes"] for row in rows.values()] == [4 * n, 2 * n, n * 12 // 8, n * 10 // 8, n]
    quality = [row["floats_psnr_db_mean"] for row in rows.values()]
    assert quality == sorted(quality, reverse=True) and quality[-1] > 40
    assert rows["float32"]["psnr_db_min"] > 100
    for row in rows.values():
        assert row["psnr_db_min"] <= row["psnr_db_mean"] and 0.95 < row["cosine_min"] <= row["cosine_mean"]
    assert cli("eval", "precision", "--faces", aligned).status == 0
    assert cli("eval", "precision", "--faces", aligned, "--every", 40).status == 3


def test_samples(cli: Cli, aligned: Path, network: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    words = ["eval", "samples", "--faces", aligned, "--recogniser", network, "--every", 4, "--count", 16]
    data = cli.ok(*words, "--nearest", "-o", sheet, "--json").data
    side = data["size"]
    assert cv2.imread(str(sheet)).shape == (2 * side, 8 * side, 3)
    assert data["fakes"] == 16 and data["held_out"] == 10 and data["real"] == 16
    # patches of a photo are no faces: they are nearer to each other than fakes are to them
    assert data["frechet"] > data["frechet_real"] > 0
    assert data["pairwise_cosine"] > data["pairwise_cosine_real"]
    assert data["nearest"]["training_faces"] == 30
    assert data["nearest"]["fakes"]["mean"] <= data["nearest"]["fakes"]["max"] <= 1.000001
    again = cli.ok(*words, "--json").data
    assert again["frechet"] == data["frechet"] and again["nearest"] is None and again["out"] is None
    done = cli(*words, "-o", sheet)
    assert done.status == 3 and "exists already" in done.err
    assert "Frechet distance" in cli.ok(*words).out


def test_errors_come_before_work(cli: Cli, people: Path, network: Path, tmp_path: Path) -> None:
    done = cli("--pose", "landmarks", "eval", "recovery", "--lfw", people)
    assert done.status == 3 and "--recogniser" in done.err
    done = cli("--pose", "landmarks", "eval", "recovery", "--lfw", tmp_path / "absent", "--recogniser", network)
    assert done.status == 3 and "no folder" in done.err
    done = cli("--pose", "landmarks", "eval", "recovery", "--lfw", people, "--recogniser", people)
    assert done.status == 3 and "cannot be read" in done.err


def test_weights_from_a_file(cli: Cli, aligned: Path, tmp_path: Path) -> None:
    broken = tmp_path / "x.safetensors"
    broken.write_bytes(b"no weights")
    done = cli("eval", "precision", "--faces", aligned, "--weights", broken)
    assert done.status == 4 and "weights of x" in done.err
    assert cli("eval", "precision", "--faces", aligned, "--weights", tmp_path / "absent").status == 3
