"""Keyed rotations: orthogonal, exactly undone, the same on every machine, and what they hide or leave."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from Crypto.Cipher import ChaCha20

from ffem_chain.faces.flow import rotation
from ffem_chain.faces.flow.rotation import hadamard_block, rotate, unrotate, walsh_hadamard
from ffem_chain.keys.secret import Secret

KEY, OTHER = Secret(bytes(range(32))), Secret(bytes(range(1, 33)))
N64, N128 = 3 * 64 * 64, 3 * 128 * 128


def latent(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n)


def gram(z: np.ndarray) -> np.ndarray:
    m = int((z.size // 3) ** 0.5)
    rows = z.reshape(m, 3 * m)
    return rows.T @ rows


def digest(values: np.ndarray, kind: str) -> str:
    return hashlib.sha256(values.astype(kind).tobytes()).hexdigest()[:32]


def test_walsh_hadamard_is_the_orthogonal_matrix() -> None:
    h2 = np.array([[1.0, 1.0], [1.0, -1.0]])
    matrix = np.kron(np.kron(h2, h2), h2) / np.sqrt(8)
    z = latent(16)
    expected = np.concatenate([matrix @ z[:8], matrix @ z[8:]])
    np.testing.assert_allclose(walsh_hadamard(z, 8), expected, atol=1e-12)
    np.testing.assert_allclose(walsh_hadamard(walsh_hadamard(z, 8), 8), z, atol=1e-12)


def test_walsh_hadamard_has_the_bits_of_butterflies_in_place() -> None:
    """Captures of all versions and machines meet: another order of additions would be another Z_enc."""
    expected = latent(N64).reshape(-1, 4096)
    h = 1
    while h < 4096:
        pairs = expected.reshape(len(expected), -1, 2, h)
        low, high = pairs[:, :, 0].copy(), pairs[:, :, 1].copy()
        pairs[:, :, 0], pairs[:, :, 1] = low + high, low - high
        h *= 2
    expected *= 1 / 64
    z = latent(N64)
    assert walsh_hadamard(z, 4096).tobytes() == expected.tobytes()
    np.testing.assert_array_equal(z, latent(N64))


@pytest.mark.parametrize("kept", [0, 0xFF, 0xF << 30, 0x3 << 62, 0xFFFF << 40, 2**64 - 1])
def test_the_order_is_the_stable_one_whatever_bits_words_share(kept: int) -> None:
    """Words that agree in the upper half, that are equal, or that differ everywhere."""
    words = np.random.default_rng(1).integers(0, 2**64, 3000, dtype=np.uint64) & np.uint64(kept)
    assert rotation.stable_order(words).tolist() == sorted(range(3000), key=words.tolist().__getitem__)


def test_blocks() -> None:
    assert hadamard_block(N64) == 4096
    assert hadamard_block(N128) == 1 << 14
    assert hadamard_block(3 * 1024 * 1024) == 1 << 14


@pytest.mark.parametrize(
    ("n", "signs", "orders"),
    [
        (N64, "9d49337ab396ce42c67d7d04b5372a2d", "4a250fa8cb4ca3b0175674be31e9745d"),
        (N128, "224127c73ca8524d9d6a65e2ae161e1a", "ac9df666cb5595322051eb23f0b39ed1"),
    ],
)
def test_permutations_and_signs_are_known(n: int, signs: str, orders: str) -> None:
    parts = list(rotation._sphere_parts(KEY, n))
    assert digest(np.concatenate([sign for sign, _ in parts]), "<i1") == signs
    assert digest(np.concatenate([order for _, order in parts]), "<u4") == orders


def test_permutations_follow_from_chacha20_of_another_library() -> None:
    stream = ChaCha20.new(key=KEY.to_secret_bytes(), nonce=bytes(12))
    for signs, order in rotation._sphere_parts(KEY, N64):
        bits = np.frombuffer(stream.encrypt(bytes(N64 // 8)), np.uint8)
        expected = [1 - 2 * (int(bits[i // 8]) >> (i % 8) & 1) for i in range(N64)]
        assert signs.tolist() == expected
        words = np.frombuffer(stream.encrypt(bytes(8 * N64)), "<u8").tolist()
        assert order.tolist() == sorted(range(N64), key=words.__getitem__)


def test_four_rounds() -> None:
    assert rotation.ROUNDS == 4
    parts = list(rotation._sphere_parts(KEY, N64))
    assert len(parts) == 4
    assert len({digest(order, "<u4") for _, order in parts}) == 4


@pytest.mark.parametrize("n", [N64, N128])
@pytest.mark.parametrize("name", ["sphere", "block"])
def test_exact_inverse_and_norm(name: str, n: int) -> None:
    z = 1.3 * latent(n)
    out, radius = rotate(z, KEY, name)
    assert radius == pytest.approx(np.linalg.norm(z))
    assert np.linalg.norm(out) == pytest.approx(np.sqrt(n) if name == "sphere" else radius)
    np.testing.assert_allclose(unrotate(out, KEY, radius, name), z, atol=1e-9)


@pytest.mark.parametrize("name", ["sphere", "block"])
def test_orthogonal(name: str) -> None:
    """Inner products of latents on the sphere are kept, so the map is linear there and orthogonal."""
    a, b = (z / np.linalg.norm(z) * np.sqrt(N64) for z in (latent(N64, 1), latent(N64, 2)))
    ra, rb = rotate(a, KEY, name)[0], rotate(b, KEY, name)[0]
    assert ra @ rb == pytest.approx(a @ b)
    assert rotate((a + b) / np.linalg.norm(a + b), KEY, name)[0] == pytest.approx(
        (ra + rb) / (np.linalg.norm(a + b) if name == "block" else np.linalg.norm(a + b) / np.sqrt(N64)), abs=1e-9
    )


@pytest.mark.parametrize("name", ["sphere", "block"])
def test_a_wrong_key_gives_noise(name: str) -> None:
    z = latent(N64)
    out, radius = rotate(z, KEY, name)
    wrong = unrotate(out, OTHER, radius, name)
    assert abs(np.corrcoef(wrong, z)[0, 1]) < 0.05
    assert abs(np.corrcoef(out, z)[0, 1]) < 0.05


def test_a_wrong_key_of_one_bit_gives_noise_as_well() -> None:
    z = latent(N64)
    out, radius = rotate(z, KEY)
    near = Secret(bytes([KEY.to_secret_bytes()[0] ^ 1]) + KEY.to_secret_bytes()[1:])
    assert abs(np.corrcoef(unrotate(out, near, radius), z)[0, 1]) < 0.05


def test_block_leaves_the_gram_matrix_and_sphere_does_not() -> None:
    z = latent(N64)
    np.testing.assert_allclose(gram(rotate(z, KEY, "block")[0]), gram(z), atol=1e-9)
    hidden = gram(rotate(z, KEY, "sphere")[0])
    off = ~np.eye(len(hidden), dtype=bool)
    assert abs(np.corrcoef(hidden[off], gram(z)[off])[0, 1]) < 0.05


def test_sphere_spreads_a_latent_of_one_coordinate_over_all() -> None:
    spike = np.zeros(N64)
    spike[17] = 1
    out, radius = rotate(spike, KEY)
    assert radius == 1
    assert np.abs(out).max() < 6
    assert np.mean(np.abs(out) < 1) == pytest.approx(0.68, abs=0.05)  # as of a Gaussian


def test_every_length_of_latent_looks_alike() -> None:
    """The radius goes: latents of any length give the same Z_enc."""
    z = latent(N64)
    np.testing.assert_allclose(rotate(z, KEY)[0], rotate(7 * z, KEY)[0], atol=1e-9)


def test_block_matrix_is_orthogonal_and_depends_on_the_key() -> None:
    q = rotation._haar(KEY, 64)
    np.testing.assert_allclose(q @ q.T, np.eye(64), atol=1e-12)
    assert np.abs(q - rotation._haar(OTHER, 64)).max() > 0.1


@pytest.mark.parametrize("bad", [np.zeros(N64), np.full(N64, np.nan), np.full(N64, np.inf)])
def test_latents_without_direction_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="direction"):
        rotate(bad, KEY)


def test_unknown_rotations_and_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown rotation"):
        rotate(latent(N64), KEY, "none")
    with pytest.raises(ValueError, match="unknown rotation"):
        unrotate(latent(N64), KEY, 1.0, "none")
    with pytest.raises(ValueError, match="3 x m x m"):
        rotate(latent(100), KEY, "block")
