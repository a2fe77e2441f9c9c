"""Servers that all tests of a run share, each started when the first test asks for it; what random tests draw."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from ffem_devnet.anvil import Anvil
from ffem_devnet.ipfs import IpfsDaemon

# The same cases in every run, so that a change is to blame when one fails; HYPOTHESIS_PROFILE=explore draws new ones.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


# A background shell ignores SIGINT, and all that it starts does so, too: the tests that interrupt commands need it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
