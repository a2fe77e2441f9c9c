"""Values that travel to and from the registry. Hashes and ids are bytes, addresses checksummed strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from eth_hash.auto import keccak
from eth_utils import to_checksum_address

from ffem_chain.chain.abi import static_words


class KeyStatus(IntEnum):
    """Life of an encryption key; it moves forward only."""

    NONE = 0
    ACTIVE = 1
    RETIRED = 2
    COMPROMISED = 3


class GrantStatus(IntEnum):
    """What a grant allows now. LIVE and OPENED allow requests (unless direct)."""

    NONE = 0
    LIVE = 1
    OPENED = 2
    EXPIRED = 3
    REVOKED = 4


@dataclass(frozen=True)
class GrantParams:
    """What an owner grants: `expiry` in unix seconds (0 never), `keeper_set` 0 for a direct grant."""

    album: bytes
    salt: bytes
    scope_commit: bytes
    recipient: str
    key_version: int
    expiry: int
    keeper_set: int
    payload: bytes

    @property
    def grant_id(self) -> bytes:
        """The grant's id, known before it is mined (32 bytes)."""
        return grant_id(self.album, self.salt)

    @property
    def values(self) -> tuple[bytes, bytes, bytes, str, int, int, int, bytes]:
        """The fields as the contract takes them."""
        return (
            self.album,
            self.salt,
            self.scope_commit,
            self.recipient,
            self.key_version,
            self.expiry,
            self.keeper_set,
            self.payload,
        )


@dataclass(frozen=True)
class KeyView:
    """One encryption key; `key_hash` is the first 30 bytes of its keccak256. Suite 0: no such key."""

    suite: int
    status: KeyStatus
    key_hash: bytes


@dataclass(frozen=True)
class AlbumView:
    """An album; `current_keeper_set` 0 until all keepers of one have accepted."""

    owner: str
    epoch: int
    current_keeper_set: int
    latest_keeper_set: int


@dataclass(frozen=True)
class KeeperSetView:
    """A keeper set; `accepted` is a bitmap over `keepers`."""

    album: bytes
    threshold: int
    accepted: int
    keepers: tuple[str, ...]


@dataclass(frozen=True)
class GrantView:
    """State of a grant; `released` is the bitmap of keepers that ever committed, `head` the hash chain.

    `keeper_set` is 0 for a direct grant, `batch` for a grant by itself.
    """

    status: GrantStatus
    recipient: str
    expiry: int
    keeper_set: int
    seq: int
    released: int
    opened: bool
    revoked: bool
    head: bytes
    batch: int = 0


@dataclass(frozen=True)
class CaptureBatchView:
    """Captures registered as one Merkle root: how many (0: there is no such batch), their epoch, and when (unix
    seconds)."""

    count: int
    epoch: int
    time: int


def album_id(owner: str, salt: bytes) -> bytes:
    """Id of the album that `owner` creates with `salt` (32 bytes)."""
    return keccak(static_words(to_checksum_address(owner), salt))


def grant_id(album: bytes, salt: bytes) -> bytes:
    """Id of the grant of `album` with `salt` (32 bytes)."""
    return keccak(static_words(album, salt))


def first_head(grant: bytes, album: bytes, scope_commit: bytes, key_version: int, suite: int, payload: bytes) -> bytes:
    """Head of a grant's hash chain before any commit (32 bytes)."""
    return keccak(static_words(grant, album, scope_commit, key_version, suite, keccak(payload)))


def batch_head(heads: Sequence[bytes]) -> bytes:
    """Head of every grant of a batch before its first commit, from the `first_head` of all of them in order (32
    bytes)."""
    return keccak(b"".join(heads))


def commit_leaf(seq: int, index: int, digest: bytes) -> bytes:
    """Leaf of one commit in a grant's hash chain (32 bytes)."""
    return keccak(static_words(seq, index, digest))


def next_head(head: bytes, leaf: bytes) -> bytes:
    """Head after a commit (32 bytes)."""
    return keccak(static_words(head, leaf))
