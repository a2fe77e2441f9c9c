"""Z_enc as integers of 8, 10 or 12 bits in fixed-length packing.

Only integers leave the camera: a float keeps a fingerprint of the latent's norm in its rounding. A fixed length leaves
no side channel.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CLIP = 5.0
BITS = (8, 10, 12)


def _check(n: int, bits: int) -> None:
    if bits not in BITS or n * bits % 8:
        raise ValueError(f"cannot pack {n} coordinates of {bits} bits")


def _group(bits: int) -> tuple[NDArray[np.uint64], slice]:
    """Shifts of the coordinates that together fill whole bytes, and where those bytes lie in a big-endian word."""
    count = 8 // math.gcd(bits, 8)
    return np.arange(count - 1, -1, -1, dtype=np.uint64) * np.uint64(bits), slice(8 - count * bits // 8, 8)


def quantise(z: NDArray[np.float64], bits: int = 10) -> NDArray[np.uint16]:
    """float (n,) -> integers in [0, 2^bits): bins of 2*CLIP/2^bits, values beyond +-CLIP in the outermost bins."""
    _check(z.size, bits)
    scaled = z + CLIP
    scaled *= (1 << bits) / (2 * CLIP)
    np.clip(scaled, 0, (1 << bits) - 1, out=scaled)
    return scaled.astype(np.uint16)  # rounds down: nothing is negative any more


def dequantise(q: NDArray[np.uint16], bits: int = 10) -> NDArray[np.float64]:
    """Centres of the bins."""
    return (q.astype(np.float64) + 0.5) * (2 * CLIP / (1 << bits)) - CLIP


def pack(z: NDArray[np.float64], bits: int = 10) -> bytes:
    """float (n,) -> n*bits/8 bytes, most significant bits first."""
    shifts, where = _group(bits)
    groups = quantise(z, bits).astype(np.uint64).reshape(-1, shifts.size)
    words = np.zeros(len(groups), np.uint64)
    for place, shift in enumerate(shifts):
        words |= groups[:, place] << shift
    return words.astype(">u8").view(np.uint8).reshape(-1, 8)[:, where].tobytes()


def unpack_integers(data: bytes, n: int, bits: int = 10) -> NDArray[np.uint16]:
    """Packed bytes -> integers (n,) in [0, 2^bits). ValueError for a wrong length."""
    _check(n, bits)
    if len(data) != n * bits // 8:
        raise ValueError(f"{n} coordinates of {bits} bits take {n * bits // 8} bytes, not {len(data)}")
    shifts, where = _group(bits)
    octets = np.zeros((n // shifts.size, 8), np.uint8)
    octets[:, where] = np.frombuffer(data, np.uint8).reshape(len(octets), -1)
    words, out = octets.view(">u8").astype(np.uint64), np.empty((len(octets), shifts.size), np.uint16)
    for place, shift in enumerate(shifts):
        out[:, place] = (words[:, 0] >> shift) & np.uint64((1 << bits) - 1)
    return out.reshape(-1)


def unpack(data: bytes, n: int, bits: int = 10) -> NDArray[np.float64]:
    """Inverse of `pack`, to the centres of the bins. ValueError for a wrong length."""
    return dequantise(unpack_integers(data, n, bits), bits)
