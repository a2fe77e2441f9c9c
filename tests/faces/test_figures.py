"""The figures of the docs can be made again, and the attack that they report works where it should."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ffem_chain.faces import figures, train
from ffem_chain.faces.weights import Model, load_bytes

from .support import Picture


def test_gram_matrices_name_the_same_photo_through_block_and_not_through_sphere(model: Model) -> None:
    latents = np.random.default_rng(0).standard_normal((24, 3 * model.size**2))
    gallery = figures._grams(latents + 0.1 * np.random.default_rng(1).standard_normal(latents.shape))
    found = {
        name: figures._top1(figures._grams(np.stack([figures._published(z, name) for z in latents])), gallery)
        for name in ("block", "sphere")
    }
    assert found["block"] == 1
    assert found["sphere"] < 0.25  # chance 0.04


def test_sheet(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "made" / "sheet.png"
    monkeypatch.setattr(sys, "argv", ["figures", "--sheet", str(path)])
    figures.main()
    assert json.loads(capsys.readouterr().out)["model_id"] == model.model_id.hex()
    sheet = cv2.imread(str(path))
    assert sheet.shape == (4 * 64, 8 * 64, 3)
    assert np.array_equal(sheet[:, :, ::-1], figures.sample_sheet(model))


def test_portraits(photo: Picture, model: Model, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), photo[:260, 60:400, ::-1])
    found = figures.portraits(model, tmp_path, 1)
    assert found["with_a_face"] == 1
    psnr = found["psnr_db"]
    assert 25 < psnr["q8"] < psnr["q10"] <= psnr["q12"]
    assert found["fakes_found"]["0.5"] == 1


def _run(monkeypatch: pytest.MonkeyPatch, *args: object) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *map(str, args)])
    train.main()


def test_training_resumes_where_it_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """It goes on from its checkpoint, passes over what is no picture, and what it exports loads."""
    faces = tmp_path / "faces"
    faces.mkdir()
    for i in range(24):
        smooth = cv2.GaussianBlur(np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8), (9, 9), 3)
        cv2.imwrite(str(faces / f"{i:02}.png"), smooth)
    (faces / "broken.png").write_bytes(b"no picture")
    shape = ("--size", 8, "--levels", 2, "--depth", 2, "--hidden", 4, "--batch", 4, "--save-every", 3, "--threads", 1)
    run = tmp_path / "run"
    _run(monkeypatch, faces, "--run", run, "--steps", 3, *shape)
    _run(monkeypatch, faces, "--run", run, "--steps", 6, *shape)
    assert "resuming at step 3" in capsys.readouterr().err
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [3, 6]
    assert all(np.isfinite(entry["bits"]) and entry["norm"] > 0 for entry in log)
    out = tmp_path / "tiny.safetensors"
    _run(monkeypatch, "--run", run, "--export", out)
    loaded = load_bytes(out.read_bytes(), "tiny")
    assert (loaded.steps, loaded.size) == (6, 8)
    assert loaded.model_id.hex() in capsys.readouterr().out


def test_held_out_faces_are_those_that_training_leaves_out(tmp_path: Path) -> None:
    for i in range(45):
        cv2.imwrite(str(tmp_path / f"{i:02}.png"), np.full((8, 8, 3), i, np.uint8))
    faces = train.load_faces([tmp_path], 8, train.HELD_OUT)
    assert faces[:, 0, 0, 0].tolist() == [0, 20, 40]
    with pytest.raises(SystemExit, match="no pictures"):
        train.load_faces([tmp_path / "nothing"], 8)
