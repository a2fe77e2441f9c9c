"""`ffem models`: what is listed, imported and refused. Fetching is tested in tests/faces/test_modelcache.py."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ffem_chain.faces import modelcache
from ffem_chain.faces.modelcache import KnownModel, ModelFile
from tests.support.cli import Cli

CONTENT = b"weights"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder; the table holds one model, in no package."""
    own = ModelFile("own.onnx", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(modelcache, "KNOWN", (KnownModel("own", "-", "GPL-3.0", "somebody", (own,)),))
    monkeypatch.setenv("FFEM_MODEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_import_and_list(cli: Cli, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "renamed.bin"
    file.write_bytes(CONTENT)
    (listed,) = cli.ok("models", "list", "--json").data["models"]
    assert (listed["name"], listed["state"], listed["pull"], listed["licence"]) == ("own", "absent", False, "GPL-3.0")
    assert listed["files"] == [{"path": str(cache / "own.onnx"), "sha256": hashlib.sha256(CONTENT).hexdigest()}]

    done = cli.ok("models", "import", file)
    assert "own (GPL-3.0)" in done.out
    assert (cache / "own.onnx").read_bytes() == CONTENT
    assert cli.ok("models", "list", "--json").data["models"][0]["state"] == "ok"
    assert str(cache) in cli.ok("models", "list").out

    (cache / "own.onnx").write_bytes(b"")
    assert "damaged" in cli.ok("models", "list").out


def test_the_folder_is_a_setting(cli: Cli, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FFEM_MODEL_CACHE")
    elsewhere = tmp_path / "elsewhere"
    assert cli.ok("--model-cache", elsewhere, "models", "list", "--json").data["folder"] == str(elsewhere)
    cli.ok("config", "set", "model_cache", elsewhere)
    assert cli.ok("models", "list", "--json").data["folder"] == str(elsewhere)


def test_what_is_refused(cli: Cli, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "foreign.onnx"
    file.write_bytes(b"something else")
    foreign = cli("models", "import", file)
    assert foreign.status == 3 and "foreign.onnx is none of the known models" in foreign.err
    unknown = cli("models", "pull", "nothing", "--json")
    assert unknown.status == 3 and unknown.error["hint"] == "models: own"
    lone = cli("models", "pull", "own")
    assert lone.status == 3 and "ffem models import" in lone.err
    assert cli("models", "import").status == 2
    assert not cache.exists()
