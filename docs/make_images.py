"""Makes the pictures of the README from portraits of people who do not exist, through the real pipeline.

    python docs/make_images.py PORTRAIT PORTRAIT [PORTRAIT]

Writes original.png, encrypted.png, fake.png and opened.png beside this file, in images/. Nothing is stored or
registered: the capture lives in memory, and the key of the second face is withheld from the one who opens.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from eth_account import Account
from PIL import Image

from ffem_chain.capture.exact import open_exact
from ffem_chain.capture.model import Capture
from ffem_chain.capture.picture import decode
from ffem_chain.faces.finding.detect import CenterFace
from ffem_chain.faces.flow.weights import load_model
from ffem_chain.faces.readers import fake
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.owner import Owner
from ffem_chain.stores.memory import MemoryStore
from ffem_node.photo import load_photo
from ffem_node.seal import seal_photo

HEIGHT, SHOWN = 448, 360
LAMBDA = 0.45


def compose(paths: list[str]) -> np.ndarray:
    """The portraits beside each other, the middle two thirds of each."""
    parts = []
    for path in paths:
        picture = load_photo(path)
        side = picture.shape[1]
        part = picture[: side * 7 // 8, side // 6 : side * 5 // 6]
        parts.append(cv2.resize(part, None, fx=HEIGHT / len(part), fy=HEIGHT / len(part), interpolation=cv2.INTER_AREA))
    return np.ascontiguousarray(np.hstack(parts))


def main() -> None:
    paths = sys.argv[1:]
    if not 2 <= len(paths) <= 3:
        raise SystemExit(__doc__)
    out = Path(__file__).parent / "images"
    out.mkdir(exist_ok=True)
    original, model, store = compose(paths), load_model(), MemoryStore()
    with tempfile.TemporaryDirectory() as folder:
        owner = Owner(None, Vault.create(Path(folder) / "vault", Secret.random()), Account.create())
        owner._new_album("docs")
        sealed = seal_photo(original, owner, "docs", None, store, model, CenterFace())
        capture = Capture.from_files(store.get(sealed.cid))
        encrypted = decode(capture.image_png, capture.manifest.width, capture.manifest.height)
        opened = open_exact(capture, encrypted, 0, owner.face_key(sealed.uid, 0))
    pictures = {
        "original": original,
        "encrypted": encrypted,
        "fake": fake(capture, encrypted, LAMBDA, model),
        "opened": opened,
    }
    for name, picture in pictures.items():
        size = (SHOWN, round(SHOWN * picture.shape[0] / picture.shape[1]))
        small = Image.fromarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
        # a palette of 256 colours takes a third of the bytes, and nobody sees it at this size
        small.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(out / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
