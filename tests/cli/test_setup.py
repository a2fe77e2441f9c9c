"""`ffem init` and `ffem config`: what is made, what is refused, and that nothing is left behind by a refusal."""

from __future__ import annotations

import json
import os
import resource
import signal
import tomllib
from pathlib import Path

import pytest

from tests.support.cli import PASSPHRASE, Cli, make_wallet

SECRET_URL = "http://user:hunter2@127.0.0.1:9/v3/0123456789abcdef"


def test_init_makes_everything_once(cli: Cli) -> None:
    first = cli.ok("--confirmations", "3", "init", "--profile", "alice", "--json")
    assert first.data["made"] == ["wallet", "vault"]
    assert first.data["settings"] == {"confirmations": 3}
    assert sorted(cli.files()) == ["config.toml", "wallets/alice.json", "wallets/alice.vault"]
    assert json.loads(cli.files()["wallets/alice.json"])["version"] == 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in cli.home.rglob("*") if path.suffix != ".lock")

    before = cli.files()
    again = cli.ok("init", "--profile", "alice")
    assert "wallet and vault were there already" in again.out
    assert "ffem key register --profile alice" in again.err
    assert cli.files() == before
    assert cli.ok("config", "profiles", "--json").data["profiles"] == ["alice"]


def test_init_imports_a_key_that_never_shows(cli: Cli, tmp_path: Path) -> None:
    key = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
    file = tmp_path / "key"
    file.write_text(f"0x{key}\n")
    done = cli.process("init", "--import", "--json", FFEM_PRIVATE_KEY_FILE=str(file))
    assert done.status == 0, done
    assert done.data["address"] == "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
    for text in (done.out, done.err, *(content.decode("latin-1") for content in cli.files().values())):
        assert key not in text.lower() and PASSPHRASE not in text


@pytest.mark.parametrize("key", ["", "0x12", "zz" * 32, "00" * 32, "ff" * 32, "\u00e9" * 64])
def test_init_refuses_a_bad_key(cli: Cli, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("FFEM_PRIVATE_KEY", key)
    done = cli("init", "--import")
    assert done.status == 3 and done.out == ""
    assert "error: " in done.err and "private key" in done.err
    assert not key or key not in done.err
    assert cli.files() == {}


def test_init_for_a_devnet_that_does_not_run(cli: Cli) -> None:
    done = cli("init", "--devnet")
    assert (done.status, done.out) == (3, "")
    assert done.err == "error: no devnet is running\nhint: ffem devnet up\n"
    assert not cli.home.exists()


def test_init_where_nobody_can_be_asked(cli: Cli) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "FFEM_PASSPHRASE"}
    os.environ.pop("FFEM_PASSPHRASE")
    done = cli.process("init", **environment | {"FFEM_PASSPHRASE_FILE": ""})
    assert (done.status, done.out) == (3, "")
    assert done.err == (
        "error: no passphrase was given, and there is no terminal to ask on\nhint: set FFEM_PASSPHRASE_FILE\n"
    )
    assert cli.files() == {}


