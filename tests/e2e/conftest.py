"""A registry of its own for every test, on the session's chain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ffem_chain.chain.registry import deploy

from .world import World


def _world(anvil: Any, folder: Path) -> World:
    folder.mkdir()
    return World(anvil.url, deploy(anvil.url, anvil.accounts[9]), anvil.accounts, folder)


@pytest.fixture
def world(anvil: Any, tmp_path: Path) -> World:
    """An empty registry on the session's Anvil."""
    return _world(anvil, tmp_path / "world")


@pytest.fixture
def other_world(anvil: Any, tmp_path: Path) -> World:
    """Another deployment on the same chain."""
    return _world(anvil, tmp_path / "other")
