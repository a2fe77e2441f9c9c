"""A registry of its own for every test that changes one, and one that is only read."""

from __future__ import annotations

import pytest

from ffem_chain.chain.registry import deploy
from ffem_devnet.anvil import Anvil


@pytest.fixture
def address(anvil: Anvil) -> str:
    """A registry of its own."""
    return deploy(anvil.url, anvil.accounts[9])
