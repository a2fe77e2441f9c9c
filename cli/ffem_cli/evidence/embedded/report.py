"""The section `embedded`: a process for each model, and the paper's own figures beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ffem_chain.errors import FfemError
from ffem_cli.evidence.embedded.energy import NO_SENSOR
from ffem_cli.evidence.embedded.worker import PAPER as PAPER_SHAPE
from ffem_cli.evidence.result import Cell, Claim, Plot, Result, Series, Table, Text
from ffem_cli.evidence.setting import Setting

MODELS = ("ffem-128", "ffem-64", PAPER_SHAPE)
NAMES = {PAPER_SHAPE: "the paper's shape, untrained"}
PAPER = {"machine": "Jetson Nano", "encode_ms": 267, "encode_rotate_ms": 307, "encode_rotate_joules": 1.3}
# set before they were measured, of ffem-128 on one core of a present-day processor
MOST_MS, MOST_MB, LEAST_SHARE = 100, 1000, 0.4
_ABOUT = """A camera encrypts each face that it sees, so what a face costs decides what hardware it needs. Below: \
processor time of one thread and one face, medians; resident memory of a process that has only the model loaded \
(Python and torch included), at its peak; and the energy of a face where the machine has a sensor. Small is good. \
"Share" says how near the code comes to what the processor can do: its convolutions' operations over the time of both \
steps, against the rate of a matrix product in the same run."""
_PAPER = """The paper measured its own flow on a Jetson Nano: 267 ms to encode a face, 307 ms with the rotation, 1.3 \
J. That is another machine and another program, so its numbers stand beside ours and are not compared with them; the \
row of "the paper's shape" is its architecture (128 px, 5 levels of 32 steps, 64 hidden channels) with random weights \
on this machine."""
_SILENT = """This machine exposes neither RAPL counters nor an INA sensor that may be read, so no energy was \
measured: "no sensor". On a Jetson or on bare metal the same command measures it (RAPL often takes root)."""
_BUSY = """The machine was busy with other work meanwhile (load {load:.0f} on {cores} processors). Processor time \
leaves out the waiting for a turn, but not that caches and memory are shared with the others: these times are upper \
bounds, and the share is a lower one. docs/SPEED.md has an idle machine's."""


def measure(setting: Setting) -> Result:
    """See `Section.measure`. FfemError where a measuring process fails."""
    rows = {}
    for done, name in enumerate(setting.size(MODELS, MODELS[:1])):
        setting.say(f"measuring {NAMES.get(name, name)}", done)
        rows[name] = _measured(name, setting)
    first = rows[MODELS[0]]
    record = {
        "machine": first["machine"],
        "repeats": first["repeats"],
        "threads": 1,
        "clock": "processor",
        "detector": setting.camera.detector.name,
        "sensor": first["energy"]["sensor"],
    }
    parts: list[Text | Table | Plot] = [Text(_short(first)), Text(_ABOUT), Text(_PAPER)]
    if record["sensor"] is None:
        parts.append(Text(_SILENT))
    load, cores = first["machine"]["load"], first["machine"]["cpu_count"]
    if load is not None and load > cores:
        parts.append(Text(_BUSY.format(load=load, cores=cores)))
    parts += [_table(rows), _memory_plot(rows), _time_plot(rows)]
    return Result({"rows": list(rows.values()), "paper": PAPER}, record, parts, _claims(first))


def _short(row: Mapping[str, Any]) -> str:
    """The answer in a few figures."""
    both, joules = row["encode_ms"] + row["rotate_ms"], _joules(row["energy"], "encode_rotate")
    energy = "no energy was measured: no sensor" if joules == NO_SENSOR else f"it takes {joules} J"
    return (
        f"In short: with ffem-128 a face takes {row['encode_ms']:.0f} ms of one thread of this machine to encode, "
        f"{both:.0f} ms with the rotation, and a process of {row['memory']['encode_rotate_mb']:.0f} MB; {energy}."
    )


