"""The demo's photo, its contact sheet, and a folder in which nothing but the demo's own files is overwritten."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ffem_chain.errors import InputError, MissingExtra

Picture = NDArray[np.uint8]
MADE_BY, STORY = "ffem demo", "story.json"
_PANEL, _GAP, _TEXT = 400, 24, 66  # px
_PAPER, _INK, _GREY = (250, 250, 248), (20, 20, 20), (95, 95, 95)


def public_photo(instead: str) -> Picture:
    """The portrait of astronaut Eileen Collins by NASA (public domain) that scikit-image ships, uint8 (512, 512, 3).

    Raises MissingExtra where scikit-image is not installed; `instead` says what else can be done.
    """
    try:
        from skimage.data import astronaut
    except ModuleNotFoundError:
        raise MissingExtra("the photo comes with scikit-image, which is not installed", instead) from None
    return np.ascontiguousarray(astronaut(), np.uint8)  # type: ignore[no-untyped-call]


def png(pixels: Picture) -> bytes:
    """A picture as PNG, packed quickly rather than well."""
    from ffem_chain.capture.picture import encode

    return encode(pixels, compress_level=1)


# ---------------------------------------------------------------- the contact sheet


@dataclass(frozen=True)
class Panel:
    """One picture of the contact sheet, with a title and what it shows in at most two short lines."""

    pixels: Picture
    title: str
    text: str


def overview(panels: Sequence[Panel], closeup: tuple[int, int, int, int]) -> bytes:
    """PNG with the panels three a row, in the same scale. Where the face `closeup` (left, top, right, bottom) is small
    in the picture, each panel shows it enlarged in its corner."""
    height, width = panels[0].pixels.shape[:2]
    scale = min(_PANEL / width, _PANEL / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    columns, rows = 3, -(-len(panels) // 3)
    cell = _PANEL, size[1] + _TEXT
    sheet = Image.new("RGB", (columns * (cell[0] + _GAP) + _GAP, rows * (cell[1] + _GAP) + _GAP), _PAPER)
    draw, large, small = ImageDraw.Draw(sheet), ImageFont.load_default(20), ImageFont.load_default(14)
    for index, panel in enumerate(panels):
        x = _GAP + index % columns * (cell[0] + _GAP)
        y = _GAP + index // columns * (cell[1] + _GAP)
        sheet.paste(_view(panel.pixels, size, closeup), (x + (cell[0] - size[0]) // 2, y))
        draw.text((x, y + size[1] + 6), panel.title, _INK, large)
        draw.multiline_text((x, y + size[1] + 30), panel.text, _GREY, small, spacing=3)
    out = io.BytesIO()
    sheet.save(out, "PNG")
    return out.getvalue()


def _view(pixels: Picture, size: tuple[int, int], closeup: tuple[int, int, int, int]) -> Image.Image:
    picture = Image.fromarray(pixels)
    small = picture.resize(size, Image.Resampling.LANCZOS)
    left, top, right, bottom = closeup
    side = round(0.4 * min(size))
    if max(right - left, bottom - top) * size[0] / pixels.shape[1] > 0.6 * side:
        return small
    half = round(0.65 * max(right - left, bottom - top))
    x, y = (left + right) // 2, (top + bottom) // 2
    inset = picture.crop((x - half, y - half, x + half, y + half)).resize((side, side), Image.Resampling.BICUBIC)
    # in the corner that is farthest from the face
    corner_x = 0 if x > pixels.shape[1] / 2 else size[0] - side
    corner_y = 0 if y > pixels.shape[0] / 2 else size[1] - side
    small.paste(inset, (corner_x, corner_y))
    frame = (corner_x, corner_y, corner_x + side - 1, corner_y + side - 1)
    ImageDraw.Draw(small).rectangle(frame, outline=_PAPER, width=3)
    return small


# ---------------------------------------------------------------- the folder


class Folder:
    """Where the demo's files go. Everything is written at the end, so that an interrupted demo leaves nothing.

    story.json lists every file with its sha256; only files that are still what it says may be replaced.
    """

    def __init__(self, path: Path, names: Collection[str]) -> None:
        """Check that `names` can be written to `path`. Raises InputError, having changed nothing."""
        self.path, self._old = path, list[Path]()
        if not path.exists():
            parent = path.absolute().parent
            while not parent.exists():
                parent = parent.parent
            self._check_writable(parent)
            return
        if not path.is_dir():
            raise InputError(f"{path} is a file, not a folder", "choose a folder for the pictures: --out FOLDER")
        self._check_writable(path)
        made = _made_before(path / STORY)
        for file in (path / name for name in {*names, *made, STORY}):
            if not file.exists() and not file.is_symlink():
                continue
            ours = file.name == STORY and bool(made)
            ours = ours or (file.is_file() and not file.is_symlink() and _digest(file) == made.get(file.name))
            if ours:
                self._old.append(file)
            elif file.name in names or file.name == STORY:
                raise InputError(
                    f"{file} was not made by the demo, or was changed since: it is not overwritten",
                    "move it away, or choose another folder: --out FOLDER",
                )

    @staticmethod
    def _check_writable(path: Path) -> None:
        if not path.is_dir() or not os.access(path, os.W_OK | os.X_OK):
            raise InputError(f"nothing can be written in {path}", "choose another folder: --out FOLDER")

    def write(self, files: Mapping[str, bytes], story: Mapping[str, Any]) -> list[Path]:
        """Write the files and story.json, which lists them; their paths. Raises OSError where the disk fails."""
        listed = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        self.path.mkdir(parents=True, exist_ok=True)
        for file in sorted(self._old, key=lambda file: file.name == STORY):  # the list goes last
            file.unlink(missing_ok=True)
        document = {"made_by": MADE_BY, **story, "files": listed}
        (self.path / STORY).write_text(json.dumps(document, indent=2) + "\n", "utf-8")
        for name, data in files.items():
            (self.path / name).write_bytes(data)
        return [self.path / name for name in (*files, STORY)]


def _made_before(story: Path) -> dict[str, str]:
    """Files that an earlier demo listed, with their digests; {} where there was none."""
    try:
        found = json.loads(story.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or found.get("made_by") != MADE_BY or not isinstance(found.get("files"), dict):
        return {}
    return {str(name): str(digest) for name, digest in found["files"].items() if Path(str(name)).name == name}


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
