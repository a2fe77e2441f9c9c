"""Z_enc as integers of 8, 10 or 12 bits in fixed-length packing.

Only integers leave the camera: a float keeps a fingerprint of the latent's norm in its rounding. A fixed length leaves
no side channel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLIP = 5.0
BITS = (8, 10, 12)


def _check(n: int, bits: int) -> None:
    if bits not in BITS or n * bits % 8:
        raise ValueError(f"cannot pack {n} coordinates of {bits} bits")


def quantise(z: NDArray[np.float64], bits: int = 10) -> NDArray[np.uint16]:
    """float (n,) -> integers in [0, 2^bits): bins of 2*CLIP/2^bits, values beyond +-CLIP in the outermost bins."""
    _check(z.size, bits)
    scaled = np.floor((z + CLIP) * ((1 << bits) / (2 * CLIP)))
    return np.clip(scaled, 0, (1 << bits) - 1).astype(np.uint16)


def dequantise(q: NDArray[np.uint16], bits: int = 10) -> NDArray[np.float64]:
    """Centres of the bins."""
    return (q.astype(np.float64) + 0.5) * (2 * CLIP / (1 << bits)) - CLIP


def pack(z: NDArray[np.float64], bits: int = 10) -> bytes:
    """float (n,) -> n*bits/8 bytes, most significant bits first."""
    q = quantise(z, bits)
    planes = (q[:, None] >> np.arange(bits - 1, -1, -1, dtype=np.uint16)) & 1
    return np.packbits(planes.astype(np.uint8).reshape(-1)).tobytes()


def unpack_integers(data: bytes, n: int, bits: int = 10) -> NDArray[np.uint16]:
    """Packed bytes -> integers (n,) in [0, 2^bits). ValueError for a wrong length."""
    _check(n, bits)
    if len(data) != n * bits // 8:
        raise ValueError(f"{n} coordinates of {bits} bits take {n * bits // 8} bytes, not {len(data)}")
    planes = np.unpackbits(np.frombuffer(data, np.uint8)).reshape(n, bits).astype(np.uint16)
    return np.asarray((planes << np.arange(bits - 1, -1, -1, dtype=np.uint16)).sum(axis=1), np.uint16)


def unpack(data: bytes, n: int, bits: int = 10) -> NDArray[np.float64]:
    """Inverse of `pack`, to the centres of the bins. ValueError for a wrong length."""
    return dequantise(unpack_integers(data, n, bits), bits)
