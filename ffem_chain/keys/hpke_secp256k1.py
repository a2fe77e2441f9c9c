"""HPKE base mode (RFC 9180) with DHKEM(secp256k1, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM, for one message.

The KEM is the one registered as 0x0016, whose `kem_context` holds uncompressed points; on the wire the encapsulated
point is compressed (33 bytes) and nothing else is accepted. `cryptography` has HPKE but not for this curve.
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CURVE = ec.SECP256K1()
ENC_LENGTH = 33
TAG_LENGTH = 16
_KEM = b"KEM\x00\x16"
_SUITE = b"HPKE\x00\x16\x00\x01\x00\x02"


def compressed(key: ec.EllipticCurvePublicKey) -> bytes:
    """The 33-byte form of a point."""
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def load_point(data: bytes) -> ec.EllipticCurvePublicKey:
    """A point from its 33-byte form. ValueError for any other form and for points off the curve."""
    if len(data) != ENC_LENGTH or data[0] not in (2, 3):
        raise ValueError("not a compressed point")
    return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, data)


def _uncompressed(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.digest(salt, b"HPKE-v1" + suite + label + material, "sha256")


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return HKDFExpand(SHA256(), length, labelled).derive(key)


def _key_and_nonce(
    shared_x: bytes, sender: ec.EllipticCurvePublicKey, recipient: ec.EllipticCurvePublicKey, info: bytes
) -> tuple[bytes, bytes]:
    """DHKEM's ExtractAndExpand (4.1) and KeySchedule of base mode (5.1)."""
    context = _uncompressed(sender) + _uncompressed(recipient)
    shared = _expand(_KEM, _extract(_KEM, b"", b"eae_prk", shared_x), b"shared_secret", context, 32)
    psk_id_hash = _extract(_SUITE, b"", b"psk_id_hash", b"")
    schedule = b"\x00" + psk_id_hash + _extract(_SUITE, b"", b"info_hash", info)
    secret = _extract(_SUITE, shared, b"secret", b"")
    return _expand(_SUITE, secret, b"key", schedule, 32), _expand(_SUITE, secret, b"base_nonce", schedule, 12)


def seal(recipient: ec.EllipticCurvePublicKey, plaintext: bytes, info: bytes) -> bytes:
    """enc (33) ‖ ciphertext and tag."""
    ephemeral = ec.generate_private_key(CURVE)
    shared = ephemeral.exchange(ec.ECDH(), recipient)
    key, nonce = _key_and_nonce(shared, ephemeral.public_key(), recipient, info)
    return compressed(ephemeral.public_key()) + AESGCM(key).encrypt(nonce, plaintext, None)


def open_sealed(private: ec.EllipticCurvePrivateKey, sealed: bytes, info: bytes) -> bytes:
    """Inverse of `seal`. ValueError for a bad point or length, InvalidTag where authentication fails."""
    if len(sealed) < ENC_LENGTH + TAG_LENGTH:
        raise ValueError("too short")
    sender = load_point(sealed[:ENC_LENGTH])
    shared = private.exchange(ec.ECDH(), sender)
    key, nonce = _key_and_nonce(shared, sender, private.public_key(), info)
    return AESGCM(key).decrypt(nonce, sealed[ENC_LENGTH:], None)


__all__ = [
    "CURVE",
    "ENC_LENGTH",
    "TAG_LENGTH",
    "InvalidTag",
    "compressed",
    "load_point",
    "open_sealed",
    "seal",
]
