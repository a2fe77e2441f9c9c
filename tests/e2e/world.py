"""People of the end-to-end tests, each with a wallet, a vault on disk and a connection of their own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from eth_account.signers.local import LocalAccount
from numpy.typing import NDArray
from web3 import HTTPProvider, Web3

from ffem_chain.capture.exact import ownership, seal_geometry, seal_pixels
from ffem_chain.capture.model import Box, Capture, Manifest, PublicFace, SealedFace
from ffem_chain.capture.picture import encode
from ffem_chain.chain.registry import Registry
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.owner import Owner
from ffem_chain.roles.reading import load_capture
from ffem_chain.roles.recipient import Recipient
from ffem_chain.roles.records import Album
from ffem_chain.stores.base import Store
from ffem_chain.stores.memory import MemoryStore
from ffem_node.keeper import Action, Keeper

PASSPHRASE = Secret(b"correct horse battery staple")
MODEL_ID = bytes(range(32))
# The two overlap: each pixel must open with one face only.
BOXES = (Box(8, 8, 32, 32), Box(32, 12, 28, 32))


@dataclass
class World:
    """A chain with a registry, and the folder in which everybody's vault lies."""

    url: str
    address: str
    accounts: Sequence[LocalAccount]
    folder: Path

    def registry(self, index: int) -> Registry:
        """A fresh connection of account `index`."""
        return Registry(self.url, self.address, account=self.accounts[index], timeout=20.0)

    def vault(self, name: str) -> Vault:
        """The vault of that name, read from disk anew."""
        path = self.folder / f"{name}.vault"
        return Vault.open(path, PASSPHRASE) if path.exists() else Vault.create(path, PASSPHRASE)

    def owner(self, index: int = 0) -> Owner:
        """Account `index` as owner."""
        return Owner(self.registry(index), self.vault(f"w{index}"), self.accounts[index])

    def recipient(self, index: int) -> Recipient:
        """Account `index` as recipient."""
        return Recipient(self.registry(index), self.vault(f"w{index}"), self.accounts[index])

    def keeper(self, index: int, **options: Any) -> Keeper:
        """Account `index` as keeper, as after a restart: vault and connection are new."""
        return Keeper(self.registry(index), self.vault(f"w{index}"), self.accounts[index], **options)

    # ------------------------------------------------------------------ the chain's own levers

    def rpc(self, method: str, *params: Any) -> Any:
        """Call the development chain directly."""
        answer = HTTPProvider(self.url).make_request(method, list(params))  # type: ignore[arg-type]
        assert "error" not in answer, answer
        return answer.get("result")

    def now(self) -> int:
        """Time of the newest block, unix seconds."""
        return int(Web3(HTTPProvider(self.url)).eth.get_block("latest")["timestamp"])

    def mine(self, blocks: int = 1) -> None:
        """Mine empty blocks."""
        self.rpc("anvil_mine", hex(blocks))

    def pass_time(self, span: timedelta) -> None:
        """Move the chain's clock on."""
        self.rpc("evm_increaseTime", int(span.total_seconds()))
        self.mine()

    def reorganise(self, depth: int) -> None:
        """Replace the newest `depth` blocks by empty ones."""
        self.rpc("anvil_reorg", depth, [])


@dataclass
class Scene:
    """An album with a capture of two faces, and keepers that have accepted it."""

    owner: Owner
    album: Album
    store: Store
    uid: bytes
    original: NDArray[np.uint8]
    keepers: list[Keeper]

    def load(self, registry: Registry, uid: bytes | None = None) -> Capture:
        """The capture as anybody reads it."""
        return load_capture(registry, self.store, self.album.album_id, uid or self.uid)

    def seal_another(self, seed: int) -> bytes:
        """Seal and register one more capture; its uid."""
        return seal_synthetic(self.owner, self.owner.album("album"), self.store, seed)[0]


