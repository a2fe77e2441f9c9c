"""A picture as it is shown: original, compressed, pixelated, with I_enc, with fakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import InputError
from ffem_cli.eval.sealing import Camera, Sealed, seal

Picture = NDArray[np.uint8]
# `jpeg` is a control: what a change that hides nothing does to the same measure
COVERS = ("original", "jpeg", "pixelated", "I_enc", "fake")
WORDS = {
    "original": "original",
    "jpeg": "original as JPEG (control)",
    "pixelated": "pixelated, 8 blocks a face",
    "I_enc": "I_enc",
    "fake": "fake faces",
}
BLOCKS, QUALITY = 8, 75


@dataclass(frozen=True)
class Shower:
    """Shows pictures under a cover. Faces are sealed under keys of (name, seed), a fresh one for every picture."""

    camera: Camera
    temperature: float
    seed: int

    @property
    def depends(self) -> dict[str, object]:
        """What a shown picture depends on but the picture and its name, as JSON values; the code is not among it."""
        shape = {"blocks": BLOCKS, "quality": QUALITY}
        return {**self.camera.depends, "temperature": self.temperature, "seed": self.seed, **shape}

    def shown(self, picture: Picture, name: str, covers: Sequence[str] = COVERS) -> dict[str, Picture]:
        """uint8 (H, W, 3) RGB under each of `covers`; it is sealed once at most. InputError for an unknown cover."""
        out: dict[str, Picture] = {}
        sealed: Sealed | None = None
        for cover in covers:
            if cover not in COVERS:
                raise InputError(f"there is no cover {cover!r}", f"covers: {', '.join(COVERS)}")
            if cover == "original":
                out[cover] = picture
            elif cover == "jpeg":
                out[cover] = _compressed(picture)
            else:
                sealed = sealed or seal(picture, name, self.seed, self.camera)
                out[cover] = self._from(sealed, cover)
        return out

    def _from(self, sealed: Sealed, cover: str) -> Picture:
        if cover == "I_enc":
            return sealed.image
        return _pixelated(sealed) if cover == "pixelated" else sealed.fake(self.camera.model, self.temperature)


def _pixelated(sealed: Sealed) -> Picture:
    """Each public box in `BLOCKS` x `BLOCKS` squares of their mean colour."""
    out = sealed.original.copy()
    for face in sealed.capture.public_faces:
        region = out[face.box.rows, face.box.columns]
        height, width = region.shape[:2]
        small = cv2.resize(region, (min(BLOCKS, width), min(BLOCKS, height)), interpolation=cv2.INTER_AREA)
        out[face.box.rows, face.box.columns] = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return out


def _compressed(picture: Picture) -> Picture:
    packed = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return np.ascontiguousarray(np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR))[:, :, ::-1], np.uint8)
