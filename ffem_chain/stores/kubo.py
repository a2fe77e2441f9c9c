"""A store that any daemon with the Kubo RPC keeps: Kubo itself, js-ipfs, a hosted one behind HTTPS.

The daemon is not trusted. The CID of what it added is computed here, and every block it gives is verified here.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ffem_chain.errors import FormatError, StoreUnavailable, Tampered
from ffem_chain.stores import unixfs
from ffem_chain.stores.blocks import BlockReader
from ffem_chain.stores.cid import RAW, Cid, digest_of_cid
from ffem_chain.stores.kuborpc import Daemon, Progress, Refusal

_LOOK_SECONDS = 5.0  # a block that is there comes in milliseconds; js-ipfs waits for a missing one
_MISSING = ("not found", "could not find", "timed out", "deadline exceeded")
_IMPORT = {
    "cid_version": 1,
    "raw_leaves": True,
    "chunker": f"size-{unixfs.CHUNK}",
    "wrap_with_directory": True,
    "pin": False,
}


class _Missing(StoreUnavailable):
    """The daemon answers, and does not have a block."""


class KuboStore(BlockReader):
    """Directories of files at a daemon. `url` is http(s)://[USER:PASSWORD@]HOST:PORT or a multiaddr."""

    def __init__(self, url: str, timeout: float = 30.0) -> None:
        """`timeout` in seconds is what the daemon gets for one answer. Raises InputError. Connects to nothing yet."""
        self._daemon = Daemon(url, timeout, unixfs.MAX_BLOCK + 1)
        self.name = self._daemon.name

    def put(self, files: Mapping[str, bytes]) -> str:
        """See `Store.put`. Raises Tampered, with nothing pinned, where the daemon made other content of the files.

        js-ipfs loses file names of one letter, and is then refused so.
        """
        root = str(unixfs.build(files)[0])
        progress = Progress()

        def add(client: Any) -> str:
            uploads = [_Upload(name, data, progress) for name, data in files.items()]
            entries = client.add(*uploads, **_IMPORT, opts={"cid-base": "base32"})
            return str([entry["Hash"] for entry in entries if entry["Name"] == ""][-1])

        if self._daemon.ask(add, progress) != root:
            raise Tampered(
                f"{self.name} made other content of the files than was sent", "check the daemon's import settings"
            )
        # Not pinned as it is added: js-ipfs would pin each file besides, and keep it when the directory is unpinned.
        self._daemon.ask(lambda client: client.pin.add(root))
        return root

    def has(self, cid: str) -> bool:
        """See `Store.has`. Asks for what the daemon itself holds, not for what its network does."""
        digest_of_cid(cid)
        try:
            for one in unixfs.block_ids(self._fetch_own, Cid.parse(cid)):
                if one.codec == RAW:
                    self._block("stat", one, _LOOK_SECONDS, offline=True)
        except (_Missing, Tampered, FormatError):
            return False
        return True

    def unpin(self, cid: str) -> None:
        """See `Store.unpin`."""
        digest_of_cid(cid)
        try:
            self._daemon.ask(lambda client: client.pin.rm(cid))
        except Refusal as refusal:
            if "not pinned" not in refusal.words:
                raise

    def check(self) -> str:
        """See `Store.check`."""
        version = self._daemon.ask(lambda client: client.version()["Version"])
        if not isinstance(version, str) or not version.isprintable():
            version = "unknown"
        return f"{self.name} works, version {version[:40]}"

    def _fetch(self, cid: Cid) -> bytes:
        # The daemon gives up first, so that "it has no such block" can be told from "it does not answer".
        answer = self._block("get", cid, 0.8 * self._daemon.timeout)
        return answer if isinstance(answer, bytes) else b""

    def _fetch_own(self, cid: Cid) -> bytes:
        answer = self._block("get", cid, _LOOK_SECONDS, offline=True)
        return answer if isinstance(answer, bytes) else b""

    def _block(self, act: str, cid: Cid, seconds: float, *, offline: bool = False) -> object:
        patience = f"{1000 * min(seconds, 0.8 * self._daemon.timeout):.0f}ms"

        def question(client: Any) -> object:
            return getattr(client.block, act)(str(cid), offline=offline, opts={"timeout": patience})

        try:
            return self._daemon.ask(question)
        except Refusal as refusal:
            if not any(words in refusal.words for words in _MISSING):
                raise
            raise _Missing(
                f"{self.name} does not have block {cid}, or no longer: it may have been garbage-collected",
                "put the capture again, or fetch it from another store",
            ) from None


class _Upload(io.BytesIO):
    """A file as the client library takes it: it sends `name` along."""

    def __init__(self, name: str, data: bytes, progress: Progress) -> None:
        super().__init__(data)
        self.name, self._progress = name, progress

    def read(self, size: int | None = -1, /) -> bytes:
        self._progress.mark()
        return super().read(size)
