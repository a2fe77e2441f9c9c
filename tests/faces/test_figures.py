"""The figures of the docs can be made again, and the attack that they report works where it should."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from ffem_chain.faces.flow import weightsfile
from ffem_chain.faces.flow.weights import Model, load_bytes
from ffem_chain.faces.training import data, figures, refining, train

from .support import Picture


def test_gram_matrices_name_the_same_photo_through_block_and_not_through_sphere(model: Model) -> None:
    latents = np.random.default_rng(0).standard_normal((24, 3 * model.size**2))
    gallery = figures._grams(latents + 0.1 * np.random.default_rng(1).standard_normal(latents.shape))
    found = {
        name: figures._top1(figures._grams(np.stack([figures._published(z, name) for z in latents])), gallery)
        for name in ("block", "sphere")
    }
    assert found["block"] == 1
    assert found["sphere"] < 0.5  # chance names one of 24; twelve or more, one run in 1e9


def test_sheet(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "made" / "sheet.png"
    monkeypatch.setattr(sys, "argv", ["figures", "--sheet", str(path)])
    figures.main()
    assert json.loads(capsys.readouterr().out)["model_id"] == model.model_id.hex()
    sheet = cv2.imread(str(path))
    assert sheet.shape == (4 * model.size, 8 * model.size, 3)
    assert np.array_equal(sheet[:, :, ::-1], figures.sample_sheet(model))


def test_portraits(photo: Picture, model: Model, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), photo[:260, 60:400, ::-1])
    found = figures.portraits(model, tmp_path, 1)
    assert found["with_a_face"] == 1
    psnr = found["psnr_db"]
    assert 25 < psnr["q8"] < psnr["q10"] <= psnr["q12"]
    assert found["fakes_found"]["0.5"] == 1


def _run(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *args: object) -> None:
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, args)])
    module.main()


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "faces"
    folder.mkdir()
    for i in range(24):
        smooth = cv2.GaussianBlur(np.random.default_rng(i).integers(0, 256, (64, 64, 3), dtype=np.uint8), (9, 9), 3)
        cv2.imwrite(str(folder / f"{i:02}.png"), smooth)
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


SHAPE = ("--levels", 2, "--depth", 2, "--batch", 4, "--save-every", 3, "--threads", 1)


def test_training_resumes_where_it_was_cut_off(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """It goes on from its checkpoint, passes over what is no picture, and what it exports loads."""
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    options = (*SHAPE, "--size", 8, "--hidden", 4)
    save = train.save_atomically

    def cut_off(state: object, path: Path) -> None:
        save(state, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train, "save_atomically", cut_off)
        _run(monkeypatch, train, faces, "--run", cut, "--steps", 6, *options)
    _run(monkeypatch, train, faces, "--run", cut, "--steps", 6, *options)
    assert "resuming at step 3" in capsys.readouterr().err
    _run(monkeypatch, train, faces, "--run", whole, "--steps", 6, *options)
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in (cut, whole)]
    assert [entry["step"] for entry in logs[0]] == [3, 6]
    assert [entry["bits"] for entry in logs[0]] == pytest.approx([entry["bits"] for entry in logs[1]], rel=1e-5)
    assert all((cut / name).stat().st_size > 0 for name in ("curve.png", "samples.png"))
    out = tmp_path / "tiny.safetensors"
    _run(monkeypatch, weightsfile, out, "--whole", cut / "checkpoint.pt")
    loaded = load_bytes(out.read_bytes(), "tiny")
    assert (loaded.steps, loaded.size) == (6, 8)
    assert loaded.model_id.hex() in capsys.readouterr().out


def test_a_run_goes_on_with_the_options_that_it_began_with(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(monkeypatch, train, faces, "--run", tmp_path / "run", "--steps", 3, *SHAPE, "--size", 8, "--hidden", 4)
    with pytest.raises(SystemExit, match="other options"):
        _run(monkeypatch, train, faces, "--run", tmp_path / "run", "--steps", 6, *SHAPE, "--size", 8, "--hidden", 6)


def test_base_details_and_refiner_are_trained_apart_and_make_one_model(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, details, refiner = (tmp_path / name for name in ("base", "details", "refiner"))
    common = (*SHAPE, "--size", 64, "--steps", 3, "--hidden", 4)
    _run(monkeypatch, train, faces, "--run", base, "--part", "base", "--mixed", *common)
    _run(monkeypatch, train, faces, "--run", details, "--part", "details", "--mixed", "--base-hidden", 4, *common)
    out = tmp_path / "tiny.safetensors"
    parts = ("--base", base / "checkpoint.pt", "--details", details / "checkpoint.pt")
    _run(monkeypatch, weightsfile, out, *parts)
    plain = load_bytes(out.read_bytes(), "plain")
    assert plain.size == 64
    assert plain.refiner is None
    monkeypatch.setattr(refining, "load_model", lambda name: plain)
    few = ("--inputs", 32, "--pairs", 16, "--batch", 8, "--steps", 3, "--save-every", 3, "--threads", 1)
    _run(monkeypatch, refining, faces, "--run", refiner, *few)
    _run(monkeypatch, weightsfile, out, *parts, "--refiner", refiner / "checkpoint.pt")
    model = load_bytes(out.read_bytes(), "whole")
    z = np.random.default_rng(0).standard_normal((2, 3 * 64 * 64))
    assert not np.array_equal(model.draw(z, 0.5), plain.draw(z, 0.5))
    assert np.array_equal(model.decode(z), plain.decode(z)), "the refiner must never touch what is opened"
    with pytest.raises(SystemExit, match="give --whole"):
        _run(monkeypatch, weightsfile, out, *parts[:2])


def test_held_out_faces_are_those_that_training_leaves_out(tmp_path: Path) -> None:
    for i in range(45):
        cv2.imwrite(str(tmp_path / f"{i:02}.png"), np.full((8, 8, 3), i, np.uint8))
    faces = data.load_faces([tmp_path], 8, data.HELD_OUT)
    assert faces[:, 0, 0, 0].tolist() == [0, 20, 40]
    with pytest.raises(SystemExit, match="no pictures"):
        data.load_faces([tmp_path / "nothing"], 8)
