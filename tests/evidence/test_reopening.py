"""Reopening: the perceptual distance, what figures mean, how claims are judged, and the section on a few photos."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data as pictures

from ffem_chain.errors import FormatError, InputError
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_cli.eval import protocol, recovery
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.perceptual import Perceptual
from ffem_cli.eval.recognisers import OnnxRecogniser
from ffem_cli.eval.sealing import Camera
from ffem_cli.evidence import reopening
from ffem_cli.evidence.reopening import anchors, judging
from ffem_cli.evidence.reopening.published import PUBLISHED
from ffem_cli.evidence.result import Plot, Result, Table
from ffem_cli.evidence.setting import Setting
from tests.support.onnxfile import thumbnails

RNG = np.random.default_rng(3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three "people" of two photos, the astronaut in three tints; aligned faces; a network that is written here."""
    root = tmp_path_factory.mktemp("data")
    head = pictures.astronaut()[:256, 96:352, ::-1].astype(float)
    for name, tint in {"Ada": (1.0, 1.0, 1.0), "Ben": (0.55, 1.0, 0.8), "Cy": (1.0, 0.6, 1.0)}.items():
        folder = root / "lfw/identities" / name
        folder.mkdir(parents=True)
        for number in range(2):
            moved = np.roll(head, 6 * number, axis=1) * np.array(tint) * (1 - 0.06 * number)
            small = cv2.resize(moved.astype(np.uint8), (160, 160), interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / f"{number}.png"), small)
    (root / "lfw/singles").mkdir()
    cv2.imwrite(str(root / "lfw/singles/nobody.png"), np.full((160, 160, 3), 120, np.uint8))
    (root / "utkface/train").mkdir(parents=True)
    for number in range(60):
        y, x = divmod(number, 10)
        patch = pictures.astronaut()[60 * y : 60 * y + 128, 40 * x : 40 * x + 128]
        cv2.imwrite(str(root / "utkface/train" / f"{number:02}.png"), patch)
    (root / "weights").mkdir()
    (root / "weights/mobilefacenet_128d.onnx").write_bytes(thumbnails())
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def result(dataset: Path, cache: Path) -> Result:
    return reopening.measure(setting(dataset, cache))


def setting(dataset: Path, cache: Path) -> Setting:
    network = str(dataset / "weights/mobilefacenet_128d.onnx")
    camera = Camera(load_model("ffem-64"), CenterFace())
    return Setting(dataset, camera, cache, Cache(cache), lambda what, done: None, small=True, recognisers=(network,))


def test_the_distance_is_that_of_features_of_length_one(dataset: Path) -> None:
    judge = Perceptual(dataset / "weights/mobilefacenet_128d.onnx")
    assert judge.layers == ("means",) and len(judge.digest) == 64
    a, b = (RNG.integers(0, 256, (112, 112, 3), np.uint8) for _ in range(2))

    def features(face: np.ndarray) -> np.ndarray:
        means = ((face.astype(float) - 127.5) / 127.5).reshape(8, 14, 8, 14, 3).mean(axis=(1, 3))
        return np.asarray(means / np.linalg.norm(means, axis=2, keepdims=True))

    expected = ((features(a) - features(b)) ** 2).sum(axis=2).mean()
    assert abs(judge.distance(a, b) - expected) < 1e-4 and judge.distance(a, b) == judge.distance(b, a)
    assert judge.distance(a, a) == 0 and judge.distance(a, 255 - a) > 3.9, "opposite features: 4"


@pytest.mark.parametrize("content", [b"", b"no network", thumbnails(side=56), thumbnails(window=112)])
def test_a_file_without_layers_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(FormatError, match="no network whose layers"):
        Perceptual(tmp_path / "x.onnx")
    with pytest.raises(InputError, match="cannot be read"):
        Perceptual(tmp_path / "absent.onnx")


