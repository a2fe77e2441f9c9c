"""Envelopes: sealing a 32-byte secret in both suites, beside eciespy, a library of the same kind, and age, a file tool.

All take turns, call by call, so that they meet the same machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ffem_chain.errors import FfemError
from ffem_cli.bench import machine

_CONTEXT = bytes(124)  # as long as a grant's
_WARM_UP = 20


@dataclass
class _Contestant:
    """Something that seals and opens 32 bytes, and its times in microseconds."""

    seal: Callable[[bytes], bytes]
    open: Callable[[bytes], bytes]
    lengths: list[int] = field(default_factory=list)
    sealing: list[float] = field(default_factory=list)
    opening: list[float] = field(default_factory=list)

    def once(self, secret: bytes, counted: bool) -> None:
        """Seal, open, compare, and note the times."""
        start = time.perf_counter()
        sealed = self.seal(secret)
        middle = time.perf_counter()
        opened = self.open(sealed)
        end = time.perf_counter()
        if opened != secret:
            raise FfemError("an envelope does not give back what was sealed: this is a fault", "please report it")
        self.lengths.append(len(sealed))
        if counted:
            self.sealing.append(1e6 * (middle - start))
            self.opening.append(1e6 * (end - middle))

    def result(self) -> dict[str, Any]:
        """Medians, and the envelope's length."""
        return {
            "seal_us": round(statistics.median(self.sealing), 1),
            "open_us": round(statistics.median(self.opening), 1),
            "bytes": round(statistics.median(self.lengths)),
        }


def measure(repeats: int, say: Callable[[str, int], None]) -> dict[str, Any]:
    """{"suite1", "suite2", "eciespy", "age"}: medians of `repeats` calls; None for a peer that is not installed."""
    import secrets

    found = {"suite1": _suite(1), "suite2": _suite(2)}
    peers = {"eciespy": _eciespy(), "age": _age()}
    found |= {name: peer for name, peer in peers.items() if peer is not None}
    for number in range(-_WARM_UP, repeats):
        if number % 50 == 0:
            say("sealing and opening envelopes", max(0, number))
        secret = secrets.token_bytes(32)
        for one in found.values():
            one.once(secret, number >= 0)
    results: dict[str, Any] = {name: one.result() for name, one in found.items()}
    base = results["suite1"]
    for result in results.values():
        result["seal_ratio"] = round(result["seal_us"] / base["seal_us"], 3)
        result["open_ratio"] = round(result["open_us"] / base["open_us"], 3)
    return {**dict.fromkeys(peers), **results, "repeats": repeats, "machine": machine.describe()}


def _suite(suite: int) -> _Contestant:
    from ffem_chain.keys.suites import PrivateKey, open_envelope, seal

    private = PrivateKey.generate(suite)
    return _Contestant(
        lambda secret: seal(suite, private.public, secret, _CONTEXT),
        lambda sealed: open_envelope(private, sealed, _CONTEXT).to_secret_bytes(),
    )


def _eciespy() -> _Contestant | None:
    """eciespy with its defaults: secp256k1, AES-256-GCM, uncompressed points, no context."""
    try:
        from ecies import decrypt, encrypt
        from ecies.keys import PrivateKey
    except ModuleNotFoundError:
        return None
    private = PrivateKey("secp256k1")
    secret, public = private.secret, private.public_key.to_bytes(True)
    return _Contestant(lambda plain: bytes(encrypt(public, plain)), lambda sealed: bytes(decrypt(secret, sealed)))


def _age() -> _Contestant | None:
    """age through pyrage: X25519, ChaCha20-Poly1305; a format for files, with a header of text and a random stanza, so
    lengths differ from call to call."""
    try:
        import pyrage
    except ModuleNotFoundError:
        return None
    identity = pyrage.x25519.Identity.generate()
    public = identity.to_public()
    return _Contestant(
        lambda plain: bytes(pyrage.encrypt(plain, [public])), lambda sealed: bytes(pyrage.decrypt(sealed, [identity]))
    )
