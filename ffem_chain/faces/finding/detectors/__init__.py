"""Detectors by name: CenterFace, which needs nothing but the extra `faces`, and plug-ins around third-party models.

A plug-in is a class with a `name` and `detect` (`finding.detect.Detector`); its model comes from the cache.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ffem_chain.errors import InputError

if TYPE_CHECKING:
    from ffem_chain.faces.finding.detect import Detector

DEFAULT = "centerface"
NAMES = (DEFAULT, "yolo5face", "scrfd")


def detector(name: str = DEFAULT, models: Path | None = None) -> Detector:
    """The detector `name`, its model from the folder `models` (default: `modelcache.default_folder`).

    InputError where there is none of that name, MissingExtra where its model is not on this machine.
    """
    if name == DEFAULT:
        from ffem_chain.faces.finding.detect import CenterFace

        return CenterFace()
    if name == "yolo5face":
        from ffem_chain.faces.finding.detectors.yolo5face import Yolo5Face

        return Yolo5Face(models)
    if name == "scrfd":
        from ffem_chain.faces.finding.detectors.scrfd import Scrfd

        return Scrfd(models)
    raise InputError(f"there is no detector {name!r}", f"detectors: {', '.join(NAMES)}")
