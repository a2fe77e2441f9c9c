"""ONNX graphs of a flow: what they give, what they say about themselves, and TensorRT that is not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from ffem_chain.errors import FfemError, InputError, MissingExtra
from ffem_chain.faces.flow import onnx as graphs
from ffem_chain.faces.flow import tensorrt
from ffem_chain.faces.flow.fused import fuse
from ffem_chain.faces.flow.glow import GlowConfig
from ffem_chain.faces.flow.haar import HaarConfig
from ffem_chain.faces.flow.weights import Model

from .support import tiny_flow


@pytest.fixture(scope="module")
def tiny() -> Model:
    return Model("tiny", bytes(range(32)), tiny_flow(HaarConfig(GlowConfig(4, 1, 1, 4), 1, 4, 4, 1)))


@pytest.fixture(scope="module")
def exported(tiny: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[graphs.Graph, graphs.Graph]:
    return graphs.export(tiny, tmp_path_factory.mktemp("made") / "graphs")


def run(graph: graphs.Graph, value: np.ndarray) -> np.ndarray:
    session = graphs.session(graph.path)
    return session.run(None, {session.get_inputs()[0].name: value})[0]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_graphs_give_what_the_flow_gives(tiny: Model, exported: tuple[graphs.Graph, graphs.Graph], count: int) -> None:
    faces = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    latents = run(exported[0], faces.numpy())
    np.testing.assert_allclose(latents, tiny.flow.encode(faces).numpy(), rtol=0, atol=1e-4)
    np.testing.assert_allclose(run(exported[1], latents), faces.numpy(), rtol=0, atol=1e-4)


def test_graphs_are_named_and_say_which_model_they_are(exported: tuple[graphs.Graph, graphs.Graph]) -> None:
    assert [graph.path.name for graph in exported] == ["tiny-encoder.onnx", "tiny-decoder.onnx"]
    assert sorted(path.name for path in exported[0].path.parent.iterdir()) == ["tiny-decoder.onnx", "tiny-encoder.onnx"]
    for graph, given, wanted in zip(exported, ("faces", "latents"), ("latents", "faces"), strict=True):
        assert graph.difference < 1e-5
        session = graphs.session(graph.path)
        assert [one.name for one in session.get_inputs()] == [given]
        assert [one.name for one in session.get_outputs()] == [wanted]
        assert session.get_modelmeta().custom_metadata_map == {"model": "tiny", "model_id": bytes(range(32)).hex()}


def test_graphs_hold_nothing_of_the_machine_that_made_them(exported: tuple[graphs.Graph, graphs.Graph]) -> None:
    for graph in exported:
        data = graph.path.read_bytes()
        assert b".py" not in data and str(Path(__file__).parents[2]).encode() not in data
        assert {node.domain for node in onnx.load(graph.path).graph.node} == {""}


def test_a_graph_that_differs_is_not_kept(
    tiny: Model, exported: tuple[graphs.Graph, graphs.Graph], tmp_path: Path
) -> None:
    """The same graph, checked against the flow with one weight a little larger."""
    data = exported[0].path.read_bytes()
    faces = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    encoder = graphs._Encoder(fuse(tiny.flow))
    assert graphs._keep(data, encoder, "faces", faces, tmp_path / "same.onnx").path.exists()
    next(encoder.buffers()).view(-1)[0] += 0.01
    with pytest.raises(FfemError, match="differs from torch"):
        graphs._keep(data, encoder, "faces", faces, tmp_path / "other.onnx")
    with pytest.raises(FfemError, match="differs from torch"):
        graphs._keep(data, encoder, "faces", torch.full_like(faces, torch.nan), tmp_path / "nothing.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["same.onnx"]


def test_what_is_not_installed_is_named(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "_NEEDED", ("onnx", "no_such_package"))
    with pytest.raises(MissingExtra, match="no_such_package") as caught:
        graphs.export(tiny, tmp_path / "new")
    assert "ffem-chain[export]" in caught.value.hint
    assert not (tmp_path / "new").exists()


def build(*arguments: object, path: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ffem_chain.faces.flow.tensorrt", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": path})


@pytest.fixture
def without_tensorrt() -> None:
    if tensorrt.find_program() is not None or tensorrt.has_package():
        pytest.skip("TensorRT is installed here")


@pytest.mark.usefixtures("without_tensorrt")
def test_without_tensorrt_the_builder_says_so(exported: tuple[graphs.Graph, graphs.Graph], tmp_path: Path) -> None:
    done = build(exported[0].path, tmp_path / "engine")
    assert done.returncode == MissingExtra.exit_status
    assert done.stderr.startswith("TensorRT is absent") and done.stderr.count("\n") == 1
    assert done.stdout == "" and not list(tmp_path.iterdir())


def test_an_engine_of_no_graph(tmp_path: Path) -> None:
    done = build(tmp_path / "none.onnx", tmp_path / "engine")
    assert done.returncode == InputError.exit_status
    assert "there is no graph" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.usefixtures("without_tensorrt")
def test_a_failing_trtexec_leaves_no_engine(exported: tuple[graphs.Graph, graphs.Graph], tmp_path: Path) -> None:
    """The words that trtexec gets, and what its failure means; the program itself runs on NVIDIA's machines only."""
    program, seen = tmp_path / "trtexec", tmp_path / "seen"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\n: > {tmp_path / "engine"}\nexit 3\n')
    program.chmod(0o755)
    done = build(exported[0].path, tmp_path / "engine", "--most-faces", "4", path=str(tmp_path))
    assert done.returncode == FfemError.exit_status
    assert "status 3" in done.stderr and not (tmp_path / "engine").exists()
    words = seen.read_text().split()
    assert {"--noTF32", "--minShapes=faces:1x3x8x8", "--maxShapes=faces:4x3x8x8"} <= set(words)
