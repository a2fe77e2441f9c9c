"""The test vector of a whole sealed capture: two faces that overlap and one that is covered for ever; see
`ffem_chain.keys.vectors`."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.exact import open_exact, open_geometry, ownership, seal_geometry, seal_pixels
from ffem_chain.capture.model import GEOMETRY_VALUES, Box, Capture, Manifest, PublicFace, SealedFace
from ffem_chain.capture.picture import decode, encode
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vector_cases import Json, Recorded, fixed, shown

WIDTH, HEIGHT = 46, 30
FACES = (
    PublicFace(Box(4, 4, 16, 20), -9, 3, 0, (12.0, 12.0, -1.95, 3.0)),
    PublicFace(Box(16, 8, 12, 16), 12, 0, -6, (24.0, 16.0, -2.35, -6.0)),
    PublicFace(Box(36, 12, 10, 18), 0, 0, 0, (40.0, 20.0, -2.7, 0.0), sealed=False),
)
GEOMETRY = tuple(float(i) for i in range(1, 12)) + (0.0,) * (GEOMETRY_VALUES - 11)


def _original() -> NDArray[np.uint8]:
    return np.frombuffer(fixed("capture/pixels", HEIGHT * WIDTH * 3), np.uint8).reshape(HEIGHT, WIDTH, 3)


def _manifest(capture_key: Secret) -> Manifest:
    return Manifest(
        uid=fixed("tree/uid"),
        album_salt=fixed("tree/salt"),
        epoch=3,
        slot=29_400_123,
        model_id=fixed("tree/model"),
        rotation="sphere",
        precision="q8",
        size=64,
        width=WIDTH,
        height=HEIGHT,
        faces=len(FACES),
        key_commit=tree.key_commit(capture_key, "capture"),
        files={},
    )


def _seal(capture_key: Secret) -> dict[str, str]:
    head, original = _manifest(capture_key), _original()
    owner = ownership([face.box for face in FACES], WIDTH, HEIGHT)
    image, faces = original.copy(), []
    for index, public in enumerate(FACES):
        rows, columns = public.box.rows, public.box.columns
        mine = owner[rows, columns] == index
        image[rows, columns][mine] = 128
        if public.sealed:
            key = tree.face_key(capture_key, head.face_context(index))
            z = fixed(f"capture/z{index}", head.latent_bytes)
            pixels = np.where(mine[..., None], original[rows, columns], 0).astype(np.uint8)
            exact = seal_pixels(tree.exact_key(key), pixels, head.uid, index, public.box, z)
            geometry = seal_geometry(tree.geometry_key(key), GEOMETRY, head.uid, index)
            faces.append(SealedFace(index, tree.key_commit(key, "face"), z, *exact, *geometry))
    files = Capture(head, FACES, tuple(faces), encode(image)).to_files()
    return {name: base64.b64encode(data).decode() for name, data in files.items()}


def _opens(sealed: dict[str, str], capture_key: Secret) -> bool:
    files = {name: base64.b64decode(data) for name, data in sealed.items()}
    capture = Capture.from_files(files)
    picture = decode(capture.image_png, WIDTH, HEIGHT)
    geometry = []
    for face in capture.faces:
        key = tree.face_key(capture_key, capture.manifest.face_context(face.index))
        picture = open_exact(capture, picture, face.index, key)
        args = face.geometry_nonce, face.geometry, capture.manifest.uid, face.index
        geometry.append(open_geometry(tree.geometry_key(key), *args))
    box = FACES[2].box
    same = np.array_equal(picture[:, : box.x], _original()[:, : box.x])
    return same and geometry == [GEOMETRY] * 2 and capture.to_files() == files


def capture_vectors(recorded: Recorded) -> Json:
    """The four files, the keys that open them, and what they open to."""
    ctx, slot, uid = tree.TreeContext(fixed("tree/salt"), 3), 29_400_123, fixed("tree/uid")
    key = tree.capture_key(tree.slot_key(Secret(fixed("tree/secret")), ctx, slot), ctx, slot, uid)
    sealed: dict[str, Any] = recorded.keep(("files",), lambda: _seal(key), lambda value: _opens(value, key))
    head, original = _manifest(key), _original()
    return {
        "capture_key": shown(key),
        "face_keys": [shown(tree.face_key(key, head.face_context(i))) for i in range(2)],
        "geometry": GEOMETRY,
        "original_rgb": base64.b64encode(original.tobytes()).decode(),
        "original_sha256": hashlib.sha256(original.tobytes()).hexdigest(),
        "files": sealed,
    }
