"""CAR v1: a directory's blocks in one file that any IPFS daemon imports (ipld.io/specs/transport/car/carv1)."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import IO

import cbor2

from ffem_chain.errors import StoreUnavailable
from ffem_chain.stores.base import MAX_BYTES
from ffem_chain.stores.cid import Cid
from ffem_chain.stores.dagpb import varint
from ffem_chain.stores.unixfs import Fetch, Reader

_LINK_TAG = 42  # dag-cbor: a CID, behind a zero byte


def header(root: Cid) -> bytes:
    """The first section, with one root."""
    link = cbor2.CBORTag(_LINK_TAG, b"\0" + root.to_bytes())
    encoded = cbor2.dumps({"roots": [link], "version": 1}, canonical=True)
    return varint(len(encoded)) + encoded


def section(cid: Cid, block: bytes) -> bytes:
    """The section of one block."""
    name = cid.to_bytes()
    return varint(len(name) + len(block)) + name + block


def export(fetch: Fetch, root: Cid, path: Path) -> None:
    """Write the verified directory `root` to `path`: all of it or nothing. Raises like `Reader`, StoreUnavailable."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {error.strerror}", "choose another folder") from error
    try:
        with os.fdopen(descriptor, "wb") as out:
            _write(fetch, root, out)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be written: {error.strerror}", "free some space") from error
    finally:
        Path(temporary).unlink(missing_ok=True)


def _write(fetch: Fetch, root: Cid, out: IO[bytes]) -> None:
    written: set[Cid] = set()

    def write(cid: Cid, block: bytes) -> None:
        if cid not in written:
            written.add(cid)
            out.write(section(cid, block))

    out.write(header(root))
    Reader(fetch, MAX_BYTES, write).walk(root)
