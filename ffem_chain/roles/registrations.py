"""Where a capture is registered: by itself, or in a batch whose list is fetched, verified and kept.

A batch is a Merkle root on the chain and a list at a CID (docs/FORMAT.md). Nothing of a list is used before its digest,
size, count, epoch and root are those of the registration. Of several registrations of one uid in an album the first in
the order of the chain's logs counts. A list that cannot be had or does not verify registers nothing: it is named in
`Registrations.problems`, and what is registered elsewhere is found all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from ffem_chain.capture.batch import MAX_CAPTURES, CaptureList
from ffem_chain.capture.proof import CaptureProof
from ffem_chain.chain.events import CaptureRegistered, CapturesRegistered
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import FfemError, FormatError, Refused, StoreUnavailable, Tampered
from ffem_chain.roles.lists import Lists
from ffem_chain.stores.base import Store

_SHOWN = 16
# Lists of one album that the store may fail to give before the rest of them is given up: each can take its timeout.
_PATIENCE = 3
_LISTS_IN_MEMORY = 8
_LYING = "the RPC leaves out or alters logs; use another one"


@dataclass(frozen=True)
class Registration:
    """What the chain records of a capture, checked. Values of 32 bytes, `slot` in minutes since 1970, `block` and
    `log_index` of its log. `root` is that of its batch, empty for a capture that is registered by itself."""

    album: bytes
    uid: bytes
    digest: bytes
    key_commit: bytes
    epoch: int
    slot: int
    block: int
    log_index: int
    root: bytes = b""


class Registrations:
    """Finds the registrations of one deployment. `store` None: only those of captures by themselves.

    `folder` keeps verified lists, one file ROOT.bin each, so that they are fetched and hashed once. Batches that could
    not be used are not tried again: another attempt takes another object.
    """

    def __init__(self, registry: Registry, store: Store | None, folder: Path | None = None) -> None:
        self.registry = registry
        self._source = Lists(store, folder)
        self._lists: dict[tuple[bytes, bytes], CaptureList] = {}
        self._problems: dict[tuple[bytes, bytes], FfemError] = {}
        self._shown: dict[tuple[bytes, bytes], Registration] = {}

    @property
    def problems(self) -> list[FfemError]:
        """Why batches that were looked into could not be used; each error names its batch."""
        return list(self._problems.values())

    # ------------------------------------------------------------------ finding

    def find(self, album: bytes, uid: bytes) -> Registration:
        """The registration of a capture that counts.

        Raises Refused where there is none, or the error of a batch where a batch of the album could not be used; and
        Tampered where the RPC's logs do not match the contract's storage.
        """
        found = self._find(album, uid)
        if found is None:
            raise self.missing(
                f"capture {uid.hex()[:_SHOWN]} is not registered in album {album.hex()[:_SHOWN]}", [album]
            )
        return found

    def find_anywhere(self, uid: bytes, albums: Sequence[bytes] = ()) -> Registration:
        """The registration of a capture whose album is not known: by itself in one of `albums`, else in the batches of
        these, in this order, else by itself in any album.

        Anybody may register a uid in an album of theirs: that hides nothing of `albums`. Raises like `find`, and
        Refused where it is by itself in several albums.
        """
        alone = {
            e.album for e in self.registry.events([CaptureRegistered], uid=uid) if isinstance(e, CaptureRegistered)
        }
        known = dict.fromkeys(albums)
        places = [album for album in known if album in alone]
        if not places:
            for album in known:
                found = self._find(album, uid)
                if found is not None:
                    return found
            places = list(alone)
        if len(places) > 1:
            raise Refused(f"capture {uid.hex()[:_SHOWN]} is registered in {len(places)} albums", "name the album")
        for album in places:
            return self.find(album, uid)
        raise self.missing(f"no capture {uid.hex()[:_SHOWN]} is registered on this deployment", albums)

    def search(self, album: bytes, means: Callable[[bytes, bytes], bool]) -> list[bytes]:
        """Uids of the captures in an album's batches for whose uid and digest `means` holds, each once."""
        found = (
            entry for _, listed in self._usable(album) for entry in listed.entries if means(entry.uid, entry.digest)
        )
        return list(dict.fromkeys(entry.uid for entry in found))

    def proof(self, found: Registration) -> CaptureProof:
        """The proof of a capture of a batch. Raises the batch's error."""
        for event, listed in self._usable(found.album, {found.root}):
            entry = listed.find(found.uid) if event.root == found.root else None
            if entry is not None:
                chain, address = self.registry.rpc.chain_id, self.registry.address
                return CaptureProof.of(listed, entry, chain, address, self.registry.deployment_id, found.album)
        raise self.missing(f"capture {found.uid.hex()[:_SHOWN]} is in no batch", [found.album])

    def proven(self, proof: CaptureProof) -> Registration:
        """The registration that a proof shows, without the list: its batch is compared with the chain's. `find` gives
        it from now on. Whether an earlier batch of the album lists the capture, too, is not known.

        Raises Refused where the chain has no such batch, Tampered where the RPC's logs do not match the storage.
        """
        if proof.deployment != self.registry.deployment_id:
            raise Refused("the proof is of another deployment", "check the registry's address and the chain")
        stored = self.registry.capture_batch(proof.album, proof.root)
        if not stored.count or (stored.count, stored.epoch) != (proof.count, proof.epoch):
            raise Refused(f"batch {proof.root.hex()[:_SHOWN]} of the proof is not on the chain", "get another proof")
        alone = self._alone(proof.album, proof.uid)
        for event in self.registry.events([CapturesRegistered], album=proof.album):
            if not isinstance(event, CapturesRegistered) or event.root != proof.root:
                continue
            if alone is not None and (alone.block, alone.log_index) < (event.block, event.log_index):
                return alone
            values = proof.digest, proof.key_commit, proof.epoch, proof.slot
            found = Registration(proof.album, proof.uid, *values, event.block, event.log_index, event.root)
            self._shown[proof.album, proof.uid] = found
            return found
        raise Tampered(f"the logs lack batch {proof.root.hex()[:_SHOWN]}", _LYING)

    def missing(self, text: str, albums: Sequence[bytes], hint: str = "") -> FfemError:
        """The error for what was not found in `albums`: a Refused, or that of a batch that may have it."""
        problems = [error for (album, _), error in self._problems.items() if album in albums]
        if not problems:
            return Refused(text, hint)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return type(problems[0])(f"{text}, as far as can be read: {problems[0].message}{more}", problems[0].hint)

    def _find(self, album: bytes, uid: bytes) -> Registration | None:
        if (album, uid) in self._shown:
            return self._shown[album, uid]
        alone = self._alone(album, uid)
        for event, listed in self._usable(album, self.registry.batches_with(album, uid)):
            if alone is not None and (alone.block, alone.log_index) < (event.block, event.log_index):
                break
            entry = listed.find(uid)
            if entry is not None:
                place = event.block, event.log_index, event.root
                return Registration(album, uid, entry.digest, entry.key_commit, event.epoch, entry.slot, *place)
        return alone

    def _alone(self, album: bytes, uid: bytes) -> Registration | None:
        stored = self.registry.capture_hash(album, uid)
        if not any(stored):
            return None
        for event in self.registry.events([CaptureRegistered], album=album, uid=uid):
            if isinstance(event, CaptureRegistered):
                values = event.digest, event.key_commit, event.epoch, event.slot
                if keccak(encode(["bytes32", "bytes32", "uint32", "uint32"], values)) == stored:
                    return Registration(album, uid, *values, event.block, event.log_index)
        raise Tampered(f"the logs of capture {uid.hex()[:_SHOWN]} do not match the contract's state", _LYING)

    # ------------------------------------------------------------------ lists

    def _usable(
        self, album: bytes, only: Container[bytes] | None = None
    ) -> Iterator[tuple[CapturesRegistered, CaptureList]]:
        """The album's batches (those with these roots) in order of the chain, with their lists; unusable ones are noted
        and left out."""
        failed = 0
        for event in self.registry.events([CapturesRegistered], album=album):
            if not isinstance(event, CapturesRegistered) or (only is not None and event.root not in only):
                continue
            key = event.album, event.root
            if key not in self._problems:
                try:
                    listed = self._list(event, ask=failed < _PATIENCE)
                except (FormatError, StoreUnavailable, Tampered) as error:
                    self._problems[key] = _named(event, error)
                else:
                    yield event, listed
                    continue
            failed += isinstance(self._problems[key], StoreUnavailable)

    def _list(self, event: CapturesRegistered, *, ask: bool) -> CaptureList:
        key = event.album, event.root
        if key not in self._lists:
            stored = self.registry.capture_batch(event.album, event.root)
            if (stored.count, stored.epoch) != (event.count, event.epoch) or event.count > MAX_CAPTURES:
                raise Tampered("its log does not match the contract's state", _LYING)
            listed = self._source.kept(event)
            if listed is None and not ask:
                raise StoreUnavailable(f"it was not asked for, since the store lacks {_PATIENCE} others of its album")
            while len(self._lists) >= _LISTS_IN_MEMORY:
                self._lists.pop(next(iter(self._lists)))
            self._lists[key] = self._source.fetched(event) if listed is None else listed
        return self._lists[key]


def _named(event: CapturesRegistered, error: FfemError) -> FfemError:
    where = f"batch {event.root.hex()[:_SHOWN]} of album {event.album.hex()[:_SHOWN]}"
    hint = error.hint or "its captures cannot be found; tell the album's owner"
    return type(error)(f"the list of {where} cannot be used: {error.message}", hint)
