"""What captures are, from their manifests and the lists of batches, each under the digest that the chain records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ffem_chain.audit.bundle.format import CAPTURES, LISTS, PER_FILE, entries, hashes_only, place
from ffem_chain.audit.history import History
from ffem_chain.capture.batch import NAME as LIST
from ffem_chain.capture.batch import CaptureList, Entry
from ffem_chain.capture.format import LIMITS, MANIFEST, read_manifest
from ffem_chain.capture.model import Manifest
from ffem_chain.chain import events as ev
from ffem_chain.chain.types import album_id
from ffem_chain.errors import FfemError, FormatError, Tampered
from ffem_chain.stores.base import Store
from ffem_chain.stores.cid import DAG_PB, Cid, cid_of_digest
from ffem_chain.stores.unixfs import Reader, file_cid

_LIMITS = {MANIFEST: LIMITS[MANIFEST], LIST: 2 << 20}
Parts = dict[bytes, tuple[bytes, bytes]]


@dataclass(frozen=True)
class Registered:
    """A capture as the chain records it, and its manifest where the bundle has it.

    `root` is that of its batch, empty where it is registered by itself; `block`, `order` and `tx` (empty in a bundle,
    where nothing proves it) are those of the log.
    """

    album: bytes
    uid: bytes
    digest: bytes
    key_commit: bytes
    epoch: int
    slot: int
    block: int
    order: int
    tx: bytes
    root: bytes
    manifest: Manifest | None

    def event(self) -> ev.CaptureRegistered:
        """What the chain would have logged of this capture by itself."""
        names = ("album", "uid", "digest", "key_commit", "epoch", "slot", "block", "tx")
        values = {name: getattr(self, name) for name in names}
        return ev.CaptureRegistered(**values, log_index=self.order, block_hash=b"")


@dataclass(frozen=True)
class Catalogue:
    """All captures of a history. `unlisted` are batches whose lists are absent: what is in them is not known here."""

    captures: tuple[Registered, ...]
    unlisted: tuple[ev.CapturesRegistered, ...]

    @property
    def listed(self) -> tuple[ev.CaptureRegistered, ...]:
        """Captures of batches, as if each had been registered by itself."""
        return tuple(capture.event() for capture in self.captures if capture.root)

    @property
    def without_manifest(self) -> int:
        """How many captures have none here."""
        return sum(capture.manifest is None for capture in self.captures)


def read_parts(files: Mapping[str, bytes], kind: str) -> Parts:
    """(root block, file) by the directory's digest. Raises FormatError, Tampered, naming file and entry."""
    name = {CAPTURES: MANIFEST, LISTS: LIST}[kind]
    found: Parts = {}
    last = b""
    for index, entry in enumerate(entries(files, kind)):
        where = f"{place(kind, index)}: entry {index % PER_FILE[kind]}"
        part = hashes_only(entry, where)
        if len(part) != 2 or len(part[1]) > _LIMITS[name]:
            raise FormatError(f"{where} is not of the form that it has")
        root = Cid.of(DAG_PB, part[0])
        if root.digest <= last:
            raise FormatError(f"{where} is not in order")
        last = root.digest
        try:
            listed = Reader(lambda _, block=part[0]: block, 0).directory(root)  # type: ignore[misc]
        except FfemError as error:
            raise FormatError(f"{where}: {error.message}") from None
        if listed.get(name) != file_cid(part[1]):
            raise Tampered(f"{where}: {name} is not the one that its directory names")
        found[last] = (part[0], part[1])
    return found


