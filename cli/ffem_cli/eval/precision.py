"""What each precision of Z_enc costs and keeps: bytes a face against PSNR and identity, through rotation and packing.

Whole numbers are measured as they are used: packed, and decoded to 8-bit pixels. An 8-bit picture that is equal counts
as one value that is one level off, so that every PSNR is finite. Floats are measured before the rounding to pixels;
they never leave a camera, since a float keeps a fingerprint of the radius.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ffem_chain.capture.model import PRECISIONS
from ffem_chain.faces.flow import quantise
from ffem_chain.faces.flow.dither import dither
from ffem_chain.faces.flow.rotation import rotate, unrotate
from ffem_chain.faces.flow.weights import Model
from ffem_chain.keys.secret import Secret
from ffem_cli.eval.cache import Say
from ffem_cli.eval.measures import interval, psnr
from ffem_cli.eval.recognisers import Recogniser, crop_square

Picture = NDArray[np.uint8]
Latent = NDArray[np.float64]
FLOATS = {"float32": np.float32, "float16": np.float16}
ROWS = (*FLOATS, "q12", "q10", "q8")


def _stored(z_enc: Latent, precision: str) -> tuple[Latent, int]:
    """What a reader has of Z_enc (n,) at a precision, and the bytes that it takes."""
    if precision in FLOATS:
        data = z_enc.astype(FLOATS[precision])
        return data.astype(np.float64), data.nbytes
    bits = PRECISIONS[precision]
    packed = quantise.pack(z_enc, bits)
    return quantise.unpack(packed, z_enc.size, bits), len(packed)


def measure(
    model: Model, faces: Sequence[Picture], recogniser: Recogniser | None, *, rotation: str, seed: int, say: Say
) -> dict[str, Any]:
    """Rows by precision of aligned faces uint8 (m, m, 3): see docs/EVAL.md."""
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in ROWS}
    sizes: dict[str, int] = {}
    for number, face in enumerate(faces):
        say("faces", number)
        key = _key("rotation", seed, number)
        noise = dither(_key("dither", seed, number), model.size)
        latent = model.encode(face[None], noise[None])[0]
        # what the flow was given, in grey levels
        given = np.minimum(face.transpose(2, 0, 1) + noise, 255.999)
        own = recogniser.embed([crop_square(face, recogniser)])[0] if recogniser else None
        for name in ROWS:
            z_enc, radius = rotate(latent, key, rotation)
            stored, sizes[name] = _stored(z_enc, name)
            z = unrotate(stored, key, radius, rotation)[None]
            back = model.decode(z, noise[None] if model.keyed_dither else None)[0]
            floats = model.flow.decode(torch.from_numpy(z).float())[0].double().numpy() * 256
            cosine = math.nan
            if recogniser is not None and own is not None:
                cosine = float(recogniser.embed([crop_square(back, recogniser)])[0] @ own)
            found[name].append((_whole(face, back), psnr(given, floats), float(np.array_equal(face, back)), cosine))
    people = [str(at) for at in range(len(faces))]
    rows = [_row(name, sizes[name], np.array(found[name]), people, recogniser is not None) for name in ROWS]
    return {"rows": rows, "faces": len(faces), "size": model.size, "rotation": rotation}


def _key(part: str, seed: int, number: int) -> Secret:
    return Secret(hashlib.sha256(f"ffem eval {part} {seed} {number}".encode()).digest())


def _whole(a: Picture, b: Picture) -> float:
    return min(psnr(a, b), 10 * math.log10(255**2 * a.size))


def _row(name: str, size: int, values: Latent, people: list[str], identified: bool) -> dict[str, Any]:
    # floats are judged before the rounding to pixels, integers after
    column = values[:, 1] if name in FLOATS else values[:, 0]
    return {
        "precision": name,
        "bytes": size,
        "psnr_db_mean": float(column.mean()),
        "psnr_db_min": float(column.min()),
        "psnr_db_ci95": interval(column, people),
        "pixels_psnr_db_mean": float(values[:, 0].mean()),
        "floats_psnr_db_mean": float(values[:, 1].mean()),
        "identical": float(values[:, 2].mean()),
        "cosine_mean": float(values[:, 3].mean()) if identified else None,
        "cosine_min": float(values[:, 3].min()) if identified else None,
    }