def test_worse_changes_have_worse_figures(dataset: Path) -> None:
    file = dataset / "weights/mobilefacenet_128d.onnx"
    split = protocol.split(dataset / "lfw/identities", None, 3, seed=1)
    rows = anchors.measure(split, 3, [OnnxRecogniser(file)], Perceptual(file), Cache(None), lambda what, done: None)
    assert [row["change"] for row in rows] == list(anchors.NAMES)
    by_name = {row["change"]: row for row in rows}
    jpegs = [by_name[f"JPEG, quality {quality}"] for quality in (95, 75, 30)]
    for figure, falls in (("psnr_db", True), ("ssim", True), ("perceptual", False)):
        values = [row[figure] for row in jpegs]
        assert values == sorted(values, reverse=falls) and len(set(values)) == 3, figure
    assert by_name["a photo of somebody else"]["psnr_db"] < by_name["another photo of the same person"]["psnr_db"] < 40
    for row in rows:
        assert row["faces"] == 3 and row["ci95"]["psnr_db"][0] <= row["psnr_db"] <= row["ci95"]["psnr_db"][1]
    nobody = protocol.Protocol([], split.gallery)
    assert anchors.measure(nobody, 3, [], Perceptual(file), Cache(None), lambda what, done: None) == []


def test_the_section(result: Result, dataset: Path) -> None:
    found = result.data
    assert found["exact"]["identical"] == found["exact"]["photos"] == found["flow"]["probes"] == 3
    psnr = found["flow"]["psnr_db"]
    assert psnr["mean"] > 50 and psnr["worst"] <= psnr["mean"]
    # the flow returns its square; around that the opened picture is only filled
    assert found["flow"]["square_perceptual"]["mean"] < found["flow"]["perceptual"]["mean"] < 1
    (one,) = found["recovery"]
    assert one["recogniser"] == "mobilefacenet_128d" and one["gallery"] == 3 and 0.9 < one["cosine_mean"] <= 1
    assert [row["precision"] for row in found["precision"]] == ["float32", "float16", "q12", "q10", "q8"]
    json.dumps({**found, "record": result.record}, allow_nan=False)
    assert result.record["perceptual"]["layers"] == ["means"] and result.record["data"]["photos"] == 7
    tables = [part for part in result.parts if isinstance(part, Table)]
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    plots = [part for part in result.parts if isinstance(part, Plot)]
    assert len({plot.name for plot in plots}) == len(plots) == 3
    assert all(len(series.x) == len(series.y) for plot in plots for series in plot.series)
    assert [claim.holds for claim in result.claims].count(None) == 0 and result.claims[0].holds


def test_the_same_seed_gives_the_same_figures_and_the_cache_spares_the_sealing(
    result: Result, dataset: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("sealed again")

    monkeypatch.setattr(recovery, "seal", never)
    again = reopening.measure(setting(dataset, cache))
    assert again.data["flow"] == result.data["flow"] and again.data["recovery"] == result.data["recovery"]
    with pytest.raises(AssertionError, match="sealed again"):
        reopening.measure(dataclasses.replace(setting(dataset, cache), seed=2))


def test_claims_are_missed_where_figures_miss_their_goals(result: Result) -> None:
    found: dict[str, Any] = copy.deepcopy(dict(result.data))
    good = [claim.holds for claim in judging.claims(found)]
    found["exact"] |= {"identical": 2}
    found["flow"]["psnr_db"] |= {"worst": 39.9}
    found["recovery"][0] |= {"top1_original": 1.0, "top1_recovered": 0.98, "square_cosine_mean": 0.98}
    bad = judging.claims(found)
    assert good[0] is True and [claim.holds for claim in bad] == [False] * len(good)
    assert "2 of 3" in bad[0].measured and "39.9 dB" in bad[1].measured and "-2.0 points" in bad[2].measured


def test_figures_of_others_have_a_source_or_are_not_told() -> None:
    for one in PUBLISHED:
        assert one.source.startswith("https://") and one.of
        assert one.remark, "where it was read, or that it could not be"
        if not (one.psnr_db or one.ssim or one.identity):
            assert "could not be read" in one.remark
