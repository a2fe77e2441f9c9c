"""3DDFA_V2 (Guo et al., 2020; MIT), the pose estimator of the FFEM paper: MobileNetV1 of half width on 120 x 120 px.

The network answers with 62 parameters of a morphable face; the first 12 are a 3 x 4 projection, and the pose is its
rotation. The weights are imported by the user; they are loaded as tensors, and the pickle of their mean and deviation
by an unpickler that knows arrays only.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct
from numpy.typing import NDArray
from torch import nn

from ffem_chain.errors import FormatError
from ffem_chain.faces import modelcache
from ffem_chain.faces.finding.detect import Detection
from ffem_chain.faces.posing import align
from ffem_chain.faces.posing.pose import Picture, Pose

_SIDE, _PARAMETERS = 120, 62
# blocks by name: channels out, stride
_BLOCKS = {
    "dw2_1": (32, 1),
    "dw2_2": (64, 2),
    "dw3_1": (64, 1),
    "dw3_2": (128, 2),
    "dw4_1": (128, 1),
    "dw4_2": (256, 2),
    **{f"dw5_{number}": (256, 1) for number in range(1, 6)},
    "dw5_6": (512, 2),
    "dw6": (512, 1),
}
_REFUSED = "the file is damaged: ffem models import FILE"


class _Separable(nn.Module):
    """A depthwise and a pointwise convolution, each with batch normalization."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False)
        self.bn_dw = nn.BatchNorm2d(inside)
        self.conv_sep = nn.Conv2d(inside, outside, 1, bias=False)
        self.bn_sep = nn.BatchNorm2d(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 (B, c, h, w) -> (B, c', h / stride, w / stride)."""
        inner: torch.Tensor = self.bn_dw(self.conv_dw(x)).relu()
        outer: torch.Tensor = self.bn_sep(self.conv_sep(inner)).relu()
        return outer


class MobileNet(nn.Module):
    """MobileNetV1 (Howard et al., 2017) at half width, its names those of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        width = 16
        for name, (outside, stride) in _BLOCKS.items():
            self.add_module(name, _Separable(width, outside, stride))
            width = outside
        self.fc_param = nn.Linear(width, _PARAMETERS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 (B, 3, 120, 120) BGR in [-1, 1] -> (B, 62), normalized."""
        x = self.bn1(self.conv1(x)).relu()
        for name in _BLOCKS:
            x = self.get_submodule(name)(x)
        parameters: torch.Tensor = self.fc_param(x.mean(dim=(2, 3)))
        return parameters


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles plain containers and numpy arrays; any other name in the stream raises UnpicklingError."""

    _ALLOWED: ClassVar[dict[tuple[str, str], Callable[..., Any]]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """The four names that arrays need."""
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array") from None


def mean_and_deviation(data: bytes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(62,) each, from the pickle that comes with the weights. FormatError where it is anything else."""
    try:
        found = ArrayUnpickler(io.BytesIO(data)).load()
        mean, deviation = (np.asarray(found[name], np.float64) for name in ("mean", "std"))
    except Exception as error:  # a hostile stream can raise anything
        raise FormatError(f"the parameters of 3ddfa cannot be read ({type(error).__name__})", _REFUSED) from None
    if mean.shape != (_PARAMETERS,) or deviation.shape != (_PARAMETERS,):
        raise FormatError("the parameters of 3ddfa have another shape", _REFUSED)
    return mean, deviation


def load_network(path: Path) -> MobileNet:
    """The network with the published weights. FormatError where the file is anything else."""
    network = MobileNet()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        named = {name.removeprefix("module."): value for name, value in state.items()}
        # the file also holds a head for landmarks, which its authors do not use either
        network.load_state_dict({name: value for name, value in named.items() if not name.startswith("fc_lm.")})
    except Exception as error:
        raise FormatError(f"the weights of 3ddfa cannot be read ({type(error).__name__})", _REFUSED) from None
    return network.eval()


class Tddfa:
    """Pose by 3DDFA_V2. Raises as `modelcache.paths`, and FormatError."""

    name = "3ddfa"

    def __init__(self, models: Path | None = None) -> None:
        weights, parameters = modelcache.paths(self.name, models)
        self._network = load_network(weights)
        self._mean, self._deviation = mean_and_deviation(parameters.read_bytes())

    def estimate(self, picture: Picture, detection: Detection) -> Pose:
        """See `PoseEstimator.estimate`; without a mesh."""
        crop = _crop(picture, detection)[:, :, ::-1].astype(np.float32)
        x = torch.from_numpy((crop - 127.5) / 128).permute(2, 0, 1)[None]
        with torch.inference_mode():
            raw = self._network(x)[0].double().numpy()
        return angles((raw * self._deviation + self._mean)[:12].reshape(3, 4))


def angles(projection: NDArray[np.float64]) -> Pose:
    """The pose of a scaled orthographic projection (3, 4), x to the right, y up and z towards the viewer.

    The rotation is roll after yaw after pitch, so roll is the angle of the line of the eyes in the picture.
    """
    first, second = (row / max(1e-12, float(np.linalg.norm(row))) for row in projection[:2, :3])
    third = np.cross(first, second)
    yaw = -math.asin(max(-1.0, min(1.0, float(third[0]))))
    pitch = -math.atan2(third[1], third[2])
    roll = -math.atan2(second[0], first[0])
    return Pose(math.degrees(yaw), math.degrees(pitch), math.degrees(roll))


def _crop(picture: Picture, detection: Detection) -> Picture:
    """The square of the authors' choice around the box, 120 x 120 px."""
    left, top, right, bottom = detection.box
    mean = max(1.0, (right - left + bottom - top) / 2)
    side = 1.58 * mean
    x, y = (left + right - side) / 2, (top + bottom - side) / 2 + 0.14 * mean
    scale = side / _SIDE
    return align.warp_in(picture, np.array([[scale, 0, x], [0, scale, y]]), _SIDE)
