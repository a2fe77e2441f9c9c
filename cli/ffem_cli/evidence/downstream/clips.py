"""Clips as frames: any file that OpenCV reads."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError

Picture = NDArray[np.uint8]
SUFFIXES = frozenset({".avi", ".mp4", ".mkv", ".mov", ".webm", ".gif"})


def clips(folder: Path) -> list[Path]:
    """All clips below a folder, sorted. InputError where there are none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise InputError(f"{folder} holds no clips", f"read are {', '.join(sorted(SUFFIXES))}")
    return found


def frames(path: Path, count: int | None = None) -> list[Picture]:
    """`count` frames evenly over a clip (the middles of as many equal parts, so that a shorter clip repeats some), or
    all of them: uint8 (H, W, 3) RGB. InputError where it is no clip.

    A clip is decoded from its start: seeking is not exact in many containers, and their counts of frames are estimates.
    """
    capture = cv2.VideoCapture(str(path))
    found: list[Picture] = []
    try:
        while True:
            more, frame = capture.read()
            if not more:
                break
            found.append(np.ascontiguousarray(frame[:, :, ::-1], np.uint8))
    finally:
        capture.release()
    if not found:
        raise InputError(f"{path} is no clip that can be read", "OpenCV reads avi, mp4, mkv and more")
    if count is None:
        return found
    return [found[int((part + 0.5) * len(found) / count)] for part in range(count)]
