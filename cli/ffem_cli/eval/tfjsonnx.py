"""TensorFlow's operations as ONNX (opset 18), as far as the networks need them that `networks` lists.

Pictures stay channels last; convolutions turn them around and back, which ONNX Runtime optimises away. Integers are
int64 throughout, since ONNX takes its indices so; no graph here counts beyond 2^31.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ffem_chain.errors import FormatError
from ffem_cli.eval.tfjs import Graph, Node

Array = NDArray[Any]
_OPSET = 18
_TO_FIRST, _TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def convert(graph: Graph) -> bytes:
    """The graph as an ONNX model, outputs in the graph's order. FormatError where an operation is not known here."""
    unknown = sorted({node.op for node in graph.nodes} - _OPS.keys())
    if unknown:
        raise FormatError(f"these operations of TensorFlow.js are not supported: {', '.join(unknown)}")
    writer = _Writer(graph)
    for node in graph.nodes:
        _OPS[node.op](writer, node)
    return writer.model()


class _Writer:
    """Collects ONNX nodes. A value is named "node:number" as in TensorFlow."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.constants = {f"{name}:0": value for name, value in graph.constants.items()}
        self._nodes: list[onnx.NodeProto] = []
        self._fresh = 0

    def inputs(self, node: Node) -> list[str]:
        return [f"{name}:{number}" for name, number in node.inputs]

    def constant(self, value: Array | Sequence[int]) -> str:
        """The name of a new constant."""
        name = self.fresh()
        self.constants[name] = np.asarray(value)
        return name

    def value(self, node: Node, at: int) -> Array:
        """An input that has to be known when the graph is read."""
        name = self.inputs(node)[at]
        if name not in self.constants:
            raise FormatError(f"the operation {node.name} ({node.op}) depends on what is not constant")
        return self.constants[name]

    def whole(self, node: Node, at: int) -> list[int]:
        """The same as whole numbers."""
        return [int(number) for number in self.value(node, at).ravel()]

    def fresh(self) -> str:
        self._fresh += 1
        return f"/{self._fresh}"

    def add(self, op: str, inputs: Sequence[str], output: str | Sequence[str] = "", **attributes: Any) -> str:
        """A node of ONNX; returns the name of its (first) output."""
        outputs = [output or self.fresh()] if isinstance(output, str) else list(output)
        self._nodes.append(helper.make_node(op, list(inputs), outputs, **attributes))
        return outputs[0]

    def model(self) -> bytes:
        """The model as bytes; its outputs are float32, in the order of the graph's."""
        given, wanted = [], []
        for name, shape in self.graph.inputs.items():
            sides = ["batch" if side < 0 else side for side in shape]
            given.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sides))
        for source, number in self.graph.outputs.values():
            name = self.add("Cast", [f"{source}:{number}"], to=TensorProto.FLOAT)
            wanted.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        first = [helper.make_node("Identity", [name], [f"{name}:0"]) for name in self.graph.inputs]
        used = {name for node in self._nodes for name in node.input}
        kept = [numpy_helper.from_array(v, name) for name, v in self.constants.items() if name in used]
        graph = helper.make_graph([*first, *self._nodes], "graph", given, wanted, kept)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        made.ir_version = 8
        return bytes(made.SerializeToString())


_Op = Callable[[_Writer, Node], None]


def _same(op: str, **attributes: Any) -> _Op:
    """An operation that ONNX has just so."""
    return lambda w, node: void(w.add(op, w.inputs(node), f"{node.name}:0", **attributes))


def void(_: str) -> None:
    """What an operation's function returns."""


def _reduce(op: str) -> _Op:
    def run(w: _Writer, node: Node) -> None:
        inputs = [w.inputs(node)[0], w.constant(np.array(w.whole(node, 1), np.int64))]
        w.add(op, inputs, f"{node.name}:0", keepdims=int(bool(node.attributes.get("keep_dims"))))

    return run


