"""Wallets in the Web3 Secret Storage format: others read ours, ours reads theirs, hostile ones cost nothing."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from ffem_chain.errors import FormatError, InputError, NotForMe, Tampered
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.wallet import load_wallet, parse_keystore, save_wallet, wallet_address

from .support import ADDRESS, KEY, keystore, run

PASS = Secret(b"pass")
# The two test vectors of the Web3 Secret Storage definition; passphrase "testpassword".
STANDARD = [
    {
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
            "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
            "kdf": "pbkdf2",
            "kdfparams": {
                "c": 262144,
                "dklen": 32,
                "prf": "hmac-sha256",
                "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
            },
            "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    },
    {
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": "83dbcc02d8ccb40e466191a123791e0e"},
            "ciphertext": "d172bf743a674da9cdad04534d56926ef8358534d458fffccd4e6ad2fbde479c",
            "kdf": "scrypt",
            "kdfparams": {
                "dklen": 32,
                "n": 262144,
                "p": 8,
                "r": 1,
                "salt": "ab0c7876052600dd703518d6fc3fe8984592145b591fc8fb5c6d43190334ba19",
            },
            "mac": "2103ac29920d71da29f15d75b4a16dbe95cfd7ff8faea1056c33131d846e3097",
        },
        "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
        "version": 3,
    },
]
STANDARD_KEY = "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"


def written(folder: Path, content: Any) -> Path:
    path = folder / "wallet.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_ours_is_read_by_eth_account(tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    save_wallet(path, Account.from_key(KEY), Secret("pässword".encode()))
    assert bytes(Account.decrypt(json.loads(path.read_text()), "pässword")) == KEY
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert wallet_address(path) == ADDRESS
    assert load_wallet(path, Secret("pässword".encode())).key == KEY
    with pytest.raises(InputError, match="exists already"):
        save_wallet(path, Account.from_key(KEY), PASS)
    assert json.loads(path.read_text())["crypto"]["kdfparams"]["n"] >= 1 << 17


@pytest.mark.parametrize("kdf", ["scrypt", "pbkdf2"])
def test_eth_accounts_is_read_by_ours(tmp_path: Path, kdf: str) -> None:
    path = written(tmp_path, Account.encrypt(KEY, "pass", kdf=kdf, iterations=1024))
    assert load_wallet(path, PASS).address == wallet_address(path) == ADDRESS


@pytest.mark.parametrize("number", [0, 1])
def test_the_standards_vectors(tmp_path: Path, number: int) -> None:
    path = written(tmp_path, STANDARD[number])
    assert load_wallet(path, Secret(b"testpassword")).key.hex().removeprefix("0x") == STANDARD_KEY
    with pytest.raises(FormatError, match="names no address"):
        wallet_address(path)


def test_names_in_capitals_as_old_programs_wrote_them(tmp_path: Path) -> None:
    old = {("Crypto" if name == "crypto" else name): part for name, part in keystore().items()}
    assert load_wallet(written(tmp_path, old), PASS).address == ADDRESS


def test_wrong_passphrases(tmp_path: Path) -> None:
    path = written(tmp_path, keystore())
    for wrong in (b"", b"pas", b"pass "):
        with pytest.raises(NotForMe, match="passphrase"):
            load_wallet(path, Secret(wrong))
    with pytest.raises(InputError, match="UTF-8") as caught:
        load_wallet(path, Secret(b"\xffsecret"))
    assert "secret" not in repr(caught.value) and caught.value.__suppress_context__
    with pytest.raises(InputError, match="empty"):
        save_wallet(tmp_path / "new.json", Account.from_key(KEY), Secret(b""))


def test_an_address_that_is_not_the_keys(tmp_path: Path) -> None:
    path = written(tmp_path, {**keystore(), "address": "11" * 20})
    with pytest.raises(Tampered, match="not its key's"):
        load_wallet(path, PASS)
    for address in ("", "xyz", 5, None, ["11" * 20]):
        path = written(tmp_path, {**keystore(), "address": address})
        with pytest.raises(FormatError, match="names no address"):
            wallet_address(path)
        with pytest.raises(Tampered):
            load_wallet(path, PASS)


@pytest.mark.parametrize(
    "kdf",
    [
        {"n": 1 << 40},
        {"n": 1 << 23},
        {"n": 1 << 20},  # a gibibyte
        {"n": 1000},
        {"n": 1},
        {"n": 0},
        {"n": -2},
        {"n": 1024.0},
        {"n": "1024"},
        {"n": True},
        {"r": 1 << 40},
        {"r": 1 << 20},
        {"r": 0},
        {"p": 1 << 40},
        {"p": 1 << 22},
        {"p": 1 << 17},  # little memory, much time
        {"dklen": 1 << 40},
        {"dklen": 16},
        {"dklen": "32"},
        {"salt": "00" * 5000},
        {"salt": "zz"},
        {"salt": 5},
        {"N": 1 << 40},  # a second n, which a reader that lower-cases names would take
        {"DKLEN": 1 << 40},
    ],
)
@pytest.mark.timeout(60)  # what it would cost is hours
def test_hostile_scrypt_is_refused_before_it_costs(tmp_path: Path, kdf: dict[str, Any]) -> None:
    path = written(tmp_path, keystore(**kdf))
    with pytest.raises(FormatError):
        load_wallet(path, PASS)


@pytest.mark.parametrize(
    "kdf",
    [{"c": 10**12}, {"c": 0}, {"c": -1}, {"c": 1e6}, {"prf": "hmac-md5"}, {"dklen": 1 << 40}, {"C": 10**12}],
)
@pytest.mark.timeout(60)
def test_hostile_pbkdf2_is_refused_before_it_costs(tmp_path: Path, kdf: dict[str, Any]) -> None:
    made = Account.encrypt(KEY, "pass", kdf="pbkdf2", iterations=1024)
    made["crypto"]["kdfparams"].update(kdf)
    path = written(tmp_path, made)
    with pytest.raises(FormatError):
        load_wallet(path, PASS)


@pytest.mark.parametrize(
    "limits", [{"n": 1 << 18, "r": 8, "p": 1}, {"n": 1 << 17, "r": 8, "p": 1}, {"n": 1 << 18, "r": 1, "p": 8}]
)
def test_what_wallets_in_use_ask_for_is_allowed(limits: dict[str, int]) -> None:
    """Geth, ethers and MetaMask, and the standard's own example."""
    assert parse_keystore(json.dumps(keystore(**limits)).encode())["crypto"]["kdfparams"]["n"] == limits["n"]


