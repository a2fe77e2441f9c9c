"""Weights of the flow: exporting a training checkpoint, and loading a model by name.

A file of weights is safetensors: every convolution float16, the rest float32. A 1x1 convolution is one matrix (L below
the diagonal, U above) and its permutation as indices. The flow of the rounded weights is as invertible as the one that
was trained; it is only a slightly different flow. The model id that captures record is the sha256 of the file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load, save

from ffem_chain import boundedjson
from ffem_chain.errors import FormatError, InputError
from ffem_chain.faces.glow import Glow, GlowConfig

DEFAULT_MODEL = "ffem-64"
# OpenMP waits busily: where anything else runs, the last core costs ten times what it gives
_THREADS = max(1, (os.cpu_count() or 1) // 2)
_HALF = (".enter.weight", ".couple.mix.weight", ".conv.weight", ".lu")


@dataclass(frozen=True)
class Model:
    """A flow ready for use, with the id that captures record and the training steps behind it."""

    name: str
    model_id: bytes
    glow: Glow
    steps: int = 0

    @property
    def size(self) -> int:
        """Side m of the faces it takes, in pixels."""
        return self.glow.config.size

    def encode(self, faces: NDArray[np.uint8]) -> NDArray[np.float64]:
        """uint8 (B, m, m, 3) RGB -> latents float64 (B, 3*m*m).

        Draws the dequantisation noise that the flow was trained with (one grey level), so that latents keep the norm of
        a Gaussian; decoding gives the pixels back after rounding down.
        """
        x = torch.from_numpy(np.ascontiguousarray(faces)).permute(0, 3, 1, 2).float()
        noise = torch.from_numpy(np.random.default_rng().random(tuple(x.shape), dtype=np.float32))
        return self.glow.encode((x + noise).clamp(max=255.999) / 256).double().numpy()

    def decode(self, latents: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Latents (B, 3*m*m) -> uint8 (B, m, m, 3) RGB. Coordinates that no face has give grey, never an error."""
        faces = self.glow.decode(torch.from_numpy(latents).float())
        whole = torch.nan_to_num(faces * 256, nan=128.0).clamp(0, 255).floor().to(torch.uint8)
        return whole.permute(0, 2, 3, 1).contiguous().numpy()

    def temper(self, latent: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
        """Latent (..., n) times a temperature in [0, 1], fine levels cooler than coarse ones."""
        out = latent * temperature
        levels = len(self.glow.level_slices)
        for level, where in enumerate(self.glow.level_slices):
            out[..., where] *= 0.6 + 0.4 * level / max(1, levels - 1)
        return out


def _pack(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    out = {}
    for name, value in state.items():
        if name.endswith((".ready", ".eye", ".upper")):
            continue
        if name.endswith(".permutation"):
            name, value = name.removesuffix("permutation") + "order", value.argmax(dim=1).to(torch.uint8)
        elif name.endswith(".lower"):
            stem = name.removesuffix("lower")
            name, value = stem + "lu", value.tril(-1) + state[stem + "upper"].triu(1)
        if value.is_floating_point():
            value = value.half() if name.endswith(_HALF) else value.float()
        out[name] = value.contiguous()
    return out


def _unpack(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    out = {}
    for name, value in tensors.items():
        stem = name.rsplit(".", 1)[0] + "."
        if name.endswith(".order"):
            out[stem + "permutation"] = torch.eye(len(value))[value.long()]
        elif name.endswith(".lu"):
            out[stem + "lower"], out[stem + "upper"] = value.float().tril(-1), value.float().triu(1)
        else:
            out[name] = value.float()
    return out


def export(checkpoint: Path, out: Path) -> str:
    """Writes the averaged weights of a training checkpoint to `out`; returns the model id in hexadecimal."""
    state = torch.load(checkpoint, weights_only=True)
    data = save(
        _pack(state["average"]), {"config": json.dumps(state["config"]), "step": str(state["step"] + state["trained"])}
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def load_bytes(data: bytes, name: str) -> Model:
    """A model from the bytes of a weights file. FormatError where they are not one."""
    try:
        header = json.loads(boundedjson.check_depth(data[8 : 8 + int.from_bytes(data[:8], "little")]).decode())
        head = header["__metadata__"]
        glow, steps = Glow(GlowConfig(**boundedjson.loads(head["config"].encode(), 8))), int(head["step"])
        missing, unexpected = glow.load_state_dict(_unpack(load(data)), strict=False)
    except (ValueError, KeyError, TypeError, RuntimeError, IndexError, AttributeError, SafetensorError):
        raise FormatError(f"the weights of {name} are damaged", "install ffem-chain again") from None
    if unexpected or any(not key.endswith((".ready", ".eye")) for key in missing):
        raise FormatError(f"the weights of {name} are of another version", "update ffem-chain")
    return Model(name, hashlib.sha256(data).digest(), glow.eval(), steps)


def load_model(name: str = DEFAULT_MODEL) -> Model:
    """The model `name` that is shipped with the library, loaded once. InputError where there is none of that name."""
    return _shipped(name)


@cache
def _shipped(name: str) -> Model:
    torch.set_num_threads(min(_THREADS, torch.get_num_threads()))
    data = resources.files("ffem_chain.faces").joinpath("data")
    names = sorted(entry.name.removesuffix(".safetensors") for entry in data.iterdir() if "safetensors" in entry.name)
    if name not in names:
        raise InputError(f"there is no model {name}", f"models: {', '.join(names)}")
    return load_bytes(data.joinpath(f"{name}.safetensors").read_bytes(), name)


def radius_ratio(latent: NDArray[np.float64]) -> float:
    """Norm of a latent over sqrt(n); 1.00 for faces like those of the training."""
    return float(np.linalg.norm(latent) / math.sqrt(latent.shape[-1]))
