"""A flow ready for use, and the models that are shipped, by name and by the id that captures record.

The id is the sha256 of the file of weights (`weightsfile`), which also says how faces are prepared for the flow.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from functools import cache
from importlib import resources
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError

from ffem_chain.errors import FormatError, InputError, NotForMe
from ffem_chain.faces.flow import weightsfile
from ffem_chain.faces.flow.fused import FusedFlow, FusedHaar, fuse
from ffem_chain.faces.flow.glow import Flow
from ffem_chain.faces.flow.haar import HaarGlow
from ffem_chain.faces.flow.refine import Refiner
from ffem_chain.faces.posing import align

Faces = NDArray[np.uint8]
DEFAULT_MODEL = "ffem-128"
# OpenMP waits busily: where anything else runs, the last core costs ten times what it gives
_THREADS = max(1, (os.cpu_count() or 1) // 2)
_DATA, _SUFFIX = resources.files("ffem_chain.faces").joinpath("data"), ".safetensors"
_FUSED: WeakKeyDictionary[Flow, FusedFlow] = WeakKeyDictionary()
_DETAILS_WARMER = 2.2
_WHITEST = 255.999  # grey level; the flow's faces lie below 256


@dataclass(frozen=True)
class Model:
    """A flow ready for use, with the id that captures record and the training steps behind it.

    `frontalize`: its faces are turned to the front before they are encoded (`ffem_chain.faces.posing.frontal`).
    `keyed_dither`: the noise of `encode` is drawn from the face's key (`ffem_chain.faces.flow.dither`).
    `margin`: how far its faces reach beyond the template's square on every side, in sides of that.
    """

    name: str
    model_id: bytes
    flow: Flow
    steps: int = 0
    refiner: Refiner | None = None
    frontalize: bool = False
    keyed_dither: bool = False
    margin: float = 0.0

    @property
    def size(self) -> int:
        """Side m of the faces it takes, in pixels."""
        return int(self.flow.config.size)

    @property
    def fused(self) -> FusedFlow:
        """The flow as it runs: the same map without what only training needs. Made once for a flow, whose weights must
        not change any more."""
        if self.flow not in _FUSED:
            _FUSED[self.flow] = fuse(self.flow)
        return _FUSED[self.flow]

    @torch.inference_mode()
    def encode(self, faces: Faces, dither: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
        """uint8 (B, m, m, 3) RGB -> latents float64 (B, 3*m*m).

        Adds the dequantisation noise that the flow was trained with (one grey level), so that latents keep the norm of
        a Gaussian: `dither` float32 (B, 3, m, m) in [0, 1), or fresh noise.
        """
        x = torch.from_numpy(np.ascontiguousarray(faces)).permute(0, 3, 1, 2).float()
        if dither is None:
            dither = np.random.default_rng().random(tuple(x.shape), dtype=np.float32)
        return self.fused.encode((x + torch.from_numpy(dither)).clamp(max=_WHITEST) / 256).double().numpy()

    @torch.inference_mode()
    def decode(self, latents: NDArray[np.float64], dither: NDArray[np.float32] | None = None) -> Faces:
        """Latents (B, 3*m*m) -> uint8 (B, m, m, 3) RGB. Coordinates that no face has give grey, never an error.

        With the `dither` of `encode` a pixel comes back exactly unless it is off by half a grey level; without it, one
        that is off at all may fall to its neighbour.
        """
        faces = torch.nan_to_num(self.fused.decode(torch.from_numpy(latents).float()) * 256, nan=128.0)
        whole = faces.floor() if dither is None else (faces - torch.from_numpy(dither)).round()
        return _to_bytes(whole)

    @torch.inference_mode()
    def draw(self, latents: NDArray[np.float64], temperature: float) -> Faces:
        """Fake faces uint8 (B, m, m, 3) of latents at a temperature in [0, 1]: cooled, decoded and, where the model has
        a refiner, refined; without a margin. A function of these and the weights only."""
        faces = self._drawn(latents, temperature)
        if not self.margin:
            return faces
        inner = align.wider(np.array([[1.0, 0, 0], [0, 1, 0]]), self.size, -self.margin / (1 + 2 * self.margin))
        return np.stack([align.warp_in(face, inner, self.size) for face in faces])

    def _drawn(self, latents: NDArray[np.float64], temperature: float) -> Faces:
        if self.refiner is None:
            return self.decode(self.temper(latents, temperature))
        cooled = torch.from_numpy(self.temper(latents, temperature)).float()
        if isinstance(self.fused, FusedHaar):
            average, noise = self.fused.decode_average(cooled)
            faces = self.fused.details_over(self.refiner(torch.nan_to_num(average).clamp(0, 1)), noise)
        else:
            faces = self.refiner(torch.nan_to_num(self.fused.decode(cooled)).clamp(0, 1))
        return _to_bytes((torch.nan_to_num(faces) * 256).floor())

    def temper(self, latent: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
        """Latent (..., n) times a temperature in [0, 1]; within a Glow, fine levels cooler than coarse ones. Details
        over an average are warmer: they are seldom wrong, and cold ones are a blur."""
        out, slices = latent * temperature, self.flow.level_slices
        if isinstance(self.flow, HaarGlow):
            details, slices = slices[0], slices[1:]
            out[..., details] = latent[..., details] * min(1.0, _DETAILS_WARMER * temperature)
        for level, where in enumerate(slices):
            out[..., where] *= 0.6 + 0.4 * level / max(1, len(slices) - 1)
        return out


def _to_bytes(faces: torch.Tensor) -> Faces:
    """(B, 3, m, m) in grey levels -> uint8 (B, m, m, 3)."""
    return faces.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def load_bytes(data: bytes, name: str) -> Model:
    """A model from the bytes of a weights file. FormatError where they are not one."""
    try:
        parts = weightsfile.parse(data)
    except weightsfile.OtherVersion:
        raise FormatError(f"the weights of {name} are of another version", "update ffem-chain") from None
    except (ValueError, KeyError, TypeError, RuntimeError, IndexError, AttributeError, SafetensorError):
        raise FormatError(f"the weights of {name} are damaged", "install ffem-chain again") from None
    has = parts.features
    return Model(
        name,
        hashlib.sha256(data).digest(),
        parts.flow,
        parts.steps,
        parts.refiner,
        frontalize="frontalize" in has,
        keyed_dither="keyed-dither" in has,
        margin=parts.margin,
    )


def load_model(name: str = DEFAULT_MODEL) -> Model:
    """The model `name` that is shipped with the library, loaded once. InputError where there is none of that name."""
    return _shipped(name)


def model_of(model_id: bytes) -> Model:
    """The shipped model whose weights have this sha256, as a capture's manifest names it. NotForMe where none has."""
    for name in model_names():
        if _digest(name) == model_id:
            return load_model(name)
    raise NotForMe(
        f"the capture was sealed with a model that is not installed: {model_id.hex()[:16]}",
        "the exact layer opens without a model; for fakes install the version of ffem-chain that has that model",
    )


@cache
def _digest(name: str) -> bytes:
    return hashlib.sha256(_DATA.joinpath(name + _SUFFIX).read_bytes()).digest()


def model_names() -> list[str]:
    """Names of the models that are shipped with the library."""
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in _DATA.iterdir() if entry.name.endswith(_SUFFIX))


@cache
def _shipped(name: str) -> Model:
    torch.set_num_threads(min(_THREADS, torch.get_num_threads()))
    if name not in model_names():
        raise InputError(f"there is no model {name}", f"models: {', '.join(model_names())}")
    return load_bytes(_DATA.joinpath(name + _SUFFIX).read_bytes(), name)


def radius_ratio(latent: NDArray[np.float64]) -> float:
    """Norm of a latent over sqrt(n); 1.00 for faces like those of the training."""
    return float(np.linalg.norm(latent) / math.sqrt(latent.shape[-1]))
