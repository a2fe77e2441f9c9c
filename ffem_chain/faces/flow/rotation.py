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
from collections.abc import Iterator

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
    spare, out = np.empty_like(z), np.empty_like(z)
    _walsh_hadamard(z.copy(), spare, block, out)
    return out


def _walsh_hadamard(x: Latent, spare: Latent, block: int, out: Latent) -> None:
    """The same into `out`; overwrites `x` and `spare`.

    Every butterfly adds and subtracts neighbours and writes sums and differences to the two halves (the constant
    geometry of Pease, 1968): the same additions as in place, so the same bits, but always on whole vectors. What is
    left is a transposition. Buffers are the caller's, because new pages cost more than the additions.
    """
    half = x.size // 2
    for _ in range(block.bit_length() - 1):
        even, odd = x[0::2], x[1::2]
        np.add(even, odd, out=spare[:half])
        np.subtract(even, odd, out=spare[half:])
        x, spare = spare, x
    np.multiply(x.reshape(block, -1).T, 1 / math.sqrt(block), out=out.reshape(-1, block))


def stable_order(words: NDArray[np.uint64]) -> NDArray[np.intp]:
    """`np.argsort(words, kind="stable")` of little-endian words (n,), several times faster where they are random.

    Two radix passes over bits 32 to 63, then numpy's merge sort, which takes one pass over what is sorted but for words
    that agree in those bits.
    """
    digits = words.view("<u2").reshape(-1, 4)
    order = np.argsort(digits[:, 2], kind="stable")
    order = order.take(np.argsort(digits[:, 3].take(order), kind="stable"))
    return order.take(np.argsort(words.take(order), kind="stable"))


_BYTES = np.arange(256, dtype=np.uint8)[:, None]
_SIGNS_OF_BYTES: Latent = 1.0 - 2.0 * np.unpackbits(_BYTES, axis=1, bitorder="little").astype(np.float64)


def _sphere_parts(key: Secret, n: int) -> Iterator[tuple[Latent, NDArray[np.intp]]]:
    """(signs, permutation) of each round: n/64 words of sign bits, then n words that a stable argsort orders."""
    stream = _Stream(key)
    for _ in range(ROUNDS):
        signs = _SIGNS_OF_BYTES.take(stream.words((n + 63) // 64).view(np.uint8), axis=0).reshape(-1)[:n]
        yield signs, stable_order(stream.words(n))


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
    out, mixed, spare = z * (math.sqrt(n) / radius), np.empty(n), np.empty(n)
    for signs, order in _sphere_parts(key, n):
        out *= signs
        _walsh_hadamard(out.take(order, out=mixed), spare, hadamard_block(n), out)
    return out, radius


def unrotate(z_enc: Latent, key: Secret, radius: float, name: str = "sphere") -> Latent:
    """Inverse of `rotate`."""
    n = z_enc.size
    if name == "block":
        m = _side(n)
        return (_haar(key, m).T @ z_enc.reshape(m, 3 * m)).reshape(-1)
    if name != "sphere":
        raise ValueError(f"unknown rotation {name}")
    out, mixed, spare = z_enc.astype(np.float64), np.empty(n), np.empty(n)
    for signs, order in reversed(list(_sphere_parts(key, n))):
        _walsh_hadamard(out, spare, hadamard_block(n), mixed)
        out[order] = mixed
        out *= signs
    return out * (radius / math.sqrt(n))
