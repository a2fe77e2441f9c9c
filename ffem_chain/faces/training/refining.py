"""Training of the refiner, against a discriminator; resumes from its last checkpoint.

    python -m ffem_chain.faces.training.refining FACES... --run runs/refiner --model ffem-64 --steps 4000

Inputs are what the flow gives for noise at temperatures 0.4 to 0.75, and the same for real faces, which have their own
face as a target. The loss: non-saturating GAN with a gradient penalty on real faces (R1, Mescheder et al. 2018), plus
what keeps the flow's face: L1 to the input at an eighth of the size, and to the target where there is one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ffem_chain.faces.flow.haar import HaarGlow
from ffem_chain.faces.flow.refine import Refiner, RefinerConfig
from ffem_chain.faces.flow.weights import Model, load_bytes, load_model
from ffem_chain.faces.training.data import Faces, cached_faces, dequantise, split, to_tensor
from ffem_chain.faces.training.train import average_into, save_atomically

_TEMPERATURES = (0.4, 0.75)
_PENALTY, _PENALTY_EVERY = 1.0, 8
_CONTENT, _TARGET = 2.0, 0.5


class Discriminator(nn.Module):
    """Faces (B, 3, m, m) -> a score each; strided convolutions, and the batch's spread at the end (Karras et al.
    2018), which tells when all fakes look alike."""

    def __init__(self, size: int, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(12, 2 * width, 3, padding=1), nn.LeakyReLU(0.2)]
        channels, side = 2 * width, size // 2
        while side > 4:
            wider = min(channels * 2, 8 * width)
            layers += [nn.Conv2d(channels, channels, 3, padding=1), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(channels, wider, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
            channels, side = wider, side // 2
        self.body = nn.Sequential(*layers)
        self.mix = nn.Conv2d(channels + 1, channels, 3, padding=1)
        self.leave = nn.Linear(channels * side * side, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(F.pixel_unshuffle(4 * x - 2, 2))
        groups = h.reshape(-1, 8, *h.shape[1:]) if len(h) % 8 == 0 else h[None]
        spread = groups.float().var(dim=1, unbiased=False).add(1e-6).sqrt().mean(dim=(1, 2, 3))
        spread = spread.repeat_interleave(groups.shape[1])[:, None, None, None].expand(-1, 1, *h.shape[2:])
        h = F.leaky_relu(self.mix(torch.cat([h, spread.to(h.dtype)], dim=1)), 0.2)
        out: Tensor = self.leave(h.flatten(1)).float()[:, 0]
        return out


def _decoded(model: Model, latents: np.ndarray, rng: np.random.Generator) -> Faces:
    low, high = _TEMPERATURES
    cooled = model.temper(latents, 1.0) * rng.uniform(low, high, (len(latents), 1))
    return model.decode(cooled)


def make_inputs(model: Model, faces: Faces, count: int, cache: Path) -> tuple[Faces, Faces]:
    """(decoded from noise (count, m, m, 3), decoded from the cooled latents of real `faces`), made once in `cache`."""
    if cache.exists():
        kept = np.load(cache)
        return kept["free"], kept["paired"]
    rng = np.random.default_rng(5)
    free, paired = [], []
    for at in range(0, count, 32):
        free.append(_decoded(model, rng.standard_normal((32, 3 * model.size**2)), rng))
        print(f"from noise {at}/{count}", end="\r", file=sys.stderr)
    for at in range(0, len(faces), 32):
        paired.append(_decoded(model, model.encode(faces[at : at + 32]), rng))
        print(f"from faces {at}/{len(faces)}", end="\r", file=sys.stderr)
    np.savez(cache, free=np.concatenate(free)[:count], paired=np.concatenate(paired))
    return make_inputs(model, faces, count, cache)


def halved(faces: Faces, size: int) -> Faces:
    """uint8 (B, n, n, 3) -> (B, size, size, 3), averaged by area."""
    if faces.shape[1] == size:
        return faces
    return np.stack([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in faces])


def train(args: argparse.Namespace) -> None:
    args.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    named = Path(args.model)
    model = load_bytes(named.read_bytes(), named.stem) if named.is_file() else load_model(args.model)
    torch.set_num_threads(args.threads)
    if isinstance(model.flow, HaarGlow):  # what is refined is the average, before the details
        model = replace(model, flow=model.flow.base, refiner=None)
    size, device = model.size, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    faces = cached_faces(args.cache or args.run / "faces128.npy", args.faces, 128)
    training = split(len(faces))[0]
    pairs = np.sort(np.random.default_rng(args.seed).choice(training, args.pairs, replace=False))
    targets = halved(faces[pairs], size)
    free, paired = make_inputs(model, targets, args.inputs, args.run / "inputs.npz")
    refiner = Refiner(RefinerConfig()).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    judge = Discriminator(size).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimisers = [
        torch.optim.Adam(net.parameters(), lr=rate, betas=(0.0, 0.99))
        for net, rate in ((refiner, args.rate), (judge, args.rate))
    ]
    average = {k: v.clone() for k, v in refiner.state_dict().items()}
    step, checkpoint, started = 0, args.run / "checkpoint.pt", time.monotonic()
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        refiner.load_state_dict(state["model"])
        judge.load_state_dict(state["judge"])
        for optimiser, kept in zip(optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(kept)
        average, step = state["average"], state["step"]
        print(f"resuming at step {step}", file=sys.stderr)
    half = args.batch // 2
    while step < args.steps:
        rng = np.random.default_rng([args.seed, step])
        one, two = rng.choice(len(free), half), rng.choice(len(paired), half)
        given = torch.cat([to_tensor(free[one]), to_tensor(paired[two])]) / 255
        target = to_tensor(targets[two]) / 255
        real = dequantise(halved(faces[np.sort(rng.choice(training, args.batch, replace=False))], size))
        flip = torch.from_numpy(rng.random(args.batch) < 0.5)[:, None, None, None]
        given, real = (torch.where(flip, x.flip(3), x) for x in (given, real))
        target = torch.where(flip[half:], target.flip(3), target).to(device)
        given, real = given.to(device), real.to(device)
        with torch.autocast(device.type, torch.bfloat16):
            drawn = refiner(given)
            real_score, fake_score = judge(real), judge(drawn.detach())
            judged = F.softplus(fake_score).mean() + F.softplus(-real_score).mean()
        optimisers[1].zero_grad(set_to_none=True)
        judged.backward()  # type: ignore[no-untyped-call]
        if step % _PENALTY_EVERY == 0:
            seen = real[:half].clone().requires_grad_(True)
            (gradient,) = torch.autograd.grad(judge(seen).sum(), seen, create_graph=True)
            (0.5 * _PENALTY * _PENALTY_EVERY * gradient.square().sum(dim=(1, 2, 3)).mean()).backward()  # type: ignore[no-untyped-call]
        optimisers[1].step()
        judge.requires_grad_(False)  # its gradients are not needed here, and cost a third of the step
        with torch.autocast(device.type, torch.bfloat16):
            scores = judge(drawn)
            likeness = (F.avg_pool2d(drawn - given, 8)).abs().mean()
            missed = (drawn[half:] - target).abs().mean()
            loss = F.softplus(-scores).mean() + _CONTENT * likeness + _TARGET * missed
        optimisers[0].zero_grad(set_to_none=True)
        loss.backward()
        optimisers[0].step()
        judge.requires_grad_(True)
        step += 1
        average_into(average, refiner, min(0.998, (step + 1) / (step + 10)))
        if step % args.save_every == 0 or step == args.steps:
            record = {
                "step": step,
                "real": round(float(real_score.detach().mean()), 3),
                "fake": round(float(fake_score.detach().mean()), 3),
                "likeness": round(float(likeness.detach()), 4),
                "missed": round(float(missed.detach()), 4),
                "seconds": round(time.monotonic() - started),
            }
            with (args.run / "log.jsonl").open("a") as out:
                out.write(json.dumps(record) + "\n")
            print(record, file=sys.stderr, flush=True)
            smooth = Refiner(refiner.config)
            smooth.load_state_dict(average)
            _sheet(smooth, free[:24], args.run / "samples.png")
            state = {
                "config": refiner.config.to_dict(),
                "average": average,
                "step": step,
            }
            state |= {"model": refiner.state_dict(), "judge": judge.state_dict()}
            state |= {"optimisers": [o.state_dict() for o in optimisers]}
            save_atomically(state, checkpoint)


@torch.no_grad()
def _sheet(refiner: Refiner, inputs: Faces, out: Path) -> None:
    """Inputs above, refined below, 12 a row."""
    refined = (refiner(to_tensor(inputs) / 255) * 255).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    rows = [np.hstack(list(part[at : at + 12])) for at in range(0, len(inputs), 12) for part in (inputs, refined)]
    cv2.imwrite(str(out), np.vstack(rows)[:, :, ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", nargs="*", type=Path, help="folders of aligned faces")
    parser.add_argument("--run", type=Path, required=True, help="folder of the checkpoint, log and samples")
    parser.add_argument("--model", default="ffem-64", help="the flow whose faces are refined (a name or a file)")
    parser.add_argument("--cache", type=Path, help="file of the decoded faces, shared between runs")
    parser.add_argument("--inputs", type=int, default=12000, help="faces decoded from noise")
    parser.add_argument("--pairs", type=int, default=6000, help="real faces with their cooled selves")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--save-every", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
