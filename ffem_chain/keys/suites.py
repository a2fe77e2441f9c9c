"""Envelopes: a secret sealed to a public key in a context. First byte the suite.

1  secp256k1: HPKE base mode with DHKEM(secp256k1), AES-256-GCM; 82 bytes for 32.
2  X-Wing: HPKE with ML-KEM-768 + X25519 (draft-connolly-cfrg-xwing-kem), AES-256-GCM; 1,169 bytes for 32.
"""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from ffem_chain.errors import FormatError, NotForMe, Tampered
from ffem_chain.keys import hpke_secp256k1
from ffem_chain.keys.secret import Secret

SECP256K1 = 1
XWING = 2
SUITE_NAMES = {SECP256K1: "secp256k1", XWING: "X-Wing (post-quantum)"}
PUBLIC_LENGTH = {SECP256K1: 33, XWING: 1216}
ENVELOPE_OVERHEAD = {SECP256K1: 1 + 33 + 16, XWING: 1 + 1120 + 16}
_MLKEM_PUBLIC = 1184
_XWING_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def check_suite(suite: int) -> int:
    """`suite`, or FormatError where this version does not know it."""
    if suite not in PUBLIC_LENGTH:
        raise FormatError(f"unknown suite {suite}", "a newer version of ffem-chain may know it")
    return suite


class PrivateKey:
    """Private key of a suite, held as the 32 bytes it is stored by."""

    __slots__ = ("_secret", "public", "suite")

    def __init__(self, suite: int, secret: Secret) -> None:
        self.suite = check_suite(suite)
        if len(secret) != 32:
            raise FormatError("a private key has 32 bytes")
        self._secret = secret
        if suite == SECP256K1:
            self.public = hpke_secp256k1.compressed(self._curve_key().public_key())
        else:
            kem, curve = self._hybrid_parts()
            self.public = kem.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, suite: int) -> PrivateKey:
        """A fresh key from the system's generator."""
        while True:
            try:
                return cls(suite, Secret.random(32))
            except FormatError:
                # 32 random bytes are no scalar of secp256k1 with probability 2^-128
                check_suite(suite)

    @classmethod
    def from_secret_bytes(cls, suite: int, data: bytes) -> PrivateKey:
        return cls(suite, Secret(data))

    def to_secret_bytes(self) -> bytes:
        """The 32 bytes to store: the scalar (suite 1) or the X-Wing seed (suite 2)."""
        return self._secret.to_secret_bytes()

    def __repr__(self) -> str:
        return f"PrivateKey(suite={self.suite})"

    def _curve_key(self) -> ec.EllipticCurvePrivateKey:
        try:
            scalar = int.from_bytes(self._secret.to_secret_bytes(), "big")
            return ec.derive_private_key(scalar, hpke_secp256k1.CURVE)
        except ValueError:
            raise FormatError("not a private key of secp256k1") from None

    def _hybrid_parts(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        """X-Wing's expandDecapsulationKey: SHAKE256(seed, 96) = ML-KEM seed (64) ‖ X25519 scalar (32)."""
        expanded = hashlib.shake_256(self._secret.to_secret_bytes()).digest(96)
        return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])

    def decrypt(self, sealed: bytes, info: bytes) -> bytes:
        """Opens what follows the suite byte. ValueError or InvalidTag where it cannot."""
        if self.suite == SECP256K1:
            return hpke_secp256k1.open_sealed(self._curve_key(), sealed, info)
        return _XWING_SUITE.decrypt(sealed, hpke.MLKEM768X25519PrivateKey(*self._hybrid_parts()), info=info)


def check_public(suite: int, public: bytes) -> bytes:
    """`public`, or FormatError where it is not a public key of the suite."""
    check_suite(suite)
    if len(public) != PUBLIC_LENGTH[suite]:
        raise FormatError(f"a public key of suite {suite} has {PUBLIC_LENGTH[suite]} bytes, not {len(public)}")
    try:
        if suite == SECP256K1:
            hpke_secp256k1.load_point(public)
        else:
            _hybrid_public(public)
    except ValueError:
        raise FormatError(f"not a public key of suite {suite}") from None
    return public


def _hybrid_public(public: bytes) -> hpke.MLKEM768X25519PublicKey:
    curve = X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC:])
    # points of low order, which sealing would fail on, give no shared secret with any key: ValueError
    X25519PrivateKey.generate().exchange(curve)
    return hpke.MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC]), curve)


def seal(suite: int, public: bytes, plaintext: Secret | bytes, info: bytes) -> bytes:
    """Seals to a public key; `info` is the context that opening must repeat. FormatError for a bad key."""
    check_public(suite, public)
    data = plaintext.to_secret_bytes() if isinstance(plaintext, Secret) else plaintext
    if suite == SECP256K1:
        return bytes([suite]) + hpke_secp256k1.seal(hpke_secp256k1.load_point(public), data, info)
    return bytes([suite]) + _XWING_SUITE.encrypt(data, _hybrid_public(public), info=info)


def open_envelope(private: PrivateKey, envelope: bytes, info: bytes) -> Secret:
    """Opens an envelope. NotForMe for another suite, FormatError for bad bytes, Tampered where the tag fails.

    A failing tag also means another key or another context; whoever knows for which key and context the envelope
    should be checks that first (a grant names both).
    """
    if not envelope or len(envelope) < ENVELOPE_OVERHEAD[check_suite(envelope[0])]:
        raise FormatError("the envelope is truncated")
    if envelope[0] != private.suite:
        raise NotForMe(f"the envelope is of suite {envelope[0]}, the key of suite {private.suite}")
    try:
        return Secret(private.decrypt(envelope[1:], info))
    except ValueError:
        raise FormatError("the envelope holds no valid point") from None
    except InvalidTag:
        raise Tampered(
            "the envelope does not open: it was changed, moved to another place, or sealed to another key",
            "fetch it again; if it still fails, ask the owner for a new grant",
        ) from None
