"""Envelopes of both suites: what opens, what does not, and what every kind of damage is called."""

from __future__ import annotations

import pytest
from coincurve import PublicKey as CurvePublic

from ffem_chain.errors import FormatError, NotForMe, Tampered
from ffem_chain.keys import suites
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import SECP256K1, XWING, PrivateKey, check_public, open_envelope, seal

INFO = b"context of this test"
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
both = pytest.mark.parametrize("suite", [SECP256K1, XWING])
# points of X25519 whose product with every private key is zero
LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@both
def test_what_is_sealed_opens_and_is_never_the_same_twice(suite: int) -> None:
    private, secret = PrivateKey.generate(suite), Secret.random()
    first, second = (seal(suite, private.public, secret, INFO) for _ in range(2))
    assert first != second
    assert len(first) == len(second) == suites.ENVELOPE_OVERHEAD[suite] + 32
    assert open_envelope(private, first, INFO) == open_envelope(private, second, INFO) == secret


def test_lengths_are_those_of_the_document() -> None:
    assert len(seal(SECP256K1, PrivateKey.generate(SECP256K1).public, bytes(32), b"")) == 82
    assert len(seal(XWING, PrivateKey.generate(XWING).public, bytes(32), b"")) == 1169
    assert len(PrivateKey.generate(XWING).public) == 1216


@both
def test_private_keys_are_stored_and_read_again(suite: int) -> None:
    private = PrivateKey.generate(suite)
    again = PrivateKey.from_secret_bytes(suite, private.to_secret_bytes())
    assert again.public == private.public
    assert open_envelope(again, seal(suite, private.public, b"x" * 32, INFO), INFO) == Secret(b"x" * 32)


@both
def test_another_key_or_context_is_tampered(suite: int) -> None:
    private = PrivateKey.generate(suite)
    sealed = seal(suite, private.public, bytes(32), INFO)
    for key, info in (
        (PrivateKey.generate(suite), INFO),
        (private, INFO + b"\x00"),
        (private, INFO[:-1]),
        (private, b""),
    ):
        with pytest.raises(Tampered):
            open_envelope(key, sealed, info)


def test_a_flipped_bit_anywhere_in_suite_1() -> None:
    private = PrivateKey.generate(SECP256K1)
    sealed = seal(SECP256K1, private.public, bytes(32), INFO)
    for position in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises((Tampered, FormatError)) as caught:
            open_envelope(private, bytes(changed), INFO)
        if position >= 8 * 34:
            assert caught.type is Tampered


