"""`ffem` in a home of its own for every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ffem_chain.chain.registry import deploy
from ffem_devnet.anvil import Anvil
from tests.support.cli import PASSPHRASE, Cli, make_wallet


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`ffem` with a home that does not exist yet, and a passphrase."""
    for name in list(os.environ):
        if name.startswith("FFEM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FFEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FFEM_PASSPHRASE", PASSPHRASE)
    return Cli(tmp_path / "home")


@pytest.fixture
def registry(anvil: Anvil) -> str:
    """A registry of the test's own."""
    return deploy(anvil.url, anvil.accounts[9])


@pytest.fixture
def ready(cli: Cli, anvil: Anvil, registry: str) -> Cli:
    """`ffem` with a wallet that has ether, and a registry in the profile."""
    make_wallet(cli.home, account=anvil.accounts[0])
    cli.ok("config", "set", "rpc_url", anvil.url)
    cli.ok("config", "set", "registry", registry)
    return cli
