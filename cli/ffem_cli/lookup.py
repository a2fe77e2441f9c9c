"""Which capture, grant or album is meant: a uid or id, the first digits of one, a CID, or a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ffem_chain.errors import FormatError, InputError, NotForMe
from ffem_chain.stores.cid import digest_of_cid

if TYPE_CHECKING:
    from ffem_chain.audit.index.reading import IndexedRegistry
    from ffem_chain.capture.proof import CaptureProof
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.recipient import Recipient
    from ffem_chain.roles.records import Album, CaptureRecord, GrantRecord
    from ffem_chain.roles.registrations import Registration
    from ffem_cli.session import Session

SHORTEST = 6
SHOWN = 16  # digits of an id in tables and messages
CAPTURE_HINT = f"a capture is its uid, at least {SHORTEST} first digits of that, or a CID (bafy...)"
BATCH_HINT = f"{CAPTURE_HINT}; one of a batch is found by its album: --in-album ID"
_DIGITS = re.compile("(0[xX])?([0-9a-fA-F]+)")
_MOST_NAMED = 5
Found = TypeVar("Found")
Place = tuple[bytes, bytes]  # album and uid


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
        # What no CID is meant for (grants, albums) is not called a broken one.
        why = f": {error.message}" if "CID" in hint else ""
        raise InputError(f"{shown} names nothing here{why}", hint) from None


def _one(found: Sequence[Found], name: Name, ids: Sequence[bytes], what: str) -> Found:
    """The only one. Raises InputError where several are meant, naming them."""
    if len(found) > 1:
        shown = ", ".join(one.hex()[:SHOWN] for one in ids[:_MOST_NAMED])
        more = f" and {len(ids) - _MOST_NAMED} more" if len(ids) > _MOST_NAMED else ""
        hint = "type more digits" if name.prefix else "name it by its uid"
        raise InputError(f"{name.text!r} could be {len(found)} {what}: {shown}{more}", hint)
    return found[0]


# ---------------------------------------------------------------------- captures of anybody, on the chain


def capture_on_chain(session: Session, text: str, album: str | None = None, proof: Path | None = None) -> Registration:
    """The capture that is meant, its registration checked; by itself, or in a batch of an album.

    `album` is the id of an album, in hex: anybody may register a uid in an album of theirs, too. Without it, batches of
    those albums are looked into to which this wallet's vault and grants lead, where the passphrase can be had, and all
    batches whose lists the index knows. Of several albums the one in this wallet's vault is meant, else the one in
    which it has a grant. A `proof` takes the place of all that. Raises InputError (several, naming them), Refused,
    Tampered, and the error of a batch that may have the capture and cannot be used.
    """
    from ffem_cli.passphrases import can_unlock, has_secret

    if proof is not None:
        return _proven(session, text, album, proof)
    own: list[bytes] = []
    unlocked = False

    def albums(name: Name, places: Sequence[Place]) -> Sequence[bytes]:
        nonlocal unlocked
        # Nobody is asked for a passphrase where something is found without it.
        given = session.unlocked or has_secret("FFEM_PASSPHRASE")
        if not session.has_wallet() or not (given if len(places) == 1 else can_unlock()):
            return ()
        try:
            own.extend(one.album_id for one in session.owner().captures() if name.means(one.uid, one.digest))
            found = own or _granting(session.recipient(), name)
        except NotForMe as error:
            if not places:
                raise
            session.out.note(f"what this wallet owns and was granted is left out: {error.message}")
            return ()
        unlocked = True
        return found

    def choose(places: Sequence[Place]) -> list[Place]:
        if not unlocked:
            return []
        return [one for one in places if one[0] in own] or _granted(session.recipient(), places)

    return _find(session, text, album, albums, choose)


def granted_capture(
    session: Session, recipient: Recipient, text: str, album: str | None = None, proof: Path | None = None
) -> Registration:
    """Like `capture_on_chain`; of several albums the one in which this wallet has a grant is meant."""
    if proof is not None:
        return _proven(session, text, album, proof)
    return _find(
        session,
        text,
        album,
        lambda name, places: _granting(recipient, name),
        lambda places: _granted(recipient, places),
    )


def read_proof(path: Path, text: str, album: str | None) -> CaptureProof:
    """The proof in a file, of the capture and the album that are meant. Raises InputError, FormatError, Tampered."""
    from ffem_chain.capture.proof import MAX_BYTES, CaptureProof
    from ffem_chain.keys.files import read_file

    found = CaptureProof.from_json(read_file(path, "proof of a capture", MAX_BYTES))
    meant = album is None or parse_name(album, hint="an album's id is 64 hexadecimal digits").means(found.album)
    if not meant or not parse_name(text).means(found.uid, found.digest):
        what = f"capture {found.uid.hex()[:SHOWN]} in album {found.album.hex()[:SHOWN]}"
        raise InputError(f"{path} is the proof of {what}, not of {text[:64]!r}", "name that capture, or another file")
    return found


def _proven(session: Session, text: str, album: str | None, path: Path) -> Registration:
    return session.registrations().proven(read_proof(path, text, album))


def _granted(recipient: Recipient, places: Sequence[Place]) -> list[Place]:
    """Those in whose album this wallet has a grant."""
    from ffem_chain.chain.events import GrantCreated

    events = recipient.registry.events([GrantCreated], recipient=recipient.wallet)
    granted = {one.album for one in events if isinstance(one, GrantCreated)}
    return [place for place in places if place[0] in granted]


def _find(
    session: Session,
    text: str,
    album: str | None,
    albums: Callable[[Name, Sequence[Place]], Sequence[bytes]],
    choose: Callable[[Sequence[Place]], list[Place]],
) -> Registration:
    """`albums` are those whose batches are looked into, also where a stranger has registered the capture in an album of
    theirs; `choose` picks among several albums of one capture."""
    from ffem_chain.chain.events import AlbumCreated

    name, registry, finder = parse_name(text), session.registry(), session.registrations()
    places = _places(registry, name)
    searched: Sequence[bytes] = ()
    if album is not None:
        wanted = parse_name(album, hint="an album's id is 64 hexadecimal digits; its first 6 may do")
        places = [place for place in places if wanted.means(place[0])]
        if not places:
            created = registry.events([AlbumCreated])
            searched = [one.album for one in created if isinstance(one, AlbumCreated) and wanted.means(one.album)]
    else:
        searched = list(dict.fromkeys(albums(name, places)))
    places += [(one, uid) for one in searched for uid in finder.search(one, name.means) if (one, uid) not in places]
    if not places:
        where = f"registered in album {album}" if album else "registered on this deployment"
        raise finder.missing(f"no capture {text[:64]!r} is {where}", searched, BATCH_HINT)
    uids = list(dict.fromkeys(uid for _, uid in places))
    _one(uids, name, uids, "captures")
    if len(places) > 1 and album is None:
        places = choose(places) or places
    if len(places) > 1:
        named = ", ".join(place[0].hex()[:SHOWN] for place in places)
        raise InputError(f"the capture is registered in {len(places)} albums: {named}", "name one with --in-album")
    found = finder.find(*places[0])
    for problem in finder.problems:
        session.out.note(f"note: {problem.message}")
    return found


def _places(registry: IndexedRegistry, name: Name) -> list[Place]:
    """Registrations that may be meant, of captures by themselves and, where there is an index, of those in batches
    whose lists it knows; not checked yet."""
    from ffem_chain.chain.events import CaptureRegistered

    known = registry.named(prefix=name.prefix, digest=name.digest)
    if known is not None:
        return known
    exact: dict[str, Any] = {"uid": bytes.fromhex(name.prefix)} if len(name.prefix) == 64 else {}
    events = registry.events([CaptureRegistered], **exact)
    found = [one for one in events if isinstance(one, CaptureRegistered) and name.means(one.uid, one.digest)]
    return [(one.album, one.uid) for one in found]


def _granting(recipient: Recipient, name: Name) -> list[bytes]:
    """Albums in which this wallet has a grant that may open what is meant; those of that very capture first."""
    scopes = [(one.album, one.scope) for one in recipient.grants() if one.scope is not None]
    exact = [album for album, scope in scopes if any(scope.uid) and (name.digest or name.means(scope.uid))]
    return [*exact, *(album for album, scope in scopes if not any(scope.uid))]


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