def test_a_flipped_bit_in_every_byte_of_suite_2() -> None:
    private = PrivateKey.generate(XWING)
    sealed = seal(XWING, private.public, bytes(32), INFO)
    for position in range(1, len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << position % 8
        # the top bit of an X25519 point is ignored by its definition, and bound by X-Wing's combiner all the same
        with pytest.raises(Tampered):
            open_envelope(private, bytes(changed), INFO)


@both
def test_truncated_at_every_length(suite: int) -> None:
    private = PrivateKey.generate(suite)
    sealed = seal(suite, private.public, bytes(32), INFO)
    for length in range(len(sealed)):
        with pytest.raises((FormatError, Tampered)):
            open_envelope(private, sealed[:length], INFO)
    with pytest.raises(Tampered):
        open_envelope(private, sealed + b"\x00", INFO)


def test_suites_do_not_mix() -> None:
    curve, hybrid = PrivateKey.generate(SECP256K1), PrivateKey.generate(XWING)
    with pytest.raises(NotForMe):
        open_envelope(hybrid, seal(SECP256K1, curve.public, bytes(32), INFO), INFO)
    with pytest.raises(NotForMe):
        open_envelope(curve, seal(XWING, hybrid.public, bytes(32), INFO), INFO)
    with pytest.raises(FormatError):
        seal(XWING, curve.public, bytes(32), INFO)
    with pytest.raises(FormatError):
        seal(SECP256K1, hybrid.public, bytes(32), INFO)


@pytest.mark.parametrize("suite", [0, 3, 255])
def test_unknown_suites(suite: int) -> None:
    sealed = seal(SECP256K1, PrivateKey.generate(SECP256K1).public, bytes(32), INFO)
    with pytest.raises(FormatError, match="unknown suite"):
        open_envelope(PrivateKey.generate(SECP256K1), bytes([suite]) + sealed[1:], INFO)
    for call in (
        lambda: PrivateKey.generate(suite),
        lambda: check_public(suite, bytes(33)),
        lambda: seal(suite, b"", b"", b""),
    ):
        with pytest.raises(FormatError, match="unknown suite"):
            call()


def _off_curve() -> bytes:
    """A compressed point whose x is on no point, found by libsecp256k1."""
    for x in range(1, 100):
        point = b"\x02" + x.to_bytes(32, "big")
        try:
            CurvePublic(point)
        except ValueError:
            return point
    raise AssertionError


@pytest.mark.parametrize(
    "point",
    [
        b"",
        bytes(33),  # the point at infinity, padded
        b"\x00",  # the point at infinity
        b"\x02" + b"\xff" * 32,  # x above the field
        b"\x02" + bytes(32),
        _off_curve(),
        b"\x04" + bytes(32),
        b"\x05" + (2).to_bytes(32, "big"),
        CurvePublic.from_secret(b"\x01" * 32).format(compressed=False),
        b"\x06" + CurvePublic.from_secret(b"\x01" * 32).format(compressed=False)[1:],
        CurvePublic.from_secret(b"\x01" * 32).format() + b"\x00",
    ],
)
def test_invalid_points_of_suite_1(point: bytes) -> None:
    with pytest.raises(FormatError):
        check_public(SECP256K1, point)
    with pytest.raises(FormatError):
        seal(SECP256K1, point, bytes(32), INFO)
    if len(point) == 33:
        with pytest.raises(FormatError):
            open_envelope(PrivateKey.generate(SECP256K1), b"\x01" + point + bytes(48), INFO)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_points_of_low_order_in_suite_2(point: str) -> None:
    """A request key made so that sealing to it fails is refused when it is checked, not when a keeper seals."""
    public = PrivateKey.generate(XWING).public[:1184] + bytes.fromhex(point)
    with pytest.raises(FormatError):
        check_public(XWING, public)
    with pytest.raises(FormatError):
        seal(XWING, public, bytes(32), INFO)
    private = PrivateKey.generate(XWING)
    sealed = bytearray(seal(XWING, private.public, bytes(32), INFO))
    sealed[1 + 1088 : 1 + 1120] = bytes.fromhex(point)
    with pytest.raises((Tampered, FormatError)):
        open_envelope(private, bytes(sealed), INFO)


def test_an_ml_kem_key_out_of_range_is_refused() -> None:
    """Coefficients above q fail FIPS 203's check of the modulus."""
    with pytest.raises(FormatError):
        check_public(XWING, b"\xff" * 1184 + PrivateKey.generate(XWING).public[1184:])


@pytest.mark.parametrize("scalar", [0, ORDER, ORDER + 1, (1 << 256) - 1])
def test_scalars_out_of_range(scalar: int) -> None:
    with pytest.raises(FormatError):
        PrivateKey.from_secret_bytes(SECP256K1, scalar.to_bytes(32, "big"))


@both
def test_private_keys_of_another_length(suite: int) -> None:
    for length in (0, 31, 33, 64):
        with pytest.raises(FormatError):
            PrivateKey.from_secret_bytes(suite, b"\x01" * length)


def test_a_private_key_that_is_none_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        PrivateKey.from_secret_bytes(SECP256K1, ORDER.to_bytes(32, "big"))
    except FormatError as error:
        assert f"{ORDER:x}" not in repr(error)
        assert error.__suppress_context__
