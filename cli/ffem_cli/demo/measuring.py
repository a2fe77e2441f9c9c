"""Comparing opened pictures with the photo."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.exact import open_geometry, ownership
from ffem_chain.capture.model import Capture
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.tree import geometry_key

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
_RIM = 0.08  # of the square's side


def owners(capture: Capture) -> NDArray[np.int16]:
    """Index of the face that owns a pixel, -1 where none does; int16 (H, W)."""
    head = capture.manifest
    return ownership([face.box for face in capture.public_faces], head.width, head.height)


def differing(capture: Capture, opened: Picture, photo: Picture) -> int:
    """Pixels in which an opened picture differs from the photo, faces that were covered for ever aside."""
    lost = [index for index, face in enumerate(capture.public_faces) if not face.sealed]
    return int(((opened != photo).any(axis=2) & ~np.isin(owners(capture), lost)).sum())


def flow_pixels(capture: Capture, keys: dict[int, Secret]) -> Mask:
    """Pixels of the sealed faces that lie well inside of the square which the flow encodes, bool (H, W).

    At the rim of the square what the flow draws fades into what is filled in.
    """
    from ffem_chain.faces.posing import align

    owner, size = owners(capture), capture.manifest.size
    rim = math.ceil(_RIM * size)
    square = np.zeros((size, size, 1), np.float32)
    square[rim:-rim, rim:-rim] = 1
    found = np.zeros(owner.shape, np.bool_)
    for index, key in keys.items():
        face, box = capture.face(index), capture.public_faces[index].box
        geometry = geometry_key(key)
        values = open_geometry(geometry, face.geometry_nonce, face.geometry, capture.manifest.uid, index)
        matrix = np.array(values[5:11]).reshape(2, 3)
        inside = align.warp_out(square, matrix, box).reshape(box.height, box.width)
        found[box.rows, box.columns] |= (inside > 0.99) & (owner[box.rows, box.columns] == index)
    return found


def psnr(one: Picture, other: Picture, where: Mask) -> float:
    """Peak signal-to-noise ratio in dB over the pixels of a mask; infinite for equal ones, nan for an empty mask."""
    if not where.any():
        return math.nan
    error = float(np.mean((one[where].astype(np.float64) - other[where]) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
