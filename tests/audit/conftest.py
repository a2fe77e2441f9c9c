"""A chain of its own, since these tests move its clock and reorganise it; see tests/e2e/world.py for the people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from ffem_chain.chain.registry import deploy
from ffem_chain.chain.types import KeyStatus
from ffem_chain.keys.suites import XWING
from ffem_devnet.anvil import Anvil
from tests.e2e.world import World, album_with, settle

from .crowd import Crowd, make_crowd
from .story import Story


@pytest.fixture(scope="session")
def chain() -> Iterator[Anvil]:
    """An Anvil for the tests of the audit alone."""
    with Anvil.start() as server:
        yield server


def _world(chain: Anvil, folder: Path) -> World:
    folder.mkdir()
    return World(chain.url, deploy(chain.url, chain.accounts[9]), chain.accounts, folder)


@pytest.fixture
def world(chain: Anvil, tmp_path: Path) -> World:
    """An empty registry."""
    return _world(chain, tmp_path / "world")


@pytest.fixture(scope="session")
def story(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """A registry in which everything has happened that can; nobody changes it any more."""
    world = _world(chain, tmp_path_factory.mktemp("story") / "world")
    scene = album_with(world, keepers=(1, 2, 3), threshold=2)
    owner, bob, carol = scene.owner, world.recipient(4), world.recipient(5)
    bob.register_key()
    first = carol.register_key()
    carol.rotate_key()
    carol.registry.set_key_status(first, KeyStatus.COMPROMISED)
    another = scene.seal_another(1)
    opened = owner.grant(scene.uid, 0, bob.wallet)
    revoked = owner.grant(scene.uid, 1, bob.wallet)
    asked = owner.grant(None, None, carol.wallet, album="album")
    direct = owner.grant(another, None, carol.wallet, direct=True)
    bob.request(opened.grant_id)
    settle(*scene.keepers)
    bob.collect(opened.grant_id, timeout=0)
    bob.request(opened.grant_id)  # once more: it stays unanswered by two
    settle(scene.keepers[0])
    owner.revoke(revoked.grant_id)
    carol.request(asked.grant_id)
    owner.rotate("album", grant=False)
    owner.registry.propose_keepers(scene.album.album_id, [world.accounts[6].address, world.accounts[1].address], 2)
    owner.registry.propose_keepers(scene.album.album_id, [world.accounts[7].address, bob.wallet], 1)
    bob.registry.accept_keeper_set(3)
    bob.register_key(XWING)
    hybrid = owner.grant(another, 0, bob.wallet, direct=True, suite=XWING)
    second = world.owner(1).create_album("other", [], 1)
    world.pass_time(timedelta(seconds=1))
    grants = {"opened": opened, "revoked": revoked, "asked": asked, "direct": direct, "hybrid": hybrid}
    return Story(world, scene, another, grants, second.album_id)


@pytest.fixture(scope="session")
def crowd(chain: Anvil, tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    """A registry with what happens in batches and by signature; nobody changes it any more."""
    return make_crowd(chain, tmp_path_factory.mktemp("crowd") / "world")
