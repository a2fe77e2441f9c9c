"""`ffem bench`: the shape of its figures, and what must hold on every machine. No time is asserted."""

from __future__ import annotations

import sys

import pytest
import torch

from ffem_chain.faces.flow.glow import GlowConfig
from ffem_chain.faces.flow.weights import Model, model_names
from ffem_cli.bench import faces
from ffem_cli.bench.path import STAGES
from tests.faces.support import tiny_flow
from tests.support.cli import Cli

CEILINGS = {
    "capture": 56_000,
    "grant": 118_000,
    "request": 37_000,
    "commit": 43_000,
    "deliver": 32_000,
    "revoke": 39_000,
}
FILES = {"image.png", "pose.json", "faces.cbor", "manifest.json"}


def test_path(cli: Cli) -> None:
    data = cli.ok("bench", "path", "--faces", "1,3", "--repeats", "1", "--json").data
    assert [row["faces"] for row in data["rows"]] == [1, 3]
    for row in data["rows"]:
        times = [row[f"{stage}_ms"] for stage in STAGES]
        assert all(time > 0 for time in times)
        # The stages are parts of the whole, and hardly anything lies between them.
        assert 0.5 * row["total_ms"] < sum(times) <= row["total_ms"]
        assert set(row["bytes"]) == FILES and all(length > 0 for length in row["bytes"].values())
    one, three = data["rows"]
    assert one["ratio"] == 1
    assert 2 * one["bytes"]["faces.cbor"] < three["bytes"]["faces.cbor"] < 4 * one["bytes"]["faces.cbor"]
    assert data["picture"] == {"width": 512, "height": 512}
    assert data["machine"]["cpu_count"] >= 1 and data["machine"]["torch_threads"] >= 1
    assert {"torch", "cryptography", "ffem-chain"} <= set(data["machine"]["versions"])
    assert not cli.home.exists()


@pytest.mark.parametrize("numbers", ["", "0", "1,x", "3,3", "161"])
def test_path_of_faces_that_cannot_be(cli: Cli, numbers: str) -> None:
    done = cli("bench", "path", "--faces", numbers)
    assert done.status == 3
    assert "--faces 1,3,12" in done.err


def test_crypto(cli: Cli) -> None:
    data = cli.ok("bench", "crypto", "--repeats", "5", "--json").data
    assert {name: data[name]["bytes"] for name in ("suite1", "suite2")} == {"suite1": 82, "suite2": 1169}
    for name in ("suite1", "suite2", "eciespy", "age"):
        assert set(data[name]) == {"seal_us", "open_us", "bytes", "seal_ratio", "open_ratio"}
        assert all(value > 0 for value in data[name].values())
    assert data["suite1"]["seal_ratio"] == data["suite1"]["open_ratio"] == 1
    table = cli.ok("bench", "crypto", "--repeats", "1").out
    assert "X-Wing" in table and "eciespy" in table and "age" in table and "ratio" in table


