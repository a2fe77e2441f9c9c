"""People of the end-to-end tests, each with a wallet, a vault on disk and a connection of their own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from eth_account.signers.local import LocalAccount
from ffem_node.keeper import Action, Keeper

from ffem_chain.capture.exact import ownership, seal_geometry, seal_pixels
from ffem_chain.capture.model import Box, Capture, Manifest, PublicFace, SealedFace
from ffem_chain.chain.registry import Registry
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.owner import Owner
from ffem_chain.roles.records import Album
from ffem_chain.roles.recipient import Recipient
from ffem_chain.stores.base import Store

PASSPHRASE = Secret(b"correct horse battery staple")
MODEL_ID = bytes(range(32))
BOXES = (Box(8, 8, 24, 32), Box(44, 12, 28, 32))


@dataclass
class World:
    """A chain with a registry, and the folder in which everybody's vault lies."""

    url: str
    address: str
    accounts: Sequence[LocalAccount]
    folder: Path
    _vaults: dict[str, Vault] = field(default_factory=dict)

    def registry(self, index: int, **options: Any) -> Registry:
        """A fresh connection of account `index`."""
        return Registry(self.url, self.address, account=self.accounts[index], timeout=20.0, **options)

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


def settle(*keepers: Keeper, rounds: int = 6) -> list[Action]:
    """Let keepers step until none has anything more to do; all their actions."""
    done: list[Action] = []
    for _ in range(rounds):
        actions = [action for keeper in keepers for action in keeper.step()]
        done += actions
        if not actions:
            return done
    return done


def kinds(actions: Sequence[Action]) -> list[str]:
    """Kinds of actions, in order."""
    return [action.kind for action in actions]


def picture(seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A synthetic picture, u8[64,96,3]."""
    return np.random.default_rng(seed).integers(0, 256, (64, 96, 3), dtype=np.uint8)


def seal_synthetic(owner: Owner, album: Album, store: Store, seed: int = 0) -> tuple[bytes, np.ndarray[Any, Any]]:
    """Seal a synthetic picture with two faces through the exact layer alone, register it; (uid, original)."""
    original = picture(seed)
    uid, slot = secrets.token_bytes(32), int(time.time()) // 60
    capture_key = owner.derive_capture_key(album, album.epoch, slot, uid)
    owned = ownership(BOXES, original.shape[1], original.shape[0])
    image = original.copy()
    faces, public = [], []
    for index, box in enumerate(BOXES):
        key = tree.face_key(capture_key, tree.FaceContext(uid, index, MODEL_ID, "sphere", "q10"))
        z = secrets.token_bytes(64)
        rows, columns = slice(box.y, box.y + box.height), slice(box.x, box.x + box.width)
        mask = owned[rows, columns] == index
        pixels = np.where(mask[..., None], original[rows, columns], 0).astype(np.uint8)
        exact_nonce, exact = seal_pixels(tree.exact_key(key), pixels, uid, index, box, z)
        geometry_nonce, geometry = seal_geometry(tree.geometry_key(key), np.zeros(24), uid, index)
        faces.append(
            SealedFace(
                index, tree.key_commit(key, "face"), z, exact_nonce, exact, geometry_nonce, geometry
            )
        )
        public.append(PublicFace(box, 0, 0, 0, (0.0, 0.0, 0.0, 0.0), True))
        image[rows, columns] = 128
    raise AssertionError((faces, public, slot, Manifest, Capture, store))


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
