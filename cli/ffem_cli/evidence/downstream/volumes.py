"""Clips under covers as a video network takes them, and video networks that a user has.

A network is a torch module that takes float32 (B, 3, T, side, side) RGB in [0, 1] and gives (B, classes): a TorchScript
file, or "module:factory", whose factory is called with the number of classes. What it wants normalised it does itself.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ffem_chain.errors import FormatError, InputError
from ffem_cli.eval import protocol
from ffem_cli.evidence.downstream.clips import frames
from ffem_cli.evidence.downstream.covering import Shower
from ffem_cli.evidence.downstream.hmdb51 import Clip

Volume = NDArray[np.uint8]


@dataclass(frozen=True)
class Recipe:
    """`frames` a clip, evenly; each sealed whole, then resized and cut to the middle `side` px. Training (none for
    `epochs` 0): SGD with momentum 0.9 on clips under the cover `trained_on`."""

    frames: int = 16
    side: int = 112
    epochs: int = 0
    rate: float = 0.01
    batch: int = 8
    trained_on: str = "original"
    seed: int = 1


class Clips:
    """Clips under covers, uint8 (T, side, side, 3), made when they are asked for, and kept in `folder` where there is
    one, named by what they depend on."""

    def __init__(self, shower: Shower, recipe: Recipe, folder: Path | None) -> None:
        self._shower, self._recipe, self._folder = shower, recipe, folder
        self._code = protocol.code()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, clip: Clip, covers: Sequence[str]) -> dict[str, Volume]:
        """A clip under each cover. InputError where it cannot be read."""
        paths = {cover: self._path(clip, cover) for cover in covers}
        found = {cover: np.load(path, allow_pickle=False) for cover, path in paths.items() if path and path.exists()}
        absent = [cover for cover in covers if cover not in found]
        views: dict[str, list[Volume]] = {cover: [] for cover in absent}
        for number, frame in enumerate(frames(clip.path, self._recipe.frames) if absent else ()):
            for cover, shown in self._shower.shown(frame, f"{clip.name} {number}", absent).items():
                views[cover].append(_middle(shown, self._recipe.side))
        for cover, view in views.items():
            found[cover] = np.stack(view)
            if path := paths[cover]:
                fresh = path.with_suffix(f".{os.getpid()}.part")
                with fresh.open("wb") as out:
                    np.save(out, found[cover])
                fresh.replace(path)
        return found

    def _path(self, clip: Clip, cover: str) -> Path | None:
        if self._folder is None:
            return None
        shape = [self._recipe.frames, self._recipe.side]
        key = [clip.name, clip.path.stat().st_size, cover, shape, self._shower.depends, self._code]
        return self._folder / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]}.npy"


def load(given: str, classes: int) -> tuple[torch.nn.Module, str]:
    """The network, and a SHA-256 of its file or, where a factory made it, of its parameters.

    InputError where there is no such file, module or factory, FormatError where a file is no TorchScript.
    """
    module, colon, factory = given.partition(":")
    if colon and not Path(given).exists():
        sys.path.insert(0, str(Path.cwd()))
        try:
            made = getattr(importlib.import_module(module), factory)(classes)
        except (ImportError, AttributeError, ValueError) as error:
            raise InputError(f"there is no network {given}: {error}", "--network my_module:my_factory") from None
        finally:
            sys.path.pop(0)
        if not isinstance(made, torch.nn.Module):
            raise InputError(f"{given} makes no torch module", "a factory takes the number of classes")
        return made, _digest(made)
    try:
        content = Path(given).read_bytes()
    except OSError as error:
        raise InputError(f"the network {given} cannot be read: {error.strerror}", "a TorchScript file") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # what people have is TorchScript, deprecated or not
            loaded = torch.jit.load(given, map_location="cpu")  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise FormatError(f"{given} is no TorchScript file", "torch.jit.script(module).save(FILE)") from None
    return cast(torch.nn.Module, loaded), hashlib.sha256(content).hexdigest()


def _middle(picture: Volume, side: int) -> Volume:
    """The middle square, its shorter side resized to `side` px."""
    height, width = picture.shape[:2]
    short = min(height, width)
    y, x = (height - short) // 2, (width - short) // 2
    how = cv2.INTER_AREA if short > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture[y : y + short, x : x + short], (side, side), interpolation=how), np.uint8)


def _digest(network: torch.nn.Module) -> str:
    whole = hashlib.sha256()
    for name, value in network.state_dict().items():
        whole.update(name.encode() + b"\0" + value.detach().contiguous().numpy().tobytes())
    return whole.hexdigest()
