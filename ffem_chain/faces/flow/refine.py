"""The refiner: a small public network that sharpens what the flow decodes from an encrypted latent.

It sees the decoded face only, so a fake stays a function of what is public, and it never touches a face that is opened.
Its weights travel in the same file as the flow's, so the model id that a capture records covers both. A U-Net
(Ronneberger et al. 2015) that starts as the identity, trained against a discriminator (`training.refining`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class RefinerConfig:
    """Channels at a half, a quarter and an eighth of the face's side, and residual blocks on each way."""

    widths: tuple[int, ...] = (48, 80, 112)
    blocks: int = 1

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RefinerConfig:
        return cls(tuple(values["widths"]), values["blocks"])


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.second(F.leaky_relu(self.first(F.leaky_relu(x, 0.2)), 0.2))
        return y


class Refiner(nn.Module):
    """Faces (B, 3, m, m) in [0, 1], m divisible by 8 -> sharper ones of the same shape."""

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.enter = nn.Conv2d(12, widths[0], 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(4 * a, b, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.Conv2d(b, 4 * a, 1) for a, b in pairwise(widths))
        self.before = nn.ModuleList(nn.Sequential(*(_Block(w) for _ in range(config.blocks))) for w in widths)
        self.after = nn.ModuleList(nn.Sequential(*(_Block(w) for _ in range(config.blocks))) for w in widths)
        self.leave = nn.Conv2d(widths[0], 12, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, x: Tensor) -> Tensor:
        h, kept = self.enter(F.pixel_unshuffle(4 * x - 2, 2)), []
        for level, block in enumerate(self.before):
            h = block(h)
            if level < len(self.down):
                kept.append(h)
                h = self.down[level](F.pixel_unshuffle(h, 2))
        for level in reversed(range(len(self.after))):
            h = self.after[level](h)
            if level:
                h = kept[level - 1] + F.pixel_shuffle(self.up[level - 1](h), 2)
        out: Tensor = x + F.pixel_shuffle(self.leave(F.leaky_relu(h, 0.2)), 2).to(x.dtype) / 4
        return out
