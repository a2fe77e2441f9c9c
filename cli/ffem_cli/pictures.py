"""Pictures that commands write: whole or not at all, for their owner's eyes, and over nothing that is there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffem_chain.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ffem_chain.capture.model import Capture

FAKE_TEMPERATURE = 0.45  # docs/FACES.md has what others look like
OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="PNG to write; nothing is overwritten.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite FILE where it exists.")]


def check_out(path: Path, *, force: bool = False) -> None:
    """Raise InputError where `path` could not be written: before anything is done that leaves a trace."""
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", "make it first; nothing was written")
    if path.is_dir():
        raise InputError(f"{path} is a folder", "name a file in it; nothing was written")
    if path.exists() and not force:
        raise InputError(f"{path} exists already", "choose another name, or add --force; nothing was written")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"nothing can be written to {folder}", "choose another folder; nothing was written")


def write_out(path: Path, png: bytes, *, force: bool = False) -> None:
    """Write a picture atomically, mode 0600. Raises InputError; a file that is there stays, unless `force`."""
    from ffem_chain.keys.files import write_private

    write_private(path, png, replace=force)


def pixels_of(capture: Capture) -> NDArray[np.uint8]:
    """I_enc of a capture, u8[H,W,3]."""
    from ffem_chain.capture.picture import decode

    return decode(capture.image_png, capture.manifest.width, capture.manifest.height)
