"""Flows as they run when nobody trains them: the same maps with what is constant computed once.

ActNorm and the 1x1 convolution are one convolution, and so are their inverses; the scales of zero convolutions and of
bounded logarithms lie in the weights; no log-determinants. The networks run in channels-last, where convolutions of few
channels are several times faster; the flow itself stays planar. Everything is folded in float64. Results agree with
`Flow.encode` and `Flow.decode` to about 1e-5 (tests/faces/test_fused.py), measured times are in docs/SPEED.md.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ffem_chain.faces.flow.glow import Coupling, Flow, Glow, Split, Step, ZeroConv
from ffem_chain.faces.flow.haar import HaarGlow, haar, unhaar

_SPLIT_BOUND = 2.0  # of a split's log-scale (glow.Split)


class _Conv(nn.Module):
    """Convolution of a fixed weight (o, i, k, k) and bias (o,), k odd, same size out as in."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, layout: torch.memory_format) -> None:
        super().__init__()
        self.register_buffer("weight", weight.float().contiguous(memory_format=layout))
        self.register_buffer("bias", bias.float())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


def _network_conv(conv: nn.Conv2d, scale: Tensor | None = None) -> _Conv:
    """A convolution of a network; `scale` (o,) multiplies what it gives."""
    weight, bias = conv.weight.double(), conv.bias.double()  # type: ignore[union-attr]
    if scale is not None:
        weight, bias = weight * scale[:, None, None, None], bias * scale
    return _Conv(weight, bias, torch.channels_last)


def _zero_conv(conv: ZeroConv, logarithms: slice, bound: float) -> _Conv:
    """A zero convolution; outputs `logarithms` are those of scales, bounded to +-`bound`: ready for `_scale`."""
    scale = torch.exp(3 * conv.log_scale.double()).reshape(-1)
    scale[logarithms] *= 2 / bound
    return _network_conv(conv.conv, scale)


def _scale(x: Tensor, bound: float) -> Tensor:
    """exp(bound tanh(s / bound)) of x = 2 s / bound: tanh by a sigmoid, which torch computes seven times faster."""
    return torch.exp(2 * bound * torch.sigmoid(x) - bound)


