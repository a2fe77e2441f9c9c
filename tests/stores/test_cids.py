"""The CIDs that are computed here are those of a real daemon, and its blocks are those that are written here."""

from __future__ import annotations

import hashlib
import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from ffem_chain.stores import unixfs
from ffem_chain.stores.cid import Cid
from ffem_chain.stores.kubo import KuboStore
from ffem_chain.stores.local import LocalStore
from ffem_devnet.ipfs import IpfsDaemon

CHUNK, WIDTH = unixfs.CHUNK, unixfs.WIDTH
OPTIONS = {
    "cid-version": "1",
    "raw-leaves": "true",
    "chunker": "size-262144",
    "wrap-with-directory": "true",
    "cid-base": "base32",
    "pin": "false",
}
SIZES = [
    *(0, 1, 31, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 1_000_003),
    *(10 * CHUNK + 7, 20_000_000),
]


def _bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def _added(ipfs: IpfsDaemon, files: dict[str, bytes], **options: str) -> str:
    """The directory's CID as the daemon's own RPC gives it, asked without the client under test."""
    parts = [("file", (quote(name), data, "application/octet-stream")) for name, data in files.items()]
    answer = requests.post(f"{ipfs.url}/api/v0/add", params={**OPTIONS, **options}, files=parts, timeout=120)
    answer.raise_for_status()
    lines = [json.loads(line) for line in answer.text.splitlines()]
    return str([one["Hash"] for one in lines if one["Name"] == ""][-1])


def _cid(files: dict[str, bytes]) -> str:
    return str(unixfs.build(files)[0])


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_has_the_daemons_cid(ipfs: IpfsDaemon, size: int) -> None:
    files = {"image.png": _bytes(size)}
    assert _cid(files) == _added(ipfs, files)


def test_a_directory_of_several_files_has_the_daemons_cid(ipfs: IpfsDaemon, tmp_path: Path) -> None:
    files = {
        "image.png": _bytes(3 * CHUNK + 5),
        "faces.cbor": _bytes(CHUNK + 1),
        "pose.json": b"{}\n",
        "manifest.json": b"",
        "Zoë 1.png": b"x",
        "photo%41.png": b"y",
    }
    assert LocalStore(tmp_path).put(files) == _added(ipfs, files)


@pytest.mark.parametrize("extra", [-1, 0, 1, CHUNK + 1])
def test_trees_get_a_level_more_where_the_daemons_do(ipfs: IpfsDaemon, extra: int) -> None:
    """Around 174 chunks (45.6 MB); equal chunks keep it fast."""
    files = {"wide.bin": bytes(WIDTH * CHUNK + extra)}
    assert _cid(files) == _added(ipfs, files, **{"only-hash": "true"})


def test_a_daemon_imports_the_export_of_a_folder_and_serves_it(ipfs: IpfsDaemon, tmp_path: Path) -> None:
    files = {"image.png": random.SystemRandom().randbytes(1_500_000), "manifest.json": b"{}", "empty.bin": b""}
    local, car = LocalStore(tmp_path / "store"), tmp_path / "capture.car"
    cid = local.put(files)
    local.export_car(cid, car)
    remote = KuboStore(ipfs.url)
    assert not KuboStore(ipfs.url, 4.0).has(cid)
    part = {"file": (car.name, car.read_bytes(), "application/vnd.ipld.car")}
    answer = requests.post(f"{ipfs.url}/api/v0/dag/import", params={"pin-roots": "true"}, files=part, timeout=60)
    assert answer.json() == {"Root": {"Cid": {"/": cid}, "PinErrorMsg": ""}}
    _collect(ipfs)
    assert remote.has(cid) and remote.get(cid) == files
    shown = requests.post(f"{ipfs.url}/api/v0/cat", params={"arg": f"{cid}/image.png"}, timeout=60)
    assert shown.content == files["image.png"]


def test_an_export_of_the_daemons_is_that_of_the_folder(ipfs: IpfsDaemon, tmp_path: Path) -> None:
    files = {"image.png": _bytes(700_001), "manifest.json": b"{}"}
    local, remote = LocalStore(tmp_path / "store"), KuboStore(ipfs.url)
    cid = local.put(files)
    assert remote.put(files) == cid
    local.export_car(cid, tmp_path / "one.car")
    remote.export_car(cid, tmp_path / "two.car")
    assert (tmp_path / "one.car").read_bytes() == (tmp_path / "two.car").read_bytes()


def test_a_large_capture_is_put_read_and_exported_without_copies_of_it(tmp_path: Path) -> None:
    size = 64_000_000
    store, files = LocalStore(tmp_path / "store"), {"faces.cbor": random.Random(1).randbytes(1_000_000) * 64}
    digest = hashlib.sha256(files["faces.cbor"]).digest()

    def peak(act: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
        tracemalloc.start()
        try:
            return act(*arguments), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    cid, used = peak(store.put, files)
    assert used < 5_000_000
    del files
    read, used = peak(store.get, cid)
    assert hashlib.sha256(read["faces.cbor"]).digest() == digest
    assert used < 1.3 * size  # the file itself, and what a growing buffer keeps in reserve
    del read
    _, used = peak(store.export_car, cid, tmp_path / "x.car")
    assert used < 5_000_000


def _collect(ipfs: IpfsDaemon) -> None:
    requests.post(f"{ipfs.url}/api/v0/repo/gc", timeout=60).raise_for_status()


def test_a_cid_says_the_sha256_of_the_root_block() -> None:
    """By hand: an empty file's leaf and the directory over it."""
    leaf = hashlib.sha256(b"").digest()
    link = b"\x0a\x24\x01\x55\x12\x20" + leaf + b"\x12\x02aa\x18\x00"
    root = b"\x12" + bytes([len(link)]) + link + b"\x0a\x02\x08\x01"
    cid, blocks = unixfs.build({"aa": b""})
    assert cid.digest == hashlib.sha256(root).digest()
    assert list(blocks) == [(Cid(0x55, leaf), b""), (cid, root)]
