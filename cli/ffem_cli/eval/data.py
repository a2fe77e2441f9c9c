"""Folders of pictures as data sets: listed in a fixed order, read as RGB, and recorded by digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError

Picture = NDArray[np.uint8]
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class Photo:
    """A picture file of a person; `name` is its path below the data set's folder, with slashes."""

    path: Path
    name: str
    person: str


def pictures(folder: Path) -> list[Path]:
    """All pictures below a folder, sorted by path as training sorts them. InputError where there are none."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", "name a folder of pictures")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder} holds no pictures", "JPEG and PNG are read")
    return found


def people(folder: Path) -> list[Photo]:
    """Pictures of a data set in LFW's layout, one folder a person, by name. InputError where there are none."""
    found = [path for path in pictures(folder) if path.parent != folder]
    if not found:
        raise InputError(f"{folder} has no folders of people", "LFW's layout: one folder a person, photos in it")
    return [Photo(p, p.relative_to(folder).as_posix(), p.relative_to(folder).parts[0]) for p in found]


def singles(folder: Path) -> list[Photo]:
    """Pictures of people of whom there is one each, whatever folders they are in."""
    return [Photo(p, p.relative_to(folder).as_posix(), f"single/{p.stem}") for p in pictures(folder)]


def read(path: Path) -> Picture:
    """uint8 (H, W, 3) RGB. InputError where it is no picture."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"{path} is no picture", "take it out of the folder")
    return np.ascontiguousarray(picture[:, :, ::-1], np.uint8)


def read_aligned(path: Path, size: int) -> Picture:
    """A picture that is an aligned face, uint8 (size, size, 3): its upper left square, resized by area."""
    picture = read(path)
    side = min(picture.shape[:2])
    return np.asarray(cv2.resize(picture[:side, :side], (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def listing(folder: Path) -> str:
    """SHA-256 in hexadecimal over names and sizes of a folder's pictures: quick, and enough to know a folder again."""
    whole = hashlib.sha256()
    for path in pictures(folder):
        whole.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
    return whole.hexdigest()


def digest(files: Iterable[tuple[str, Path]]) -> str:
    """SHA-256 in hexadecimal over (name, SHA-256 of the bytes) of every file, in the order of the names."""
    whole = hashlib.sha256()
    for name, path in sorted(files):
        whole.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def describe(photos: Sequence[Photo]) -> dict[str, object]:
    """What is recorded about the photos that were used."""
    return {
        "photos": len(photos),
        "people": len({photo.person for photo in photos}),
        "sha256": digest((photo.name, photo.path) for photo in photos),
    }
