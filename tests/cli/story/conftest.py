"""A world for each file: its tests share an album and keepers, and files may run in any order, in any process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ffem_devnet.anvil import Anvil

from .world import World, photo


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A chain of its own, since these tests move its clock."""
    with Anvil.start() as anvil:
        made = World(anvil, tmp_path_factory.mktemp("home"))
        for name in ("owner", "bob", "keeper", "carol"):
            made.ok(name, "key", "register")
        made.ok("owner", "album", "create", "family", "--keeper", made.address("keeper"))
        made.ok("keeper", "keeper", "accept")
        yield made


@pytest.fixture(scope="session")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo with two faces."""
    return photo(tmp_path_factory.mktemp("photos") / "group.jpg", copies=2)


@pytest.fixture(scope="module")
def capture(world: World, group: Path) -> str:
    """A registered capture of the two faces, for the tests of one module; its uid."""
    (sealed,) = world.json("owner", "seal", group, "--album", "family")["captures"]
    uid: str = sealed["uid"]
    return uid
