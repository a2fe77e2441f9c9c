"""Servers that all tests of a run share, each started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ffem_devnet.anvil import Anvil
from ffem_devnet.ipfs import IpfsDaemon


@pytest.fixture(scope="session")
def anvil() -> Iterator[Anvil]:
    """A real Anvil with ten funded wallets. Tests share it: each deploys a registry of its own."""
    with Anvil.start() as server:
        yield server


@pytest.fixture(scope="session")
def ipfs() -> Iterator[IpfsDaemon]:
    """A real IPFS daemon that talks to nobody (`ipfs.url`). Tests share it: what they put there has random bytes."""
    with IpfsDaemon.start() as server:
        yield server
