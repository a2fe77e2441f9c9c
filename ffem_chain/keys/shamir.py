"""t-of-n sharing of a 32-byte pad (Shamir 1979) by pycryptodome, whose secrets are 16 bytes: two halves.

Shares carry no authentication; a grant publishes a digest of each.
"""

from __future__ import annotations

from collections.abc import Mapping

from Crypto.Protocol.SecretSharing import Shamir

from ffem_chain.keys.secret import Secret

MAX_SHARES = 8
_HALF = 16


def split(secret: Secret, threshold: int, count: int) -> list[Secret]:
    """`count` shares of 32 bytes, any `threshold` of which recover the secret. Share i is for keeper i, from 0."""
    if len(secret) != 2 * _HALF or not 1 <= threshold <= count <= MAX_SHARES:
        raise ValueError(f"cannot split {len(secret)} bytes {threshold} of {count}")
    data = secret.to_secret_bytes()
    first = Shamir.split(threshold, count, data[:_HALF], False)
    second = Shamir.split(threshold, count, data[_HALF:], False)
    return [Secret(bytes(a) + bytes(b)) for (_, a), (_, b) in zip(first, second, strict=True)]


def combine(shares: Mapping[int, Secret], threshold: int) -> Secret:
    """The secret from at least `threshold` shares by keeper index (from 0). Wrong shares give a wrong secret."""
    if len(shares) < threshold or any(len(s) != 2 * _HALF for s in shares.values()):
        raise ValueError(f"{threshold} shares of 32 bytes are needed")
    chosen = sorted(shares.items())[:threshold]
    halves = [
        Shamir.combine([(index + 1, share.to_secret_bytes()[at : at + _HALF]) for index, share in chosen], False)
        for at in (0, _HALF)
    ]
    return Secret(bytes(halves[0]) + bytes(halves[1]))
