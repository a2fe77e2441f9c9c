"""Dequantisation noise from a face's key: subtractive dither (Roberts 1962; Wannamaker et al. 2000).

The flow needs noise of one grey level on its pixels. Where a reader can draw the same noise again, decoding takes it
off before rounding, so a pixel is wrong only where the decoded value is off by more than half a level. The noise is a
function of the key alone and as secret as it; whoever has no key has neither.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from numpy.typing import NDArray

from ffem_chain.keys.secret import Secret


def dither(key: Secret, size: int) -> NDArray[np.float32]:
    """float32 (3, size, size) in (0, 1): 16-bit little-endian words of ChaCha20 under `key` (counter 0, zero nonce), at
    the middles of their bins. The key must be used for nothing else (`ffem_chain.keys.tree.dither_key`)."""
    stream = Cipher(ChaCha20(key.to_secret_bytes(), bytes(16)), mode=None).encryptor()
    words = np.frombuffer(stream.update(bytes(2 * 3 * size * size)), "<u2")
    return ((words.astype(np.float32) + np.float32(0.5)) / np.float32(65536)).reshape(3, size, size)
