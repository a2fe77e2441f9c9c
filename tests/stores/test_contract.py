"""What every store promises, on a store in memory, in a folder, and at a real IPFS daemon."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest

from ffem_chain.capture.format import LIMITS
from ffem_chain.errors import FormatError, StoreUnavailable
from ffem_chain.stores import unixfs
from ffem_chain.stores.base import MAX_BYTES, Store
from ffem_chain.stores.cid import RAW, Cid, cid_of_digest, digest_of_cid
from ffem_chain.stores.kubo import KuboStore
from ffem_chain.stores.local import LocalStore
from ffem_chain.stores.memory import MemoryStore

KINDS = ("memory", "local", "kubo")
Put = Callable[..., str]


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "local":
        return LocalStore(tmp_path / "store")
    return KuboStore(request.getfixturevalue("ipfs").url, 20.0)


def capture(size: int = 600_000) -> dict[str, bytes]:
    """The files of a capture; random, so that no other test has put them there."""
    return {
        "image.png": os.urandom(size),
        "pose.json": b"{}",
        "faces.cbor": b"",
        "manifest.json": os.urandom(16).hex().encode(),
    }


def test_what_was_put_comes_back_under_the_cid_of_its_bytes(store: Store) -> None:
    files = capture()
    cid = store.put(files)
    assert cid == str(unixfs.build(files)[0]) == cid_of_digest(digest_of_cid(cid))
    assert store.has(cid)
    assert store.get(cid) == files
    assert store.put(files) == cid  # again, and in any order
    assert store.put(dict(reversed(files.items()))) == cid


def test_a_directory_larger_than_allowed_is_not_read(store: Store) -> None:
    files = capture()
    cid, total = store.put(files), sum(map(len, files.values()))
    assert store.get(cid, max_bytes=total) == files
    with pytest.raises(FormatError, match="larger than this reader allows"):
        store.get(cid, max_bytes=total - 1)


def test_unpinning_is_harmless_twice_and_keeps_what_others_share(store: Store) -> None:
    files = capture()
    other = {**files, "manifest.json": b"other"}
    first, second = store.put(files), store.put(other)
    store.unpin(first)
    store.unpin(first)
    assert store.get(second) == other
    store.unpin(cid_of_digest(os.urandom(32)))


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_what_is_not_there_is_said_so(kind: str, tmp_path: Path) -> None:  # for the daemon: test_kubo
    store: Store = MemoryStore() if kind == "memory" else LocalStore(tmp_path / "store")
    cid = str(unixfs.build(capture())[0])
    assert not store.has(cid)
    with pytest.raises(StoreUnavailable, match=f"does not have block {cid}"):
        store.get(cid)
    store.put(capture())
    cid = store.put(capture())
    store.unpin(cid)
    assert not store.has(cid)
    with pytest.raises(StoreUnavailable, match="does not have block"):
        store.export_car(cid, tmp_path / "x.car")
    assert not list(tmp_path.glob("*x.car*"))


BAD_CIDS = [
    "",
    "bafy",
    "../../etc/passwd",
    "QmRaaUwTNfwgFZpeUy8qrZwrp2dY4kCKmmB5xEqvH3vtD1",
    str(Cid(RAW, bytes(32))),
    str(unixfs.build({"aa": b""})[0]).upper(),
    str(unixfs.build({"aa": b""})[0]) + "\n",
    str(unixfs.build({"aa": b""})[0])[:-1] + "z",
]


@pytest.mark.parametrize("cid", BAD_CIDS)
def test_what_is_no_cid_of_a_directory_is_refused_by_every_call(store: Store, cid: str, tmp_path: Path) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: store.get(cid),
        lambda: store.has(cid),
        lambda: store.unpin(cid),
        lambda: store.export_car(cid, tmp_path / "x.car"),
    ]
    for call in calls:
        with pytest.raises(FormatError):
            call()
    assert not (tmp_path / "x.car").exists()


BAD_NAMES = ["", ".", "..", "../up", "a/b", "a\\b", "C:x", "a\0b", "a\nb", "\u202ename", "x" * 256, "\ud800"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_could_leave_the_directory_are_refused(store: Store, name: str) -> None:
    with pytest.raises(FormatError, match="file name in the directory"):
        store.put({"image.png": b"x", name: b"y"})


def test_directories_of_nothing_or_of_too_much_are_refused(store: Store) -> None:
    with pytest.raises(FormatError, match="holds 1 to"):
        store.put({})
    with pytest.raises(FormatError, match="holds 1 to"):
        store.put({f"file{number}": b"" for number in range(unixfs.MAX_FILES + 1)})
    most = {f"file{number}": os.urandom(8) for number in range(unixfs.MAX_FILES)}
    assert store.get(store.put(most)) == most


def test_names_in_other_scripts_keep_their_order(store: Store) -> None:
    files = {name: os.urandom(9) for name in ("Zoë.png", "zoe.png", "Bild 1.png", "写真.png", "📷.png", "%41.png")}
    assert store.get(store.put(files)) == files


def test_an_export_holds_each_block_once_behind_its_root(store: Store, tmp_path: Path) -> None:
    files = {"first.bin": bytes(600_000), "second.bin": bytes(600_000), "third.bin": os.urandom(300_000)}
    cid, path = store.put(files), tmp_path / "x.car"
    path.write_bytes(b"older")
    store.export_car(cid, path)
    header, blocks = read_car(path.read_bytes())
    assert header == {"version": 1, "roots": [cbor2.CBORTag(42, b"\0" + Cid.parse(cid).to_bytes())]}
    assert len(blocks) == len(set(blocks)) and blocks[0][0] == Cid.parse(cid)
    assert set(blocks) == set(unixfs.build(files)[1])
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


def test_an_export_into_no_folder_is_said_so(store: Store, tmp_path: Path) -> None:
    cid = store.put(capture(10))
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        store.export_car(cid, tmp_path / "none" / "x.car")


def test_the_check_says_where_the_store_is(store: Store) -> None:
    assert store.check().startswith(("store in memory", "local store in", store.name))


def test_the_largest_capture_can_be_read() -> None:
    """A capture of 50 megapixels with 160 faces comes near these limits; the default bound must not refuse it."""
    assert sum(LIMITS.values()) <= MAX_BYTES < sum(LIMITS.values()) + (1 << 20)
    chunks = sum(-(-limit // unixfs.CHUNK) for limit in LIMITS.values())
    assert chunks * 1.01 + 10 < unixfs._MAX_BLOCKS


def read_car(data: bytes) -> tuple[Any, list[tuple[Cid, bytes]]]:
    """Header and blocks of a CAR v1, read without the code under test; every block is checked."""
    sections, at = [], 0
    while at < len(data):
        length = shift = 0
        while True:
            byte = data[at]
            at += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        assert at + length <= len(data)
        sections.append(data[at : at + length])
        at += length
    blocks = [(Cid.from_bytes(one[:36]), one[36:]) for one in sections[1:]]
    assert all(cid.matches(block) for cid, block in blocks)
    return cbor2.loads(sections[0]), blocks
