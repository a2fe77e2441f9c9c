"""The file of a model's weights: a flow, perhaps with its refiner, in safetensors.

    python -m ffem_chain.faces.flow.weightsfile OUT --whole runs/glow/checkpoint.pt
    python -m ffem_chain.faces.flow.weightsfile OUT --base runs/base/checkpoint.pt \\
        --details runs/details/checkpoint.pt --refiner runs/refiner/checkpoint.pt

Convolutions are float16, the rest float32. A 1x1 convolution of the flow is one matrix (L below the diagonal, U above)
and its permutation as indices. The flow of the rounded weights is as invertible as the one that was trained; it is only
a slightly different flow. The metadata say how it is built and how faces are prepared for it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from ffem_chain import boundedjson
from ffem_chain.faces.flow.glow import Flow, Glow, GlowConfig
from ffem_chain.faces.flow.haar import HaarConfig, HaarGlow
from ffem_chain.faces.flow.refine import Refiner, RefinerConfig

State = dict[str, Tensor]
FEATURES = ("frontalize", "keyed-dither")
MOST_MARGIN = 0.09  # of the template's side; the sheet around the face's shape ends at 0.1
_REFINER = "refiner."


class OtherVersion(Exception):
    """A file of weights that this version cannot use."""


@dataclass(frozen=True)
class Contents:
    """What a file of weights holds."""

    flow: Flow
    steps: int
    refiner: Refiner | None
    features: frozenset[str]
    margin: float


def _pack(state: State) -> State:
    out = {}
    for name, value in state.items():
        if name.endswith((".ready", ".eye", ".upper")):
            continue
        if name.endswith(".permutation"):
            name, value = name.removesuffix("permutation") + "order", value.argmax(dim=1).to(torch.uint8)
        elif name.endswith(".lower"):
            stem = name.removesuffix("lower")
            name, value = stem + "lu", value.tril(-1) + state[stem + "upper"].triu(1)
        if value.is_floating_point():
            coarse = name.endswith(".lu") or (name.endswith(".weight") and value.dim() == 4)
            value = value.half() if coarse else value.float()
        out[name] = value.contiguous()
    return out


def _unpack(tensors: State) -> State:
    out = {}
    for name, value in tensors.items():
        stem = name.rsplit(".", 1)[0] + "."
        if name.endswith(".order"):
            out[stem + "permutation"] = torch.eye(len(value))[value.long()]
        elif name.endswith(".lu"):
            out[stem + "lower"], out[stem + "upper"] = value.float().tril(-1), value.float().triu(1)
        else:
            out[name] = value.float()
    return out


def dump(
    flow: Flow,
    steps: int,
    refiner: Refiner | None = None,
    features: tuple[str, ...] = (),
    margin: float = 0.0,
) -> bytes:
    """The bytes of a file of weights. ValueError for a feature that no reader knows, or a margin out of range."""
    if not set(features) <= set(FEATURES) or not 0 <= margin <= MOST_MARGIN:
        raise ValueError(f"unknown features {features}, or a margin of {margin}")
    tensors = _pack(flow.state_dict())
    metadata = {"config": json.dumps(flow.config.to_dict()), "step": str(steps)}
    if isinstance(flow, HaarGlow):
        metadata["kind"] = "haar"
    if features:
        metadata["features"] = json.dumps(sorted(features))
    if margin:
        metadata["margin"] = json.dumps(margin)
    if refiner is not None:
        metadata["refiner"] = json.dumps(refiner.config.to_dict())
        tensors |= {_REFINER + name: value for name, value in _pack(refiner.state_dict()).items()}
    return save(tensors, metadata)


def parse(data: bytes) -> Contents:
    """Inverse of `dump`. ValueError, KeyError, TypeError, RuntimeError, IndexError, AttributeError or SafetensorError
    for other bytes; OtherVersion where a part is of another version."""
    header = json.loads(boundedjson.check_depth(data[8 : 8 + int.from_bytes(data[:8], "little")]).decode())
    head = header["__metadata__"]
    tensors = _unpack(load(data))
    config = _small(head["config"])
    kind, features = head.get("kind", "glow"), frozenset(_small(head.get("features", "[]")))
    margin = float(_small(head.get("margin", "0")))
    if kind not in ("glow", "haar") or not features <= set(FEATURES) or not 0 <= margin <= MOST_MARGIN:
        raise OtherVersion("a kind of flow that this version does not know")
    flow: Flow = HaarGlow(HaarConfig.from_dict(config)) if kind == "haar" else Glow(GlowConfig(**config))
    refiner = None
    if "refiner" in head:
        refiner = Refiner(RefinerConfig.from_dict(_small(head["refiner"])))
        _fill(refiner, {k.removeprefix(_REFINER): v for k, v in tensors.items() if k.startswith(_REFINER)})
    _fill(flow, {k: v for k, v in tensors.items() if not k.startswith(_REFINER)})
    return Contents(flow, int(head["step"]), refiner, features, margin)


def _small(text: str) -> Any:
    return boundedjson.loads(text.encode(), 16)


def _fill(module: nn.Module, state: State) -> None:
    missing, unexpected = module.load_state_dict(state, strict=False)
    if unexpected or any(not key.endswith((".ready", ".eye")) for key in missing):
        raise OtherVersion("weights of another version")
    module.eval()


def _read(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(checkpoint, weights_only=True, map_location="cpu")
    return state


def from_checkpoints(
    features: tuple[str, ...],
    whole: Path | None,
    base: Path | None,
    details: Path | None,
    refiner: Path | None,
    margin: float = 0.0,
) -> bytes:
    """The file for a flow trained as a whole, or for a base and details, with the averaged weights of each."""
    flow: Flow
    if whole is not None:
        state = _read(whole)
        flow = Glow(GlowConfig(**state["config"]))
        flow.load_state_dict(state["average"])
    elif base is not None and details is not None:
        state, upper = _read(base), _read(details)
        config = HaarConfig.from_dict(upper["config"])
        if config.base.to_dict() != state["config"]:
            raise SystemExit(f"the details were made for another base: {upper['config']['base']}")
        flow = HaarGlow(config)
        flow.base.load_state_dict(state["average"])
        flow.detail.load_state_dict(upper["average"])
    else:
        raise SystemExit("give --whole, or --base and --details")
    sharper = None
    if refiner is not None:
        kept = _read(refiner)
        sharper = Refiner(RefinerConfig.from_dict(kept["config"]))
        sharper.load_state_dict(kept["average"])
    return dump(flow, state["step"], sharper, features, margin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    for name in ("whole", "base", "details", "refiner"):
        parser.add_argument(f"--{name}", type=Path, help="a checkpoint of that part")
    parser.add_argument("--features", nargs="*", default=FEATURES, choices=FEATURES, help="what readers do (both)")
    parser.add_argument("--margin", type=float, default=0.0, help="of the training faces, in sides of the template")
    args = parser.parse_args()
    data = from_checkpoints(tuple(args.features), args.whole, args.base, args.details, args.refiner, args.margin)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_bytes(data)
    print(hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    main()