def catalogue(history: History, manifests: Parts, lists: Parts) -> Catalogue:
    """All captures. A manifest or a list counts where it says what the chain says: anybody may register the digest of
    somebody else's directory, or of nonsense.

    Raises Tampered where a manifest or a list is that of none of the registrations.
    """
    captures: dict[tuple[bytes, bytes], Registered] = {}
    unlisted: list[ev.CapturesRegistered] = []
    unused = {CAPTURES: dict.fromkeys(manifests), LISTS: dict.fromkeys(lists)}
    for event in history.events:
        if isinstance(event, ev.CapturesRegistered):
            listed = listed_captures(event, lists)
            if listed is None:
                unlisted.append(event)
                continue
            unused[LISTS].pop(event.list_digest, None)
            found = [_of_batch(event, entry) for entry in listed.entries]
        elif isinstance(event, ev.CaptureRegistered):
            values = event.digest, event.key_commit, event.epoch, event.slot
            found = [Registered(event.album, event.uid, *values, event.block, event.log_index, event.tx, b"", None)]
        else:
            continue
        for capture in found:
            manifest = manifest_of(history, capture, manifests)
            if manifest is not None:
                unused[CAPTURES].pop(capture.digest, None)
            # Of two registrations of a uid in an album the first counts.
            captures.setdefault((capture.album, capture.uid), replace(capture, manifest=manifest))
    for kind, parts in ((CAPTURES, manifests), (LISTS, lists)):
        for index, digest in enumerate(parts):
            if digest in unused[kind]:
                raise Tampered(f"{place(kind, index)}: {cid_of_digest(digest)} is not what the chain registers")
    return Catalogue(tuple(captures.values()), tuple(unlisted))


def from_stores(history: History, stores: Sequence[Store]) -> Catalogue:
    """All captures, without manifests; lists of batches are those that one of the stores serves and that verify."""
    digests = {event.list_digest for event in history.events if isinstance(event, ev.CapturesRegistered)}
    return catalogue(history, {}, right_lists(history, fetch(stores, digests, LIST, lambda: None)))


def right_lists(history: History, lists: Parts) -> Parts:
    """Lists that are those of at least one batch."""
    batches = [event for event in history.events if isinstance(event, ev.CapturesRegistered)]
    right = {event.list_digest for event in batches if listed_captures(event, lists) is not None}
    return {digest: part for digest, part in lists.items() if digest in right}


def _of_batch(event: ev.CapturesRegistered, entry: Entry) -> Registered:
    values = entry.digest, entry.key_commit, event.epoch, entry.slot
    return Registered(event.album, entry.uid, *values, event.block, event.log_index, event.tx, event.root, None)


def listed_captures(event: ev.CapturesRegistered, lists: Parts) -> CaptureList | None:
    """The list of a batch, None where it is absent or does not hold the captures of the root on the chain."""
    if event.list_digest not in lists:
        return None
    try:
        listed = CaptureList.unpack(lists[event.list_digest][1])
    except FormatError:
        return None
    right = (listed.epoch, len(listed.entries), listed.root) == (event.epoch, event.count, event.root)
    return listed if right else None


def manifest_of(history: History, capture: Registered, manifests: Parts) -> Manifest | None:
    """A capture's manifest, None where it is absent or contradicts the chain."""
    owner = history.owner_of(capture.album)
    if capture.digest not in manifests or not owner:
        return None
    try:
        manifest = read_manifest(manifests[capture.digest][1])
    except FfemError:
        return None
    said = manifest.uid, manifest.key_commit, manifest.epoch, manifest.slot, album_id(owner, manifest.album_salt)
    recorded = capture.uid, capture.key_commit, capture.epoch, capture.slot, capture.album
    return manifest if said == recorded else None


# ---------------------------------------------------------------------- from stores


def fetch(stores: Sequence[Store], digests: Iterable[bytes], name: str, done: Callable[[], None]) -> Parts:
    """What one of the stores serves of these directories, by digest and ordered by it; others are left out.

    `done` is called after each.
    """
    found: Parts = {}
    for digest in sorted(digests):
        for store in stores:
            try:
                found[digest] = store.get_file(cid_of_digest(digest), name, max_bytes=_LIMITS[name])
                break
            except FfemError:
                continue
        done()
    return found
