"""The names under which an event is found again: albums, grants, wallets, keeper sets, captures.

A name is a letter and what it names (32-byte ids, 20-byte addresses, 4-byte numbers), so that names of one kind lie
together and the first digits of an id are enough.
"""

from __future__ import annotations

import hashlib

from ffem_chain.chain import events as ev
from ffem_chain.roles.keyring import address_bytes


def frame(album: bytes) -> bytes:
    """An album's own events: its epochs and keeper sets."""
    return b"A" + album


def captures_of(album: bytes) -> bytes:
    """Captures of an album, single ones and batches."""
    return b"C" + album


def grants_of(album: bytes) -> bytes:
    """Grants of an album."""
    return b"L" + album


def grant(identity: bytes) -> bytes:
    """Everything that happened to a grant."""
    return b"G" + identity


def granted_to(wallet: str) -> bytes:
    """Grants to a wallet."""
    return b"R" + address_bytes(wallet)


def keys(wallet: str) -> bytes:
    """A wallet's encryption keys."""
    return b"K" + address_bytes(wallet)


def nonces(wallet: str) -> bytes:
    """Nonces of a wallet's signed calls."""
    return b"N" + address_bytes(wallet)


def owned_by(wallet: str) -> bytes:
    """Albums of a wallet."""
    return b"O" + address_bytes(wallet)


def kept_by(wallet: str) -> bytes:
    """Keeper sets that name a wallet."""
    return b"P" + address_bytes(wallet)


def keeper_set(number: int) -> bytes:
    """A keeper set."""
    return b"S" + number.to_bytes(4, "big")


def grants_through(number: int) -> bytes:
    """Grants through a keeper set; 0: direct ones."""
    return b"T" + number.to_bytes(4, "big")


def batch(number: int) -> bytes:
    """A batch of grants."""
    return b"B" + number.to_bytes(4, "big")


def request_key(key: bytes) -> bytes:
    """Requests that publish the same one-time key."""
    return b"Q" + hashlib.sha256(key).digest()


def capture(uid: bytes) -> bytes:
    """Registrations of a uid; also of its first bytes."""
    return b"U" + uid


def content(digest: bytes) -> bytes:
    """Captures whose files lie at the CID with this digest."""
    return b"D" + digest


CAPTURE_BATCHES = b"M"  # all batches of captures


def names(event: ev.Event) -> list[bytes]:
    """All names of an event."""
    match event:
        case ev.GrantCreated():
            through = grants_through(event.keeper_set)
            return [grant(event.grant_id), grants_of(event.album), granted_to(event.recipient), through]
        case ev.AccessRequested():
            return [grant(event.grant_id), request_key(event.request_key)]
        case ev.ReleaseCommitted() | ev.GrantOpened() | ev.ShareDelivered() | ev.GrantRevoked():
            return [grant(event.grant_id)]
        case ev.CaptureRegistered():
            return [captures_of(event.album), capture(event.uid), content(event.digest)]
        case ev.CapturesRegistered():
            return [captures_of(event.album), CAPTURE_BATCHES]
        case ev.GrantsBatched():
            return [batch(event.batch), *{grant(one) for one in event.grant_ids}]
        case ev.KeyRegistered() | ev.KeyStatusChanged() | ev.RecoveryPublished():
            return [keys(event.wallet)]
        case ev.NoncesUsed():
            return [nonces(event.wallet)]
        case ev.AlbumCreated():
            return [frame(event.album), owned_by(event.owner)]
        case ev.EpochOpened():
            return [frame(event.album)]
        case ev.KeeperSetProposed():
            kept = {kept_by(wallet) for wallet in event.keepers}
            return [frame(event.album), keeper_set(event.keeper_set), *kept]
        case ev.KeeperAccepted():
            return [keeper_set(event.keeper_set)]
        case ev.KeeperSetActivated():
            return [frame(event.album), keeper_set(event.keeper_set)]
    raise AssertionError(f"{type(event).__name__} has no names")
