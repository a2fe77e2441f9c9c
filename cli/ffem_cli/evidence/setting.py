"""What a section measures with: the data, the camera, recognisers, a cache, and how much of everything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ffem_chain.errors import InputError
from ffem_cli.eval.cache import Cache, Say
from ffem_cli.eval.sealing import Camera

Size = TypeVar("Size")


@dataclass(frozen=True)
class Setting:
    """`data` is a folder with `lfw/identities`, `lfw/singles`, `utkface/train`, `utkface/fairness`, `group`,
    `widerface`, `video`, `portraits_cc0` and `weights`, of which a section needs some. `small` is for tests: it
    shows that everything runs and proves nothing. `model_cache` holds models that `ffem models pull` and `import`
    fetched.
    """

    data: Path
    camera: Camera
    model_cache: Path
    cache: Cache
    say: Say
    seed: int = 1
    small: bool = False
    retrain: bool = False
    recognisers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def folder(self, name: str) -> Path:
        """A folder of the data. InputError where it is missing."""
        found = self.data / name
        if not found.is_dir():
            raise InputError(f"{self.data} has no folder {name}", "docs/EVIDENCE.md says how the data are laid out")
        return found

    def size(self, full: Size, small: Size) -> Size:
        """How much of something: `full`, and `small` in a small run."""
        return small if self.small else full
