"""Z_enc as integers of a fixed width."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ffem_chain.faces.flow import quantise

N = 3 * 64 * 64
BITS = st.sampled_from(quantise.BITS)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, 24, elements=st.floats(-5, 5, width=32)), BITS)
def test_round_trip_is_within_half_a_bin(z: np.ndarray, bits: int) -> None:
    error = np.abs(quantise.unpack(quantise.pack(z, bits), 24, bits) - z)
    assert error.max() <= 5 / 2**bits + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.data(), BITS)
def test_packing_keeps_every_integer(data: st.DataObject, bits: int) -> None:
    q = data.draw(arrays(np.uint16, 16, elements=st.integers(0, 2**bits - 1)))
    packed = quantise.pack(quantise.dequantise(q, bits), bits)
    assert len(packed) == 16 * bits // 8
    assert quantise.unpack_integers(packed, 16, bits).tolist() == q.tolist()


@pytest.mark.parametrize(
    ("bits", "packed"),
    [(8, "0080ff7f"), (10, "00200ffdff"), (12, "000800fff7ff")],
)
def test_vectors(bits: int, packed: str) -> None:
    """The lowest, the first at or above 0, the highest, the last below 0; most significant bits first."""
    z = np.array([-9.0, 0.0, 9.0, -1e-6])
    assert quantise.pack(z, bits).hex() == packed


@pytest.mark.parametrize("bits", quantise.BITS)
def test_length_never_depends_on_the_face(bits: int) -> None:
    rng = np.random.default_rng(0)
    lengths = {len(quantise.pack(s * rng.standard_normal(N), bits)) for s in (0, 1e-3, 1, 100)}
    assert lengths == {N * bits // 8}


@pytest.mark.parametrize(("bits", "least"), [(8, 38), (10, 50), (12, 62)])
def test_signal_to_noise_of_a_gaussian(bits: int, least: float) -> None:
    z = np.clip(np.random.default_rng(1).standard_normal(N), -4.9, 4.9)
    error = quantise.unpack(quantise.pack(z, bits), N, bits) - z
    assert 10 * np.log10(z.var() / error.var()) > least


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot pack"):
        quantise.pack(np.zeros(8), 9)
    with pytest.raises(ValueError, match="cannot pack"):
        quantise.pack(np.zeros(3), 10)
    with pytest.raises(ValueError, match="take 10 bytes"):
        quantise.unpack(bytes(9), 8, 10)
