"""What an attacker gets for a latent: Z_enc as a camera publishes it, and covers to compare it with.

`sphere` and `block` are the camera's. `ideal` is drawn independently of the face: what no attack can tell apart from
anything. `none` (no rotation, radius kept) and `sphere-1` to `sphere-3` (fewer rounds) are broken on purpose: they show
that an attack finds what is there. All go through the integers and the packing of `faces.cbor`; I_enc shows fewer bits
of the same integers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import PRECISIONS
from ffem_chain.faces.flow import quantise
from ffem_chain.faces.flow.rotation import hadamard_block, rotate, walsh_hadamard
from ffem_chain.faces.seal import PRECISION
from ffem_chain.keys.secret import Secret
from ffem_cli.eval.cache import threads

Floats = NDArray[np.float32]
IDEAL, NONE = "ideal", "none"
WEAK = ("sphere-1", "sphere-2", "sphere-3")


def published(z: NDArray[np.float64]) -> Floats:
    """A latent (n,) through the packing of a capture, as its reader gets it: float32 (n,)."""
    bits = PRECISIONS[PRECISION]
    return quantise.unpack(quantise.pack(z, bits), z.size, bits).astype(np.float32)


def cover(latents: NDArray[np.floating], name: str, rng: np.random.Generator, *, one_key: bool = False) -> Floats:
    """Latents (N, n) under the cover `name`, float32 (N, n), a fresh key for each, or one for all (`one_key`).

    An ideal cover has no key: it is fresh every time.
    """
    keys = [rng.bytes(32) for _ in range(1 if one_key else len(latents))]

    def one(at: int) -> Floats:
        return published(_covered(np.asarray(latents[at], np.float64), name, keys[at % len(keys)], rng))

    if name == IDEAL:  # drawn one after the other
        return np.stack([one(at) for at in range(len(latents))])
    with threads() as pool:
        return np.stack(list(pool.map(one, range(len(latents)))))


def _covered(z: NDArray[np.float64], name: str, key: bytes, rng: np.random.Generator) -> NDArray[np.float64]:
    if name == NONE:
        return z
    if name == IDEAL:
        drawn = rng.standard_normal(z.size)
        return np.asarray(drawn * (math.sqrt(z.size) / np.linalg.norm(drawn)))
    if name in WEAK:
        return fewer_rounds(z, WEAK.index(name) + 1, np.random.default_rng(list(key)))
    return rotate(z, Secret(key), name)[0]


def fewer_rounds(z: NDArray[np.float64], rounds: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """`sphere` with another number of rounds, and numpy's signs and permutations instead of ChaCha20's."""
    out = z * (math.sqrt(z.size) / float(np.linalg.norm(z)))
    for _ in range(rounds):
        out = out * rng.choice((-1.0, 1.0), z.size)
        out = walsh_hadamard(out[rng.permutation(z.size)], hadamard_block(z.size))
    return np.asarray(out, np.float64)


def undone(covers: Floats) -> Floats:
    """The last Walsh-Hadamard transform taken off again, which takes no key: float32 (N, n)."""
    block = hadamard_block(covers.shape[1])
    return np.stack([walsh_hadamard(row.astype(np.float64), block).astype(np.float32) for row in covers])
