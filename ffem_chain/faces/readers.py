"""The readers that need the flow: the public's fake face, and opening by the flow alone.

Opening by the exact layer needs neither (`ffem_chain.capture.exact`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.exact import check_face_key, open_geometry, ownership
from ffem_chain.capture.model import PRECISIONS, Capture
from ffem_chain.errors import InputError, NotForMe
from ffem_chain.faces import align, quantise
from ffem_chain.faces.cover import around, smooth_fill
from ffem_chain.faces.rotation import unrotate
from ffem_chain.faces.weights import Model
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.tree import geometry_key, rotation_key

Picture = NDArray[np.uint8]
_TONE = 0.3  # share of the surroundings' brightness that a fake takes on


def _check_model(capture: Capture, model: Model) -> None:
    if capture.manifest.model_id != model.model_id:
        raise NotForMe(
            f"the capture was sealed with model {capture.manifest.model_id.hex()[:16]}, not {model.name}",
            "the exact layer opens without a model; for fakes install the version of ffem-chain that has that model",
        )


def _latent(capture: Capture, index: int) -> NDArray[np.float64]:
    head = capture.manifest
    return quantise.unpack(capture.face(index).z, 3 * head.size * head.size, PRECISIONS[head.precision])


def _face_mask(size: int) -> NDArray[np.float32]:
    """Ellipse over a face in the model's square, float32 (m, m, 1) in [0, 1], soft at its rim."""
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size
    distance = np.sqrt(((x - 0.5) / 0.46) ** 2 + ((y - 0.48) / 0.52) ** 2)
    soft = np.clip((1 - distance) / 0.28, 0, 1)
    return np.asarray(soft * soft * (3 - 2 * soft), np.float32)[..., None]


def fake(capture: Capture, picture: Picture, temperature: float, model: Model) -> Picture:
    """`picture` (I_enc, uint8 (H, W, 3)) with a fake face in every covered box.

    A function of I_enc, pose.json and the model only; the same capture gives the same fakes. `temperature` in [0, 1]:
    the smaller, the closer to the average face.
    """
    _check_model(capture, model)
    if not 0 <= temperature <= 1:
        raise InputError(f"the temperature is between 0 and 1, not {temperature}")
    head = capture.manifest
    owner = ownership([face.box for face in capture.public_faces], head.width, head.height)
    out = picture.copy()
    for index, public in enumerate(capture.public_faces):
        view = around(public.box, head.width, head.height)
        owned = owner[view.rows, view.columns]
        fill = smooth_fill(picture[view.rows, view.columns], owned >= 0).astype(np.float32)
        if public.sealed:
            face = model.decode(model.temper(_latent(capture, index), temperature)[None])[0].astype(np.float32)
            matrix = align.public_matrix(public.alignment, head.size)
            mask = align.warp_out(_face_mask(head.size), matrix, view).reshape(*owned.shape, 1)
            drawn = np.nan_to_num(align.warp_out(face, matrix, view)).reshape(*owned.shape, 3)
            mask = np.clip(mask, 0, 1) * _inside(owned == index, public.box.width)
            tone = float((fill * mask).sum() - (drawn * mask).sum()) / max(1.0, 3 * float(mask.sum()))
            fill += mask * (drawn + _TONE * tone - fill)
        mine = owned == index
        out[view.rows, view.columns][mine] = np.clip(fill[mine] + 0.5, 0, 255).astype(np.uint8)
    return out


def _inside(mine: NDArray[np.bool_], width: int) -> NDArray[np.float32]:
    """1 well inside of a face's own pixels, falling to 0 at their rim, so that no square shows. float32 (h, w, 1)."""
    padded = np.pad(mine.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    return np.asarray(np.clip(distance / max(2.0, 0.08 * width), 0, 1), np.float32)[..., None]


def open_flow(capture: Capture, picture: Picture, index: int, face_key: Secret, model: Model) -> Picture:
    """`picture` with face `index` decoded through the flow alone, laid over its own pixels; an approximation.

    NotForMe for a wrong key or another model, Tampered where the sealed geometry does not authenticate.
    """
    _check_model(capture, model)
    check_face_key(capture, index, face_key)
    head, face = capture.manifest, capture.face(index)
    values = open_geometry(geometry_key(face_key), face.geometry_nonce, face.geometry, head.uid, index)
    radius, matrix = values[0], np.array(values[5:11]).reshape(2, 3)
    z = unrotate(_latent(capture, index), rotation_key(face_key), radius, head.rotation)
    decoded = model.decode(z[None])[0].astype(np.float32)
    view = around(capture.public_faces[index].box, head.width, head.height)
    owner = ownership([f.box for f in capture.public_faces], head.width, head.height)[view.rows, view.columns]
    fill = smooth_fill(picture[view.rows, view.columns], owner >= 0).astype(np.float32)
    covered = align.warp_out(np.ones((head.size, head.size, 1), np.float32), matrix, view).reshape(*owner.shape, 1)
    covered = np.clip(covered, 0, 1)
    drawn = align.warp_out(decoded, matrix, view)
    out, mine = picture.copy(), owner == index
    blended = drawn + (1 - covered) * fill
    out[view.rows, view.columns][mine] = np.clip(blended[mine] + 0.5, 0, 255).astype(np.uint8)
    return out
