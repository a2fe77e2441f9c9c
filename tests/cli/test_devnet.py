"""`ffem devnet` and `ffem deploy`: from nothing to a wallet with a published key, and the profile that follows."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from ffem_chain.chain.registry import Registry, deploy
from ffem_devnet import devnet
from ffem_devnet.accounts import accounts
from ffem_devnet.anvil import Anvil
from tests.support.cli import PASSPHRASE, Cli, make_wallet


@pytest.fixture
def net(cli: Cli) -> Iterator[Cli]:
    """A home whose devnet is stopped in the end."""
    yield cli
    devnet.down(cli.home / "devnet")


def profile(cli: Cli, name: str = "default") -> dict[str, Any]:
    return tomllib.loads(cli.files()["config.toml"].decode())["profiles"].get(name, {})


def test_from_nothing_to_a_published_key(net: Cli) -> None:
    up = net.ok("devnet", "up", "--json").data
    assert up["running"] and up["engine"] == "anvil" and len(up["wallets"]) == 10
    assert profile(net) == {"rpc_url": up["url"], "registry": up["registry"], "from_block": 0}
    assert all("private_key" not in wallet for wallet in up["wallets"])
    shown = net.ok("devnet", "status", "--keys", "--json").data["wallets"][0]["private_key"]
    assert shown.removeprefix("0x") == accounts()[0].key.hex().removeprefix("0x")

    made = net.ok("init", "--devnet", "--json").data
    assert made["funded"] is True and made["made"] == ["wallet", "vault"]
    assert net.ok("wallet", "show", "--balance", "--json").data["balance_wei"] == 10**20
    assert net.ok("init", "--devnet", "--json").data["funded"] is False
    assert net.ok("key", "register", "--json").data["version"] == 1

    stopped = net.ok("devnet", "down", "--json").data
    assert stopped == {"stopped": True} and net.ok("devnet", "down", "--json").data == {"stopped": False}
    status = net.ok("devnet", "status")
    assert status.out == "no devnet is running\n"
    gone = net("--timeout", "1", "key", "register")
    assert gone.status == 8 and "ffem devnet up" in gone.err

    again = net.ok("devnet", "up")
    assert up["url"] in again.out and up["registry"] in again.out and again.out.count("0x") == 11
    assert [one["status"] for one in net.ok("key", "show", "--json").data["keys"]] == ["active"]


def test_the_servers_are_not_told_our_secrets(net: Cli) -> None:
    net.ok("devnet", "up")
    record = json.loads((net.home / "devnet" / "devnet.json").read_text())
    server = psutil.Process(record["chain"]["pid"])
    assert os.environ["FFEM_PASSPHRASE"] == PASSPHRASE
    assert not [name for name in server.environ() if name.startswith("FFEM_")]
    assert PASSPHRASE not in " ".join(server.cmdline())


def test_a_real_command_leaves_a_chain_that_the_next_one_finds(net: Cli) -> None:
    up = net.process("devnet", "up", "--json")
    assert up.status == 0 and up.err == "", up
    status = net.process("devnet", "status", "--json")
    assert (status.data["running"], status.data["pid"]) == (True, up.data["pid"])
    assert net.process("devnet", "down").out == "the devnet is stopped\n"


def test_a_profile_with_a_chain_of_its_own_stays_as_it_is(net: Cli) -> None:
    net.ok("config", "set", "rpc_url", "https://rpc.example.org")
    up = net.ok("devnet", "up")
    assert profile(net) == {"rpc_url": "https://rpc.example.org"}
    assert "to use the devnet: ffem devnet up --use yes" in up.err
    used = net.ok("devnet", "up", "--use", "yes", "--json").data
    assert profile(net)["rpc_url"] == used["url"]
    assert net.ok("devnet", "up", "--json").data["profile_changes"] == {}


def test_a_profile_that_uses_the_devnet_follows_it(net: Cli) -> None:
    """Its chain is lost, so the registry is another one."""
    first = net.ok("devnet", "up", "--json").data
    net.ok("devnet", "down")
    for file in (net.home / "devnet" / "anvil").iterdir():
        file.unlink()
    make_wallet(net.home, account=accounts()[3])
    lost = "0x" + "11" * 20
    net.ok("--rpc-url", first["url"], "--registry", lost, "init", "--profile", "bob")
    net.ok("--rpc-url", "https://rpc.example.org", "--registry", lost, "init", "--profile", "work")
    second = net.ok("devnet", "up")
    assert "deploying another one" in second.err and "profile bob uses it: from_block, registry" in second.err
    assert profile(net, "bob") == profile(net)
    assert profile(net, "work") == {"rpc_url": "https://rpc.example.org", "registry": lost}
    assert profile(net)["rpc_url"] == first["url"]
    registry = Registry(first["url"], profile(net)["registry"])
    assert registry.latest_block() == 1
    net.ok("key", "register")


def test_use_no_writes_nothing(net: Cli) -> None:
    net.ok("devnet", "up", "--use", "no")
    assert "config.toml" not in net.files()


# ---------------------------------------------------------------------- deploy


def test_deploy_writes_the_registry_to_the_profile(cli: Cli, anvil: Anvil) -> None:
    make_wallet(cli.home, account=anvil.accounts[7])
    done = cli.ok("--rpc-url", anvil.url, "deploy")
    address = done.out.strip()
    section = profile(cli)
    assert section["registry"] == address and section["rpc_url"] == anvil.url
    registry = Registry(anvil.url, address)
    assert section["from_block"] <= registry.latest_block()
    assert registry.code(section["from_block"] + 1) and not registry.code(section["from_block"])

    refused = cli("deploy")
    assert refused.status == 3 and "ffem deploy --force" in refused.err
    assert cli.ok("deploy", "--force", "--json").data["registry"] != address


def test_an_address_that_cannot_be_written_down_is_printed(
    cli: Cli, anvil: Anvil, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_wallet(cli.home, account=anvil.accounts[7])
    (cli.home / "config.toml").mkdir()  # is no file that could be replaced
    monkeypatch.setattr("ffem_cli.config.read_file", lambda path: {})
    done = cli("--rpc-url", anvil.url, "deploy")
    assert done.status == 3 and "config.toml cannot be written" in done.err
    assert Registry(anvil.url, done.out.strip()).latest_block() > 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("deploy",), 3, "there is no wallet"),
        (("--rpc-url", "http://127.0.0.1:9", "--timeout", "1", "deploy"), 8, "does not answer"),
        (("devnet", "up", "--engine", "hardhat"), 2, "--engine"),
        (("devnet", "sideways"), 2, "No such command"),
    ],
)
def test_what_cannot_be_done(cli: Cli, anvil: Anvil, arguments: tuple[str, ...], status: int, words: str) -> None:
    if arguments == ("deploy",):
        arguments = ("--rpc-url", anvil.url, *arguments)
    done = cli(*arguments)
    assert (done.status, done.out) == (status, "") and words in done.err
    assert cli.files() == {}


def test_a_registry_of_another_chain_is_noticed(cli: Cli, net: Cli, anvil: Anvil) -> None:
    """The profile's URL leads to a chain on which nothing is at the registry's address."""
    make_wallet(net.home, account=anvil.accounts[0])
    address = [deploy(anvil.url, anvil.accounts[9]) for _ in range(2)][-1]
    up = net.ok("devnet", "up", "--json").data
    assert up["registry"] != address
    done = net("--registry", address, "key", "register")
    assert (done.status, done.out) == (8, "")
    assert f"there is no contract at {address} on the chain at {up['url']}" in done.err


def test_without_the_node_packages_it_says_what_to_do(cli: Cli, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFEM_NODE_MODULES", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = cli("devnet", "up")
    assert (done.status, done.out) == (11, "")
    assert "anvil is not installed" in done.err and "make setup" in done.err
    assert "config.toml" not in cli.files()
