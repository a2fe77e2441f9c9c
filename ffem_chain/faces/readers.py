"""The readers that need the flow: the public's fake face, and opening by the flow alone.

Opening by the exact layer needs neither (`ffem_chain.capture.exact`). Captures come from strangers: what a face costs
is bounded by the pixels of its box, which `faces.cbor` has to fill, and no step holds more than one box in float32.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.exact import check_face_key, open_geometry, ownership
from ffem_chain.capture.model import PRECISIONS, Box, Capture, PublicFace
from ffem_chain.errors import FormatError, InputError, NotForMe
from ffem_chain.faces.drawing.filling import fill, near
from ffem_chain.faces.drawing.head import CANVAS, canvas_matrix, head
from ffem_chain.faces.drawing.tone import COARSE, Surroundings, matched
from ffem_chain.faces.flow import quantise
from ffem_chain.faces.flow.dither import dither
from ffem_chain.faces.flow.rotation import unrotate
from ffem_chain.faces.flow.weights import Model
from ffem_chain.faces.posing import align
from ffem_chain.faces.posing.frontal import allowed, lay_back
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.tree import dither_key, geometry_key, rotation_key

Picture = NDArray[np.uint8]
Float = NDArray[np.float32]
Share = Callable[[Box], Float]  # of a tile, float32 (h, w)
Layer = Callable[[Box], tuple[Float, Float]]
_SEEN = 128  # px at which the surroundings of a box are looked at
_SOFT, _SOFTEST = 0.08, 64  # along what is visible: share of a box's shorter side, and px at most
_BATCH = 16
_INSIDE = 0.05  # coverage above which a pixel is the decoded face's
_TILE = 1024  # px; OpenCV warps no more than 32,767 a side
_FARTHEST = 1e6  # px; an alignment beyond it is not one


def _check_model(capture: Capture, model: Model) -> None:
    if capture.manifest.model_id != model.model_id:
        raise NotForMe(
            f"the capture was sealed with model {capture.manifest.model_id.hex()[:16]}, not {model.name}",
            "the exact layer opens without a model; for fakes install the version of ffem-chain that has that model",
        )
    if capture.manifest.size != model.size:
        raise FormatError(f"the capture says {capture.manifest.size} px for a model of {model.size} px")


def _latent(capture: Capture, index: int) -> NDArray[np.float64]:
    head = capture.manifest
    return quantise.unpack(capture.face(index).z, 3 * head.size * head.size, PRECISIONS[head.precision])


def fake(capture: Capture, picture: Picture, temperature: float, model: Model) -> Picture:
    """`picture` (I_enc, uint8 (H, W, 3)) with a fake face in every covered box.

    A function of what is public (I_enc, pose.json, Z_enc) and the model only; the same capture gives the same fakes.
    `temperature` in [0, 1]: the smaller, the closer to the average face.
    """
    _check_model(capture, model)
    if not 0 <= temperature <= 1:
        raise InputError(f"the temperature is between 0 and 1, not {temperature}")
    owner = _owner(capture)
    hidden, out = owner >= 0, picture.copy()
    for index, public in enumerate(capture.public_faces):
        fill(out, picture, owner, public.box, index)
    for public, canvas, matrix in _heads(capture, picture, hidden, temperature, model):
        _paste(out, _layer(canvas, matrix), public.box, _soft_rim(hidden, public.box))
    return out


def _layer(canvas: Float, matrix: align.Matrix) -> Layer:
    """A canvas float32 (s, s, 4), the fourth its coverage, as it lies over a tile."""

    def lay(tile: Box) -> tuple[Float, Float]:
        laid = align.warp_out(canvas, matrix, tile)
        return laid[..., :3], laid[..., 3:]

    return lay


def _heads(
    capture: Capture, picture: Picture, hidden: NDArray[np.bool_], temperature: float, model: Model
) -> Iterator[tuple[PublicFace, Float, align.Matrix]]:
    """Every sealed face's public part, its head float32 (s, s, 4) with coverage, and where that canvas lies. The
    nearest, which is the largest, comes last: it stands before the others."""
    public = [face for face in capture.public_faces if face.sealed]
    order = sorted(range(len(public)), key=lambda at: public[at].alignment[2])
    decoded, used = _fakes(capture, order, temperature, model), Counter[int]()
    for at in order:
        face, z = public[at], capture.faces[at].z
        matrix = canvas_matrix(align.public_matrix(face.alignment, model.size), model.size)
        side = _canvas_side(matrix, model.size)
        seen = _surroundings(picture, hidden, face.box, matrix, model.size)
        drawn, mask = head(
            next(decoded), seen, z, temperature, (face.yaw, face.pitch), used, side, frontal=model.frontalize
        )
        yield face, np.dstack([matched(drawn, mask, seen), mask]), _finer(matrix, 2 * model.size / side)


def _canvas_side(matrix: align.Matrix, size: int) -> int:
    """The smallest canvas that is not coarser than the picture, a power of two from 32 to 256 px."""
    px = 2 * size * math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    return min(CANVAS, max(32, 1 << math.ceil(math.log2(max(1.0, px)))))


def _finer(matrix: align.Matrix, factor: float) -> align.Matrix:
    """The alignment of a canvas whose pixels are `factor` of those of `matrix`."""
    out = matrix.copy()
    out[:, :2] *= factor
    out[:, 2] += matrix[:, :2] @ np.full(2, factor / 2 - 0.5)
    return out


def _surroundings(
    picture: Picture, hidden: NDArray[np.bool_], box: Box, matrix: align.Matrix, size: int
) -> Surroundings:
    view = near(box, picture.shape[1], picture.shape[0])
    shrink = min(1.0, _SEEN / max(view.width, view.height))
    to = (max(1, round(view.width * shrink)), max(1, round(view.height * shrink)))
    seen = (~hidden[view.rows, view.columns]).astype(np.uint8)
    parts = [
        np.asarray(cv2.resize(part, to, interpolation=cv2.INTER_AREA), np.float32)
        for part in (picture[view.rows, view.columns] * seen[..., None], seen * np.uint8(255))
    ]
    local = _finer(matrix, 2 * size / COARSE)
    local[:, 2] -= (view.x, view.y)
    local = np.diag([to[0] / view.width, to[1] / view.height]) @ local
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    colours, visible = (cv2.warpAffine(part, local, (COARSE, COARSE), flags=flags) for part in parts)
    visible = visible / np.float32(255)
    return Surroundings(colours / np.maximum(visible, 1e-3)[..., None], np.asarray(visible, np.float32))


def _owner(capture: Capture) -> NDArray[np.int16]:
    return ownership([f.box for f in capture.public_faces], capture.manifest.width, capture.manifest.height)


def _fakes(capture: Capture, order: list[int], temperature: float, model: Model) -> Iterator[Picture]:
    """Faces uint8 (m, m, 3) of the sealed ones in `order`; decoded together, since a batch costs less."""
    for at in range(0, len(order), _BATCH):
        batch = [_latent(capture, capture.faces[place].index) for place in order[at : at + _BATCH]]
        yield from model.draw(np.stack(batch), temperature)


def _paste(out: Picture, lay: Layer, box: Box, share: Share) -> None:
    """Blends what `lay` gives for a tile, colours (h, w, 3) and coverage (h, w, 1), times `share`, into `box`."""
    for tile in _tiles(box):
        colours, alpha = lay(tile)
        alpha = np.clip(alpha, 0, 1) * share(tile)[..., None]
        if alpha.any():
            region = out[tile.rows, tile.columns]
            blended = region + alpha * (colours - region)
            region[...] = np.clip(blended + 0.5, 0, 255).astype(np.uint8)


def _tiles(box: Box) -> Iterator[Box]:
    for y in range(0, box.height, _TILE):
        for x in range(0, box.width, _TILE):
            yield Box(box.x + x, box.y + y, min(_TILE, box.width - x), min(_TILE, box.height - y))


def _soft_rim(hidden: NDArray[np.bool_], box: Box) -> Share:
    """1 well inside of what is hidden, falling to 0 towards what is visible: no square shows. float32 (h, w) of a
    tile."""
    soft = float(np.clip(_SOFT * min(box.width, box.height), 2, _SOFTEST))

    def share(tile: Box) -> Float:
        margin = math.ceil(soft) + 1
        y, x = max(0, tile.y - margin), max(0, tile.x - margin)
        part = hidden[y : tile.bottom + margin, x : tile.right + margin].astype(np.uint8)
        inner = Box(tile.x - x, tile.y - y, tile.width, tile.height)
        distance = cv2.distanceTransform(part, cv2.DIST_L2, 3)[inner.rows, inner.columns]
        return np.asarray(np.clip(distance / soft, 0, 1), np.float32)

    return share


def open_flow(capture: Capture, picture: Picture, index: int, face_key: Secret, model: Model) -> Picture:
    """`picture` with face `index` decoded through the flow alone, laid over its own pixels; an approximation.

    NotForMe for a wrong key or another model, Tampered where the sealed geometry does not authenticate, FormatError
    where whoever sealed it wrote numbers that are no geometry.
    """
    _check_model(capture, model)
    check_face_key(capture, index, face_key)
    head, face, box = capture.manifest, capture.face(index), capture.public_faces[index].box
    values = open_geometry(geometry_key(face_key), face.geometry_nonce, face.geometry, head.uid, index)
    radius, matrix, angles = values[0], np.array(values[5:11]).reshape(2, 3), (values[11], values[12], values[13])
    if not model.frontalize:
        angles = (0.0, 0.0, 0.0)
    usual = math.sqrt(3) * head.size
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    sane = 0 < radius < 1000 * usual and np.abs(matrix).max() < _FARTHEST and scale > 1 / _FARTHEST
    if not (sane and allowed(angles)):
        raise FormatError(f"the sealed geometry of face {index} makes no sense", "the exact layer opens without it")
    z = unrotate(_latent(capture, index), rotation_key(face_key), radius, head.rotation)
    noise = dither(dither_key(face_key), model.size)[None] if model.keyed_dither else None
    decoded = model.decode(z[None], noise)[0].astype(np.float32)
    owner, out = _owner(capture), picture.copy()
    known = np.zeros((box.height, box.width), bool)

    def whole(tile: Box) -> tuple[Float, Float]:
        colours, alpha = lay_back(decoded, matrix, angles, tile, model.margin)
        return colours, (alpha > _INSIDE).astype(np.float32)

    def mine(tile: Box) -> Float:
        return np.asarray(owner[tile.rows, tile.columns] == index, np.float32)

    _paste(out, whole, box, mine)
    for tile in _tiles(box):
        y, x = tile.y - box.y, tile.x - box.x
        known[y : y + tile.height, x : x + tile.width] = whole(tile)[1][..., 0] > 0
    # hair, chin and ears go on from the face itself, and meet what is visible around the box
    fill(out, out, owner, box, index, known & (owner[box.rows, box.columns] == index))
    return out