def test_crypto_without_peers(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("ecies", "pyrage"):
        monkeypatch.setitem(sys.modules, module, None)
    data = cli.ok("bench", "crypto", "--repeats", "1", "--json").data
    assert data["eciespy"] is None and data["age"] is None and data["suite1"]["bytes"] == 82
    done = cli.ok("bench", "crypto", "--repeats", "1")
    assert "pip install eciespy" in done.err and "pip install pyrage" in done.err


def test_gas_is_under_its_ceilings(cli: Cli) -> None:
    data = cli.ok("bench", "gas", "--repeats", "1", "--json").data
    for step, ceiling in CEILINGS.items():
        assert 21_000 < data[step] <= ceiling, step
    assert data["grant"] < data["grant_suite2"] < 200_000


def test_faces(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped models and one of a tiny shape in the place of the paper's, which would take a minute."""
    monkeypatch.setattr(faces, "PAPER_SHAPE", GlowConfig(64, 2, 1, 8))
    threads = torch.get_num_threads()
    data = cli.ok("bench", "faces", "--faces", "1,2", "--repeats", "1", "--threads", "1", "--json").data
    models = [*model_names(), "paper's shape"]
    assert [(row["model"], row["batch"]) for row in data["rows"]] == [(name, n) for name in models for n in (1, 2)]
    assert data["peak_gflops"] > 0 and data["clock"] == "wall"
    assert data["paper"] == {"machine": "Jetson Nano", "encode_ms": 267, "encode_rotate_ms": 307}
    for row in data["rows"]:
        assert all(row[f"{step}_ms"] > 0 for step in faces.STEPS), row
        assert 0 < row["share_of_peak"] < 2  # of a product that something else may have slowed down
        assert row["peak_mb"] > 50
    assert data["rows"][0]["gflop"] > 0.1
    assert data["rows"][1]["gflop"] == pytest.approx(2 * data["rows"][0]["gflop"], rel=0.01)
    assert data["machine"]["torch_threads"] == 1
    assert torch.get_num_threads() == threads


def test_faces_in_words(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "PAPER_SHAPE", GlowConfig(64, 2, 1, 8))
    monkeypatch.setattr("ffem_chain.faces.flow.weights.model_names", lambda: [])
    table = cli.ok("bench", "faces", "--faces", "1", "--repeats", "1", "--processor").out
    assert "processor time" in table and "Jetson Nano: encode 267, encode and rotate 307" in table
    assert "frontalize" in table and "paper's shape" in table
    assert cli("bench", "faces", "--faces", "0").status == 3
    assert cli("bench", "faces", "--threads", "0").status == 2


def test_flops_are_those_of_the_convolutions() -> None:
    """Counted by hand for one level of one step: 1x1 of 12 channels, then 6 -> 8 (3x3), 8 -> 8, 8 -> 12 (3x3)."""
    flow = tiny_flow(GlowConfig(8, 1, 1, 8))
    pixels = 4 * 4
    by_hand = 2 * pixels * (12 * 12 + 9 * 6 * 8 + 8 * 8 + 9 * 8 * 12)
    assert faces.gflop(Model("tiny", bytes(32), flow)) == pytest.approx(by_hand / 1e9)


def test_registry(cli: Cli) -> None:
    """Every rate and every wait; more recipients only cost time."""
    data = cli.ok("bench", "registry", "--quick", "--json").data
    (row,), (wait,) = data["rates"], data["waits"]
    assert row["recipients"] == 1 and (wait["block_s"], data["repeats"]) == (0, 1)
    for name in ("captures", "captures_in_batch", "grants", "grants_in_batch", "openings"):
        assert row[name]["per_s"] > 0 and row[name]["processor_ms"] > 0, name
    assert 0 < wait["median_s"] <= wait["worst_s"]
    assert cli("bench", "registry", "--recipients", "0").status == 3
    assert cli("bench", "registry", "--block-times", "61").status == 3
    assert not cli.home.exists()


def test_audit(cli: Cli) -> None:
    quick = cli.ok("bench", "audit", "--quick", "--json").data
    assert ([row["events"] for row in quick["rows"]], quick["repeats"]) == ([250], 1)
    data = cli.ok("bench", "audit", "--events", "100,300", "--repeats", "1", "--whole", "--json").data
    assert [row["events"] for row in data["rows"]] == [125, 250]
    for row in data["rows"]:
        assert row["events_per_s"] > 0 and 0 < row["rpc_share"] < 1 and row["bytes_per_event"] > 500
        stages = sum(row[f"{stage}_s"] for stage in ("waiting", "keeping", "words", "root"))
        assert 0 < stages <= row["index_s"] + 0.01
        assert set(row["questions"]) == {"capture", "batched", "wallet", "keeper", "grant", "show"}
        assert row["lists"]["captures"] == 100 * row["lists"]["lists"] == row["events"] // 125 * 100
        for one in row["questions"].values():
            assert 0 < one["median_ms"] <= one["worst_ms"]
        assert row["whole"]["wall_s"] > 0
    assert all(data["processes"][f"{name}_ms"] > 0 for name in ("start", "grant", "capture"))
    assert cli("bench", "audit", "--events", "5").status == 3
    assert not cli.home.exists()
