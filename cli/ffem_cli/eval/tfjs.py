"""Networks stored as TensorFlow.js graph models (NAME.json and NAME.bin), run without TensorFlow.

The graph is read here, written anew as ONNX in memory (`tfjsonnx`) and run by ONNX Runtime on one thread. Nothing of a
file is executed: what is no known operation is refused. Format: TensorFlow's GraphDef as JSON with a weights manifest
(https://github.com/tensorflow/tfjs, tfjs-converter).
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain import boundedjson
from ffem_chain.errors import FormatError, MissingExtra
from ffem_chain.keys.files import read_file

Array = NDArray[Any]
_LARGEST = 64 << 20
_BRACKETS = 200_000
_NODES = 5_000


@dataclass(frozen=True)
class Node:
    """An operation: its inputs as ("name", output number), and its attributes as plain values (bytes stay bytes)."""

    name: str
    op: str
    inputs: tuple[tuple[str, int], ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Graph:
    """A graph: its nodes, the constants by name, the shapes of its inputs (-1: any), and which (node, output number)
    each named output is."""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Mapping[str, tuple[str, int]]


class Network:
    """A graph that runs. `digest` is the SHA-256 of its two files, `shape` that of its input, channels last, -1: any;
    `outputs` are the names of what comes out."""

    def __init__(self, name: str, graph: Graph, digest: str) -> None:
        """FormatError where the graph has no single input, or an operation that is not known."""
        try:
            import onnxruntime

            from ffem_cli.eval.tfjsonnx import convert
        except ModuleNotFoundError:
            raise MissingExtra("onnx and onnxruntime are not installed", "pip install 'ffem-chain[export]'") from None
        if len(graph.inputs) != 1:
            raise FormatError(f"{name} takes {len(graph.inputs)} inputs; one is supported")
        self.name, self.digest, self.outputs = name, digest, tuple(graph.outputs)
        ((self._input, self.shape),) = graph.inputs.items()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(convert(graph), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"the network {name} cannot be run: {str(error)[:200]}") from None

    def run(self, batch: Array) -> dict[str, NDArray[np.float32]]:
        """float32 of `shape`, in the range that the network was trained on -> its outputs by name, float32."""
        given = {self._input: np.ascontiguousarray(batch, np.float32)}
        found = self._session.run(None, given)
        return {name: np.asarray(value, np.float32) for name, value in zip(self.outputs, found, strict=True)}


def load(folder: Path, name: str) -> Network:
    """The network in `folder`/`name`.json and .bin. InputError where a file is missing, FormatError where it is no such
    network, MissingExtra where ONNX Runtime is not installed."""
    graph, weights = (read_file(folder / f"{name}{end}", "network", _LARGEST) for end in (".json", ".bin"))
    return loads(graph, weights, name)


def loads(graph: bytes, weights: bytes, name: str) -> Network:
    """The same from the bytes of both files."""
    digest = hashlib.sha256(hashlib.sha256(graph).digest() + hashlib.sha256(weights).digest()).hexdigest()
    return Network(name, parse(graph, weights, name), digest)


def parse(graph: bytes, weights: bytes, name: str) -> Graph:
    """The graph in the bytes of both files. FormatError where they are none."""
    try:
        return _parse(boundedjson.loads(boundedjson.check_depth(graph), _BRACKETS), weights)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, StopIteration) as error:
        raise FormatError(f"{name} is no graph model of TensorFlow.js: {error}") from None


def _parse(model: dict[str, Any], weights: bytes) -> Graph:
    raw = model["modelTopology"]["node"]
    if len(raw) > _NODES:
        raise ValueError(f"more than {_NODES} operations")
    nodes, inputs = [], {}
    for one in raw:
        given = tuple(_reference(text) for text in one.get("input", ()) if not text.startswith("^"))
        node = Node(str(one["name"]), str(one["op"]), given, {k: _value(v) for k, v in one.get("attr", {}).items()})
        if node.op == "Placeholder":
            inputs[node.name] = _shape(node.attributes["shape"])
        if node.op not in ("Placeholder", "Const", "NoOp"):
            nodes.append(node)
    constants = _weights(model["weightsManifest"], weights)
    signature = model.get("signature") or model.get("userDefinedMetadata", {}).get("signature") or {}
    outputs = signature.get("outputs", {}).items()
    named = {_reference(str(key))[0]: _reference(str(value["name"])) for key, value in outputs}
    if not named:
        used = {source for node in nodes for source, _ in node.inputs}
        named = {node.name: (node.name, 0) for node in nodes if node.name not in used}
    return Graph(tuple(nodes), constants, inputs, named)


def _reference(text: str) -> tuple[str, int]:
    name, _, number = text.partition(":")
    return name, int(number or 0)


def _shape(value: dict[str, Any]) -> tuple[int, ...]:
    return tuple(int(side.get("size", 0)) for side in value.get("dim", ()))


def _value(attribute: dict[str, Any]) -> Any:
    """An attribute as JSON has it: numbers may be text, text is base64."""
    if not attribute:
        return None
    kind, value = next(iter(attribute.items()))
    if kind == "list":
        return [_plain(k, one) for k, values in value.items() for one in values]
    return _plain(kind, value)


def _plain(kind: str, value: Any) -> Any:
    if kind == "i":
        return int(value)
    if kind == "f":
        return float(value)
    return base64.b64decode(value) if kind == "s" else value


def _weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, Array]:
    """Constants by name, float32, int64 or bool: the manifest's order is that of the bytes."""
    found: dict[str, Array] = {}
    at = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        shape = tuple(int(side) for side in entry["shape"])
        quantised = entry.get("quantization")
        stored = np.dtype(_STORED[quantised["dtype"] if quantised else entry["dtype"]])
        count = math.prod(shape)
        if min(shape, default=0) < 0 or at + count * stored.itemsize > len(data):
            raise ValueError("the weights are cut off")
        values: Array = np.frombuffer(data, stored, count, at)
        at += count * stored.itemsize
        if quantised and stored.kind == "u":
            values = values.astype(np.float32) * np.float32(quantised["scale"]) + np.float32(quantised["min"])
        values = values.astype({"float32": np.float32, "int32": np.int64, "bool": np.bool_}[entry["dtype"]])
        found[str(entry["name"])] = values.reshape(shape)
    if at != len(data):
        raise ValueError("there are more weights than the graph names")
    return found


_STORED = {"float32": "<f4", "float16": "<f2", "int32": "<i4", "uint8": "u1", "uint16": "<u2", "bool": "?"}
