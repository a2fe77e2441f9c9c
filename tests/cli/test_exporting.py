"""`ffem models export`: the graphs and what stops it. What they give is tested in tests/faces/test_onnx.py."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ffem_chain.faces.flow import onnx
from ffem_chain.faces.flow.glow import GlowConfig
from ffem_chain.faces.flow.weightsfile import dump
from tests.faces.support import tiny_flow
from tests.support.cli import Cli


def test_export(cli: Cli, tmp_path: Path) -> None:
    weights = tmp_path / "tiny.safetensors"
    weights.write_bytes(dump(tiny_flow(GlowConfig(4, 1, 1, 4)), 1))
    data = cli.ok("models", "export", "--weights", weights, "--to", tmp_path / "graphs", "--json").data
    assert (data["model"], data["model_id"]) == ("tiny", hashlib.sha256(weights.read_bytes()).hexdigest())
    assert [Path(graph["path"]).name for graph in data["graphs"]] == ["tiny-encoder.onnx", "tiny-decoder.onnx"]
    for graph in data["graphs"]:
        assert graph["difference"] < 1e-5
        assert onnx.session(graph["path"]).get_modelmeta().custom_metadata_map["model_id"] == data["model_id"]
    assert not cli.home.exists()


def test_what_stops_it(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = cli("models", "export", "--model", "nothing", "--to", tmp_path / "graphs")
    assert unknown.status == 3 and "no model nothing" in unknown.err
    monkeypatch.setattr(onnx, "_NEEDED", ("no_such_package",))
    lacking = cli("models", "export", "--to", tmp_path / "graphs", "--json")
    assert lacking.status == 11 and "ffem-chain[export]" in lacking.error["hint"]
    assert not (tmp_path / "graphs").exists()
