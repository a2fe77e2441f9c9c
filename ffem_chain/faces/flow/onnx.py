"""A flow as two ONNX graphs, for cameras that do not run torch: NAME-encoder.onnx and NAME-decoder.onnx.

The encoder takes `faces` float32 (B, 3, m, m): (grey level + noise) / 256, the noise in [0, 1) as `Model.encode` adds
it; it gives `latents` float32 (B, 3*m*m). The decoder is its inverse. B is free. The graphs are those of `fused`, in
operators of opset 18 that every runtime knows, and hold the model's name and id as metadata. Their precision is
float32: what half precision costs is in docs/SPEED.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ffem_chain.errors import FfemError, MissingExtra
from ffem_chain.faces.flow.fused import FusedFlow, fuse
from ffem_chain.faces.flow.weights import DEFAULT_MODEL, Model, load_model

OPSET = 18
TOLERANCE = 1e-4  # root mean square; rounding alone gives 1e-5, quantisation to 10 bits 3e-3
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


class _Encoder(nn.Module):
    def __init__(self, flow: FusedFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, faces: Tensor) -> Tensor:
        return self.flow.encode(faces)


class _Decoder(nn.Module):
    def __init__(self, flow: FusedFlow) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, latents: Tensor) -> Tensor:
        return self.flow.decode(latents)


@dataclass(frozen=True)
class Graph:
    """A graph that was written, and the root mean square of the difference between what it and torch give."""

    path: Path
    difference: float


def export(model: Model, folder: Path) -> tuple[Graph, Graph]:
    """Writes encoder and decoder of `model` into `folder` and runs both in ONNX Runtime.

    MissingExtra where onnx, onnxscript or onnxruntime is not installed, FfemError where a graph gives something else
    than torch; it is then not kept.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f"this needs {', '.join(missing)}, not installed", "pip install 'ffem-chain[export]'")
    folder.mkdir(parents=True, exist_ok=True)
    flow = fuse(model.flow)
    # faces as the flow draws them: on what is no face, rounding alone makes more of a difference
    drawn = 0.7 * torch.randn(2, 3 * model.size**2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        faces = flow.decode(drawn)
        latents = flow.encode(faces)
        encoder = _write(_Encoder(flow), "faces", faces, "latents", model, folder / f"{model.name}-encoder.onnx")
        decoder = _write(_Decoder(flow), "latents", latents, "faces", model, folder / f"{model.name}-decoder.onnx")
    return encoder, decoder


def session(path: Path, threads: int = 1) -> Any:
    """An ONNX Runtime session on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _write(module: nn.Module, given: str, value: Tensor, wanted: str, model: Model, path: Path) -> Graph:
    import onnx

    batch = torch.export.Dim("batch", min=1, max=64)
    with _quiet():
        program = torch.onnx.export(
            module.eval(),
            (value,),
            input_names=[given],
            output_names=[wanted],
            dynamic_shapes={given: {0: batch}},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    # the exporter writes stack traces of this machine into every node
    for part in (*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output, proto.graph):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.helper.set_model_props(proto, {"model": model.name, "model_id": model.model_id.hex()})
    onnx.checker.check_model(proto)
    return _keep(proto.SerializeToString(deterministic=True), module, given, value, path)


def _keep(data: bytes, module: nn.Module, given: str, value: Tensor, path: Path) -> Graph:
    """Writes a graph where it gives what `module` gives, FfemError where not."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    try:
        difference = _difference(partial, module, given, value)
        if not difference <= TOLERANCE:
            raise FfemError(f"{path.name} differs from torch by {difference:.1g}", "this is a fault, please report it")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return Graph(path, difference)


def _difference(path: Path, module: nn.Module, given: str, value: Tensor) -> float:
    runs = session(path)
    found = []
    for count in (1, len(value)):  # the batch is free
        mine: NDArray[np.float32] = module(value[:count]).numpy()
        error = runs.run(None, {given: value[:count].numpy()})[0] - mine
        found.append(np.sqrt(np.mean(np.square(error, dtype=np.float64))))
    return float(np.max(found))  # NaN where there is one


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on torchvision and on its own deprecations."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def main() -> int:
    """`python -m ffem_chain.faces.flow.onnx [--model NAME] [--to DIR]`, for machines without the command line."""
    parser = argparse.ArgumentParser(description="Write a flow as two ONNX graphs.")
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME")
    parser.add_argument("--to", default=Path(), type=Path, metavar="DIR")
    arguments = parser.parse_args()
    try:
        for graph in export(load_model(arguments.model), arguments.to):
            print(f"{graph.path}: differs from torch by {graph.difference:.1g}")
    except FfemError as error:
        print(f"{error.message}; {error.hint}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