class _FusedStep(nn.Module):
    def __init__(self, step: Step) -> None:
        super().__init__()
        log_scale, bias = step.norm.log_scale.double().reshape(-1), step.norm.bias.double().reshape(-1)
        # as rounded: the decoder has to invert what the encoder does
        forth = (step.mix.matrix().double() * torch.exp(log_scale)).float().double()
        offset = (forth @ bias).float().double()
        back = torch.linalg.inv(forth)
        planar = torch.contiguous_format
        self.forth = _Conv(forth[:, :, None, None], offset, planar)
        self.back = _Conv(back[:, :, None, None], -back @ offset, planar)
        couple = step.couple
        self.enter, self.mix = _network_conv(couple.enter), _network_conv(couple.mix)
        moved = couple.leave.log_scale.numel() // 2
        self.leave = _zero_conv(couple.leave, slice(0, moved), Coupling.BOUND)
        self.kept = len(forth) - moved

    def _scale_shift(self, kept: Tensor, context: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        h = torch.cat([kept, *context], dim=1) if context else kept
        h = F.relu(self.enter(h.contiguous(memory_format=torch.channels_last)))
        h = self.leave(F.relu(self.mix(h))).contiguous()
        log_scale, shift = h.chunk(2, dim=1)
        return _scale(log_scale, Coupling.BOUND), shift

    def forward(self, x: Tensor, *context: Tensor) -> Tensor:
        x = self.forth(x)
        kept, moved = x[:, : self.kept], x[:, self.kept :]
        scale, shift = self._scale_shift(kept, context)
        return torch.cat([kept, (moved + shift) * scale], dim=1)

    def inverse(self, y: Tensor, *context: Tensor) -> Tensor:
        kept, moved = y[:, : self.kept], y[:, self.kept :]
        scale, shift = self._scale_shift(kept, context)
        x: Tensor = self.back(torch.cat([kept, moved / scale - shift], dim=1))
        return x


class _Prior(nn.Module):
    """Mean and standard deviation of noise, given what is known."""

    def __init__(self, prior: ZeroConv) -> None:
        super().__init__()
        self.conv = _zero_conv(prior, slice(prior.log_scale.numel() // 2, None), _SPLIT_BOUND)

    def forward(self, known: Tensor) -> tuple[Tensor, Tensor]:
        known = known.contiguous(memory_format=torch.channels_last)
        mean, log_std = self.conv(known).contiguous().chunk(2, dim=1)
        return mean, _scale(log_std, _SPLIT_BOUND)


class FusedFlow(nn.Module):
    """What replaces a `Flow` where it only runs."""

    def encode(self, faces: Tensor) -> Tensor:
        """Faces (B, 3, m, m) float32 in [0, 1) -> latents (B, 3*m*m) float32."""
        raise NotImplementedError

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (B, 3*m*m) float32 -> faces (B, 3, m, m) float32, not clipped."""
        raise NotImplementedError


class FusedGlow(FusedFlow):
    def __init__(self, glow: Glow) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            nn.ModuleList(_FusedStep(step) for step in steps)  # type: ignore[attr-defined]
            for steps in glow.steps
        )
        splits = [split for split in glow.splits if isinstance(split, Split)]
        self.priors = nn.ModuleList(_Prior(split.prior) for split in splits)
        self._parts = list(zip(glow.level_slices, glow._shapes, strict=True))

    def encode(self, faces: Tensor) -> Tensor:
        x, parts = faces - 0.5, []
        for level, steps in enumerate(self.levels):
            x = F.pixel_unshuffle(x, 2)
            for step in steps:  # type: ignore[attr-defined]
                x = step(x)
            if level < len(self.priors):
                x, out = x.chunk(2, dim=1)
                mean, std = self.priors[level](x)
                parts.append(((out - mean) / std).flatten(1))
        return torch.cat([*parts, x.flatten(1)], dim=1)

    def decode(self, latent: Tensor) -> Tensor:
        parts = [latent[:, where].reshape(-1, *shape) for where, shape in self._parts]
        x = parts[-1]
        for level in reversed(range(len(self.levels))):
            if level < len(self.priors):
                mean, std = self.priors[level](x)
                x = torch.cat([x, parts[level] * std + mean], dim=1)
            for step in reversed(self.levels[level]):  # type: ignore[call-overload]
                x = step.inverse(x)
            x = F.pixel_shuffle(x, 2)
        return x + 0.5


class FusedHaar(FusedFlow):
    def __init__(self, flow: HaarGlow) -> None:
        super().__init__()
        detail = flow.detail
        self.context = copy.deepcopy(detail.context).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.steps = nn.ModuleList(_FusedStep(step) for step in detail.steps)  # type: ignore[arg-type]
        self.prior = _Prior(detail.prior)
        self.base = FusedGlow(flow.base)
        self._details = flow.level_slices[0]
        side = flow.config.base.size
        self._shape = (self._details.stop // side**2, side, side)

    def encode(self, faces: Tensor) -> Tensor:
        average, x = haar(faces)
        context = self.context(average.contiguous(memory_format=torch.channels_last))
        for step in self.steps:
            x = step(x, context)
        mean, std = self.prior(F.relu(context))
        return torch.cat([((x - mean) / std).flatten(1), self.base.encode(average)], dim=1)

    def decode(self, latent: Tensor) -> Tensor:
        return self.details_over(*self.decode_average(latent))

    def decode_average(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Latents (B, 3*m*m) -> averages (B, 3, m/2, m/2), and the noise (B, 9, m/2, m/2) that the details wait for."""
        noise = latent[:, self._details].reshape(-1, *self._shape)
        return self.base.decode(latent[:, self._details.stop :]), noise

    def details_over(self, average: Tensor, noise: Tensor) -> Tensor:
        """Averages (B, 3, m/2, m/2) and noise (B, 9, m/2, m/2) -> faces (B, 3, m, m)."""
        context = self.context(average.contiguous(memory_format=torch.channels_last))
        mean, std = self.prior(F.relu(context))
        x = noise * std + mean
        for step in reversed(self.steps):
            x = step.inverse(x, context)  # type: ignore[operator]
        return unhaar(average, x)


@torch.no_grad()
def fuse(flow: Flow) -> FusedFlow:
    """The inference form of a flow, with weights of its own. TypeError for a flow of another kind."""
    if isinstance(flow, HaarGlow):
        fused: FusedFlow = FusedHaar(flow)
    elif isinstance(flow, Glow):
        fused = FusedGlow(flow)
    else:
        raise TypeError(f"no inference form of {type(flow).__name__}")
    return fused.eval().requires_grad_(False)