@pytest.mark.parametrize("value", ["", "x" * 5000])
def test_init_refuses_an_unusable_passphrase(cli: Cli, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FFEM_PASSPHRASE", value)
    done = cli("init")
    assert done.status == 3 and "the passphrase from FFEM_PASSPHRASE is empty or too long" in done.err
    assert cli.files() == {}


def test_init_keeps_a_wallet_that_another_passphrase_opens(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wallet(cli.home)
    (cli.home / "wallets" / "default.vault").unlink()
    before = cli.files()
    monkeypatch.setenv("FFEM_PASSPHRASE", "wrong")
    done = cli("init")
    assert done.status == 5 and "the passphrase does not open this wallet" in done.err
    assert cli.files() == before


@pytest.mark.parametrize("kind", ["below a file", "in a folder that takes nothing"])
def test_init_in_a_home_that_cannot_be(cli: Cli, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    home = {"below a file": file / "home", "in a folder that takes nothing": Path("/proc/ffem")}[kind]
    done = cli.process("init", FFEM_HOME=str(home))
    assert (done.status, done.out) == (3, "")
    assert done.err.startswith("error: ") and "cannot be" in done.err and "hint: " in done.err
    assert file.read_text() == "mine" and not home.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_init_in_a_read_only_home(cli: Cli) -> None:
    cli.home.mkdir(mode=0o500)
    done = cli("init")
    assert done.status == 3 and "cannot be written: Permission denied" in done.err
    assert cli.files() == {}


def test_init_on_a_full_disk(cli: Cli) -> None:
    def full() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    done = cli.process("init", before=full)
    assert (done.status, done.out) == (3, "")
    assert "default.json cannot be written: " in done.err and "hint: free some space" in done.err
    assert cli.files() == {}


# ---------------------------------------------------------------------- settings


def test_settings_come_from_options_environment_file_and_defaults(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cli.ok("config", "set", "timeout", "7.5")
    cli.ok("config", "set", "confirmations", "2")
    monkeypatch.setenv("FFEM_CONFIRMATIONS", "4")
    found = cli.ok("--rotation", "block", "config", "show", "--json").data
    assert {name: found["settings"][name] for name in ("rotation", "confirmations", "timeout", "model")} == {
        "rotation": "block",
        "confirmations": 4,
        "timeout": 7.5,
        "model": "ffem-128",
    }
    assert found["source"]["rotation"] == "option --rotation"
    assert found["source"]["confirmations"] == "FFEM_CONFIRMATIONS"
    assert found["source"]["timeout"] == "profile default"
    assert found["source"]["model"] == "default"
    cli.ok("config", "unset", "timeout")
    assert cli.ok("config", "show", "--json").data["settings"]["timeout"] == 30.0


def test_an_access_key_in_a_url_shows_only_when_asked_for(cli: Cli) -> None:
    said = [
        cli.ok("config", "set", "rpc_url", SECRET_URL),
        cli.ok("config", "show"),
        cli.ok("config", "show", "--json"),
    ]
    said += [cli("wallet", "show", "--balance"), cli("doctor"), cli("--timeout", "1", "deploy")]
    said.append(cli.ok("--rpc-url", SECRET_URL, "init", "--json"))
    for one in said:
        assert "hunter2" not in one.out + one.err and "0123456789abcdef" not in one.out + one.err
    assert cli.ok("config", "show", "--reveal", "--json").data["settings"]["rpc_url"] == SECRET_URL


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("config", "set", "colour", "red"), "there is no setting 'colour'"),
        (("config", "unset", "colour"), "there is no setting 'colour'"),
        (("config", "set", "confirmations", "many"), "confirmations must be a whole number"),
        (("config", "set", "confirmations", "9" * 12), "confirmations is out of range"),
        (("config", "set", "rotation", "cube"), "rotation must be sphere or block"),
        (("config", "set", "registry", "0x12"), "is no contract address"),
        (("config", "set", "rpc_url", "localhost:8545"), "is not an http or https URL"),
        (("config", "set", "store", "ftp://x"), "names no store"),
        (("config", "set", "wallet", "../x"), "is no name for a wallet"),
        (("config", "use", "nobody"), "there is no profile 'nobody'"),
        (("--profile", "nobody", "config", "show"), "there is no profile 'nobody'"),
        (("init", "--profile", "../evil"), "is no name for a profile"),
    ],
)
def test_a_setting_that_cannot_be(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    done = cli(*arguments)
    assert (done.status, done.out) == (3, "") and words in done.err
    as_json = cli(*arguments, "--json")
    assert (as_json.status, as_json.out, as_json.error["exit_status"]) == (3, "", 3)
    assert words in as_json.error["error"]
    assert not cli.home.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("profile = ", "is not valid TOML"),
        ("\udcff", "is not valid TOML"),
        ("profiles = 7", "each profile is a section"),
        ("[profiles]\ndefault = 7", "each profile is a section"),
        ("[profiles.default]\ncolour = 7", "there is no setting colour"),
        ("[profiles.default]\nconfirmations = true", "confirmations must be a whole number"),
        ("[profiles.default]\ntimeout = nan", "timeout is out of range"),
        ("profile = '..'", "is no name for a profile"),
    ],
)
def test_a_file_of_settings_that_cannot_be_used(cli: Cli, content: str, words: str) -> None:
    cli.home.mkdir()
    (cli.home / "config.toml").write_bytes(content.encode("utf-8", "surrogateescape"))
    before = cli.files()
    for command in (("config", "show"), ("config", "set", "timeout", "3"), ("init",), ("doctor",), ("devnet", "up")):
        done = cli(*command)
        assert (done.status, done.out) == (3, ""), command
        assert words in done.err
    assert cli.files() == before


def test_a_bad_variable_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFEM_TIMEOUT", "soon")
    done = cli("config", "show")
    assert done.status == 3 and "FFEM_TIMEOUT: timeout must be a number, not 'soon'" in done.err


def test_a_profile_is_chosen_and_settings_of_others_stay(cli: Cli) -> None:
    make_wallet(cli.home, "a")
    make_wallet(cli.home, "b")
    cli.ok("--wait", "5", "init", "--profile", "a")
    cli.ok("--wait", "6", "init", "--profile", "b")
    cli.ok("config", "use", "b")
    assert cli.ok("config", "show", "--json").data["settings"]["wait"] == 6
    assert tomllib.loads(cli.files()["config.toml"].decode()) == {
        "profile": "b",
        "profiles": {"a": {"wait": 5.0}, "b": {"wait": 6.0}},
    }
