"""Keyed rotations of a latent.

`sphere` (default): the latent is scaled to radius sqrt(n), and the whole vector goes through four rounds of keyed sign
flips, a keyed permutation of all coordinates and a Walsh-Hadamard transform in blocks. `block`: the rotation of the
paper (Zhu et al., AAAI 2023), an orthogonal m x m matrix; kept for comparison, since it leaves the Gram matrix of the
latent unchanged (docs/FACES.md).

Flips and permutations come from integer ChaCha20 output, so every machine derives the same ones from a key. A key is
used for one face only, which is why the cipher's nonce may be constant.
"""

from __future__ import annotations

import math

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from ffem_chain.keys.secret import Secret

Latent = NDArray[np.float64]
ROUNDS = 4
_LARGEST_BLOCK = 1 << 14


class _Stream:
    """ChaCha20 keystream of a 32-byte key (RFC 8439 layout: counter 0, then a constant nonce)."""

    def __init__(self, key: Secret) -> None:
        self._encryptor = Cipher(ChaCha20(key.to_secret_bytes(), bytes(16)), mode=None).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """The next `count` 64-bit little-endian words."""
        return np.frombuffer(self._encryptor.update(bytes(8 * count)), "<u8")


def hadamard_block(n: int) -> int:
    """Side of the Walsh-Hadamard blocks for n coordinates: the largest power of two that divides n, at most 2^14."""
    return min(n & -n, _LARGEST_BLOCK)


def walsh_hadamard(z: Latent, block: int) -> Latent:
    """Orthogonal Walsh-Hadamard transform of consecutive blocks: butterflies h = 1, 2, 4, ..., then one scaling."""
    rows = z.reshape(-1, block).copy()
    h = 1
    while h < block:
        pairs = rows.reshape(-1, block // (2 * h), 2, h)
        low, high = pairs[:, :, 0, :].copy(), pairs[:, :, 1, :]
        pairs[:, :, 0, :] += high
        np.subtract(low, high, out=pairs[:, :, 1, :])
        h *= 2
    rows *= 1 / math.sqrt(block)
    return rows.reshape(-1)


def _sphere_parts(key: Secret, n: int) -> list[tuple[Latent, NDArray[np.intp]]]:
    """(signs, permutation) of each round: n/64 words of sign bits, then n words that a stable argsort orders."""
    stream, parts = _Stream(key), []
    for _ in range(ROUNDS):
        words = stream.words((n + 63) // 64)
        bits = np.unpackbits(words.view(np.uint8), bitorder="little")[:n]
        signs = 1.0 - 2.0 * bits.astype(np.float64)
        parts.append((signs, np.argsort(stream.words(n), kind="stable")))
    return parts


def _haar(key: Secret, m: int) -> NDArray[np.float64]:
    """Haar orthogonal m x m: QR of a Gaussian (Box-Muller of keystream words) with the signs of R's diagonal fixed."""
    words = _Stream(key).words(2 * m * m) >> np.uint64(11)
    uniform = (words.astype(np.float64) + 0.5) * 2.0**-53
    gaussian = np.sqrt(-2 * np.log(uniform[: m * m])) * np.cos(2 * math.pi * uniform[m * m :])
    q, r = np.linalg.qr(gaussian.reshape(m, m))
    return np.asarray(q * np.sign(np.diagonal(r)), np.float64)


def _side(n: int) -> int:
    m = math.isqrt(n // 3)
    if 3 * m * m != n:
        raise ValueError(f"a latent of {n} coordinates is not 3 x m x m")
    return m


def rotate(z: Latent, key: Secret, name: str = "sphere") -> tuple[Latent, float]:
    """Latent (n,) -> (Z_enc (n,), radius). For `sphere`, Z_enc has norm sqrt(n) and the radius must travel sealed;
    for `block`, Z_enc has the latent's norm and the radius is that norm. ValueError for an unknown rotation."""
    n = z.size
    radius = float(np.linalg.norm(z))
    if not math.isfinite(radius) or radius == 0:
        raise ValueError("the latent has no direction")
    if name == "block":
        m = _side(n)
        return (_haar(key, m) @ z.reshape(m, 3 * m)).reshape(-1), radius
    if name != "sphere":
        raise ValueError(f"unknown rotation {name}")
    out, block = z * (math.sqrt(n) / radius), hadamard_block(n)
    for signs, order in _sphere_parts(key, n):
        out = walsh_hadamard((out * signs)[order], block)
    return out, radius


def unrotate(z_enc: Latent, key: Secret, radius: float, name: str = "sphere") -> Latent:
    """Inverse of `rotate`."""
    n = z_enc.size
    if name == "block":
        m = _side(n)
        return (_haar(key, m).T @ z_enc.reshape(m, 3 * m)).reshape(-1)
    if name != "sphere":
        raise ValueError(f"unknown rotation {name}")
    out, block = z_enc.astype(np.float64), hadamard_block(n)
    for signs, order in reversed(_sphere_parts(key, n)):
        mixed = walsh_hadamard(out, block)
        out = np.empty_like(mixed)
        out[order] = mixed
        out *= signs
    return out * (radius / math.sqrt(n))
