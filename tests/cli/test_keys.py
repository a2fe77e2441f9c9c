"""`ffem key`: published, replaced, and declared compromised on a real chain."""

from __future__ import annotations

import pytest
import requests
from eth_account import Account

from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import KeyStatus
from ffem_devnet.anvil import Anvil
from tests.support.cli import Cli, make_wallet


def test_keys_of_both_suites_live_their_lives(ready: Cli, anvil: Anvil, registry: str) -> None:
    address = anvil.accounts[0].address
    assert ready.ok("key", "register", "--json").data["published"] is True
    before = ready.files()
    assert "active already" in ready.ok("key", "register").out
    assert ready.ok("key", "register", "--suite", "2", "--json").data["version"] == 2
    assert ready.files() != before  # the private half is in the vault
    assert ready.ok("key", "rotate", "--json").data == {"wallet": address, "version": 3, "suite": 1, "retired": 1}

    done = ready.ok("key", "compromised", "2", "--yes")
    assert "key version 2 is marked compromised" in done.out and "ffem key register --suite 2" in done.err
    assert ready.ok("key", "compromised", "2", "--yes", "--json").data["changed"] is False

    shown = ready.ok("key", "show", "--json").data["keys"]
    assert [(one["version"], one["suite"], one["status"], one["held"]) for one in shown] == [
        (1, 1, "retired", True),
        (2, 2, "compromised", True),
        (3, 1, "active", True),
    ]
    chain = Registry(anvil.url, registry)
    assert [chain.key(address, version).status for version in (1, 2, 3)] == [
        KeyStatus.RETIRED,
        KeyStatus.COMPROMISED,
        KeyStatus.ACTIVE,
    ]
    assert chain.public_key(address, 3).hex() == shown[2]["public"]


def test_keys_of_others_need_no_passphrase(ready: Cli, anvil: Anvil, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.ok("key", "register", "--wallet-key")
    monkeypatch.delenv("FFEM_PASSPHRASE")
    shown = ready.ok("key", "show", anvil.accounts[0].address.lower(), "--json").data["keys"]
    assert [(one["version"], one["held"]) for one in shown] == [(1, None)]
    nobody = ready.ok("key", "show", anvil.accounts[5].address)
    assert "has published no encryption key" in nobody.out


def test_a_declaration_for_ever_is_confirmed(ready: Cli) -> None:
    ready.ok("key", "register")
    done = ready.process("key", "compromised", "1")
    assert (done.status, done.out) == (3, "")
    assert "key version 1: 0 grants are sealed to it" in done.err and "hint: add --yes" in done.err
    assert ready.ok("key", "show", "--json").data["keys"][0]["status"] == "active"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("key", "register", "--suite", "3"), 2, "--suite"),
        (("key", "register", "--suite", "2", "--wallet-key"), 3, "only suite 1"),
        (("key", "compromised", "7", "--yes"), 3, "has no key version 7"),
        (("key", "compromised", "0", "--yes"), 2, "version"),
        (("key", "show", "0x12"), 3, "is not a wallet address"),
        (("key", "show", "0x" + "0" * 40), 3, "is not a wallet address"),
        (("--registry", "0x" + "11" * 20, "key", "register"), 8, "there is no contract at"),
        (("--rpc-url", "http://127.0.0.1:9", "--timeout", "1", "key", "register"), 8, "does not answer"),
        (("--wallet", "nobody", "key", "register"), 3, "there is no wallet 'nobody'"),
        (("key", "revoke"), 2, "No such command"),
        (("key",), 2, ""),
    ],
)
def test_what_cannot_be_done_changes_nothing(ready: Cli, arguments: tuple[str, ...], status: int, words: str) -> None:
    before = ready.files()
    done = ready(*arguments)
    assert done.status == status and words in done.err
    assert "Traceback" not in done.err
    assert ready.files() == before


def test_a_wrong_passphrase_sends_nothing(ready: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ready.files()
    monkeypatch.setenv("FFEM_PASSPHRASE", "wrong horse")
    done = ready("key", "register")
    assert (done.status, done.out) == (5, "") and "the passphrase does not open this wallet" in done.err
    assert "wrong horse" not in done.err and ready.files() == before


def test_a_wallet_without_ether_is_told_how_to_get_some(ready: Cli) -> None:
    (ready.home / "wallets" / "default.json").unlink()
    (ready.home / "wallets" / "default.vault").unlink()
    account = make_wallet(ready.home, account=Account.create())
    done = ready("key", "register")
    assert (done.status, done.out) == (3, "")
    assert f"send some to {account.address}" in done.err and "ffem init --devnet" in done.err


def test_another_contract_at_the_address_is_refused(ready: Cli, anvil: Anvil) -> None:
    """The code of a contract that answers zero to everything."""
    code = "0x60006000f3"
    ready_at = "0x" + "22" * 20
    answer = requests.post(
        anvil.url,
        json={"jsonrpc": "2.0", "id": 1, "method": "anvil_setCode", "params": [ready_at, code]},
        timeout=10,
    )
    assert "error" not in answer.json()
    done = ready("--registry", ready_at, "key", "register")
    assert done.status == 8 and "is not the registry that this version of ffem-chain knows" in done.err
    assert "ffem devnet up" in done.err
