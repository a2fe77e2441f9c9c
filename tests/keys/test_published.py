"""Both suites against answers that others published, and suite 1 against a second implementation on libsecp256k1."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from coincurve import PrivateKey as CurvePrivate
from coincurve import PublicKey as CurvePublic
from Crypto.Protocol.SecretSharing import _Element  # the field, to check shares against the definition
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ffem_chain.errors import Tampered
from ffem_chain.keys import hpke_secp256k1, shamir, suites
from ffem_chain.keys.secret import Secret

PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors" / "published.json").read_text())
SECP = {name: bytes.fromhex(value) for name, value in PUBLISHED["secp256k1"].items() if name != "source"}
XWING = {name: bytes.fromhex(value) for name, value in PUBLISHED["xwing"].items() if name != "source"}


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return hmac.new(salt or bytes(32), b"HPKE-v1" + suite + label + material, hashlib.sha256).digest()


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869's expand of one block, which is all that 32 bytes need."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.new(key, labelled + b"\x01", hashlib.sha256).digest()[:length]


def schedule(kem: int, shared: bytes, info: bytes) -> tuple[bytes, bytes]:
    """Key and nonce of RFC 9180, 5.1, base mode, HKDF-SHA256, AES-256-GCM; written from the RFC for this test."""
    suite = b"HPKE" + kem.to_bytes(2, "big") + bytes.fromhex("00010002")
    context = b"\x00" + _extract(suite, b"", b"psk_id_hash", b"") + _extract(suite, b"", b"info_hash", info)
    secret = _extract(suite, shared, b"secret", b"")
    return _expand(suite, secret, b"key", context, 32), _expand(suite, secret, b"base_nonce", context, 12)


def dhkem(point: CurvePublic, private: CurvePrivate, sender: CurvePublic, recipient: CurvePublic) -> bytes:
    """DHKEM(secp256k1, HKDF-SHA256) by libsecp256k1: the x coordinate of the shared point and both keys."""
    shared_x = point.multiply(private.secret).format(compressed=False)[1:33]
    suite, context = b"KEM\x00\x16", sender.format(compressed=False) + recipient.format(compressed=False)
    return _expand(suite, _extract(suite, b"", b"eae_prk", shared_x), b"shared_secret", context, 32)


def test_draft_wahby_key_schedule() -> None:
    """The published shared secret, key and nonce, by the second implementation and by ours."""
    recipient, ephemeral = CurvePrivate(SECP["skRm"]), CurvePrivate(SECP["skEm"])
    assert recipient.public_key.format(compressed=False) == SECP["pkRm"]
    assert ephemeral.public_key.format(compressed=False) == SECP["pkEm"]
    shared = dhkem(recipient.public_key, ephemeral, ephemeral.public_key, recipient.public_key)
    assert shared == SECP["shared_secret"]
    assert schedule(0x16, shared, SECP["info"]) == (SECP["key"], SECP["base_nonce"])
    ours = ec.derive_private_key(int.from_bytes(SECP["skRm"], "big"), hpke_secp256k1.CURVE)
    sender = ec.EllipticCurvePublicKey.from_encoded_point(hpke_secp256k1.CURVE, SECP["pkEm"])
    shared_x = ours.exchange(ec.ECDH(), sender)
    derived = hpke_secp256k1._key_and_nonce(shared_x, sender, ours.public_key(), SECP["info"])
    assert derived == (SECP["key"], SECP["base_nonce"])


def test_draft_wahby_envelope_opens() -> None:
    """What the published key seals is what suite 1 opens with the published private key."""
    enc = CurvePrivate(SECP["skEm"]).public_key.format()
    sealed = b"\x01" + enc + AESGCM(SECP["key"]).encrypt(SECP["base_nonce"], b"k" * 32, None)
    private = suites.PrivateKey.from_secret_bytes(1, SECP["skRm"])
    assert suites.open_envelope(private, sealed, SECP["info"]) == Secret(b"k" * 32)


def test_xwing_published_kem() -> None:
    """Private key, public key, encapsulation and shared secret as published; the schedule is this test's own."""
    private = suites.PrivateKey.from_secret_bytes(2, XWING["skRm"])
    assert private.public == XWING["pkRm"]
    key, nonce = schedule(0x647A, XWING["shared_secret"], b"context")
    sealed = b"\x02" + XWING["enc"] + AESGCM(key).encrypt(nonce, b"k" * 32, None)
    assert suites.open_envelope(private, sealed, b"context") == Secret(b"k" * 32)
    with pytest.raises(Tampered):
        suites.open_envelope(private, sealed, b"another context")


@pytest.mark.parametrize("number", range(8))
def test_suite_1_against_libsecp256k1(number: int) -> None:
    """Each side opens what the other seals."""
    info, plain = bytes([number]) * number, bytes(range(32))
    private = suites.PrivateKey.generate(1)
    recipient = CurvePrivate(private.to_secret_bytes())
    assert private.public == recipient.public_key.format()

    sealed = suites.seal(1, private.public, plain, info)
    sender = CurvePublic(sealed[1:34])
    key, nonce = schedule(0x16, dhkem(sender, recipient, sender, recipient.public_key), info)
    assert AESGCM(key).decrypt(nonce, sealed[34:], None) == plain

    ephemeral = CurvePrivate()
    shared = dhkem(recipient.public_key, ephemeral, ephemeral.public_key, recipient.public_key)
    key, nonce = schedule(0x16, shared, info)
    envelope = b"\x01" + ephemeral.public_key.format() + AESGCM(key).encrypt(nonce, plain, None)
    assert suites.open_envelope(private, envelope, info) == Secret(plain)


def test_shares_lie_on_one_polynomial_at_their_index() -> None:
    """A 2-of-3 share is a point of a line in GF(2^128) at x = index + 1, for each half by itself."""
    shares = [share.to_secret_bytes() for share in shamir.split(Secret(bytes(range(32))), 2, 3)]
    for half in (slice(0, 16), slice(16, 32)):
        secret = _Element(bytes(range(32))[half])
        y = [_Element(share[half]) for share in shares]
        slope = y[0] + secret  # at x = 1; plus is minus in this field
        for index in range(3):
            assert (slope * _Element(index + 1) + secret).encode() == y[index].encode()
