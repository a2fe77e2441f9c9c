"""Glow: an invertible map between a face and a Gaussian latent (Kingma & Dhariwal, 2018).

`Glow.encode` takes faces as float32 (B, 3, m, m) in [0, 1) and gives latents (B, 3*m*m) that follow a standard
normal for faces like those of training. `Glow.decode` is its inverse. Latents are laid out level by level, finest
first, so a temperature may differ from level to level (`level_slices`).

Flow outputs agree between machines to a tolerance, not bit for bit: nothing secret is ever derived from them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class GlowConfig:
    """Shape of a flow. `size` m is the face's side in pixels, divisible by 2**levels."""

    size: int = 64
    levels: int = 4
    steps: int = 16
    hidden: int = 48

    def __post_init__(self) -> None:
        if self.levels < 1 or self.steps < 1 or self.hidden < 1 or self.size % (1 << self.levels):
            raise ValueError(f"size {self.size} must be divisible by 2**levels ({1 << self.levels})")

    @property
    def dimensions(self) -> int:
        """Number of latent coordinates, 3*m*m."""
        return 3 * self.size * self.size

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class ActNorm(nn.Module):
    """Affine per channel; the first training batch sets it to zero mean and unit variance (Glow, 3.1)."""

    ready: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.register_buffer("ready", torch.tensor(False))

    @torch.no_grad()
    def initialise(self, x: Tensor) -> None:
        mean = x.mean(dim=(0, 2, 3), keepdim=True)
        std = x.std(dim=(0, 2, 3), keepdim=True)
        self.bias.copy_(-mean)
        self.log_scale.copy_(-torch.log(std + 1e-6))
        self.ready.fill_(True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.training and not bool(self.ready):
            self.initialise(x)
        log_det = self.log_scale.sum() * (x.shape[2] * x.shape[3])
        return (x + self.bias) * torch.exp(self.log_scale), log_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        return y * torch.exp(-self.log_scale) - self.bias


class Conv1x1(nn.Module):
    """Invertible 1x1 convolution W = P L (U + diag(s)), so that log|det W| = sum log|s| (Glow, 3.2)."""

    permutation: Tensor
    sign: Tensor
    eye: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        q, _ = torch.linalg.qr(torch.randn(channels, channels))
        p, lower, upper = torch.linalg.lu(q)
        diagonal = upper.diagonal()
        self.register_buffer("permutation", p)
        self.register_buffer("sign", torch.sign(diagonal))
        self.register_buffer("eye", torch.eye(channels))
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_diagonal = nn.Parameter(torch.log(diagonal.abs()))

    def matrix(self) -> Tensor:
        lower = self.lower.tril(-1) + self.eye
        upper = self.upper.triu(1) + torch.diag(self.sign * torch.exp(self.log_diagonal))
        return self.permutation @ lower @ upper

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = self.log_diagonal.sum() * (x.shape[2] * x.shape[3])
        # the flow itself never runs in half precision, only the networks that steer it
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x, self.matrix()[:, :, None, None]), log_det.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        # float64: an ill-conditioned W must not cost the decoder its accuracy
        inverse = torch.linalg.inv(self.matrix().double()).to(y.dtype)
        return F.conv2d(y, inverse[:, :, None, None])


