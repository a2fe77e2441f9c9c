"""Which capture, grant or album is meant: a uid or id, the first digits of one, a CID, or a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from ffem_chain.errors import FormatError, InputError, Refused
from ffem_chain.stores.cid import digest_of_cid

if TYPE_CHECKING:
    from ffem_chain.chain.events import CaptureRegistered
    from ffem_chain.chain.registry import Registry
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.recipient import Recipient
    from ffem_chain.roles.records import Album, CaptureRecord, GrantRecord

SHORTEST = 6
SHOWN = 16  # digits of an id in tables and messages
CAPTURE_HINT = f"a capture is its uid, at least {SHORTEST} first digits of that, or a CID (bafy...)"
_DIGITS = re.compile("(0[xX])?([0-9a-fA-F]+)")
_MOST_NAMED = 5
Found = TypeVar("Found")


@dataclass(frozen=True)
class Name:
    """What was typed: first digits of an id (lower case), or the digest inside a CID."""

    text: str
    prefix: str = ""
    digest: bytes = b""

    def means(self, identity: bytes, digest: bytes = b"") -> bool:
        """Whether an object with this id (and the digest of its content) is meant."""
        if self.digest:
            return self.digest == digest
        return identity.hex().startswith(self.prefix)


def parse_name(text: str, *, hint: str = CAPTURE_HINT) -> Name:
    """What was typed, checked before anything is asked. Raises InputError."""
    shown = repr(text[:80])
    digits = _DIGITS.fullmatch(text)
    if digits:
        prefix = digits[2].lower()
        if not SHORTEST <= len(prefix) <= 64:
            raise InputError(f"{shown} has {len(prefix)} digits: too {'few' if len(prefix) < 64 else 'many'}", hint)
        return Name(text, prefix=prefix)
    try:
        return Name(text, digest=digest_of_cid(text))
    except FormatError as error:
        raise InputError(f"{shown} names nothing here: {error.message}", hint) from None


def _one(found: Sequence[Found], name: Name, ids: Sequence[bytes], what: str) -> Found:
    """The only one. Raises InputError where several are meant, naming them."""
    if len(found) > 1:
        shown = ", ".join(one.hex()[:SHOWN] for one in ids[:_MOST_NAMED])
        more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
        hint = "type more digits" if name.prefix else "name it by its uid"
        raise InputError(f"{name.text!r} could be {len(found)} {what}: {shown}{more}", hint)
    return found[0]


# ---------------------------------------------------------------------- captures of anybody, on the chain


def registrations(registry: Registry, text: str) -> list[CaptureRegistered]:
    """All registrations of the one capture that is meant; several where its uid stands in several albums.

    Raises InputError (no name, several captures), Refused (not registered on this deployment). What is found is not
    checked against the contract's storage yet: `ffem_chain.roles.reading` does that.
    """
    from ffem_chain.chain.events import CaptureRegistered

    name = parse_name(text)
    exact: dict[str, Any] = {"uid": bytes.fromhex(name.prefix)} if len(name.prefix) == 64 else {}
    events = registry.events([CaptureRegistered], **exact)
    found = [one for one in events if isinstance(one, CaptureRegistered) and name.means(one.uid, one.digest)]
    uids = list(dict.fromkeys(one.uid for one in found))
    if not uids:
        raise Refused(f"no capture {text[:64]!r} is registered on this deployment", CAPTURE_HINT)
    _one(uids, name, uids, "captures")
    return found


def capture_on_chain(registry: Registry, text: str, album: str | None = None) -> CaptureRegistered:
    """The capture that is meant, its log checked against the contract's storage.

    `album` is the id of an album, in hex: anybody may register a uid in an album of theirs, too. Raises InputError,
    Refused, Tampered.
    """
    from ffem_chain.roles.reading import registered_capture

    found = registrations(registry, text)
    if album is not None:
        wanted = parse_name(album, hint="an album's id is 64 hexadecimal digits; its first 6 may do")
        found = [one for one in found if wanted.means(one.album)]
    if not found:
        raise Refused(f"capture {text[:64]!r} is not registered in album {album}")
    if len(found) > 1:
        albums = ", ".join(one.album.hex()[:SHOWN] for one in found)
        raise InputError(f"the capture is registered in {len(found)} albums: {albums}", "name one with --in-album")
    return registered_capture(registry, found[0].album, found[0].uid)


def granted_capture(recipient: Recipient, text: str, album: str | None = None) -> CaptureRegistered:
    """Like `capture_on_chain`; of several albums the one in which this wallet has a grant is meant."""
    from ffem_chain.chain.types import GrantStatus

    found = registrations(recipient.registry, text)
    if album is None and len(found) > 1:
        granted = {one.album for one in recipient.grants() if one.status is not GrantStatus.NONE}
        mine = [one.album for one in found if one.album in granted]
        album = mine[0].hex() if len(mine) == 1 else None
    return capture_on_chain(recipient.registry, text, album)


# ---------------------------------------------------------------------- what an owner's vault knows


def own_capture(owner: Owner, text: str) -> CaptureRecord:
    """The capture in the owner's vault that is meant. Raises InputError."""
    name = parse_name(text)
    found = [one for one in owner.captures() if name.means(one.uid, one.digest)]
    if not found:
        raise InputError(f"capture {text[:64]!r} is not in this vault", "ffem ls shows what is")
    return _one(found, name, [one.uid for one in found], "captures")


def own_grant_or_capture(owner: Owner, text: str) -> GrantRecord | CaptureRecord:
    """The grant or the capture in the owner's vault that is meant. Raises InputError."""
    name = parse_name(text, hint="a grant is its id, a capture its uid or CID: the first 6 digits may do")
    captures = [one for one in owner.captures() if name.means(one.uid, one.digest)]
    grants = [] if name.digest else [one for one in owner.grants() if name.means(one.grant_id)]
    found: list[GrantRecord | CaptureRecord] = [*captures, *grants]
    if not found:
        raise InputError(f"{text[:64]!r} is no capture and no grant in this vault", "ffem ls, ffem ls --grants")
    ids = [*(one.uid for one in captures), *(one.grant_id for one in grants)]
    return _one(found, name, ids, "captures and grants")


def own_album(owner: Owner, name: str | None, default: str) -> Album:
    """The album of that name or id; without a name, that of the settings (`default`) or the only one there is."""
    if name or default:
        return owner.album(name or default)
    albums = owner.albums()
    if not albums:
        raise InputError("there is no album in this vault", "ffem album create NAME")
    if len(albums) > 1:
        names = ", ".join(album.name for album in albums)
        raise InputError(f"which album: {names}?", "name one with --album, or: ffem config set album NAME")
    return albums[0]