def _measured(name: str, setting: Setting) -> dict[str, Any]:
    estimator = setting.camera.pose.name if setting.camera.pose else "landmarks"
    command = [sys.executable, "-m", "ffem_cli.evidence.embedded.worker", name]
    command += ["--detector", setting.camera.detector.name, "--pose", estimator, "--models", str(setting.model_cache)]
    command += ["--repeats", str(setting.size(15, 1)), "--seconds", str(setting.size(10, 1))]
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise FfemError(f"measuring {name} failed: {last[:300]}", "ffem bench faces shows the same figures")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**found, "model": name}


def _table(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    cells: list[list[Cell]] = []
    for name, row in rows.items():
        both = row["encode_ms"] + row["rotate_ms"]
        memory = row["memory"]
        cells.append(
            [
                NAMES.get(name, name),
                f"{row['encode_ms']:.1f}",
                f"{both:.1f}",
                f"{memory['loaded_mb']:.0f}",
                f"{memory['encode_mb']:.0f}",
                f"{memory['encode_rotate_mb']:.0f}",
                _joules(row["energy"], "encode"),
                _joules(row["energy"], "encode_rotate"),
                f"{row['share_of_peak']:.0%}",
            ]
        )
    paper: Sequence[Cell] = (267, 307, None, None, None, None, "1.3", None)
    cells.append([f"the paper, {PAPER['machine']}", *paper])
    columns = (
        "model",
        "encode, ms",
        "encode and rotate, ms",
        "MB, loaded",
        "MB, encode",
        "MB, encode and rotate",
        "J, encode",
        "J, encode and rotate",
        "share of the matrix product's rate",
    )
    note = "Joules: all that the sensor counts, and in brackets what lies above the idle machine."
    return Table("One face: time, memory, energy", columns, cells, note)


def _joules(energy: Mapping[str, Any], step: str) -> str:
    if energy["sensor"] is None:
        return NO_SENSOR
    return f"{energy[f'{step}_joules']:.2f} ({energy[f'{step}_joules_above_idle']:.2f})"


def _time_plot(rows: Mapping[str, Mapping[str, Any]]) -> Plot:
    names = [*(NAMES.get(name, name) for name in rows), f"the paper, {PAPER['machine']}"]
    encode = [*(row["encode_ms"] for row in rows.values()), 267.0]
    both = [*(row["encode_ms"] + row["rotate_ms"] for row in rows.values()), 307.0]
    series = [Series("encode", names, encode), Series("encode and rotate", names, both)]
    return Plot("time", "Time of a face", "bars", "model", "ms", series, "The paper's bars are from another machine.")


def _memory_plot(rows: Mapping[str, Mapping[str, Any]]) -> Plot:
    names = [NAMES.get(name, name) for name in rows]
    steps = {"loaded": "loaded_mb", "encode": "encode_mb", "encode and rotate": "encode_rotate_mb"}
    series = [Series(what, names, [row["memory"][key] for row in rows.values()]) for what, key in steps.items()]
    return Plot("memory", "Peak memory of the process", "bars", "model", "MB", series)


def _claims(row: Mapping[str, Any]) -> list[Claim]:
    both, peak = row["encode_ms"] + row["rotate_ms"], row["memory"]["encode_rotate_mb"]
    share = row["share_of_peak"]
    return [
        Claim(
            "encoding and rotating a face (ffem-128) takes little processor time on one core of this machine",
            f"at most {MOST_MS} ms",
            f"{both:.1f} ms",
            both <= MOST_MS,
        ),
        Claim(
            "a process that encodes and rotates (ffem-128) fits into a small board's memory",
            f"at most {MOST_MB} MB",
            f"{peak:.0f} MB",
            peak <= MOST_MB,
        ),
        Claim(
            "encoding and rotating (ffem-128) use the processor well",
            f"at least {LEAST_SHARE:.0%} of a matrix product's rate",
            f"{share:.0%}",
            share >= LEAST_SHARE,
        ),
        Claim("a face takes less energy than the paper's 1.3 J", "below 1.3 J", *_energy(row["energy"])),
    ]


def _energy(energy: Mapping[str, Any]) -> tuple[str, bool | None]:
    if energy["sensor"] is None:
        return NO_SENSOR, None
    joules = energy["encode_rotate_joules"]
    return f"{joules:.2f} J ({energy['sensor']})", joules < PAPER["encode_rotate_joules"]
