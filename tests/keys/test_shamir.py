"""Any threshold of shares gives the secret; fewer give nothing; wrong ones give another secret."""

from __future__ import annotations

import itertools

import pytest

from ffem_chain.keys import shamir
from ffem_chain.keys.secret import Secret

KINDS = [(t, n) for n in range(1, shamir.MAX_SHARES + 1) for t in range(1, n + 1)]


@pytest.mark.parametrize(("threshold", "count"), KINDS)
def test_all_subsets(threshold: int, count: int) -> None:
    secret = Secret.random()
    shares = dict(enumerate(shamir.split(secret, threshold, count)))
    assert all(len(share) == 32 for share in shares.values())
    for some in itertools.combinations(shares, threshold):
        assert shamir.combine({i: shares[i] for i in some}, threshold) == secret
    assert shamir.combine(shares, threshold) == secret  # more than needed
    if threshold > 1:
        fewer = dict(list(shares.items())[: threshold - 1])
        with pytest.raises(ValueError, match="are needed"):
            shamir.combine(fewer, threshold)
        assert shamir.combine(fewer, threshold - 1) != secret


def test_fewer_shares_fit_every_secret() -> None:
    """With one share of a 2-of-2, each candidate for the other gives a different secret: nothing is ruled out."""
    shares = shamir.split(Secret(bytes(32)), 2, 2)
    guesses = [Secret(bytes([guess]) * 32) for guess in range(64)]
    found = {shamir.combine({0: shares[0], 1: guess}, 2).to_secret_bytes() for guess in guesses}
    assert len(found) == len(guesses)


def test_two_splits_share_nothing() -> None:
    first, second = (shamir.split(Secret(bytes(32)), 2, 3) for _ in range(2))
    assert not {s.to_secret_bytes() for s in first} & {s.to_secret_bytes() for s in second}
    halves = [s.to_secret_bytes()[half] for s in first for half in (slice(16), slice(16, 32))]
    assert len(set(halves)) == 6  # the two halves have polynomials of their own


def test_wrong_or_swapped_shares_give_another_secret() -> None:
    secret = Secret.random()
    shares = shamir.split(secret, 2, 3)
    assert shamir.combine({0: shares[1], 1: shares[0]}, 2) != secret
    assert shamir.combine({0: shares[0], 1: Secret.random()}, 2) != secret


@pytest.mark.parametrize(("threshold", "count"), [(0, 1), (2, 1), (1, 9), (9, 9), (0, 0), (-1, 2)])
def test_impossible_thresholds(threshold: int, count: int) -> None:
    with pytest.raises(ValueError, match="cannot split"):
        shamir.split(Secret.random(), threshold, count)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_other_lengths(length: int) -> None:
    with pytest.raises(ValueError):
        shamir.split(Secret(bytes(length)), 1, 1)
    with pytest.raises(ValueError):
        shamir.combine({0: Secret(bytes(length))}, 1)
