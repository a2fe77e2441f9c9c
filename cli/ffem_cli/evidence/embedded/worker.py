"""What one model costs, in a process that has nothing else loaded: memory first, then energy, then time.

    python -m ffem_cli.evidence.embedded.worker MODEL --detector NAME --pose NAME --models DIR [--repeats 7]

`MODEL` is a shipped model's name or `paper`, the flow of the paper's shape. One JSON line on stdout.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ffem_chain.faces.finding import detectors
from ffem_chain.faces.flow import quantise
from ffem_chain.faces.flow.rotation import rotate
from ffem_chain.faces.flow.weights import Faces, Model, load_model
from ffem_chain.faces.posing.pose import pose_estimator
from ffem_cli.bench import faces as bench
from ffem_cli.demo.pictures import public_photo
from ffem_cli.evidence.embedded.energy import Sensor, sensor

PAPER = "paper"


def steps(model: Model) -> dict[str, Callable[[], None]]:
    """`encode` and `encode_rotate` of one face; what a face shows does not change their cost."""
    photo = public_photo("pip install scikit-image")[:256, 96:352]
    face: Faces = np.asarray(cv2.resize(photo, (model.size, model.size), interpolation=cv2.INTER_AREA), np.uint8)[None]

    def encode() -> None:
        model.encode(face)

    def encode_rotate() -> None:
        for latent in model.encode(face):
            quantise.pack(rotate(latent, bench.KEY)[0], bench.BITS)

    return {"encode": encode, "encode_rotate": encode_rotate}


def memory(model: Model) -> dict[str, float]:
    """Resident memory in MB: of the process with the model loaded, and its peaks while a face is encoded, and encoded
    and rotated."""
    found = {}
    bench.forget_peak()
    found["loaded_mb"] = round(bench.peak_mb(), 1)
    for name, step in steps(model).items():
        bench.forget_peak()
        step()
        found[f"{name}_mb"] = round(bench.peak_mb(), 1)
    return found


def energy(model: Model, meter: Sensor | None, seconds: float) -> dict[str, Any]:
    """Joules a face for each step, as the sensor counts them and above what the idle machine takes, over loops of at
    least `seconds`; {"sensor": None} without a sensor."""
    if meter is None:
        return {"sensor": None}
    start = time.perf_counter()
    idle = meter.joules(lambda: time.sleep(seconds))
    watts = idle / (time.perf_counter() - start)
    found: dict[str, Any] = {"sensor": meter.name, "idle_watts": watts}
    for name, step in steps(model).items():
        step()
        count = 0

        def loop(step: Callable[[], None] = step) -> None:
            nonlocal count
            until = time.perf_counter() + seconds
            while count == 0 or time.perf_counter() < until:
                step()
                count += 1

        start = time.perf_counter()
        joules = meter.joules(loop)
        lasted = time.perf_counter() - start
        found[f"{name}_joules"] = joules / count
        found[f"{name}_joules_above_idle"] = (joules - watts * lasted) / count
        found[f"{name}_faces"] = count
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--detector", default=detectors.DEFAULT)
    parser.add_argument("--pose", default="landmarks")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=10.0)
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    with bench.using_threads(1):
        model = bench.paper_model() if args.model == PAPER else load_model(args.model)
        found = {"memory": memory(model), "energy": energy(model, sensor(), args.seconds)}
        finder, estimator = detectors.detector(args.detector, args.models), pose_estimator(args.pose, args.models)
        timed = bench.measure([model], [1], args.repeats, finder, estimator, "processor", lambda _what, _done: None)
    print(json.dumps({**found, **timed["rows"][0], **{k: timed[k] for k in ("peak_gflops", "machine", "repeats")}}))


if __name__ == "__main__":
    main()