def test_every_part_missing_or_of_another_kind(tmp_path: Path) -> None:
    good = keystore()
    for value in (None, [], {}, 5, "", "zz", "00"):
        for name in ("version", "crypto"):
            with pytest.raises(FormatError):
                load_wallet(written(tmp_path, {**good, name: value}), PASS)
        for name in good["crypto"]:
            with pytest.raises(FormatError):
                load_wallet(written(tmp_path, {**good, "crypto": {**good["crypto"], name: value}}), PASS)
    for name in good["crypto"]:
        crypto = {part: value for part, value in good["crypto"].items() if part != name}
        with pytest.raises(FormatError):
            load_wallet(written(tmp_path, {**good, "crypto": crypto}), PASS)


def test_a_flipped_bit_in_what_is_sealed(tmp_path: Path) -> None:
    """The format's check value cannot tell this from a wrong passphrase; the message says both."""
    good = keystore()
    for name in ("ciphertext", "mac"):
        text = good["crypto"][name]
        changed = ("0" if text[0] != "0" else "1") + text[1:]
        with pytest.raises(NotForMe) as caught:
            load_wallet(written(tmp_path, {**good, "crypto": {**good["crypto"], name: changed}}), PASS)
        assert "damaged" in caught.value.hint
    # the check value does not cover the IV: the address does
    changed = {**good["crypto"], "cipherparams": {"iv": "00" * 16}}
    with pytest.raises((Tampered, FormatError)):
        load_wallet(written(tmp_path, {**good, "crypto": changed}), PASS)


@given(st.one_of(st.binary(max_size=100), st.text(max_size=100).map(str.encode), st.just(b"[" * 100_000)))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_keystore(data)


@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_nesting_as_deep_as_a_file_may_be(tmp_path: Path, bracket: bytes) -> None:
    """eth-account lifts Python's limit, so this would end the process: it is run in one of its own."""
    path = tmp_path / "wallet.json"
    path.write_bytes(bracket * ((1 << 20) // len(bracket)))
    code = """
import sys
from pathlib import Path
from ffem_chain.errors import FormatError
from ffem_chain.keys.wallet import wallet_address
try:
    wallet_address(Path(sys.argv[1]))
except FormatError:
    print("refused")
"""
    done = run(code, path)
    assert (done.returncode, done.stdout.strip()) == (0, "refused")


def test_a_file_too_large(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too large"):
        wallet_address(written(tmp_path, " " * (1 << 20) + "{}"))
