"""Batches whose owner registers whatever they like: lists that lie, are too large or are not there."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from ffem_chain.capture.batch import NAME, CaptureList, Entry
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import FfemError, FormatError, StoreUnavailable, Tampered
from ffem_chain.roles.batches import register_batches, waiting
from ffem_chain.roles.registrations import Registrations
from ffem_chain.stores.cid import DAG_PB, RAW, Cid, digest_of_cid
from ffem_chain.stores.dagpb import DIRECTORY, Link, Node, encode, file_node
from ffem_chain.stores.memory import MemoryStore

from .world import Scene, seal_waiting


def entries(count: int) -> list[Entry]:
    return [Entry(*(secrets.token_bytes(32) for _ in range(3)), slot) for slot in range(count)]


@dataclass
class Lies:
    """An album whose owner registers what they like, and honest captures in it: one by itself and a batch of two."""

    scene: Scene
    honest: tuple[bytes, ...]

    @property
    def registry(self) -> Registry:
        return self.scene.owner.registry

    @property
    def album(self) -> bytes:
        return self.scene.album.album_id

    @property
    def store(self) -> MemoryStore:
        assert isinstance(self.scene.store, MemoryStore)
        return self.scene.store

    def put(self, data: bytes, name: str = NAME) -> bytes:
        """The digest of a directory with a file."""
        return digest_of_cid(self.store.put({name: data}))

    def register(self, root: bytes, digest: bytes, count: int, epoch: int = 1) -> None:
        """Register whatever it is."""
        self.registry.register_captures(self.album, root, digest, count, epoch)

    def honest_batch(self) -> None:
        """Register two honest captures, and see that the one by itself is found as well."""
        seal_waiting(self.scene.owner, self.scene.album, self.store, 2)
        [batch] = register_batches(self.scene.owner, self.store, waiting(self.scene.owner))
        self.honest = (self.scene.uid, *batch.uids)

    def finder(self, store: MemoryStore | None = None) -> Registrations:
        return Registrations(self.registry, store or self.store)


def other_list(lies: Lies, listed: CaptureList) -> None:
    changed = replace(listed.entries[1], digest=bytes(32))
    lies.register(listed.root, lies.put(CaptureList.of(1, [listed.entries[0], changed]).pack()), 2)


def flipped_byte(lies: Lies, listed: CaptureList) -> None:
    """The store gives other bytes than the chain's digest names."""
    data = listed.pack()
    lies.register(listed.root, lies.put(data), 2)
    lies.store.blocks[Cid.of(RAW, data)] = data[:50] + bytes([data[50] ^ 1]) + data[51:]


def twice(lies: Lies, listed: CaptureList) -> None:
    data = listed.pack()
    lies.register(listed.root, lies.put(data[:109] + data[9:109]), 2)


def out_of_order(lies: Lies, listed: CaptureList) -> None:
    data = listed.pack()
    lies.register(listed.root, lies.put(data[:9] + data[109:] + data[9:109]), 2)


def higher_count(lies: Lies, listed: CaptureList) -> None:
    lies.register(listed.root, lies.put(listed.pack()), 3)


def lower_count(lies: Lies, listed: CaptureList) -> None:
    lies.register(listed.root, lies.put(listed.pack()), 1)


def other_epoch(lies: Lies, listed: CaptureList) -> None:
    lies.register(listed.root, lies.put(replace(listed, epoch=2).pack()), 2)


def other_file(lies: Lies, listed: CaptureList) -> None:
    lies.register(listed.root, lies.put(listed.pack(), "captures.txt"), 2)


def gigabyte(lies: Lies, listed: CaptureList) -> None:
    """A file of 1 GiB, of one chunk that comes 4,096 times."""
    chunk = bytes(262_144)
    file = encode(file_node([(Cid.of(RAW, chunk), len(chunk), len(chunk))] * 4096))
    root = encode(Node(DIRECTORY, (Link(Cid.of(DAG_PB, file), NAME, len(file) + (1 << 30)),)))
    lies.store.blocks |= {Cid.of(RAW, chunk): chunk, Cid.of(DAG_PB, file): file, Cid.of(DAG_PB, root): root}
    lies.register(listed.root, Cid.of(DAG_PB, root).digest, 2)


def a_capture(lies: Lies, listed: CaptureList) -> None:
    """The digest of a capture's own directory."""
    lies.register(listed.root, lies.scene.owner.capture(lies.scene.uid).digest, 2)


def not_there(lies: Lies, listed: CaptureList) -> None:
    lies.register(listed.root, secrets.token_bytes(32), 2)


HOSTILE: list[tuple[Callable[[Lies, CaptureList], None], type[FfemError], str]] = [
    (other_list, Tampered, "not those of the root"),
    (flipped_byte, Tampered, "other bytes than"),
    (twice, FormatError, "holds a capture twice"),
    (out_of_order, FormatError, "not in order"),
    (higher_count, Tampered, "another number of captures"),
    (lower_count, FormatError, "larger than this reader allows"),
    (other_epoch, Tampered, "another epoch"),
    (other_file, FormatError, "does not hold the one file"),
    (gigabyte, FormatError, "larger than this reader allows"),
    (a_capture, FormatError, "larger than this reader allows"),
    (not_there, StoreUnavailable, "does not have block"),
]