def album_with(
    world: World,
    keepers: Sequence[int] = (0,),
    threshold: int = 1,
    accept: Sequence[int] | None = None,
    store: Store | None = None,
) -> Scene:
    """Account 0 creates an album with keepers, who accept, and seals a synthetic capture."""
    owner = world.owner()
    album = owner.create_album("album", [world.accounts[i].address for i in keepers], threshold)
    people = [world.keeper(i) for i in keepers]
    for index, keeper in zip(keepers, people, strict=True):
        if accept is None or index in accept:
            for proposal in keeper.proposals():
                keeper.accept(proposal.keeper_set)
    store = MemoryStore() if store is None else store
    uid, original = seal_synthetic(owner, album, store)
    return Scene(owner, album, store, uid, original, people)


def settle(*keepers: Keeper, rounds: int = 8) -> list[Action]:
    """Let keepers step until none has anything more to do; all their actions."""
    done: list[Action] = []
    for _ in range(rounds):
        actions = [action for keeper in keepers for action in keeper.step()]
        done += actions
        if not actions:
            return done
    raise AssertionError(f"the keepers do not come to rest: {done}")


def kinds(actions: Sequence[Action]) -> list[str]:
    """Kinds of actions, in order."""
    return [action.kind for action in actions]


def synthetic_capture(album: Album, capture_key: Secret, slot: int, uid: bytes, original: NDArray[np.uint8]) -> Capture:
    """`original` u8[H,W,3] with the two faces of `BOXES` sealed by the exact layer; random bytes stand for Z_enc."""
    height, width = original.shape[:2]
    manifest = Manifest(
        uid=uid,
        album_salt=album.salt,
        epoch=album.epoch,
        slot=slot,
        model_id=MODEL_ID,
        rotation="sphere",
        precision="q10",
        size=64,
        width=width,
        height=height,
        faces=len(BOXES),
        key_commit=tree.key_commit(capture_key, "capture"),
        files={},
    )
    owned, image = ownership(BOXES, width, height), original.copy()
    faces, public = [], []
    for index, box in enumerate(BOXES):
        key = tree.face_key(capture_key, manifest.face_context(index))
        z = secrets.token_bytes(manifest.latent_bytes)
        mask = owned[box.rows, box.columns] == index
        pixels = np.where(mask[..., None], original[box.rows, box.columns], 0).astype(np.uint8)
        exact = seal_pixels(tree.exact_key(key), pixels, uid, index, box, z)
        geometry = seal_geometry(tree.geometry_key(key), [0.0] * 24, uid, index)
        faces.append(SealedFace(index, tree.key_commit(key, "face"), z, *exact, *geometry))
        public.append(PublicFace(box, 0, 0, 0, (0.0, 0.0, 0.0, 0.0)))
        image[box.rows, box.columns] = 128
    return Capture(manifest, tuple(public), tuple(faces), encode(image))


def seal_synthetic(owner: Owner, album: Album, store: Store, seed: int = 0) -> tuple[bytes, NDArray[np.uint8]]:
    """Seal a synthetic picture into an album, store and register it; (uid, original u8[64,96,3])."""
    [(uid, original)] = seal_waiting(owner, album, store, 1, seed).items()
    owner.register_capture(uid)
    return uid, original


def seal_waiting(
    owner: Owner, album: Album, store: Store, count: int, seed: int = 0, slot: int | None = None
) -> dict[bytes, NDArray[np.uint8]]:
    """Seal and store `count` synthetic pictures, registering none; originals u8[64,96,3] by uid. `slot` None: now."""
    slot = int(time.time()) // 60 if slot is None else slot
    random, originals, sealed = np.random.default_rng(seed), {}, []
    for _ in range(count):
        uid = secrets.token_bytes(32)
        originals[uid] = random.integers(0, 256, (64, 96, 3), dtype=np.uint8)
        key = owner.derive_capture_key(album, album.epoch, slot, uid)
        files = synthetic_capture(album, key, slot, uid, originals[uid]).to_files()
        sealed.append((Capture.from_files(files), store.put(files), b""))
    owner.record_captures(album, sealed)
    return originals


@contextmanager
def interrupted(target: Any, name: str, *, after: bool) -> Iterator[None]:
    """Make the next call of a method die like a killed process, before it does its work or after it did."""
    original = getattr(target, name)

    def dies(*args: Any, **kwargs: Any) -> Any:
        if after:
            original(*args, **kwargs)
        raise KeyboardInterrupt

    setattr(target, name, dies)
    try:
        yield
    finally:
        setattr(target, name, original)
