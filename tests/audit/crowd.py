"""A registry in which the things of many happen: batches of grants and captures, rotation, signed calls, recovery."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from eth_account import Account
from eth_utils import keccak

from ffem_chain.capture.batch import NAME, CaptureList, Entry
from ffem_chain.capture.model import Capture
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.chain.relayed import send_call
from ffem_chain.chain.signed import BY_NAME, new_call, sign
from ffem_chain.chain.types import GrantParams, batch_head, commit_leaf, first_head, next_head
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret
from ffem_chain.stores.cid import digest_of_cid
from ffem_chain.stores.memory import MemoryStore
from ffem_devnet.anvil import Anvil
from tests.e2e.world import World, album_with, synthetic_capture

STRANGER = Account.from_key(b"\7" * 32)
SHARE = b"a sealed share"


def public_key(seed: int) -> bytes:
    """Something that the registry takes for a public key of suite 1."""
    return b"\2" + bytes([seed]) * 32


@dataclass
class Crowd:
    """`album`: keepers 1 and 2, both needed. Grants by what became of them:

    Batch 1: opened (one of two shares is delivered), direct, gone (requested, then revoked by the rotation), idle
    (revoked in a batch of revocations). Batch 2, of the rotation: stays, cancelled (direct, revoked with idle). Alone:
    alone. `uids`: two captures of a batch with this `root`; `single` is registered by itself; `lost` is the root of a
    batch whose list no store has.
    """

    world: World
    store: MemoryStore
    album: bytes
    single: bytes
    uids: tuple[bytes, ...] = ()
    root: bytes = b""
    lost: bytes = b""
    grants: dict[str, bytes] = field(default_factory=dict)


def make_crowd(chain: Anvil, folder: Path) -> Crowd:
    """A registry of its own, in which everything of `Crowd` has happened."""
    folder.mkdir()
    world = World(chain.url, deploy(chain.url, chain.accounts[9]), chain.accounts, folder)
    scene = album_with(world, keepers=(1, 2), threshold=2, store=MemoryStore())
    album, owner = scene.album.album_id, world.registry(0)
    assert isinstance(scene.store, MemoryStore)
    crowd = Crowd(world, scene.store, album, scene.uid)
    _captures(crowd, owner, scene.album)
    bob, carol = world.registry(4), world.registry(5)
    bob.register_key(1, public_key(4))
    carol.register_key(1, public_key(5))
    salts: dict[str, bytes] = {}

    def params(name: str, recipient: Registry, keeper_set: int) -> GrantParams:
        wallet = world.accounts[4 if recipient is bob else 5].address
        salts[name] = secrets.token_bytes(32)
        made = GrantParams(album, salts[name], b"\1" * 32, wallet, 1, 0, keeper_set, name.encode() * 20)
        crowd.grants[name] = made.grant_id
        return made

    first = [params("opened", bob, 1), params("direct", carol, 0), params("gone", carol, 1), params("idle", bob, 1)]
    owner.grant_batch(first)
    _release(crowd, first, bob)
    carol.request_access(crowd.grants["gone"], b"\1" + public_key(9))
    owner.rotate(album, b"\2" * 32, [salts["gone"]], [params("stays", bob, 1), params("cancelled", carol, 0)])
    owner.rotate(album, b"\3" * 32, [], [])
    owner.grant(params("alone", carol, 1))
    owner.revoke_batch(album, [salts["cancelled"], salts["idle"]])
    _signed(world)
    world.mine(2)
    return crowd


def _captures(crowd: Crowd, owner: Registry, album: object) -> None:
    entries = []
    for seed in range(2):
        uid, key = secrets.token_bytes(32), Secret(secrets.token_bytes(32))
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8)
        capture: Capture = synthetic_capture(album, key, 7, uid, pixels)  # type: ignore[arg-type]
        cid = crowd.store.put(capture.to_files())
        entries.append(Entry(uid, digest_of_cid(cid), tree.key_commit(key, "capture"), 7))
    listed = CaptureList.of(1, entries)
    cid = crowd.store.put({NAME: listed.pack()})
    owner.register_captures(crowd.album, listed.root, digest_of_cid(cid), 2, 1)
    crowd.uids, crowd.root = tuple(entry.uid for entry in listed.entries), listed.root
    crowd.lost = b"\x11" * 32
    owner.register_captures(crowd.album, crowd.lost, b"\x12" * 32, 300, 1)


def _release(crowd: Crowd, batch: Sequence[GrantParams], bob: Registry) -> None:
    """Keepers 1 and 2 answer bob's request; the first of them delivers."""
    grant = batch[0].grant_id
    bob.request_access(grant, b"\1" + public_key(8))
    for index, keeper in enumerate((1, 2)):
        crowd.world.registry(keeper).commit_release(grant, 1, index, keccak(SHARE))
    heads = [first_head(p.grant_id, p.album, p.scope_commit, p.key_version, 1, p.payload) for p in batch]
    head, leaf = batch_head(heads), commit_leaf(1, 1, keccak(SHARE))
    crowd.world.registry(1).deliver(grant, 1, 0, head, [leaf], SHARE)
    assert bob.grant_state(grant).head == next_head(next_head(head, commit_leaf(1, 0, keccak(SHARE))), leaf)


def _signed(world: World) -> None:
    """A stranger without ether registers a key; account 5 cancels signatures and publishes a recovery copy."""
    payer, carol = world.registry(0), world.registry(5)
    call = new_call(payer.domain(), BY_NAME["RegisterKey"], (1, public_key(3)), STRANGER.address, 1 << 40)
    send_call(payer, sign(call, STRANGER))
    carol.use_nonces(3, 0b1011)
    carol.use_nonces(3, 0b0110)
    carol.publish_recovery(1, b"a sealed key")
