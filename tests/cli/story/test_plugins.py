"""Which detector and pose estimator seal: by option, by setting, and what is said where a model is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffem_chain.faces.finding import detectors
from ffem_chain.faces.posing import pose
from ffem_cli import config
from tests.support.cli import Cli

from .world import World, photo


def test_the_settings_know_all_plug_ins() -> None:
    assert config.DETECTORS == detectors.NAMES and config.POSES == pose.NAMES
    assert config.BY_NAME["detector"].default == detectors.DEFAULT


def test_what_sealed_is_said(world: World, tmp_path: Path) -> None:
    for words, pose_name in (([], "facemesh"), (["--pose", "landmarks"], "landmarks")):
        (sealed,) = world.json("owner", "seal", photo(tmp_path / "one.jpg"), "-a", "family", *words)["captures"]
        assert (sealed["detector"], sealed["pose"]) == ("centerface", pose_name)


@pytest.mark.parametrize("by_option", [True, False])
def test_a_plug_in_without_its_model_seals_nothing(by_option: bool, world: World, tmp_path: Path) -> None:
    env = {"FFEM_MODEL_CACHE": str(tmp_path / "empty")} | ({} if by_option else {"FFEM_DETECTOR": "yolo5face"})
    words = ["--detector", "yolo5face"] if by_option else []
    before = world.json("owner", "ls")["captures"]
    done = world.ffem("owner", "seal", photo(tmp_path / "one.jpg"), "-a", "family", *words, env=env)
    assert (done.status, done.out) == (11, "")
    assert "the model yolo5face is not on this machine" in done.err and "ffem models import" in done.err
    assert world.json("owner", "ls")["captures"] == before


def test_a_damaged_model_is_named(world: World, tmp_path: Path) -> None:
    (tmp_path / "scrfd_2.5g_bnkps.onnx").write_bytes(b"half of it")
    env = {"FFEM_MODEL_CACHE": str(tmp_path)}
    done = world.ffem("owner", "seal", photo(tmp_path / "one.jpg"), "-a", "family", "--detector", "scrfd", env=env)
    assert done.status == 3 and "is damaged: it is not the model scrfd" in done.err


@pytest.mark.parametrize("words", [["demo"], ["bench", "path", "--repeats", "1"]])
def test_demo_and_bench_take_it_too(
    words: list[str], cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FFEM_MODEL_CACHE", str(tmp_path / "empty"))
    monkeypatch.chdir(tmp_path)
    for option, name in (("--detector", "scrfd"), ("--pose", "3ddfa")):
        done = cli(*words, option, name)
        assert done.status == 11 and f"the model {name} is not on this machine" in done.err


def test_a_name_that_is_none(cli: Cli) -> None:
    for words in (["bench", "path", "--detector", "eyes"], ["config", "set", "detector", "eyes"]):
        done = cli(*words)
        assert done.status == 3 and "detector must be centerface, yolo5face or scrfd" in done.err
    done = cli("demo", "--pose", "guess")
    assert done.status == 3 and "pose must be facemesh, landmarks or 3ddfa" in done.err