def _activated(w: _Writer, node: Node, value: str, functions: Sequence[bytes]) -> None:
    """The end of a fused operation."""
    for function in functions:
        if function == b"Relu":
            value = w.add("Relu", [value])
        elif function == b"Relu6":
            value = w.add("Clip", [value, w.constant(np.array(0, np.float32)), w.constant(np.array(6, np.float32))])
        elif function == b"LeakyRelu":
            value = w.add("LeakyRelu", [value], alpha=float(node.attributes.get("leakyrelu_alpha", 0.2)))
        elif function in (b"Prelu", b"PRelu"):
            value = w.add("PRelu", [value, w.inputs(node)[3]])
        elif function != b"BiasAdd":
            raise FormatError(f"the fused operation {function!r} is not supported")
    w.add("Identity", [value], f"{node.name}:0")


def _padding(node: Node) -> dict[str, Any]:
    kind = node.attributes["padding"]
    if node.attributes.get("data_format", b"NHWC") != b"NHWC" or kind not in (b"SAME", b"VALID"):
        raise FormatError(f"the layout or padding of {node.name} is not supported")
    # more goes to the end where it does not divide by two, as in TensorFlow
    return {"auto_pad": "SAME_UPPER" if kind == b"SAME" else "VALID", "strides": node.attributes["strides"][1:3]}


def _conv(w: _Writer, node: Node) -> None:
    kernel = w.value(node, 1).astype(np.float32)
    group = 1
    if "Depthwise" in node.op:
        height, width, group, times = kernel.shape
        kernel = kernel.reshape(height, width, 1, group * times)
    inputs = [w.add("Transpose", [w.inputs(node)[0]], perm=_TO_FIRST), w.constant(kernel.transpose(3, 2, 0, 1).copy())]
    fused = node.attributes.get("fused_ops", ())
    if b"BiasAdd" in fused:
        inputs.append(w.inputs(node)[2])
    dilations = node.attributes.get("dilations", [1] * 4)[1:3]
    made = w.add("Conv", inputs, group=group, dilations=dilations, **_padding(node))
    _activated(w, node, w.add("Transpose", [made], perm=_TO_LAST), fused)


def _pool(op: str) -> _Op:
    def run(w: _Writer, node: Node) -> None:
        first = w.add("Transpose", [w.inputs(node)[0]], perm=_TO_FIRST)
        made = w.add(op, [first], kernel_shape=node.attributes["ksize"][1:3], **_padding(node))
        w.add("Transpose", [made], f"{node.name}:0", perm=_TO_LAST)

    return run


def _matmul(w: _Writer, node: Node) -> None:
    inputs = w.inputs(node)
    for at, name in enumerate(("transpose_a", "transpose_b")):
        if node.attributes.get(name):
            inputs[at] = w.add("Transpose", [inputs[at]], perm=[1, 0])
    fused = node.attributes.get("fused_ops", ())
    made = w.add("MatMul", inputs[:2])
    _activated(w, node, w.add("Add", [made, inputs[2]]) if b"BiasAdd" in fused else made, fused)


def _resize(w: _Writer, node: Node) -> None:
    mode = "align_corners" if node.attributes.get("align_corners") else "asymmetric"
    mode = "half_pixel" if node.attributes.get("half_pixel_centers") else mode
    first = w.add("Transpose", [w.inputs(node)[0]], perm=_TO_FIRST)
    # all four sides, since ONNX Runtime does not take two of them on all shapes
    sides = w.add("Concat", [w.add("Shape", [first], end=2), w.constant(np.array(w.whole(node, 1), np.int64))], axis=0)
    made = w.add("Resize", [first, "", "", sides], mode="linear", coordinate_transformation_mode=mode)
    w.add("Transpose", [made], f"{node.name}:0", perm=_TO_LAST)


def _pad(w: _Writer, node: Node) -> None:
    sides = w.value(node, 1).T.ravel().astype(np.int64)
    w.add("Pad", [w.inputs(node)[0], w.constant(sides), *w.inputs(node)[2:]], f"{node.name}:0")