class ZeroConv(nn.Module):
    """3x3 convolution that starts as zero, so that every step starts as the identity (Glow, 3.3)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.log_scale = nn.Parameter(torch.zeros(1, outputs, 1, 1))
        nn.init.zeros_(self.conv.weight)
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x) * torch.exp(3 * self.log_scale)
        return y


class Coupling(nn.Module):
    """Affine coupling: half of the channels, and `context` channels of what is known, scales and shifts the other half
    (Glow, 3.3; with context: Ardizzone et al. 2019).

    The log-scale is bounded to +-BOUND, which bounds the error that an inverse through all steps can gather.
    """

    BOUND = 1.5

    def __init__(self, channels: int, hidden: int, context: int = 0) -> None:
        super().__init__()
        half = (channels + 1) // 2  # as chunk() divides
        self.enter = nn.Conv2d(half + context, hidden, 3, padding=1)
        self.mix = nn.Conv2d(hidden, hidden, 1)
        self.leave = ZeroConv(hidden, 2 * (channels - half))
        nn.init.normal_(self.enter.weight, std=0.05)
        nn.init.normal_(self.mix.weight, std=0.05)

    def _scale_shift(self, kept: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        h = F.relu(self.enter(kept if context is None else torch.cat([kept, context.to(kept.dtype)], dim=1)))
        h = F.relu(self.mix(h))
        log_scale, shift = self.leave(h).to(kept.dtype).chunk(2, dim=1)
        return self.BOUND * torch.tanh(log_scale / self.BOUND), shift

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        kept, moved = x.chunk(2, dim=1)
        log_scale, shift = self._scale_shift(kept, context)
        y = torch.cat([kept, (moved + shift) * torch.exp(log_scale)], dim=1)
        return y, log_scale.sum(dim=(1, 2, 3))

    def inverse(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        kept, moved = y.chunk(2, dim=1)
        log_scale, shift = self._scale_shift(kept, context)
        return torch.cat([kept, moved * torch.exp(-log_scale) - shift], dim=1)


class Step(nn.Module):
    """ActNorm, 1x1 convolution, coupling: one step of flow (Glow, figure 2a)."""

    def __init__(self, channels: int, hidden: int, context: int = 0) -> None:
        super().__init__()
        self.norm = ActNorm(channels)
        self.mix = Conv1x1(channels)
        self.couple = Coupling(channels, hidden, context)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if self.training and not bool(self.norm.ready):
            self.norm.initialise(x)
        # both in one convolution: W diag(s) (x + b)
        matrix = self.mix.matrix() * torch.exp(self.norm.log_scale).reshape(1, -1)
        with torch.autocast(x.device.type, enabled=False):
            x = F.conv2d(x, matrix[:, :, None, None], matrix @ self.norm.bias.reshape(-1))
        fixed = (self.norm.log_scale.sum() + self.mix.log_diagonal.sum()) * (x.shape[2] * x.shape[3])
        x, change = self.couple(x, context)
        return x, fixed + change

    def inverse(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        x: Tensor = self.norm.inverse(self.mix.inverse(self.couple.inverse(y, context)))
        return x


class Split(nn.Module):
    """Factors out half of the channels as standard normal noise, given the other half (RealNVP, 3.6)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.prior = ZeroConv(channels // 2, channels)

    def _mean_log_std(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.prior(kept).to(kept.dtype).chunk(2, dim=1)
        return mean, 2.0 * torch.tanh(log_std / 2.0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept, out = x.chunk(2, dim=1)
        mean, log_std = self._mean_log_std(kept)
        return kept, (out - mean) * torch.exp(-log_std), -log_std.sum(dim=(1, 2, 3))

    def inverse(self, kept: Tensor, noise: Tensor) -> Tensor:
        mean, log_std = self._mean_log_std(kept)
        return torch.cat([kept, noise * torch.exp(log_std) + mean], dim=1)


class Flow(nn.Module):
    """What every flow here offers: `forward` gives latents and log-determinants, `decode` is its inverse."""

    config: Any

    @property
    def level_slices(self) -> list[slice]:
        """Where each level's coordinates lie in a latent, finest level first."""
        raise NotImplementedError

    @torch.no_grad()
    def encode(self, faces: Tensor) -> Tensor:
        """Faces (B, 3, m, m) float32 in [0, 1) -> latents (B, 3*m*m) float32."""
        latent: Tensor = self(faces)[0]
        return latent

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, 3*m*m) float32 -> faces (B, 3, m, m) float32, not clipped."""
        raise NotImplementedError

    def bits_per_dimension(self, x: Tensor, bins: int = 256) -> Tensor:
        """Negative log-likelihood in bits a subpixel of dequantised faces with `bins` grey levels (B,)."""
        latent, log_det = self(x)
        n = self.config.dimensions
        log_p = -0.5 * (latent.square().sum(dim=1) + n * LOG_2PI) + log_det
        bits: Tensor = (math.log(bins) * n - log_p) / (n * math.log(2))
        return bits


class Glow(Flow):
    """The whole flow: `levels` times squeeze, `steps` steps and, but for the last level, a split."""

    config: GlowConfig

    def __init__(self, config: GlowConfig) -> None:
        super().__init__()
        self.config = config
        self.steps = nn.ModuleList()
        self.splits = nn.ModuleList()
        self._shapes: list[tuple[int, int, int]] = []
        channels, side = 3, config.size
        for level in range(config.levels):
            channels, side = channels * 4, side // 2
            self.steps.append(nn.ModuleList(Step(channels, config.hidden) for _ in range(config.steps)))
            if level < config.levels - 1:
                self.splits.append(Split(channels))
                channels //= 2
            self._shapes.append((channels, side, side))

    @property
    def level_slices(self) -> list[slice]:
        """Where each level's coordinates lie in a latent, finest level first."""
        ends, slices = 0, []
        for c, h, w in self._shapes:
            slices.append(slice(ends, ends + c * h * w))
            ends += c * h * w
        return slices

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Faces (B, 3, m, m) in [0, 1) -> latents (B, 3*m*m) and log|det df/dx| (B,)."""
        batch = x.shape[0]
        x = x - 0.5
        log_det = x.new_zeros(batch)
        parts: list[Tensor] = []
        for level in range(self.config.levels):
            x = F.pixel_unshuffle(x, 2)
            for step in self.steps[level]:  # type: ignore[attr-defined]
                x, change = step(x)
                log_det = log_det + change
            if level < self.config.levels - 1:
                x, noise, change = self.splits[level](x)
                log_det = log_det + change
                parts.append(noise.reshape(batch, -1))
        parts.append(x.reshape(batch, -1))
        return torch.cat(parts, dim=1), log_det

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, 3*m*m) float32 -> faces (B, 3, m, m) float32, not clipped."""
        batch = latent.shape[0]
        parts = [
            latent[:, where].reshape(batch, *shape)
            for where, shape in zip(self.level_slices, self._shapes, strict=True)
        ]
        x = parts[-1]
        for level in reversed(range(self.config.levels)):
            if level < self.config.levels - 1:
                x = self.splits[level].inverse(x, parts[level])  # type: ignore[operator]
            for step in reversed(self.steps[level]):  # type: ignore[call-overload]
                x = step.inverse(x)
            x = F.pixel_shuffle(x, 2)
        return x + 0.5
