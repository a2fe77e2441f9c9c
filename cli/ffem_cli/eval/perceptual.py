"""A perceptual distance on the features of a network that is at hand, in the manner of LPIPS (Zhang et al. 2018).

Features of several layers are scaled to length 1 at every position; the squared differences are summed over channels,
averaged over positions, and summed over layers. That is their distance before it is calibrated: the learned weights of
LPIPS belong to AlexNet and VGG and cannot be used here, and a recogniser of faces sees faces, not photos at large. So
the numbers are no LPIPS numbers; what they mean is shown by what they give for pictures that everybody knows.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import FormatError, InputError, MissingExtra
from ffem_cli.eval.recognisers import ARCFACE

Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]


class Perceptual:
    """The distance on an ONNX network for 112 x 112 px RGB, (x - 127.5) / 127.5, such as `OnnxRecogniser` takes.

    `layers` are the tensors that are compared: of each resolution the last one, as LPIPS takes VGG's before each
    pooling. `digest` is the SHA-256 of the file.
    """

    size = 112
    template = ARCFACE

    def __init__(self, file: Path) -> None:
        """InputError where the file is missing, FormatError where it is no such network, MissingExtra."""
        try:
            import onnx
            import onnxruntime
        except ModuleNotFoundError:
            raise MissingExtra("ONNX Runtime is not installed", "pip install 'ffem-chain[export]'") from None
        try:
            data = file.read_bytes()
        except OSError as error:
            raise InputError(f"the network {file} cannot be read: {error.strerror}") from None
        self.name, self.digest = file.stem, hashlib.sha256(data).hexdigest()
        try:
            model = onnx.load_model_from_string(data)
            self.layers = _last_of_each_side(onnx.shape_inference.infer_shapes(model))
            del model.graph.output[:]
            model.graph.output.extend(onnx.ValueInfoProto(name=layer) for layer in self.layers)
            self._input = str(model.graph.input[0].name)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.log_severity_level = 1, 3
            self._run = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            ).run
            self.features(np.full((self.size, self.size, 3), 127, np.uint8))
        except Exception as error:
            # both packages raise many kinds of errors for files that are no such network
            raise FormatError(
                f"{file} is no network whose layers can be compared", "an ONNX file for 112 px"
            ) from error

    def features(self, face: Picture) -> list[Floats]:
        """uint8 (112, 112, 3) RGB -> of each layer float32 (channels, h, w), of length 1 at every position."""
        blob = ((face.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
        return [_unit(layer[0]) for layer in self._run(None, {self._input: blob})]

    def distance(self, a: Picture, b: Picture) -> float:
        """0 for equal pictures; at most 4 a layer, and 2 where features of a position have nothing in common."""
        pairs = zip(self.features(a), self.features(b), strict=True)
        return float(sum(((x - y) ** 2).sum(axis=0).mean(dtype=np.float64) for x, y in pairs))


def _unit(layer: Floats) -> Floats:
    return np.asarray(layer / (np.sqrt((layer**2).sum(axis=0, keepdims=True)) + 1e-10), np.float32)


def _last_of_each_side(model: Any) -> tuple[str, ...]:
    """The last tensor (1, C, h, w) of each height above 1, from the largest to the smallest."""
    found: dict[int, str] = {}
    shapes = {one.name: [part.dim_value for part in one.type.tensor_type.shape.dim] for one in model.graph.value_info}
    for node in model.graph.node:
        shape = shapes.get(node.output[0], [])
        if len(shape) == 4 and shape[2] == shape[3] > 1:
            found[shape[2]] = node.output[0]
    if not found:
        raise ValueError("no layers of features")
    return tuple(found[side] for side in sorted(found, reverse=True))
