"""Graphs of TensorFlow.js: what comes out is what TensorFlow's operations are defined to give; damage is refused."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ffem_chain.errors import FormatError, InputError, MissingExtra
from ffem_cli.eval import networks, tfjs

pytest.importorskip("onnxruntime")
RNG = np.random.default_rng(11)
Array = NDArray[Any]


class Writer:
    """Writes a graph as TensorFlow.js stores it."""

    def __init__(self, shape: list[int], kind: str = "DT_FLOAT") -> None:
        sides = [{"size": str(side)} for side in shape]
        self.nodes: list[dict[str, Any]] = [
            {"name": "x", "op": "Placeholder", "attr": {"dtype": {"type": kind}, "shape": {"shape": {"dim": sides}}}}
        ]
        self.weights: list[dict[str, Any]] = []
        self.data = b""

    def constant(self, name: str, value: Array, **stored: Any) -> str:
        kind = "float32" if value.dtype.kind == "f" else "int32"
        entry: dict[str, Any] = {"name": name, "shape": list(value.shape), "dtype": kind}
        if stored:
            entry["quantization"] = stored
        self.weights.append(entry)
        as_stored = {"float16": "<f2", "uint8": "u1"}.get(
            stored.get("dtype", ""), "<f4" if kind == "float32" else "<i4"
        )
        self.data += value.astype(as_stored).tobytes()
        self.nodes.append({"name": name, "op": "Const", "attr": {}})
        return name

    def add(self, name: str, op: str, *inputs: str, **attributes: dict[str, Any]) -> str:
        self.nodes.append({"name": name, "op": op, "input": list(inputs), "attr": attributes})
        return name

    def files(self, **outputs: str) -> tuple[bytes, bytes]:
        model = {
            "format": "graph-model",
            "modelTopology": {"node": self.nodes},
            "signature": {"outputs": {key: {"name": name} for key, name in outputs.items()}},
            "weightsManifest": [{"paths": ["x.bin"], "weights": self.weights}],
        }
        return json.dumps(model).encode(), self.data

    def run(self, x: Array, **outputs: str) -> dict[str, Array]:
        return dict(tfjs.loads(*self.files(**outputs), "test").run(x))


def text(*values: str) -> dict[str, Any]:
    return {"list": {"s": [base64.b64encode(v.encode()).decode() for v in values]}}


def plain(value: str) -> dict[str, Any]:
    return {"s": base64.b64encode(value.encode()).decode()}


def convolve(x: Array, kernel: Array, stride: int) -> Array:
    """By the definition, padding SAME: of an odd total more goes to the end."""
    height, width = x.shape[1:3]
    k = kernel.shape[0]
    rows, columns = -(-height // stride), -(-width // stride)
    pads = [max(0, (n - 1) * stride + k - m) for n, m in ((rows, height), (columns, width))]
    x = np.pad(x[0], [(p // 2, p - p // 2) for p in pads] + [(0, 0)])
    out = np.empty((1, rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            part = x[i * stride : i * stride + k, j * stride : j * stride + k]
            out[0, i, j] = np.tensordot(part, kernel, axes=3)
    return out


def test_convolutions_pad_as_tensorflow_pads() -> None:
    x = RNG.standard_normal((1, 5, 6, 3)).astype(np.float32)
    kernel = RNG.standard_normal((3, 3, 3, 4)).astype(np.float16).astype(np.float32)
    bias = np.array([0.5, -0.5, 1, 4], np.float32)
    deep = RNG.standard_normal((3, 3, 4, 1)).astype(np.float32)
    w = Writer([-1, 5, 6, 3])
    w.constant("k", kernel, dtype="float16", original_dtype="float32")
    w.constant("b", bias)
    w.constant("d", deep)
    settings = {
        "strides": {"list": {"i": ["1", "2", "2", "1"]}},
        "padding": plain("SAME"),
        "data_format": plain("NHWC"),
    }
    w.add("conv", "_FusedConv2D", "x", "k", "b", fused_ops=text("BiasAdd", "Relu6"), **settings)
    settings["strides"] = {"list": {"i": ["1", "1", "1", "1"]}}
    w.add("deep", "DepthwiseConv2dNative", "conv", "d", **settings)
    got = w.run(x, conv="conv:0", deep="deep")
    expected = np.clip(convolve(x, kernel, 2) + bias, 0, 6)
    assert np.allclose(got["conv"], expected, atol=1e-5)
    each = [convolve(expected[..., c : c + 1], deep[:, :, c : c + 1], 1) for c in range(4)]
    assert np.allclose(got["deep"], np.concatenate(each, axis=3), atol=1e-5)


def test_whole_numbers_slices_and_choices() -> None:
    x = np.array([[-7, -1, 0, 5, 9, 2]], np.float32)
    w = Writer([1, 6], "DT_INT32")
    for name, value in (("three", [3]), ("k", 2), ("axis", 1), ("from", [0, -2]), ("to", [0, 0]), ("step", [1, 1])):
        w.constant(name, np.array(value, np.int32))
    w.constant("coded", np.array([0, 255, 51], np.uint8).astype(np.float32), dtype="uint8", scale=0.1, min=-1.0)
    w.add("whole", "Cast", "x", SrcT={"type": "DT_FLOAT"}, DstT={"type": "DT_INT32"})
    w.add("div", "FloorDiv", "whole", "three", T={"type": "DT_INT32"})
    w.add("mod", "FloorMod", "whole", "three", T={"type": "DT_INT32"})
    w.add("top", "TopKV2", "x", "k")
    w.add("most", "ArgMax", "x", "axis")
    w.add("end", "StridedSlice", "x", "from", "to", "step", shrink_axis_mask={"i": "1"}, end_mask={"i": "2"})
    w.add("pair", "Unpack", "top", axis={"i": "1"}, num={"i": "2"})
    w.add("floats", "Identity", "coded")
    outputs = {name: name for name in ("div", "mod", "most", "end", "floats")}
    got = w.run(x, **outputs, at="top:1", second="pair:1")
    assert got["div"].tolist() == [[-3, -1, 0, 1, 3, 0]], "rounds down"
    assert got["mod"].tolist() == [[2, 2, 0, 2, 0, 2]], "has the sign of the divisor"
    assert got["at"].tolist() == [[4, 3]] and got["second"].tolist() == [5] and got["most"].tolist() == [4]
    assert got["end"].tolist() == [9, 2]
    assert np.allclose(got["floats"], [-1, 24.5, 4.1])


@pytest.mark.parametrize("half", [True, False])
def test_resizing(half: bool) -> None:
    x = np.arange(4, dtype=np.float32).reshape(1, 2, 2, 1)
    w = Writer([1, 2, 2, 1])
    w.constant("size", np.array([4, 4], np.int32))
    w.add("out", "ResizeBilinear", "x", "size", half_pixel_centers={"b": half}, align_corners={"b": False})
    # the top row by TensorFlow's definition
    expected = [0, 0.25, 0.75, 1] if half else [0, 0.5, 1, 1]
    assert np.allclose(w.run(x, out="out")["out"][0, 0, :, 0], expected)


def test_damage_is_refused() -> None:
    w = Writer([1, 2])
    w.constant("c", np.ones(2, np.float32))
    w.add("out", "Add", "x", "c")
    graph, weights = w.files(out="out")
    assert tfjs.loads(graph, weights, "whole").run(np.zeros((1, 2), np.float32))["out"].tolist() == [[1, 1]]
    deep = b"[" * 5_000 + b"]" * 5_000
    cases = [(graph, weights[:-1]), (graph, weights + b"1234"), (b"{}", b""), (graph[:-2], weights), (deep, b"")]
    for bad_graph, bad_weights in cases:
        with pytest.raises(FormatError):
            tfjs.loads(bad_graph, bad_weights, "bad")
    w.add("odd", "NonMaxSuppressionV5", "out")
    with pytest.raises(FormatError, match="NonMaxSuppressionV5"):
        tfjs.loads(*w.files(out="odd"), "odd")


def test_only_the_pinned_package_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    w = Writer([1, 2])
    w.add("out", "Relu", "x")
    graph, weights = w.files(out="out")
    known = networks.Known("tiny", "a test", *(hashlib.sha256(data).hexdigest() for data in (graph, weights)))
    monkeypatch.setattr(networks, "KNOWN", (known,))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as out:
        for name, data in (("tiny.json", graph), ("tiny.bin", weights)):
            entry = tarfile.TarInfo(f"package/models/{name}")
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
    file, cache = tmp_path / "package.tgz", tmp_path / "cache"
    file.write_bytes(packed.getvalue())
    with pytest.raises(MissingExtra, match="tiny"):
        networks.load("tiny", cache)
    with pytest.raises(FormatError, match="digest"):
        networks.pull(cache, file)
    assert networks.missing(cache) == ["tiny"] and not cache.exists(), "nothing of another package is kept"
    monkeypatch.setattr(networks, "SHA256", hashlib.sha256(file.read_bytes()).hexdigest())
    assert networks.pull(cache, file) == ["tiny"]
    assert networks.load("tiny", cache).run(np.array([[-1, 2]], np.float32))["out"].tolist() == [[0, 2]]
    assert networks.pull(cache, tmp_path / "absent.tgz") == [], "what is there is not fetched again"
    (kept,) = cache.rglob("tiny.bin")
    kept.write_bytes(b"damaged")
    with pytest.raises(InputError, match="damaged"):
        networks.load("tiny", cache)
