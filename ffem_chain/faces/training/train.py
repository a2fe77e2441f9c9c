"""Training of a flow on a folder of aligned faces; resumes from its last checkpoint after any interruption.

    python -m ffem_chain.faces.training.train FACES... --run runs/base --part base --start ffem-64 --steps 3000
    python -m ffem_chain.faces.training.train FACES... --run runs/details --part details --steps 3000
    python -m ffem_chain.faces.training.train FACES... --run runs/paper --part whole --levels 5 --depth 32 --hidden 64

The first two are the halves of a HaarGlow for 128 px, trained apart; `flow.weightsfile` puts them together. The third
is a Glow trained as a whole, here the paper's. Each run folder holds the checkpoint, log.jsonl, curve.png and a sample
sheet; `--patience` stops a run whose held-out bits no longer fall.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from ffem_chain.faces.flow.glow import LOG_2PI, ActNorm, Flow, Glow, GlowConfig
from ffem_chain.faces.flow.haar import DetailFlow, HaarConfig, HaarGlow, haar
from ffem_chain.faces.training import pictures
from ffem_chain.faces.training.data import Faces, batch, cached_faces, dequantise, split

_CROP = 32  # side of the averages' crops that the detail flow trains on, px
_VALIDATION = 256


@dataclass(frozen=True)
class Part:
    """What is trained: `bits(model, x, crops)` gives bits a dimension of faces (B, 3, m, m) in [0, 1), each (B,).

    `crops` None takes whole faces, a generator random crops (the detail flow only).
    """

    model: nn.Module
    config: dict[str, Any]
    bits: Callable[[nn.Module, Tensor, np.random.Generator | None], Tensor]


def _whole_bits(model: nn.Module, x: Tensor, crops: np.random.Generator | None) -> Tensor:
    assert isinstance(model, Flow)
    return model.bits_per_dimension(x)


def _base_bits(model: nn.Module, x: Tensor, crops: np.random.Generator | None) -> Tensor:
    assert isinstance(model, Flow)
    return model.bits_per_dimension(haar(x)[0])


def _detail_bits(model: nn.Module, x: Tensor, crops: np.random.Generator | None) -> Tensor:
    average, details = haar(x)
    corner: tuple[Tensor, ...] = ()
    if crops is not None:
        top, left = crops.integers(0, (average.shape[2] - _CROP) // 2 + 1, (2, len(x))) * 2
        places = list(zip(top, left, strict=True))
        average, details = (
            torch.stack([part[i, :, y : y + _CROP, z : z + _CROP] for i, (y, z) in enumerate(places)])
            for part in (average, details)
        )
        corner = (torch.from_numpy(top).to(x), torch.from_numpy(left).to(x))
    noise, log_det = model(details, average, *corner)
    n = noise[0].numel()
    nats = 0.5 * (noise.square().sum(dim=(1, 2, 3)) + n * LOG_2PI) - log_det
    bits: Tensor = nats / (n * math.log(2)) + 8
    return bits


def make_part(args: argparse.Namespace) -> Part:
    """A new part as `args` asks for it; `args.start` names a shipped model whose weights the base begins with."""
    torch.manual_seed(args.seed)
    if args.part == "details":
        config = HaarConfig(GlowConfig(args.size // 2, args.levels, args.depth, args.base_hidden), hidden=args.hidden)
        return Part(DetailFlow(config), config.to_dict(), _detail_bits)
    side = args.size // 2 if args.part == "base" else args.size
    glow = Glow(GlowConfig(side, args.levels, args.depth, args.hidden)) if not args.start else _started(args.start)
    return Part(glow, glow.config.to_dict(), _base_bits if args.part == "base" else _whole_bits)


def _started(name: str) -> Glow:
    from ffem_chain.faces.flow.weights import load_model

    shipped = load_model(name).flow
    if isinstance(shipped, HaarGlow):
        shipped = shipped.base
    if not isinstance(shipped, Glow):
        raise SystemExit(f"{name} has no Glow to go on from")
    model = Glow(shipped.config)
    model.load_state_dict(shipped.state_dict())
    for module in model.modules():
        if isinstance(module, ActNorm):
            module.ready.fill_(True)
    return model


def learning_rate(step: int, total: int, peak: float) -> float:
    """Warm-up over a tenth (at most 200 steps), constant for the first half, then a cosine to 2 % of the peak."""
    warm_up = min(200, max(1, total // 10))
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


def average_into(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights, in place."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value, 1 - decay)
        else:
            average[name].copy_(value)


@torch.no_grad()
def validate(part: Part, model: nn.Module, faces: Faces) -> float:
    """Bits per dimension on held-out faces."""
    model.eval()
    generator = torch.Generator().manual_seed(1)
    device = next(model.parameters()).device
    bits = [
        part.bits(model, dequantise(faces[at : at + 32], generator).to(device), None) for at in range(0, len(faces), 32)
    ]
    return float(torch.cat(bits).mean())


def train(args: argparse.Namespace) -> None:
    """Runs up to `args.steps` steps in total, with a checkpoint every `args.save_every` steps."""
    args.run.mkdir(parents=True, exist_ok=True)
    checkpoint, log = args.run / "checkpoint.pt", args.run / "log.jsonl"
    faces = cached_faces(args.cache or args.run / f"faces{args.size}.npy", args.faces, args.size)
    training, held = split(len(faces))
    validation = faces[held[:_VALIDATION]]
    part, device = make_part(args), torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = part.model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(model.parameters(), lr=args.rate)
    average = {k: v.clone() for k, v in model.state_dict().items()}
    step, spent, best, waited = 0, 0.0, math.inf, 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        if state["config"] != part.config:
            raise SystemExit(f"{checkpoint} was made with other options: {state['config']}")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        average, step, spent, best = state["average"], state["step"], state["seconds"], state["best"]
        print(f"resuming at step {step}", file=sys.stderr)

    torch.set_num_threads(args.threads)
    clock = time.monotonic() - spent
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeRemainingColumn(), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(args.run.name, total=args.steps, completed=step)
        while step < args.steps and waited <= args.patience:
            model.train()
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, args.steps, args.rate)
            x = batch(faces, training, args.batch, args.seed, step, args.jittered).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=args.mixed):
                loss = part.bits(model, x, np.random.default_rng([args.seed, step, 1])).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
            if bool(torch.isfinite(norm)):
                optimiser.step()
            step += 1
            average_into(average, model, min(0.999, (step + 1) / (step + 10)))
            bar.update(task, completed=step, description=f"{args.run.name} {loss.item():.3f} bits")
            if step % args.save_every and step != args.steps:
                continue
            kept = {k: v.clone() for k, v in model.state_dict().items()}
            model.load_state_dict(average)
            bits = validate(part, model, validation)
            sample = pictures.sample(model)
            model.load_state_dict(kept)
            waited = 0 if bits < best - 1e-4 else waited + 1
            best = min(best, bits)
            record = {"step": step, "loss": loss.item(), "bits": bits, "seconds": round(time.monotonic() - clock)}
            with log.open("a") as out:
                out.write(json.dumps(record) + "\n")
            print(record, file=sys.stderr, flush=True)
            pictures.save(args.run, log, sample)
            state = {"part": args.part, "config": part.config, "model": kept, "average": average, "step": step}
            state |= {"optimiser": optimiser.state_dict(), "seconds": time.monotonic() - clock, "best": best}
            save_atomically(state, checkpoint)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", nargs="*", type=Path, help="folders of aligned faces")
    parser.add_argument("--run", type=Path, required=True, help="folder of the checkpoint, log, curve and samples")
    parser.add_argument("--part", choices=("whole", "base", "details"), default="whole")
    parser.add_argument("--cache", type=Path, help="file for the decoded faces, shared between runs")
    parser.add_argument("--start", default="", help="name of a shipped model to go on from (a new run only)")
    parser.add_argument("--size", type=int, default=128, help="side of the faces, px; a base has half of it")
    parser.add_argument("--levels", type=int, default=4)
    parser.add_argument("--depth", type=int, default=16, help="steps of flow a level (K)")
    parser.add_argument("--hidden", type=int, default=48)
    parser.add_argument("--base-hidden", type=int, default=48, help="of the base under a detail flow")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--clip", type=float, default=1.0, help="largest norm of a gradient")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--patience", type=int, default=10, help="stop after so many checkpoints without better bits")
    parser.add_argument(
        "--jittered", type=float, default=0.5, help="share of faces that are scaled, shifted, recoloured"
    )
    parser.add_argument("--mixed", action="store_true", help="networks in bfloat16: faster, worse in bits")
    parser.add_argument("--save-every", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
