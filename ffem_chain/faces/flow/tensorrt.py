"""Builds a TensorRT engine from a graph of `ffem_chain.faces.flow.onnx`, on the machine (a Jetson) that will run it.

`python -m ffem_chain.faces.flow.tensorrt ffem-128-encoder.onnx ffem-128-encoder.engine`: through `tensorrt`, or else
`trtexec`, which JetPack puts in /usr/src/tensorrt/bin. Engines are float32, and TF32 is off: half precision in the
encoder costs 2 dB of what the flow gives back (docs/SPEED.md). An engine fits one kind of GPU and one TensorRT. This
module runs no flow and imports neither torch nor OpenCV.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ffem_chain.errors import FfemError, InputError, MissingExtra

MOST_FACES = 8
_JETPACK = Path("/usr/src/tensorrt/bin/trtexec")
_LEGACY_EXPLICIT_BATCH = "EXPLICIT_BATCH"  # of TensorRT 8 and 9; from 10 on there is nothing else


def build(graph: Path, engine: Path, most_faces: int = MOST_FACES) -> None:
    """Writes `engine` for batches of 1 to `most_faces`.

    InputError where there is no graph, MissingExtra where TensorRT is absent, FfemError where it refuses the graph.
    """
    if not graph.is_file():
        raise InputError(f"there is no graph {graph}", "ffem models export --model NAME --to DIR")
    if has_package():
        engine.write_bytes(_by_package(graph, most_faces))
        return
    program = find_program()
    if program is None:
        raise MissingExtra(
            "TensorRT is absent: there is neither the Python package tensorrt nor the program trtexec",
            "run this on the Jetson (JetPack has it), or pip install tensorrt on a machine with an NVIDIA GPU",
        )
    _by_program(program, graph, engine, most_faces)


def has_package() -> bool:
    """Whether the Python package `tensorrt` is installed."""
    return importlib.util.find_spec("tensorrt") is not None


def find_program() -> str | None:
    """Where `trtexec` is: on the path, or where JetPack puts it."""
    return shutil.which("trtexec") or (str(_JETPACK) if _JETPACK.is_file() else None)


def _by_package(graph: Path, most_faces: int) -> bytes:
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    explicit = getattr(trt.NetworkDefinitionCreationFlag, _LEGACY_EXPLICIT_BATCH, None)
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph.read_bytes()):
        raise FfemError(f"TensorRT cannot read {graph.name}: {parser.get_error(0)}", "update TensorRT to 8.6 or newer")
    config: Any = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    given = network.get_input(0)
    rest = tuple(given.shape)[1:]
    profile = builder.create_optimization_profile()
    profile.set_shape(given.name, (1, *rest), (1, *rest), (most_faces, *rest))
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise FfemError(f"TensorRT could not build an engine of {graph.name}", "its own messages above say why")
    return bytes(engine)


def _by_program(program: str, graph: Path, engine: Path, most_faces: int) -> None:
    name, rest = _input(graph)
    shape = "x".join(map(str, rest))
    command = [program, f"--onnx={graph}", f"--saveEngine={engine}", "--noTF32", "--skipInference"]
    command += [f"--{kind}Shapes={name}:{count}x{shape}" for kind, count in (("min", 1), ("opt", 1))]
    command.append(f"--maxShapes={name}:{most_faces}x{shape}")
    done = subprocess.run(command, check=False)
    if done.returncode != 0 or not engine.is_file():
        engine.unlink(missing_ok=True)
        raise FfemError(f"trtexec failed with status {done.returncode}", "its own messages above say why")


def _input(graph: Path) -> tuple[str, tuple[int, ...]]:
    """Name and shape, without the batch, of a graph's input."""
    if importlib.util.find_spec("onnx") is None:
        raise MissingExtra("building with trtexec needs onnx, which is not installed", "pip install onnx")
    import onnx

    given = onnx.load(graph).graph.input[0]
    return given.name, tuple(part.dim_value for part in given.type.tensor_type.shape.dim)[1:]


def main() -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(description="Build a TensorRT engine from an ONNX graph, in float32.")
    parser.add_argument("graph", type=Path)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--most-faces", type=int, default=MOST_FACES, metavar="N", help="largest batch")
    arguments = parser.parse_args()
    try:
        build(arguments.graph, arguments.engine, arguments.most_faces)
    except FfemError as error:
        print(f"{error.message}; {error.hint}", file=sys.stderr)
        return error.exit_status
    print(arguments.engine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
