"""Lists of batches: from a folder of verified ones, else from a store, checked against the event that names them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ffem_chain.capture.batch import MAX_CAPTURES, NAME, CaptureList, size_of
from ffem_chain.chain.events import CapturesRegistered
from ffem_chain.errors import FormatError, StoreUnavailable, Tampered
from ffem_chain.keys.files import read_file, write_private
from ffem_chain.stores.base import Store
from ffem_chain.stores.cid import cid_of_digest, digest_of_cid
from ffem_chain.stores.unixfs import build


class Lists:
    """`store` None: only what is kept; a function is called when the first list is fetched. `folder` keeps verified
    lists, one file ROOT.bin each, so that they are fetched once.

    Whether the event is the contract's is for the caller to know.
    """

    def __init__(self, store: Store | Callable[[], Store] | None, folder: Path | None = None) -> None:
        self._store, self._folder = store, folder

    def fetched(self, event: CapturesRegistered) -> CaptureList:
        """The list as the store has it. Raises StoreUnavailable, FormatError, Tampered."""
        return self.checked(event, self.files(event))

    def files(self, event: CapturesRegistered) -> dict[str, bytes]:
        """The directory with the digest of the event, as the store has it. Raises like `Store.get`."""
        if callable(self._store):
            self._store = self._store()
        if self._store is None:
            raise StoreUnavailable("there is no store to fetch it from")
        return self._store.get(cid_of_digest(event.list_digest), max_bytes=size_of(min(event.count, MAX_CAPTURES)))

    def checked(self, event: CapturesRegistered, files: dict[str, bytes]) -> CaptureList:
        """The list in that directory, which is kept from now on. Raises FormatError, Tampered where it is none, or not
        the one of the event's root: then it never will be."""
        if set(files) != {NAME}:
            raise FormatError("the directory does not hold the one file of a list")
        listed = _parsed(event, files[NAME])
        if listed.root != event.root:
            raise Tampered("its captures are not those of the root on the chain")
        if self._folder is not None:
            write_private(self._folder / f"{event.root.hex()}.bin", files[NAME])
        return listed

    def kept(self, event: CapturesRegistered) -> CaptureList | None:
        """The list from `folder`, where it was put after its root had been compared; None where it is not, or not any
        longer what its digest names."""
        path = None if self._folder is None else self._folder / f"{event.root.hex()}.bin"
        if path is None or not path.exists():
            return None
        data = read_file(path, "list of a batch", size_of(MAX_CAPTURES))
        if digest_of_cid(str(build({NAME: data})[0])) != event.list_digest:
            return None
        return _parsed(event, data)


def _parsed(event: CapturesRegistered, data: bytes) -> CaptureList:
    listed = CaptureList.unpack(data)
    if (len(listed.entries), listed.epoch) != (event.count, event.epoch):
        raise Tampered("it has another number of captures or another epoch than the chain records")
    return listed