def _strided(w: _Writer, node: Node) -> None:
    if node.attributes.get("ellipsis_mask") or node.attributes.get("new_axis_mask"):
        raise FormatError(f"the slice {node.name} is not supported")
    begin, end, step = (w.whole(node, at) for at in (1, 2, 3))
    masks = [int(node.attributes.get(f"{name}_mask", 0)) for name in ("begin", "end", "shrink_axis")]
    far = np.iinfo(np.int64).max
    squeezed = []
    for axis in range(len(begin)):
        if masks[2] >> axis & 1:
            end[axis], step[axis] = (begin[axis] + 1) or far, 1
            squeezed.append(axis)
            continue
        if masks[0] >> axis & 1:
            begin[axis] = 0 if step[axis] > 0 else far
        if masks[1] >> axis & 1:
            end[axis] = far if step[axis] > 0 else -far
    limits = [w.constant(np.array(v, np.int64)) for v in (begin, end, range(len(begin)), step)]
    cut = w.add("Slice", [w.inputs(node)[0], *limits])
    inputs = [cut, w.constant(np.array(squeezed, np.int64))] if squeezed else [cut]
    w.add("Squeeze" if squeezed else "Identity", inputs, f"{node.name}:0")


def _axes(op: str, attribute: str = "") -> _Op:
    """Unsqueeze and Squeeze, whose axes are an input of ONNX."""

    def run(w: _Writer, node: Node) -> None:
        axes = node.attributes.get(attribute, []) if attribute else w.whole(node, 1)
        inputs = [w.inputs(node)[0]] + ([w.constant(np.array(axes, np.int64))] if axes else [])
        w.add(op, inputs, f"{node.name}:0")

    return run


def _unpack(w: _Writer, node: Node) -> None:
    axis, count = int(node.attributes.get("axis", 0)), int(node.attributes["num"])
    parts = [w.fresh() for _ in range(count)]
    w.add("Split", [w.inputs(node)[0]], parts, axis=axis, num_outputs=count)
    for number, part in enumerate(parts):
        w.add("Squeeze", [part, w.constant(np.array([axis], np.int64))], f"{node.name}:{number}")


def _pack(w: _Writer, node: Node) -> None:
    axis = int(node.attributes.get("axis", 0))
    parts = [w.add("Unsqueeze", [name, w.constant(np.array([axis], np.int64))]) for name in w.inputs(node)]
    w.add("Concat", parts, f"{node.name}:0", axis=axis)


def _split(w: _Writer, node: Node) -> None:
    if node.op == "SplitV":
        given, sizes, (axis,) = w.inputs(node)[0], w.whole(node, 1), w.whole(node, 2)
        outputs = [f"{node.name}:{number}" for number in range(len(sizes))]
        w.add("Split", [given, w.constant(np.array(sizes, np.int64))], outputs, axis=axis)
        return
    (axis,), count = w.whole(node, 0), int(node.attributes["num_split"])
    outputs = [f"{node.name}:{number}" for number in range(count)]
    w.add("Split", [w.inputs(node)[1]], outputs, axis=axis, num_outputs=count)


def _concat(w: _Writer, node: Node) -> None:
    w.add("Concat", w.inputs(node)[:-1], f"{node.name}:0", axis=w.whole(node, len(node.inputs) - 1)[0])


def _gather(w: _Writer, node: Node) -> None:
    if node.attributes.get("batch_dims"):
        raise FormatError(f"the operation {node.name} gathers in batches, which is not supported")
    w.add("Gather", w.inputs(node)[:2], f"{node.name}:0", axis=w.whole(node, 2)[0])


def _top(w: _Writer, node: Node) -> None:
    count = w.constant(np.array(w.whole(node, 1), np.int64))
    w.add("TopK", [w.inputs(node)[0], count], [f"{node.name}:0", f"{node.name}:1"], axis=-1)


def _cast(w: _Writer, node: Node) -> None:
    kinds = {"DT_FLOAT": TensorProto.FLOAT, "DT_BOOL": TensorProto.BOOL}
    w.add("Cast", [w.inputs(node)[0]], f"{node.name}:0", to=kinds.get(node.attributes["DstT"], TensorProto.INT64))


