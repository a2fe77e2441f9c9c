"""The privacy section on a few photos: what it says, and that it says what it did not have."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data as pictures

from ffem_chain.errors import InputError
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_cli.eval import protocol
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.covers import COVERS
from ffem_cli.eval.sealing import Camera
from ffem_cli.evidence import privacy
from ffem_cli.evidence.privacy.run import ROTATIONS
from ffem_cli.evidence.privacy.views import AGAIN, WHOLE
from ffem_cli.evidence.result import Plot, Table, Text
from ffem_cli.evidence.setting import Setting
from tests.support.onnxfile import thumbnails


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three "people", the astronaut in three tints: a photo, the same once more, and one in heavy noise. The network is
    a tiny copy of the face, so it tells tints apart, noise or not."""
    root = tmp_path_factory.mktemp("data")
    head = pictures.astronaut()[:256, 96:352, ::-1].astype(float)
    for name, tint in {"Ada": (1.0, 1.0, 1.0), "Ben": (0.5, 1.0, 0.75), "Cy": (1.0, 0.6, 1.0)}.items():
        folder = root / "lfw/identities" / name
        folder.mkdir(parents=True)
        small = cv2.resize(head, (160, 160), interpolation=cv2.INTER_AREA) * np.array(tint)
        for number, noise in enumerate((0, 0.5, 40)):
            photo = small + noise * np.random.default_rng(number).standard_normal(small.shape)
            cv2.imwrite(str(folder / f"{number}.png"), np.clip(photo, 0, 255).astype(np.uint8))
    (root / "lfw/singles").mkdir()
    cv2.imwrite(str(root / "lfw/singles/x.png"), (0.6 * head[:, ::-1]).astype(np.uint8))
    (root / "weights").mkdir()
    (root / "weights/mobilefacenet_128d.onnx").write_bytes(thumbnails())
    return root


def setting(folder: Path, cache: Path, **given: object) -> Setting:
    camera = Camera(load_model("ffem-128"), CenterFace(coarse=(256,)))
    return Setting(folder, camera, folder / "models", Cache(cache), lambda *_: None, small=True, **given)  # type: ignore[arg-type]


def test_the_section(folder: Path, tmp_path: Path) -> None:
    result = privacy.measure(setting(folder, tmp_path))
    document = json.loads(json.dumps({**result.data, "record": result.record}))
    seen = "mobilefacenet_128d"  # the tiny copy; dlib's network looks, too
    assert {row["recogniser"] for row in document["rows"]} == {seen, "dlib-resnet"}
    rows = {(row["cover"], row["attacker"]): row for row in document["rows"] if row["recogniser"] == seen}
    covers = [cover.name for cover in COVERS]
    ours = [f"{view} {rotation}" for rotation in ROTATIONS for view in WHOLE.sealed if not view.endswith("found")]
    assert [cover for cover, attacker in rows if attacker == "landmarks"] == [*covers, *ours]
    assert rows["original", "landmarks"]["top1"] == 1 and rows["original", "detector"]["top1"] == 1
    assert rows["original", "landmarks"]["trials"] == 3
    assert rows[f"{AGAIN.sealed[0]} sphere", "landmarks"]["trials"] == 6, "two keys"
    assert rows["black", "landmarks"]["top1_hits"] < 3, "nothing is left of a tint"
    assert rows["blur-4", "landmarks"]["top1"] == 1, "a tiny copy of a face outlives blur"
    assert rows["I_enc sphere", "detector"]["found"] < 1 == rows["fake-0.45 sphere", "detector"]["found"]
    probes = protocol.split(folder / "lfw/identities", None, 3, 1).probes
    clean = sum(not photo.name.endswith("2.png") for photo in probes)
    assert document["record"]["near_duplicates"] == clean, "the photo itself once more"
    assert document["record"]["gallery"] == 7 and document["record"]["probes_left_out"] == 0
    assert {claim.holds for claim in result.claims} == {None}, "six trials prove nothing"
    words = "\n".join(part.text for part in result.parts if isinstance(part, Text))
    assert "faceres was left out" in words and "ffem eval networks" in words
    assert "0.2 %" in words, "the paper's value stands beside ours"
    tables = [part for part in result.parts if isinstance(part, Table)]
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert privacy.measure(setting(folder, tmp_path)).data["rows"] == result.data["rows"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == kept, "all comes from the cache"
    (plot,) = (part for part in result.parts if isinstance(part, Plot))
    assert all(len(one.y) == len(one.x) == len(one.low or ()) for one in plot.series)


def test_without_any_recogniser(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    bare = tmp_path / "data"
    (bare / "weights").mkdir(parents=True)
    (bare / "lfw").symlink_to(folder / "lfw")
    with pytest.raises(InputError, match="recogniser"):
        privacy.measure(setting(bare, tmp_path / "cache"))
