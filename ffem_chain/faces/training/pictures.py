"""What a training run shows of itself: the curve of its losses and a sheet of samples."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ffem_chain.faces.flow.glow import Flow

_WIDTH, _HEIGHT, _MARGIN = 640, 360, 48


@torch.no_grad()
def sample(model: nn.Module, temperature: float = 0.7) -> NDArray[np.uint8] | None:
    """2 x 8 faces of nobody from a whole flow; None for a detail flow, which needs averages to draw over."""
    if not isinstance(model, Flow):
        return None
    model.eval()
    z = torch.randn(16, model.config.dimensions, generator=torch.Generator().manual_seed(1))
    faces = (model.decode(temperature * z.to(next(model.parameters()).device)) * 256).clamp(0, 255)
    rows = torch.nan_to_num(faces).byte().permute(0, 2, 3, 1).cpu().numpy()
    return np.asarray(np.vstack([np.hstack(list(rows[:8])), np.hstack(list(rows[8:]))]), np.uint8)


def save(run: Path, log: Path, sheet: NDArray[np.uint8] | None) -> None:
    """Writes curve.png (training loss grey, held-out bits black) from the log, and samples.png."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    canvas = np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)
    values = [r[name] for r in records for name in ("loss", "bits")]
    low, high = min(values), float(np.quantile(values, 0.95)) + 1e-6
    last = max(r["step"] for r in records)
    for name, grey in (("loss", 170), ("bits", 0)):
        x = [_MARGIN + (_WIDTH - 2 * _MARGIN) * r["step"] / last for r in records]
        y = [_HEIGHT - _MARGIN - (_HEIGHT - 2 * _MARGIN) * (r[name] - low) / (high - low) for r in records]
        points = np.clip(np.column_stack([x, y]), -9999, 9999).round().astype(np.int32)
        cv2.polylines(canvas, [points], False, (grey,) * 3, 1, cv2.LINE_AA)
    text = f"{low:.3f} to {high:.3f} bits, {last} steps"
    cv2.putText(canvas, text, (_MARGIN, _HEIGHT - 12), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.imwrite(str(run / "curve.png"), canvas)
    if sheet is not None:
        cv2.imwrite(str(run / "samples.png"), sheet[:, :, ::-1])
