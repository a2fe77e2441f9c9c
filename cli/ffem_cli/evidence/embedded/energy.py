"""Energy from what a machine exposes: an INA sensor on the board (Jetson and the like), or the processor's counters.

INA chips tell a power, which is sampled while the work runs; RAPL counts energy, and its counters wrap around. Reading
RAPL takes root on most systems.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

SYSFS = Path("/sys")
NO_SENSOR = "no sensor"
_PAUSE = 0.01  # s between two samples of a power
_BOARD = ("_IN", "VIN")  # how boards call the rail that feeds everything


class Sensor(Protocol):
    """`name` says what is measured."""

    @property
    def name(self) -> str: ...

    def joules(self, work: Callable[[], None]) -> float:
        """Energy while `work` runs. OSError where the sensor cannot be read any more."""
        ...


@dataclass(frozen=True)
class Rapl:
    """Counters of microjoules in `energy_uj` of the processor's packages and their memory; they start again from 0
    behind `max_energy_range_uj`."""

    name: str
    zones: tuple[Path, ...]

    def joules(self, work: Callable[[], None]) -> float:
        """See `Sensor.joules`. Work must end before a counter has gone round twice: minutes at the least."""
        before = [_number(zone / "energy_uj") for zone in self.zones]
        work()
        spent = 0
        for zone, start in zip(self.zones, before, strict=True):
            gone = _number(zone / "energy_uj") - start
            spent += gone if gone >= 0 else gone + _number(zone / "max_energy_range_uj") + 1
        return spent / 1e6


@dataclass(frozen=True)
class Ina:
    """A power that is read from one file in units of `unit` watts, or from two (voltage in mV, current in mA)."""

    name: str
    files: tuple[Path, ...]
    unit: float

    def watts(self) -> float:
        """The power now."""
        value = 1
        for file in self.files:
            value *= _number(file)
        return value * self.unit

    def joules(self, work: Callable[[], None]) -> float:
        """See `Sensor.joules`: trapezoids over samples 10 ms apart, the first before and the last after the work."""
        samples = [(time.perf_counter(), self.watts())]
        failed: list[OSError] = []
        done = threading.Event()

        def sample() -> None:
            try:
                while not done.wait(_PAUSE):
                    samples.append((time.perf_counter(), self.watts()))
            except OSError as error:
                failed.append(error)

        watching = threading.Thread(target=sample, daemon=True)
        watching.start()
        try:
            work()
        finally:
            done.set()
            watching.join()
        if failed:
            raise failed[0]
        samples.append((time.perf_counter(), self.watts()))
        return sum((end - start) * (a + b) / 2 for (start, a), (end, b) in pairwise(samples))


def sensor(root: Path = SYSFS) -> Sensor | None:
    """The board's sensor, else the processor's counters, else None: where nothing is there, or may not be read."""
    found: list[Sensor] = [*_inas(root), *_rapl(root)]
    for one in found:
        try:
            one.joules(lambda: None)
        except (OSError, ValueError):
            continue
        return one
    return None


def _inas(root: Path) -> list[Ina]:
    """INA chips' rails, those that feed the whole board first."""
    rails = []
    for device in sorted((root / "bus/i2c/devices").glob("*")):
        for chip in sorted([*device.glob("hwmon/hwmon*"), *device.glob("iio:device*"), *device.glob("iio_device*")]):
            if (_text(chip / "name") or _text(device / "name")).startswith("ina"):
                rails += _rails(chip)
    return sorted(rails, key=lambda rail: not rail.name.upper().endswith(_BOARD))


def _rails(chip: Path) -> list[Ina]:
    found = []
    for number in range(0, 4):
        label = _text(chip / f"in{number}_label") or _text(chip / f"rail_name_{number}") or f"{chip.name} {number}"
        whole, milliwatts = chip / f"power{number}_input", chip / f"in_power{number}_input"
        parts = (chip / f"in{number}_input", chip / f"curr{number}_input")
        name = f"INA sensor, {label}"
        if whole.exists():
            found.append(Ina(name, (whole,), 1e-6))
        elif milliwatts.exists():
            found.append(Ina(name, (milliwatts,), 1e-3))
        elif all(part.exists() for part in parts):
            found.append(Ina(name, parts, 1e-6))
    return found


def _rapl(root: Path) -> list[Rapl]:
    """The packages with their memory as one sensor; `psys` and cores are parts of the same or hold it, and stay out."""
    zones = []
    for zone in sorted((root / "class/powercap").glob("intel-rapl:*")):
        if _text(zone / "name").startswith(("package", "dram")) and zone not in zones:
            zones.append(zone)
    return (
        [Rapl("RAPL, processor and memory" if _has_memory(zones) else "RAPL, processor", tuple(zones))] if zones else []
    )


def _has_memory(zones: list[Path]) -> bool:
    return any(_text(zone / "name") == "dram" for zone in zones)


def _number(file: Path) -> int:
    return int(file.read_text("ascii"))


def _text(file: Path) -> str:
    try:
        return file.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
