"""The store in a folder: damage, full disks, killed and concurrent writers."""

from __future__ import annotations

import errno
import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from ffem_chain.errors import StoreUnavailable, Tampered
from ffem_chain.stores import local as module
from ffem_chain.stores import unixfs
from ffem_chain.stores.cid import RAW, Cid
from ffem_chain.stores.local import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def capture(size: int = 600_000) -> dict[str, bytes]:
    return {"image.png": os.urandom(size), "manifest.json": os.urandom(16).hex().encode()}


def blocks(store: LocalStore) -> set[str]:
    return {path.name for path in store.folder.glob("blocks/*/*")}


def names(files: dict[str, bytes]) -> set[str]:
    return {str(cid) for cid, _ in unixfs.build(files)[1]}


def path_of(store: LocalStore, cid: str | Cid) -> Path:
    (found,) = store.folder.glob(f"blocks/*/{cid}")
    return found


# ---------------------------------------------------------------------- what lies on the disk


def test_only_what_was_put_lies_on_the_disk(store: LocalStore) -> None:
    assert not store.folder.exists() and store.pins() == []
    files = capture()
    cid = store.put(files)
    assert blocks(store) == names(files)
    assert store.pins() == [cid]
    assert list((store.folder / "tmp").iterdir()) == []
    assert all(Cid.parse(name).matches(path_of(store, name).read_bytes()) for name in blocks(store))


