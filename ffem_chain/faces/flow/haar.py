"""HaarGlow: a flow for faces of 2m x 2m px out of one for m x m px (Wavelet Flow, Yu, Derpanis & Brubaker, 2020).

A Haar transform divides a face into its average at half the size and nine details a pixel. The average goes to a Glow
(the base); the details go to a flow of their own that sees the average. Each is trained alone, the details on crops,
which is what makes a flow for 128 px possible on a processor. Together they are one invertible map with one density.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ffem_chain.faces.flow.glow import Flow, Glow, GlowConfig, Step, ZeroConv

_DETAILS = 9


@dataclass(frozen=True)
class HaarConfig:
    """Shape of a HaarGlow: its detail flow (`steps`, `hidden`), what that sees (`context` channels, `blocks` residual
    blocks over the average), and its base."""

    base: GlowConfig = field(default_factory=GlowConfig)
    steps: int = 6
    hidden: int = 48
    context: int = 24
    blocks: int = 2

    @property
    def size(self) -> int:
        """Side of the faces in pixels."""
        return 2 * self.base.size

    @property
    def dimensions(self) -> int:
        return 3 * self.size * self.size

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> HaarConfig:
        return cls(**{**values, "base": GlowConfig(**values["base"])})


def haar(x: Tensor) -> tuple[Tensor, Tensor]:
    """Faces (B, 3, 2h, 2w) -> average of each 2 x 2 block (B, 3, h, w), details (B, 9, h, w).

    The orthonormal Haar transform, its low band halved: log|det| is -log 2 for each value of the average.
    """
    a, b, c, d = x[:, :, ::2, ::2], x[:, :, ::2, 1::2], x[:, :, 1::2, ::2], x[:, :, 1::2, 1::2]
    details = torch.cat([a - b + c - d, a + b - c - d, a - b - c + d], dim=1) / 2
    return (a + b + c + d) / 4, details


def unhaar(average: Tensor, details: Tensor) -> Tensor:
    """Inverse of `haar`."""
    x, y, z = details.chunk(3, dim=1)
    low = 2 * average
    quarters = [low + x + y + z, low - x + y - z, low + x - y - z, low - x - y + z]
    parts = torch.stack(quarters, dim=2) / 2  # (B, 3, 4, h, w)
    return F.pixel_shuffle(parts.flatten(1, 2), 2)


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return y


class Context(nn.Module):
    """What the detail flow knows at each pixel: features of the average around it, and where in the face it is."""

    def __init__(self, config: HaarConfig) -> None:
        super().__init__()
        self.enter = nn.Conv2d(5, config.hidden, 3, padding=1)
        self.blocks = nn.ModuleList(_Block(config.hidden) for _ in range(config.blocks))
        self.leave = nn.Conv2d(config.hidden, config.context, 1)
        self.side = config.base.size

    def forward(self, average: Tensor, top: Tensor | None = None, left: Tensor | None = None) -> Tensor:
        """Averages (B, 3, h, w), a crop that begins at `top`, `left` (B,) px -> (B, context, h, w)."""
        batch, _, h, w = average.shape
        zero = average.new_zeros(batch)
        rows = torch.arange(h, device=average.device) + (zero if top is None else top)[:, None]
        columns = torch.arange(w, device=average.device) + (zero if left is None else left)[:, None]
        y = (2 * rows / self.side - 1)[:, None, :, None].expand(batch, 1, h, w)
        x = (2 * columns / self.side - 1)[:, None, None, :].expand(batch, 1, h, w)
        seen = torch.cat([4 * average - 2, y.to(average.dtype), x.to(average.dtype)], dim=1)
        features = self.enter(seen)
        for block in self.blocks:
            features = block(features)
        out: Tensor = self.leave(F.relu(features))
        return out


class DetailFlow(nn.Module):
    """Invertible map between the details of a face and noise, given the face's average."""

    def __init__(self, config: HaarConfig) -> None:
        super().__init__()
        self.context = Context(config)
        self.steps = nn.ModuleList(Step(_DETAILS, config.hidden, config.context) for _ in range(config.steps))
        self.prior = ZeroConv(config.context, 2 * _DETAILS)

    def _mean_log_std(self, context: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        mean, log_std = self.prior(F.relu(context)).to(dtype).chunk(2, dim=1)
        return mean, 2.0 * torch.tanh(log_std / 2.0)

    def forward(self, details: Tensor, average: Tensor, *corner: Tensor) -> tuple[Tensor, Tensor]:
        """Details (B, 9, h, w) -> noise (B, 9, h, w) and log|det| (B,). `corner`: see `Context.forward`."""
        context = self.context(average, *corner)
        x, log_det = details, details.new_zeros(len(details))
        for step in self.steps:
            x, change = step(x, context)
            log_det = log_det + change
        mean, log_std = self._mean_log_std(context, x.dtype)
        return (x - mean) * torch.exp(-log_std), log_det - log_std.sum(dim=(1, 2, 3))

    def inverse(self, noise: Tensor, average: Tensor) -> Tensor:
        context = self.context(average)
        mean, log_std = self._mean_log_std(context, noise.dtype)
        x = noise * torch.exp(log_std) + mean
        for step in reversed(self.steps):
            x = step.inverse(x, context)  # type: ignore[operator]
        return x


class HaarGlow(Flow):
    """A detail flow over a base. Latents hold the details first, then the base's levels."""

    config: HaarConfig

    def __init__(self, config: HaarConfig) -> None:
        super().__init__()
        self.config = config
        self.detail = DetailFlow(config)
        self.base = Glow(config.base)

    @property
    def level_slices(self) -> list[slice]:
        """Where each level's coordinates lie in a latent, finest level first."""
        n = _DETAILS * self.config.base.size**2
        return [slice(0, n), *(slice(n + part.start, n + part.stop) for part in self.base.level_slices)]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Faces (B, 3, m, m) in [0, 1) -> latents (B, 3*m*m) and log|det df/dx| (B,)."""
        average, details = haar(x)
        noise, log_det = self.detail(details, average)
        latent, base_log_det = self.base(average)
        log_det = log_det + base_log_det - math.log(2) * self.config.base.dimensions
        return torch.cat([noise.reshape(len(x), -1), latent], dim=1), log_det

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, 3*m*m) float32 -> faces (B, 3, m, m) float32, not clipped."""
        return self.details_over(*self.decode_average(latent))

    @torch.no_grad()
    def decode_average(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (B, 3*m*m) -> averages (B, 3, m/2, m/2), and the noise (B, 9, m/2, m/2) that the details wait for."""
        side = self.config.base.size
        noise = latent[:, self.level_slices[0]].reshape(-1, _DETAILS, side, side)
        return self.base.decode(latent[:, noise[0].numel() :]), noise

    @torch.no_grad()
    def details_over(self, average: Tensor, noise: Tensor) -> Tensor:
        """Averages (B, 3, m/2, m/2) and noise (B, 9, m/2, m/2) -> faces (B, 3, m, m)."""
        return unhaar(average, self.detail.inverse(noise, average))
