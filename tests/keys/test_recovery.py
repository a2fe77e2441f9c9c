"""Recovery codes: what is typed, what opens, and what the committed vectors say."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from eth_account.hdaccount.mnemonic import Mnemonic
from hypothesis import given, settings
from hypothesis import strategies as st

from ffem_chain import errors
from ffem_chain.errors import FormatError, InputError
from ffem_chain.keys.recovery import RecoveryCode, open_private, recovery_info, seal_private
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import PrivateKey

from .test_vectors import changed, failures, load


def typed(text: str) -> RecoveryCode:
    return RecoveryCode.from_words(Secret(text.encode()))


def words(code: RecoveryCode) -> str:
    return code.words().to_secret_bytes().decode()


@settings(max_examples=25)
@given(st.binary(min_size=32, max_size=32))
def test_words_are_the_code(entropy: bytes) -> None:
    code = RecoveryCode(Secret(entropy))
    text = words(code)
    assert len(text.split()) == 24 and text.isascii()
    for form in (text, text.upper(), f"  {text.replace(' ', chr(10))}\n", " ".join(w[:4] for w in text.split())):
        assert typed(form).private(1).public == code.private(1).public


def test_codes_are_random_and_hide() -> None:
    one, other = RecoveryCode.new(), RecoveryCode.new()
    assert words(one) != words(other) and words(one) not in repr(one)
    assert one.private(1).public != one.private(2).public[:33]


def test_mistakes_are_named_by_their_place_and_never_repeated() -> None:
    text = words(RecoveryCode.new()).split()
    with pytest.raises(InputError, match="word 3, 7 of") as refusal:
        typed(" ".join("qqqq" if at in (2, 6) else word for at, word in enumerate(text)))
    assert "qqqq" not in refusal.value.message
    with pytest.raises(InputError, match="24 words, and these are 23"):
        typed(" ".join(text[:23]))
    with pytest.raises(InputError, match="not text"):
        RecoveryCode.from_words(Secret(b"\xff\xfe"))
    with pytest.raises(FormatError):
        RecoveryCode(Secret(b"short"))


def test_most_swaps_and_wrong_words_are_caught() -> None:
    """The checksum has 8 bits: of 2,000 wrong words about 8 pass, and more than 30 with probability below 1e-9."""
    text, book = words(RecoveryCode(Secret(bytes(range(32))))).split(), Mnemonic().wordlist
    passed = 0
    for number in range(2000):
        place, word = number % 24, book[number]
        if word == text[place]:
            continue
        try:
            typed(" ".join([*text[:place], word, *text[place + 1 :]]))
            passed += 1
        except InputError:
            pass
    assert passed <= 30


@pytest.mark.parametrize("suite", [1, 2])
def test_a_key_opens_with_its_code_in_its_place_only(suite: int) -> None:
    code, private = RecoveryCode.new(), PrivateKey.generate(suite)
    info = recovery_info(b"\x01" * 32, b"\x02" * 20, 7, suite)
    sealed = seal_private(private, code.publics()[suite], info)
    assert open_private(code, suite, sealed, info).public == private.public
    assert len(sealed) == {1: 82, 2: 1169}[suite]
    others = [
        recovery_info(b"\x03" * 32, b"\x02" * 20, 7, suite),
        recovery_info(b"\x01" * 32, b"\x03" * 20, 7, suite),
        recovery_info(b"\x01" * 32, b"\x02" * 20, 8, suite),
    ]
    for other in others:
        with pytest.raises(errors.Tampered):
            open_private(code, suite, sealed, other)
    with pytest.raises(errors.Tampered):
        open_private(RecoveryCode.new(), suite, sealed, info)
    for bad in (b"", sealed[:-1], sealed + b"\x00", secrets.token_bytes(len(sealed) - 5)):
        with pytest.raises(FormatError):
            open_private(code, suite, bad, info)
    with pytest.raises(ValueError, match="32 bytes"):
        recovery_info(b"", b"\x02" * 20, 7, suite)


def opened(case: dict[str, Any]) -> PrivateKey:
    raw = {name: bytes.fromhex(case[name]) for name in ("deployment", "wallet", "sealed")}
    info = recovery_info(raw["deployment"], raw["wallet"], case["version"], case["suite"])
    return open_private(typed(case["words"]), case["suite"], raw["sealed"], info)


@pytest.mark.parametrize("case", load("recovery")["cases"], ids=lambda case: f"suite {case['suite']}")
def test_good_vectors_open(case: dict[str, Any]) -> None:
    private = opened(case)
    assert private.to_secret_bytes().hex() == case["private"] and private.public.hex() == case["public"]
    code = typed(case["words"]).private(case["suite"])
    assert (code.to_secret_bytes().hex(), code.public.hex()) == (case["code_private"], case["code_public"])


@pytest.mark.parametrize(("case", "failure"), failures("recovery"))
def test_bad_vectors_fail_as_they_say(case: dict[str, Any], failure: dict[str, Any]) -> None:
    with pytest.raises(errors.FfemError) as refusal:
        opened(changed(case, failure["change"]))
    assert type(refusal.value).__name__ == failure["error"]
