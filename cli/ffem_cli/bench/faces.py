"""What a face costs, step by step, beside what the processor can do: the rate of a matrix product in the same run.

Models and batches take turns, round by round, so that all meet the same machine. The paper's flow (128 px, 5 levels of
32 steps, 64 hidden channels) is among them with random weights: its time is that of trained ones.
"""

from __future__ import annotations

import gc
import hashlib
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from ffem_chain.faces.finding.detect import Detection, Detector
from ffem_chain.faces.flow import quantise
from ffem_chain.faces.flow.glow import Glow, GlowConfig
from ffem_chain.faces.flow.rotation import rotate
from ffem_chain.faces.flow.weights import Faces, Model
from ffem_chain.faces.posing.pose import Pose, PoseEstimator
from ffem_chain.faces.seal import square_of
from ffem_chain.keys.secret import Secret
from ffem_cli.bench import machine
from ffem_cli.bench.path import compose
from ffem_cli.demo.pictures import public_photo
from ffem_cli.eval.sealing import Camera, Sealed, seal

STEPS = ("detect", "pose", "frontalize", "encode", "rotate", "decode", "blend")
PAPER = {"machine": "Jetson Nano", "encode_ms": 267, "encode_rotate_ms": 307}
PAPER_SHAPE = GlowConfig(128, 5, 32, 64)
BITS, TEMPERATURE = 10, 0.5
_SIDE = 1024  # of the matrices
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
KEY = Secret(hashlib.sha256(b"ffem bench faces").digest())


@dataclass(frozen=True)
class _Timed(Model):
    """A model that notes how long drawing takes, which is not blending."""

    clock: Callable[[], float] = time.perf_counter
    drawing: list[float] = field(default_factory=list)

    def draw(self, latents: NDArray[np.float64], temperature: float) -> Faces:
        """See `Model.draw`."""
        start = self.clock()
        drawn = super().draw(latents, temperature)
        self.drawing.append(self.clock() - start)
        return drawn


@dataclass
class _Row:
    """A model and a number of faces, and the times in seconds."""

    model: _Timed
    batch: int
    picture: Faces
    sealed: Sealed
    gflop: float
    times: dict[str, list[float]] = field(default_factory=lambda: {step: [] for step in STEPS})
    peak: float = 0.0

    def once(self, detector: Detector, pose: PoseEstimator, counted: bool) -> None:
        """Every step once, on all faces of the picture."""
        forget_peak()
        times: dict[str, float] = {}

        def timed(step: str, call: Callable[[], Any]) -> Any:
            start = self.model.clock()
            result = call()
            times[step] = self.model.clock() - start
            return result

        found = timed("detect", lambda: detector.detect(self.picture))[: self.batch]
        poses = timed("pose", lambda: [pose.estimate(self.picture, face) for face in found])
        faces = timed("frontalize", lambda: _faces(self.picture, found, poses, self.model))
        latents = timed("encode", lambda: self.model.encode(faces))
        timed("rotate", lambda: [quantise.pack(rotate(z, KEY)[0], BITS) for z in latents])
        timed("decode", lambda: self.model.decode(latents))
        self.model.drawing.clear()
        timed("blend", lambda: self.sealed.fake(self.model, TEMPERATURE))
        times["blend"] -= sum(self.model.drawing)
        if counted:
            self.peak = max(self.peak, peak_mb())
            for step, seconds in times.items():
                self.times[step].append(seconds)

    def result(self, peak_gflops: float) -> dict[str, Any]:
        """Milliseconds for all faces together, medians; the share of the matrix product's rate that encoding and
        rotating reach."""
        row: dict[str, Any] = {"model": self.model.name, "size": self.model.size, "batch": self.batch}
        for step in STEPS:
            row[f"{step}_ms"] = round(1000 * statistics.median(self.times[step]), 3)
        busy = (row["encode_ms"] + row["rotate_ms"]) / 1000
        row["gflop"] = round(self.gflop, 4)
        row["share_of_peak"] = round(self.gflop / busy / peak_gflops, 3)
        row["peak_mb"] = round(self.peak, 1)
        return row


def paper_model() -> Model:
    """The flow of the paper (Zhu et al., AAAI 2023) by its shape, untrained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model("paper's shape", bytes(32), Glow(PAPER_SHAPE).eval())


def measure(
    models: Sequence[Model],
    batches: Sequence[int],
    repeats: int,
    detector: Detector,
    pose: PoseEstimator,
    clock: str,
    say: Callable[[str, int], None],
) -> dict[str, Any]:
    """{"peak_gflops", "paper", "rows"}: medians of `repeats` rounds after one that is not counted.

    `peak_gflops` is the rate of a float32 matrix product with torch's threads, in 10^9 operations a second. `clock`:
    "wall", or "processor" for a machine that does other things as well; then one thread is to be used.
    """
    photo = public_photo("pip install scikit-image")
    cameras = [Camera(model, detector, pose) for model in models]
    rows = [_row(camera, batch, photo, CLOCKS[clock]) for camera in cameras for batch in batches]
    rates: list[float] = []
    for number in range(repeats + 1):
        for done, row in enumerate(rows):
            rates.append(_rate(CLOCKS[clock]))
            say(f"round {number} of {repeats}: {row.model.name}, {row.batch} faces", number * len(rows) + done)
            row.once(detector, pose, number > 0)
    peak = statistics.median(rates[len(rows) :])
    return {
        "peak_gflops": round(peak, 1),
        "rows": [row.result(peak) for row in rows],
        "paper": PAPER,
        "repeats": repeats,
        "clock": clock,
        "detector": detector.name,
        "pose": pose.name,
        "machine": machine.describe(),
    }


def _row(camera: Camera, batch: int, photo: Faces, clock: Callable[[], float]) -> _Row:
    picture, model = compose(photo, batch, batch), camera.model
    timed = _Timed(**{part.name: getattr(model, part.name) for part in fields(model)}, clock=clock)
    return _Row(timed, batch, picture, seal(picture, "bench", 0, camera), batch * gflop(model))


def gflop(model: Model) -> float:
    """10^9 additions and multiplications of encoding one face, as torch counts its convolutions."""
    flow, face = model.fused, torch.full((1, 3, model.size, model.size), 0.5)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        flow.encode(face)
    return float(counter.get_total_flops()) / 1e9


def _faces(picture: Faces, found: Sequence[Detection], poses: Sequence[Pose], model: Model) -> Faces:
    """Faces as the flow takes them: turned to the front where the model wants that, and else only aligned."""
    pairs = zip(found, poses, strict=True)
    return np.stack([square_of(picture, detection, pose, model).pixels for detection, pose in pairs])


def _rate(clock: Callable[[], float]) -> float:
    a, b = torch.ones(_SIDE, _SIDE), torch.ones(_SIDE, _SIDE)
    start = clock()
    torch.mm(a, b)
    return 2 * _SIDE**3 / (clock() - start) / 1e9


def forget_peak() -> None:
    """From now on the peak of memory is that of what follows; where the system does not allow that, of the process."""
    gc.collect()
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Peak of this process's resident memory, in MB."""
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """torch with so many threads; None: as many as it has."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
