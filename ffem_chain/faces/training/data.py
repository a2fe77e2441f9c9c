"""Training pictures: a folder of aligned faces as one array, and batches as a camera would give them.

A batch depends on the seed and the step alone, so a resumed run sees what an uninterrupted one would. Faces are
mirrored, and a share of them scaled, shifted and recoloured a little; then they are 8-bit again, and get uniform noise
of one grey level (dequantisation, Theis et al. 2016). Encoding draws the same noise, so latents keep a Gaussian's norm.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

Faces = NDArray[np.uint8]
HELD_OUT = 20  # one picture in so many is kept for validation
_JITTER = 0.03  # of the side: scale and shift
_COLOUR = 0.08  # of the range: gain of each channel, brightness


def load_faces(folders: list[Path], size: int, every: int = 1) -> Faces:
    """Every `every`-th picture of the folders as (N, size, size, 3) uint8 RGB, in the order of their names."""
    files = sorted(p for f in folders for p in f.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg", ".png"})[::every]
    if not files:
        raise SystemExit("no pictures found: give folders of aligned faces")
    faces = np.empty((len(files), size, size, 3), np.uint8)
    kept = 0
    for path in files:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            print(f"skipped, not a picture: {path.name}", file=sys.stderr)
            continue
        side = min(picture.shape[:2])
        picture = cv2.resize(picture[:side, :side], (size, size), interpolation=cv2.INTER_AREA)
        faces[kept] = picture[:, :, ::-1]
        kept += 1
    return faces[:kept]


def cached_faces(cache: Path, folders: list[Path], size: int) -> Faces:
    """The faces of `folders`, read once and then mapped from `cache`."""
    if not cache.exists():
        faces = load_faces(folders, size)
        cache.parent.mkdir(parents=True, exist_ok=True)
        part = cache.with_suffix(".part.npy")
        np.save(part, faces)
        part.replace(cache)
    mapped: Faces = np.load(cache, mmap_mode="r")
    return mapped


def split(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices of the faces to train on, and of those held out."""
    held = np.arange(count) % HELD_OUT == 0
    return np.flatnonzero(~held), np.flatnonzero(held)


def to_tensor(faces: Faces) -> torch.Tensor:
    """uint8 (B, m, m, 3) -> float32 (B, 3, m, m) in [0, 255]."""
    return torch.from_numpy(np.ascontiguousarray(faces)).permute(0, 3, 1, 2).float()


def add_noise(x: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
    """Whole numbers (B, 3, m, m) in [0, 255] -> [0, 1) with uniform noise of one grey level."""
    return (x + torch.rand(x.shape, generator=generator)).clamp(max=255.999) / 256


def dequantise(faces: Faces, generator: torch.Generator | None = None) -> torch.Tensor:
    """uint8 (B, m, m, 3) -> float32 (B, 3, m, m) in [0, 1)."""
    return add_noise(to_tensor(faces), generator)


def batch(
    faces: Faces, among: NDArray[np.intp], count: int, seed: int, step: int, jittered: float = 0.5
) -> torch.Tensor:
    """`count` faces of `among`, float32 (count, 3, m, m) in [0, 1), the same for the same seed and step. A share
    `jittered` of them is scaled, shifted and recoloured."""
    rng = np.random.default_rng([seed, step])
    chosen = faces[np.sort(rng.choice(among, count, replace=False))].copy()
    flip = rng.random(count) < 0.5
    chosen[flip] = chosen[flip][:, :, ::-1]
    x = to_tensor(chosen)
    moved = torch.from_numpy(rng.random(count) < jittered)
    draw = torch.from_numpy(rng.uniform(-1, 1, (count, 7)).astype(np.float32))
    x[moved] = _jittered(x[moved], draw[moved])
    return add_noise(x, torch.Generator().manual_seed(int(rng.integers(1 << 62))))


def _jittered(x: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
    """Scale and shift by up to 3 %, gains and brightness by up to 8 %; draws (B, 7) in [-1, 1]. 8-bit again."""
    if not len(x):
        return x
    theta = torch.zeros(len(x), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + _JITTER * draw[:, 0]
    theta[:, :, 2] = 2 * _JITTER * draw[:, 1:3]
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    gain = 1 + _COLOUR * (0.7 * draw[:, 3:4] + 0.3 * draw[:, 4:7])
    x = (x - 127.5) * gain[:, :, None, None] + 127.5 + 255 * _COLOUR * draw[:, 3].flip(0)[:, None, None, None] / 2
    return x.round().clamp(0, 255)
