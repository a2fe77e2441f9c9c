"""`ffem wallet`: files that nothing overwrites, passphrases that are checked, backups that come back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_account import Account

from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
from ffem_devnet.anvil import Anvil
from tests.support.cli import PASSPHRASE, Cli, make_wallet


def test_a_new_wallet_opens_with_its_passphrase(cli: Cli) -> None:
    made = cli.ok("wallet", "new", "alice", "--json").data
    keystore = json.loads(Path(made["path"]).read_text())
    assert Account.from_key(Account.decrypt(keystore, PASSPHRASE)).address == made["address"]
    assert Vault.open(Path(made["vault"]), Secret(PASSPHRASE.encode())).read() == {}
    assert PASSPHRASE not in "".join(content.decode("latin-1") for content in cli.files().values())

    before = cli.files()
    for again in (("wallet", "new", "alice"), ("wallet", "import", "alice")):
        done = cli(*again)
        assert (done.status, done.out) == (3, "")
        assert done.err == "error: wallet 'alice' exists already\nhint: choose another name; nothing was changed\n"
    assert cli.files() == before


def test_wallets_are_shown_without_a_passphrase(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = make_wallet(cli.home, "alice"), make_wallet(cli.home, "bob")
    (cli.home / "wallets" / "broken.json").write_text("{}")
    monkeypatch.delenv("FFEM_PASSPHRASE")
    listed = {one["wallet"]: one["address"] for one in cli.ok("wallet", "list", "--json").data["wallets"]}
    assert (listed["alice"], listed["bob"]) == (alice.address, bob.address)
    assert "not a wallet" in listed["broken"]
    assert cli.ok("wallet", "show", "bob", "--json").data["address"] == bob.address
    assert alice.address in cli.ok("--wallet", "alice", "wallet", "show").out


def test_a_balance_is_asked_of_the_chain(ready: Cli, anvil: Anvil) -> None:
    wei = ready.ok("wallet", "show", "--balance", "--json").data["balance_wei"]
    assert 10**21 < wei <= 10**22


def test_a_keystore_of_another_program_is_imported(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.create()
    file = tmp_path / "theirs.json"
    file.write_text(json.dumps(Account.encrypt(account.key, "theirs", kdf="pbkdf2", iterations=10)))
    monkeypatch.setenv("FFEM_KEYSTORE_PASSPHRASE", "not theirs")
    as_name = cli("wallet", "import", file)
    assert as_name.status == 3 and "hint: ffem wallet import NAME --keystore FILE" in as_name.err
    refused = cli("wallet", "import", "alice", "--keystore", file)
    assert refused.status == 5 and "the passphrase does not open this wallet" in refused.err
    assert cli.files() == {}

    monkeypatch.setenv("FFEM_KEYSTORE_PASSPHRASE", "theirs")
    assert cli.ok("wallet", "import", "alice", "--keystore", file, "--json").data["address"] == account.address
    keystore = json.loads(cli.files()["wallets/alice.json"])
    assert bytes(Account.decrypt(keystore, PASSPHRASE)) == bytes(account.key)


def test_a_backup_comes_back(cli: Cli, tmp_path: Path) -> None:
    address = make_wallet(cli.home).address
    file = tmp_path / "copy.ffem-backup"
    assert cli.ok("wallet", "backup", file, "--json").data["files"] == ["default.json", "default.vault"]
    assert file.stat().st_mode & 0o077 == 0
    before, copy = cli.files(), file.read_bytes()

    again = cli("wallet", "backup", file)
    assert again.status == 3 and "exists already" in again.err and file.read_bytes() == copy
    there = cli("wallet", "restore", file)
    assert there.status == 3 and "exists already" in there.err and cli.files() == before

    (cli.home / "wallets").rename(tmp_path / "lost")
    assert cli.ok("wallet", "restore", file, "--json").data["wallets"] == [{"wallet": "default", "address": address}]
    assert cli.files() == before


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "no backup", "absent"])
def test_a_damaged_backup_writes_nothing(cli: Cli, tmp_path: Path, damage: str) -> None:
    make_wallet(cli.home)
    file = tmp_path / "copy"
    cli.ok("wallet", "backup", file)
    whole = file.read_bytes()
    (cli.home / "wallets").rename(tmp_path / "lost")
    at = whole.index(b'"ciphertext"') + 20
    bad = {
        "flipped": whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
        "truncated": whole[:at],
        "empty": b"",
        "no backup": b"\x89PNG" * 1000,
    }
    file.unlink()
    if damage in bad:
        file.write_bytes(bad[damage])
    done = cli("wallet", "restore", file)
    assert done.status == {"flipped": 6, "absent": 3}.get(damage, 4), done
    assert done.out == "" and done.err.startswith("error: ")
    assert cli.files() == {}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("wallet", "show"), "there is no wallet 'default'"),
        (("wallet", "backup", "copy"), "there is no wallet 'default'"),
        (("wallet", "show", "../../etc/passwd"), "is no name for a wallet"),
        (("wallet", "new", "a b"), "is no name for a wallet"),
        (("wallet", "import", "--keystore", "nowhere.json"), "there is no keystore file nowhere.json"),
        (("wallet", "restore", "nowhere"), "there is no backup at nowhere"),
    ],
)
def test_what_is_not_there(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli(*command)
    assert (done.status, done.out) == (3, "") and words in done.err
    assert not cli.home.exists() and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"version": 3, "crypto": {}}', "\x00" * 100])
def test_a_damaged_wallet_file(ready: Cli, content: str) -> None:
    path = ready.home / "wallets" / "default.json"
    path.write_text(content)
    done = ready("key", "register")
    assert (done.status, done.out) == (4, "") and "restore" in done.err
    assert path.read_text() == content
