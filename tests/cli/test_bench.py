"""`ffem bench`: the shape of its figures, and what must hold on every machine. No time is asserted."""

from __future__ import annotations

import sys

import pytest

from ffem_cli.bench.path import STAGES
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


@pytest.mark.parametrize("faces", ["", "0", "1,x", "3,3", "161"])
def test_path_of_faces_that_cannot_be(cli: Cli, faces: str) -> None:
    done = cli("bench", "path", "--faces", faces)
    assert done.status == 3
    assert "--faces 1,3,12" in done.err


def test_crypto(cli: Cli) -> None:
    data = cli.ok("bench", "crypto", "--repeats", "5", "--json").data
    assert {name: data[name]["bytes"] for name in ("suite1", "suite2")} == {"suite1": 82, "suite2": 1169}
    for name in ("suite1", "suite2", "eciespy"):
        assert set(data[name]) == {"seal_us", "open_us", "bytes", "seal_ratio", "open_ratio"}
        assert all(value > 0 for value in data[name].values())
    assert data["suite1"]["seal_ratio"] == data["suite1"]["open_ratio"] == 1
    table = cli.ok("bench", "crypto", "--repeats", "1").out
    assert "X-Wing" in table and "eciespy" in table and "ratio" in table


def test_crypto_without_eciespy(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ecies", None)
    assert cli.ok("bench", "crypto", "--repeats", "1", "--json").data["eciespy"] is None
    done = cli.ok("bench", "crypto", "--repeats", "1")
    assert "pip install eciespy" in done.err


def test_gas_is_under_its_ceilings(cli: Cli) -> None:
    data = cli.ok("bench", "gas", "--repeats", "1", "--json").data
    for step, ceiling in CEILINGS.items():
        assert 21_000 < data[step] <= ceiling, step
    assert data["grant"] < data["grant_suite2"] < 200_000