def test_unpinning_deletes_what_no_pin_needs(store: LocalStore) -> None:
    shared = os.urandom(600_000)
    first = {"image.png": shared, "manifest.json": b"1"}
    second = {"image.png": shared, "manifest.json": b"2"}
    one, two = store.put(first), store.put(second)
    store.unpin(one)
    assert blocks(store) == names(second) and store.pins() == [two]
    assert store.get(two) == second and not store.has(one)
    store.unpin(two)
    assert blocks(store) == set() and store.pins() == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"\0"),
        lambda path: path.write_bytes(b""),
    ],
    ids=["flipped", "shortened", "lengthened", "emptied"],
)
def test_a_damaged_block_is_never_returned_and_is_repaired_by_putting_again(
    store: LocalStore, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    files = capture()
    cid = store.put(files)
    for name in names(files):
        damage(path_of(store, name))
        with pytest.raises(Tampered, match=name):
            store.get(cid)
        with pytest.raises(Tampered, match=name):
            store.export_car(cid, tmp_path / "x.car")
        assert not list(tmp_path.glob("*x.car*"))
        assert store.put(files) == cid
        assert store.get(cid) == files


def test_a_missing_block_is_named(store: LocalStore) -> None:
    files = capture()
    cid = store.put(files)
    for name in names(files):
        path_of(store, name).unlink()
        assert not store.has(cid)
        with pytest.raises(StoreUnavailable, match=name) as caught:
            store.get(cid)
        assert "another store" in caught.value.hint
        store.put(files)


def test_unpinning_beside_a_damaged_directory_deletes_nothing(store: LocalStore) -> None:
    """Without its inner nodes nobody knows which blocks the damaged one needs."""
    damaged, other = store.put(capture()), store.put(capture())
    before = blocks(store)
    path_of(store, damaged).write_bytes(b"damaged")
    with pytest.raises(Tampered):
        store.unpin(other)
    assert blocks(store) == before and store.pins() == sorted((damaged, other))
    store.unpin(damaged)  # this is the way out
    store.unpin(other)
    assert blocks(store) == set()


def test_strange_files_in_the_folder_do_no_harm(store: LocalStore) -> None:
    cid = store.put(capture())
    (store.folder / "pins" / ".DS_Store").write_bytes(b"x")
    (store.folder / "blocks" / ".DS_Store").write_bytes(b"x")
    other = store.put(capture())
    assert store.pins() == sorted((cid, other))
    store.unpin(other)
    assert store.has(cid) and "1 pinned" in store.check()


# ---------------------------------------------------------------------- disks


def test_a_full_disk_is_said_so_and_leaves_nothing(store: LocalStore, tmp_path: Path) -> None:
    """The system itself refuses: files of this process may not grow beyond 200,000 bytes."""
    kept = store.put(capture())
    before = blocks(store)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        with pytest.raises(StoreUnavailable, match="cannot be written") as caught:
            store.put({"a-small-file": os.urandom(1000), "image.png": os.urandom(600_000)})
        assert "free some space" in caught.value.hint
        with pytest.raises(StoreUnavailable, match="cannot be written") as caught:
            store.export_car(kept, tmp_path / "x.car")
        assert "free some space" in caught.value.hint
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert blocks(store) == before and store.pins() == [kept]
    assert list((store.folder / "tmp").iterdir()) == [] and [one.name for one in tmp_path.iterdir()] == ["store"]
    assert store.has(kept)


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_at_any_step_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    kept, files = store.put(capture(10)), capture()
    before = blocks(store)
    for step in range(1, 40):
        count = itertools.count(1)
        owner: object = os if call == "fsync" else Path
        original = getattr(owner, call)

        def failing(*arguments: object, of: Any = original, count: Any = count, step: int = step) -> object:
            if next(count) == step:
                raise OSError(code, os.strerror(code))
            return of(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(owner, call, failing)
            try:
                cid = store.put(files)
            except StoreUnavailable as error:
                assert error.hint
                assert blocks(store) == before and store.pins() == [kept]
                assert list((store.folder / "tmp").iterdir()) == []
            else:
                break
    assert step > 6 and store.get(cid) == files


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "store"):
        store = LocalStore(folder)
        with pytest.raises(StoreUnavailable, match="cannot be written") as caught:
            store.put(capture(10))
        assert caught.value.hint
        with pytest.raises(StoreUnavailable, match="cannot be written"):
            store.check()


def test_a_block_that_cannot_be_read_is_said_so(store: LocalStore) -> None:
    files = capture()
    cid = store.put(files)
    path = path_of(store, cid)
    path.unlink()
    path.mkdir()  # as a disk's repair may leave it; access rights do not stop root, who runs some tests
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        store.get(cid)


# ---------------------------------------------------------------------- other processes

_WRITER = """
import random, sys
from ffem_chain.stores.local import LocalStore
store = LocalStore(sys.argv[1])
for turn in range(int(sys.argv[3])):
    common = random.Random(turn).randbytes(300_000)
    cid = store.put({"image.png": common, "manifest.json": sys.argv[2].encode()})
    store.put({"image.png": common + b"x", "manifest.json": b"{}"})
    if turn % 2:
        store.unpin(cid)
    print(cid, flush=True)
"""


def _writer(store: LocalStore, name: str, turns: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, str(store.folder), name, str(turns)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_writers_at_once_keep_and_delete_only_what_is_theirs(store: LocalStore) -> None:
    writers = [_writer(store, name, 8) for name in ("one", "two")]
    said = [writer.communicate(timeout=120)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    for cids in said:
        assert [store.has(cid) for cid in cids] == [True, False] * 4
    for cid in store.pins():
        store.get(cid)
    assert blocks(store) == {str(one) for cid in store.pins() for one in _ids(store, cid)}


def _ids(store: LocalStore, cid: str) -> list[Cid]:
    return list(unixfs.block_ids(store._fetch, Cid.parse(cid)))


def test_a_writer_killed_at_any_moment_leaves_no_half_written_block(store: LocalStore) -> None:
    kept = capture()
    cid = store.put(kept)
    for moment in range(6):
        writer = _writer(store, f"killed {moment}", 10_000)
        assert writer.stdout and writer.stdout.readline()  # it is at work
        time.sleep(0.013 * moment)
        writer.kill()
        writer.wait()
        writer.stdout.close()
        for path in store.folder.glob("blocks/*/*"):
            assert Cid.parse(path.name).matches(path.read_bytes())
        for pin in store.pins():
            store.get(pin)  # what is pinned is whole
    for pin in store.pins():
        if pin != cid:
            store.unpin(pin)
    assert blocks(store) == names(kept)  # nothing that the killed ones left stays for ever
    assert list((store.folder / "tmp").iterdir()) == []
    assert store.get(cid) == kept


def test_a_lock_that_another_process_keeps_is_said_so(store: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    cid = store.put(capture(10))
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.2)
    with FileLock(store.folder / "lock"):
        with pytest.raises(StoreUnavailable, match="another process") as caught:
            store.put(capture(10))
        assert "try again" in caught.value.hint
        assert store.has(cid)  # readers do not wait


def test_equal_chunks_are_kept_once(store: LocalStore) -> None:
    files = {"image.png": bytes(10 * unixfs.CHUNK)}
    cid = store.put(files)
    assert len(blocks(store)) == 3 and str(Cid.of(RAW, bytes(unixfs.CHUNK))) in blocks(store)
    assert store.get(cid) == files
