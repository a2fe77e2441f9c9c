"""What a face costs: the sensors that a machine may have, as files, and the section on the machine that runs this."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.glow import GlowConfig
from ffem_chain.faces.flow.weights import Model, load_model
from ffem_cli.eval.cache import Cache
from ffem_cli.eval.sealing import Camera
from ffem_cli.evidence import embedded
from ffem_cli.evidence.embedded import worker
from ffem_cli.evidence.embedded.energy import Ina, sensor
from ffem_cli.evidence.result import Table
from ffem_cli.evidence.setting import Setting
from tests.faces.support import tiny_flow


def zone(root: Path, number: str, name: str, energy: int, most: int = 1_000_000) -> Path:
    """A zone of RAPL."""
    folder = root / "class/powercap" / f"intel-rapl:{number}"
    folder.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", most)):
        (folder / file).write_text(f"{text}\n")
    return folder


def chip(root: Path, number: str, name: str, files: dict[str, object]) -> Path:
    """A chip of the I2C bus, as hwmon shows it."""
    folder = root / "bus/i2c/devices" / number / "hwmon/hwmon3"
    folder.mkdir(parents=True)
    for file, text in {"name": name, **files}.items():
        (folder / file).write_text(f"{text}\n")
    return folder


def test_no_sensor(tmp_path: Path) -> None:
    assert sensor(tmp_path) is None
    chip(tmp_path, "7-0018", "lm75", {"power1_input": 1})  # power of another kind of chip
    assert sensor(tmp_path) is None
    zone(tmp_path, "0", "package-0", 1)
    (tmp_path / "class/powercap/intel-rapl:0/energy_uj").unlink()  # as if it could not be read
    assert sensor(tmp_path) is None


def test_counters_of_the_processor(tmp_path: Path) -> None:
    package, memory = zone(tmp_path, "0", "package-0", 999_000), zone(tmp_path, "0:1", "dram", 100)
    zone(tmp_path, "0:0", "core", 0)
    psys = zone(tmp_path, "1", "psys", 0)

    def work() -> None:
        (package / "energy_uj").write_text("500999")  # round the end once: 502,000
        (memory / "energy_uj").write_text("48100")
        for part in (psys, tmp_path / "class/powercap/intel-rapl:0:0"):
            (part / "energy_uj").write_text("777777")

    found = sensor(tmp_path)
    assert found is not None and found.name == "RAPL, processor and memory"
    assert found.joules(work) == pytest.approx((502_000 + 48_000) / 1e6)


@pytest.mark.parametrize(
    "files",
    [
        {"in1_label": "VDD_CPU", "power1_input": 1_000_000, "in2_label": "POM_5V_IN", "power2_input": 4_000_000},
        {"rail_name_0": "POM_5V_IN", "in_power0_input": 4_000, "rail_name_1": "POM_5V_CPU", "in_power1_input": 900},
        {"in1_label": "VDD_IN", "in1_input": 5_000, "curr1_input": 800, "in2_label": "VDD_GPU", "curr2_input": 1},
    ],
)
def test_the_boards_own_sensor_comes_first(tmp_path: Path, files: dict[str, object]) -> None:
    zone(tmp_path, "0", "package-0", 0)
    chip(tmp_path, "1-0040", "ina3221", files)
    found = sensor(tmp_path)
    assert isinstance(found, Ina) and found.name.endswith("_IN")
    assert found.watts() == pytest.approx(4)
    inside: list[float] = []

    def work() -> None:
        start = time.perf_counter()
        time.sleep(0.1)
        inside.append(time.perf_counter() - start)

    start = time.perf_counter()
    joules = found.joules(work)
    assert 4 * inside[0] <= joules <= 4 * (time.perf_counter() - start)


def test_a_sensor_that_fails_says_so(tmp_path: Path) -> None:
    folder = chip(tmp_path, "1-0040", "ina219", {"power1_input": 1_000_000})
    found = sensor(tmp_path)
    assert found is not None

    def work() -> None:
        (folder / "power1_input").unlink()
        time.sleep(0.1)

    with pytest.raises(OSError):
        found.joules(work)


def test_energy_of_a_face(tmp_path: Path) -> None:
    chip(tmp_path, "1-0040", "ina219", {"in1_label": "VDD_IN", "power1_input": 3_000_000})
    model = Model("tiny", bytes(32), tiny_flow(GlowConfig(32, 2, 1, 8)))
    found = worker.energy(model, sensor(tmp_path), 0.05)
    # a power that never changes: nothing lies above the idle machine
    for step in ("encode", "encode_rotate"):
        assert found[f"{step}_faces"] >= 1
        assert found[f"{step}_joules"] * found[f"{step}_faces"] >= 3 * 0.05
        assert abs(found[f"{step}_joules_above_idle"]) < 0.2 * found[f"{step}_joules"]
    assert worker.energy(model, None, 1) == {"sensor": None}


def test_section(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    camera = Camera(load_model("ffem-64"), CenterFace())
    setting = Setting(tmp_path, camera, tmp_path, Cache(None), lambda _what, _done: None, small=True)
    result = embedded.measure(setting)
    assert torch.get_num_threads() == threads
    (row,) = result.data["rows"]
    assert row["model"] == "ffem-128" and row["encode_ms"] > 0 and row["rotate_ms"] > 0
    assert 0 < row["share_of_peak"] < 1.5
    memory = row["memory"]
    assert 50 < memory["loaded_mb"] <= memory["encode_mb"] <= memory["encode_rotate_mb"] * 1.05
    (table,) = (part for part in result.parts if isinstance(part, Table))
    assert list(table.rows[-1])[1:3] == [267, 307]
    if row["energy"]["sensor"] is None:
        assert table.rows[0][6] == table.rows[0][7] == "no sensor"
        assert result.claims[-1].holds is None and result.claims[-1].measured == "no sensor"