def _floor_div(w: _Writer, node: Node) -> None:
    """Rounds down, where ONNX's division of integers rounds towards zero."""
    floats = node.attributes["T"] == "DT_FLOAT"
    parts = w.inputs(node) if floats else [w.add("Cast", [p], to=TensorProto.DOUBLE) for p in w.inputs(node)]
    floor = w.add("Floor", [w.add("Div", parts)])
    w.add("Identity" if floats else "Cast", [floor], f"{node.name}:0", **({} if floats else {"to": TensorProto.INT64}))


def _arg_max(w: _Writer, node: Node) -> None:
    w.add("ArgMax", w.inputs(node)[:1], f"{node.name}:0", axis=w.whole(node, 1)[0], keepdims=0)


def _scatter(w: _Writer, node: Node) -> None:
    """SparseToDense of constants: a constant."""
    at, shape, values, rest = (w.value(node, number) for number in range(4))
    dense = np.full([int(side) for side in shape], rest, np.int64)
    if at.size:
        dense[tuple(at.reshape(len(at), -1).T)] = values
    w.constants[f"{node.name}:0"] = dense


def _square(w: _Writer, node: Node) -> None:
    inputs = w.inputs(node)
    both = inputs[0] if node.op == "Square" else w.add("Sub", inputs)
    w.add("Mul", [both, both], f"{node.name}:0")


def _transpose(w: _Writer, node: Node) -> None:
    w.add("Transpose", w.inputs(node)[:1], f"{node.name}:0", perm=w.whole(node, 1))


def _bias(w: _Writer, node: Node) -> None:
    w.add("Add", w.inputs(node), f"{node.name}:0")


_ALIKE = "Add Sub Mul Relu Sigmoid Tanh Abs Neg Exp Sqrt Reciprocal Equal Greater Less Identity Floor Reshape MatMul"
_RENAMED = {"AddV2": "Add", "RealDiv": "Div", "Minimum": "Min", "Maximum": "Max", "AddN": "Sum", "Prelu": "PRelu"}
_CONVOLUTIONS = ("Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative")
_OPS: dict[str, _Op] = {
    **{op: _same(op) for op in _ALIKE.split()},
    **{op: _same(other) for op, other in _RENAMED.items()},
    **{op: _reduce(f"Reduce{op}") for op in ("Mean", "Sum", "Max", "Min")},
    **dict.fromkeys(_CONVOLUTIONS, _conv),
    **dict.fromkeys(("_FusedMatMul", "MatMul"), _matmul),
    **dict.fromkeys(("Pad", "PadV2"), _pad),
    **dict.fromkeys(("Split", "SplitV"), _split),
    **dict.fromkeys(("Square", "SquaredDifference"), _square),
    "Softmax": _same("Softmax", axis=-1),
    "FloorMod": _same("Mod"),
    "GatherNd": _same("GatherND"),
    "Relu6": lambda w, node: _activated(w, node, w.inputs(node)[0], [b"Relu6"]),
    "LeakyRelu": lambda w, node: void(
        w.add("LeakyRelu", w.inputs(node), f"{node.name}:0", alpha=float(node.attributes.get("alpha", 0.2)))
    ),
    "Rsqrt": lambda w, node: void(w.add("Reciprocal", [w.add("Sqrt", w.inputs(node))], f"{node.name}:0")),
    "MaxPool": _pool("MaxPool"),
    "AvgPool": _pool("AveragePool"),
    "BiasAdd": _bias,
    "ResizeBilinear": _resize,
    "StridedSlice": _strided,
    "ExpandDims": _axes("Unsqueeze"),
    "Squeeze": _axes("Squeeze", "squeeze_dims"),
    "Unpack": _unpack,
    "Pack": _pack,
    "ConcatV2": _concat,
    "GatherV2": _gather,
    "TopKV2": _top,
    "Cast": _cast,
    "FloorDiv": _floor_div,
    "ArgMax": _arg_max,
    "SparseToDense": _scatter,
    "Transpose": _transpose,
}
