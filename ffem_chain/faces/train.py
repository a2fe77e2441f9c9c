"""Training of the flow on a folder of aligned faces; resumes from its last checkpoint after any interruption.

    python -m ffem_chain.faces.train FACES... --run runs/glow64 --steps 6000
    python -m ffem_chain.faces.train FACES... --run runs/longer --start ffem-64 --steps 6000   # goes on from a model
    python -m ffem_chain.faces.train --run runs/glow64 --export ffem_chain/faces/data/ffem-64.safetensors

The pictures are what a camera gives: 8-bit RGB, resized by area, plus uniform noise of one grey level
(dequantisation, Theis et al. 2016). Encoding draws the same noise, so latents keep the norm of a Gaussian.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ffem_chain.faces.glow import ActNorm, Glow, GlowConfig

HELD_OUT = 20  # one picture in so many is kept for validation


def load_faces(folders: list[Path], size: int, every: int = 1) -> NDArray[np.uint8]:
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


def dequantise(faces: NDArray[np.uint8], generator: torch.Generator | None = None) -> torch.Tensor:
    """uint8 (B, m, m, 3) -> float32 (B, 3, m, m) in [0, 1) with uniform noise of one grey level."""
    x = torch.from_numpy(np.ascontiguousarray(faces)).permute(0, 3, 1, 2).float()
    return (x + torch.rand(x.shape, generator=generator)).clamp(max=255.999) / 256


def learning_rate(step: int, total: int, peak: float, warm_up: int = 200) -> float:
    """Linear warm-up, constant for the first half, then a cosine to 2 % of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    half = total / 2
    if step < half:
        return peak
    done = min(1.0, (step - half) / max(1.0, total - half))
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))


def save_atomically(state: object, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def average_into(average: dict[str, torch.Tensor], model: Glow, decay: float) -> None:
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


@torch.no_grad()
def validate(model: Glow, faces: NDArray[np.uint8]) -> dict[str, float]:
    """Bits per dimension and the latents' norm over sqrt(n) (1.00 for a Gaussian) on held-out faces."""
    model.eval()
    generator = torch.Generator().manual_seed(1)
    bits, norms = [], []
    for at in range(0, len(faces), 64):
        x = dequantise(faces[at : at + 64], generator)
        bits.append(model.bits_per_dimension(x))
        norms.append(model.encode(x).norm(dim=1) / math.sqrt(model.config.dimensions))
    norm = torch.cat(norms)
    return {"bits": float(torch.cat(bits).mean()), "norm": float(norm.mean()), "norm_std": float(norm.std())}


def start_from(name: str) -> tuple[Glow, int]:
    """A shipped model to go on from, and the steps that it has behind it. Adam's moments begin anew."""
    from ffem_chain.faces.weights import load_model

    shipped = load_model(name)
    model = Glow(shipped.glow.config)
    model.load_state_dict(shipped.glow.state_dict())
    for module in model.modules():
        if isinstance(module, ActNorm):
            module.ready.fill_(True)
    return model, shipped.steps


def train(args: argparse.Namespace) -> None:
    """Runs `args.steps` steps in total, with a checkpoint every `args.save_every` steps."""
    args.run.mkdir(parents=True, exist_ok=True)
    checkpoint, log = args.run / "checkpoint.pt", args.run / "log.jsonl"
    config = GlowConfig(args.size, args.levels, args.depth, args.hidden)
    cache = args.run / f"faces{args.size}.npy"
    if not cache.exists():
        np.save(cache, load_faces(args.faces, args.size))
    faces = np.load(cache, mmap_mode="r")
    held = np.arange(len(faces)) % HELD_OUT == 0
    training, validation = np.flatnonzero(~held), faces[np.flatnonzero(held)[:256]]

    torch.manual_seed(args.seed)
    model, trained = (Glow(config), 0) if not args.start else start_from(args.start)
    config = model.config
    optimiser = torch.optim.Adam(model.parameters(), lr=args.rate)
    average = {k: v.clone() for k, v in model.state_dict().items()}
    step = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model = Glow(GlowConfig(**state["config"]))
        model.load_state_dict(state["model"])
        optimiser = torch.optim.Adam(model.parameters(), lr=args.rate)
        optimiser.load_state_dict(state["optimiser"])
        average, step, trained = state["average"], state["step"], state["trained"]
        print(f"resuming at step {step}", file=sys.stderr)

    torch.set_num_threads(args.threads)
    started, seen = time.monotonic(), 0
    while step < args.steps:
        # the batch depends on the step alone, so a resumed run sees what an uninterrupted one would
        rng = np.random.default_rng([args.seed, step])
        batch = faces[np.sort(rng.choice(training, args.batch, replace=False))].copy()
        flip = rng.random(len(batch)) < 0.5
        batch[flip] = batch[flip][:, :, ::-1]
        model.train()
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, args.steps, args.rate)
        loss = model.bits_per_dimension(dequantise(batch)).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if bool(torch.isfinite(loss)):
            optimiser.step()
        step, seen = step + 1, seen + len(batch)
        average_into(average, model, min(0.999, (step + 1) / (step + 10)))
        if step % 20 == 0:
            rate = seen / (time.monotonic() - started)
            print(f"step {step}/{args.steps} loss {loss.item():.4f} {rate:.1f} faces/s", file=sys.stderr, flush=True)
        if step % args.save_every == 0 or step == args.steps:
            smooth = Glow(model.config)
            smooth.load_state_dict(average)
            record = {"step": step, "loss": loss.item(), **validate(smooth, validation)}
            with log.open("a") as out:
                out.write(json.dumps(record) + "\n")
            print(record, file=sys.stderr, flush=True)
            save_atomically(
                {
                    "config": config.to_dict(),
                    "model": model.state_dict(),
                    "average": average,
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                    "trained": trained,
                },
                checkpoint,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", nargs="*", type=Path, help="folders of aligned faces")
    parser.add_argument("--run", type=Path, required=True, help="folder of the checkpoint and the log")
    parser.add_argument("--start", default="", help="name of a shipped model to go on from (a new run only)")
    parser.add_argument("--export", type=Path, help="write the averaged weights to this file and stop")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--depth", type=int, default=16, help="steps of flow a level (K)")
    parser.add_argument("--hidden", type=int, default=48)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--save-every", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.export:
        from ffem_chain.faces.weights import export

        print(export(args.run / "checkpoint.pt", args.export))
        return
    train(args)


if __name__ == "__main__":
    main()
