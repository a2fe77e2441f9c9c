"""A development chain that was started anew repeats chain id and address: nothing of the old one may pass for new."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from ffem_chain.chain.events import GrantCreated
from ffem_chain.chain.registry import deploy
from ffem_chain.chain.types import GrantParams
from ffem_chain.errors import InputError, Refused, Tampered
from ffem_chain.roles.reading import opened_face_key
from ffem_chain.stores.memory import MemoryStore
from ffem_devnet.anvil import Anvil
from ffem_node.keeper import OtherDeployment

from .world import World, album_with, settle


def test_restarted_from_genesis(tmp_path: Path) -> None:
    store = MemoryStore()
    with Anvil.start() as chain:
        world = World(chain.url, deploy(chain.url, chain.accounts[9]), chain.accounts, tmp_path)
        scene = album_with(world, keepers=(1,), store=store)
        bob = world.recipient(4)
        bob.register_key()
        old_private = bob.ring.private(1)
        record = scene.owner.grant(scene.uid, 0, bob.wallet)
        direct = scene.owner.grant(scene.uid, 1, bob.wallet, direct=True)
        envelopes = {e.grant_id: e for e in bob.registry.events([GrantCreated]) if isinstance(e, GrantCreated)}
        old = bob.registry.deployment_id
        old_key = scene.owner.face_key(scene.uid, 1)
        assert bob.open_direct(direct.grant_id).key == old_key

    with Anvil.start() as chain:
        address = deploy(chain.url, chain.accounts[9])
        assert address == world.address
        again = World(chain.url, address, chain.accounts, tmp_path)
        registry = again.registry(0)
        assert registry.deployment_id != old

        # What was granted is gone, and says so; nothing of the old deployment is mixed in.
        owner, bob = again.owner(), again.recipient(4)
        assert owner.grants() == [] and bob.grants() == [] and bob.keys() == []
        with pytest.raises(Refused, match="no grant"):
            bob.request(record.grant_id)
        # A keeper does not go on silently on a chain that is not the one it served.
        keeper = again.keeper(1)
        with pytest.raises(OtherDeployment, match="started anew"):
            keeper.step()

        # The owner's album goes on under its old secrets: captures outlive a deployment.
        album = owner.create_album("album", [again.accounts[1].address])
        assert album.album_id == scene.album.album_id
        owner.register_capture(scene.uid)
        keeper.adopt_deployment()
        keeper.accept(keeper.proposals()[0].keeper_set)

        # Old payloads, replayed with the same salts and so under the same grant ids, sealed to the same private key:
        # only the deployment in the envelopes' context differs, and it is enough.
        with bob.vault.edit() as data:
            entry = {"suite": 1, "secret": old_private.to_secret_bytes(), "public": old_private.public}
            data.setdefault("keyring", {})[registry.deployment_id.hex()] = {"versions": {"1": entry}, "pending": []}
        bob.registry.register_key(1, old_private.public)
        current = registry.album(album.album_id).current_keeper_set
        for old_record, keeper_set in ((record, current), (direct, 0)):
            event = envelopes[old_record.grant_id]
            registry.grant(
                GrantParams(
                    album.album_id, old_record.salt, event.scope_commit, bob.wallet, 1, 0, keeper_set, event.payload
                )
            )
        with pytest.raises(Tampered, match="moved to another place"):
            bob.open_direct(direct.grant_id)
        bob.request(record.grant_id)
        failed = settle(keeper)
        assert [action.kind for action in failed] == ["requested", "failed"]
        assert all("moved to another place" in grant.text for grant in bob.grants())

        # A new grant on the new deployment opens the old capture.
        fresh = owner.grant(scene.uid, 1, bob.wallet)
        bob.request(fresh.grant_id)
        settle(keeper)
        opened = bob.collect(fresh.grant_id, timeout=0)
        assert opened_face_key(opened, scene.load(bob.registry), 1) == old_key


def test_an_album_that_exists_is_not_created_again(world: World) -> None:
    scene = album_with(world)
    with pytest.raises(InputError, match="exists already"):
        scene.owner.create_album("album")
    assert scene.owner.create_album(f"other {secrets.token_hex(2)}").album_id != scene.album.album_id
