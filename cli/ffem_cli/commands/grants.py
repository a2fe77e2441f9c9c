"""`ffem grant`: letting wallets open a capture, a face, or an epoch or a range of time of an album."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError, Refused
from ffem_chain.labels import DIRECT_LABEL, MANY_LABEL, OWNER_KEEPER_LABEL
from ffem_cli import lookup, shell
from ffem_cli.output import Answer, Table, count, instant, moment
from ffem_cli.session import Session
from ffem_cli.times import parse_moment, parse_slots

if TYPE_CHECKING:
    from ffem_chain.chain.registry import Registry
    from ffem_chain.roles.owner import Options, Owner
    from ffem_chain.roles.records import CaptureRecord, GrantRecord

_ADDRESS = re.compile("0x[0-9a-fA-F]{40}")
_LARGEST_LIST = 1 << 20
FaceOption = Annotated[int | None, typer.Option("--face", "-f", min=0, max=65_535, help="One face, counted from 0.")]


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    shell.command(app, "grant", example="ffem grant 1f2e3d 0x7099... --face 0 --expires 30d")(grant)


def grant(
    session: Session,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CAPTURE] [WALLET]...",
            help="uid, its first digits, or CID (not with --album); then the addresses that may open it.",
        ),
    ] = None,
    album: Annotated[
        str | None, typer.Option("--album", "-a", help="Grant an epoch of this album, no single capture.")
    ] = None,
    epoch: Annotated[
        int | None, typer.Option("--epoch", min=1, help="With --album: an earlier epoch instead of the present one.")
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", help="With --album: only what is sealed from then on; now, 12h ago, 2026-06-01"),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="With --album: only what is sealed before then; 30d, 2026-06-08.")
    ] = None,
    face: FaceOption = None,
    wallet: Annotated[
        list[str] | None, typer.Option("--wallet", "-w", metavar="0x...", help="One more wallet; may be given often.")
    ] = None,
    wallets: Annotated[
        Path | None, typer.Option("--wallets", metavar="FILE", help="A file of wallets, one a line; # begins a remark.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="90min, 12h, 30d, 2026-12-31 or an ISO time (UTC). Default: never.")
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help=f"Seal the key itself, without keepers: {DIRECT_LABEL}.")
    ] = False,
    suite: Annotated[
        int | None, typer.Option("--suite", min=1, max=2, help="1: secp256k1, 2: post-quantum. Default: 2 if all can.")
    ] = None,
    keepers: Annotated[
        str | None, typer.Option("--keepers", metavar="T/N", help="Only if T of N keepers are the album's present set.")
    ] = None,
) -> Answer:
    """Let wallets open a capture, one face of it, or an album: an epoch, or a range of time in it.

    A grant of an epoch or a range opens all that is sealed in it, also later, and one receipt covers all of that. Each
    wallet must have published an encryption key (`ffem key register`). Several are granted in as few transactions as
    hold them, and nobody is unless all can be. What was opened once cannot be recalled.
    """
    targets = list(words or [])
    if album is None and not targets:
        raise InputError("what is granted?", "ffem grant CAPTURE WALLET, or ffem grant --album NAME WALLET")
    if album is not None and len(targets) > 1 and not _ADDRESS.fullmatch(targets[0]):
        raise InputError("--album grants the whole album: name no capture", "leave --album or CAPTURE out")
    if album is not None and face is not None:
        raise InputError("--face needs a capture", "leave --album out")
    for option, given in (("--epoch", epoch), ("--from", begin), ("--to", end)):
        if album is None and given is not None:
            raise InputError(f"{option} needs an album", f"ffem grant --album NAME {option} {given} WALLET")
    if direct and keepers is not None:
        raise InputError("a direct grant has no keepers", "leave --direct or --keepers out")
    capture = targets.pop(0) if album is None else None
    recipients = [*targets, *(wallet or ()), *(() if wallets is None else _listed(wallets))]
    if not recipients:
        raise InputError("who may open it?", "ffem grant CAPTURE WALLET, or ffem grant --album NAME WALLET")
    until = None if expires is None else parse_moment(expires)
    slots = None if begin is None and end is None else parse_slots(begin, end)
    expected = None if keepers is None else _expected(keepers)
    owner = session.owner()
    uid = None
    if album is None:
        record = _registered(owner, capture or "")
        uid, owned = record.uid, owner.album(record.album_id)
    else:
        owned = owner.album(album)
    if expected is not None:
        _check_keepers(owner.registry, owned.album_id, owned.name, expected)
    if slots is not None:
        _warn_of_before(session, owner, owned.album_id, slots[1])
    options: Options = {"epoch": epoch, "slots": slots, "expires": until, "direct": direct, "suite": suite}
    if uid is None:
        options["album"] = owned.album_id
    with session.out.progress() as say:
        made = owner.grant_many(uid, face, recipients, on_page=telling(say), **options)
    if slots is not None:
        _other_epochs(session, owner, made[0])
    one_by_one = len(recipients) == 1
    return _granted(owner, made, uid, face) if one_by_one else _granted_many(owner, made, uid, face)


def _warn_of_before(session: Session, owner: Owner, album: bytes, last: int) -> None:
    """Say so where a range of time is over before the album was on the chain: most likely it opens nothing."""
    from ffem_chain.chain.events import AlbumCreated
    from ffem_chain.keys.tree import SLOT_SECONDS

    created = next(iter(owner.registry.events([AlbumCreated], album=album)), None)
    if created is None:
        return
    since = int(owner.registry.rpc.block(created.block)["timestamp"])
    if (last + 1) * SLOT_SECONDS <= since:
        text = f"the album was created at {moment(since)}: only what was sealed off line before opens with this grant"
        session.out.note(text)


def telling(say: Callable[[str, int], None]) -> Callable[[int, int], None]:
    """Progress of many grants; of one there is nothing to tell."""

    def page(done: int, total: int) -> None:
        if total > 1:
            say(f"granted {done} of {total}", done)

    return page


def _listed(path: Path) -> list[str]:
    """The wallets of a file. Raises InputError."""
    from ffem_chain.keys.files import read_file

    try:
        lines = read_file(path, "list of wallets", _LARGEST_LIST).decode().splitlines()
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8") from None
    found = [word for line in lines if (word := line.partition("#")[0].strip())]
    if not found:
        raise InputError(f"{path} names no wallet", "one address a line; # begins a remark")
    return found


def _other_epochs(session: Session, owner: Owner, made: GrantRecord) -> None:
    """A range lies in one epoch: say where captures of its time are in others."""
    first, last = made.scope.span
    others = [
        one.epoch
        for one in owner.captures()
        if one.album_id == made.album_id and first <= one.slot <= last and one.epoch != made.scope.epoch
    ]
    for epoch in sorted(set(others)):
        what = count(others.count(epoch), "capture")
        session.out.note(f"of that time, {what} of epoch {epoch} stay closed: grant those with --epoch {epoch}")


def _document(owner: Owner, made: GrantRecord, uid: bytes | None, face: int | None) -> dict[str, Any]:
    """A grant as `--json` shows it."""
    from ffem_chain.roles.records import describe

    members, threshold = tuple[str, ...](), 0
    if made.keeper_set:
        pinned = owner.registry.keeper_set(made.keeper_set)
        members, threshold = pinned.keepers, pinned.threshold
    label = DIRECT_LABEL if made.direct else OWNER_KEEPER_LABEL if members == (owner.wallet,) else None
    return {
        "grant": made.grant_id,
        "album": made.album_id,
        "capture": uid,
        "face": face,
        "scope": describe(made.scope),
        "recipient": made.recipient,
        "key_version": made.key_version,
        "suite": made.suite,
        "expires": instant(made.expiry),
        "direct": made.direct,
        "label": label,
        "keeper_set": made.keeper_set or None,
        "threshold": threshold,
        "keepers": members,
        "block": made.block,
    }


def _granted(owner: Owner, made: list[GrantRecord], uid: bytes | None, face: int | None) -> Answer:
    (one,) = made
    data = _document(owner, one, uid, face)
    lines: list[str | Table] = [
        f"grant      {one.grant_id.hex()}",
        *_opens(data, one),
        f"recipient  {one.recipient}, key version {one.key_version}, suite {one.suite}",
        f"expires    {moment(one.expiry)}",
    ]
    return Answer(data, [*lines, *_keepers(data)])


def _granted_many(owner: Owner, made: list[GrantRecord], uid: bytes | None, face: int | None) -> Answer:
    first = _document(owner, made[0], uid, face)
    each = ("grant", "recipient", "key_version", "suite", "block")
    rows = [{"grant": o.grant_id, **{name: getattr(o, name) for name in each[1:]}} for o in made]
    blocks = sorted({one.block for one in made})
    data = {name: value for name, value in first.items() if name not in each}
    table = Table(
        ("grant", "recipient", "key", "suite"),
        [(one.grant_id.hex()[: lookup.SHOWN], one.recipient, one.key_version, one.suite) for one in made],
        "",
    )
    lines: list[str | Table] = [
        table,
        *_opens(first, made[0]),
        f"expires    {moment(made[0].expiry)}",
        *_keepers(first),
        f"sent       {count(len(made), 'grant')} in {count(len(blocks), 'transaction')}",
    ]
    return Answer({**data, "grants": rows, "transactions": len(blocks)}, lines)


def _opens(data: dict[str, Any], one: GrantRecord) -> list[str]:
    lines = [f"opens      {data['scope']}"]
    if one.scope.many and not one.direct:
        lines.append(f"           {MANY_LABEL}")
    return lines


def _keepers(data: dict[str, Any]) -> list[str]:
    if data["direct"]:
        return [f"direct     {DIRECT_LABEL}"]
    lines = [f"keepers    {data['threshold']} of {len(data['keepers'])}, set {data['keeper_set']}"]
    if data["label"]:
        lines.append(f"           the owner is the only keeper: {data['label']}")
    return lines


def _registered(owner: Owner, text: str) -> CaptureRecord:
    record = lookup.own_capture(owner, text)
    if not record.registered:
        raise Refused(
            f"capture {record.uid.hex()[: lookup.SHOWN]} is not registered on this deployment", "ffem seal --resume"
        )
    return record


def _expected(text: str) -> tuple[int, int]:
    found = re.fullmatch("([1-8])/([1-8])", text)
    if found is None or int(found[1]) > int(found[2]):
        raise InputError(f"{text[:20]!r} is no set of keepers", "threshold/number, for example 2/3; at most 8 keepers")
    return int(found[1]), int(found[2])


def _check_keepers(registry: Registry, album: bytes, name: str, expected: tuple[int, int]) -> None:
    """Refused where the album's present keeper set is not of the expected size and threshold."""
    number = registry.album(album).current_keeper_set
    view = registry.keeper_set(number) if number else None
    present = (view.threshold, len(view.keepers)) if view else (0, 0)
    if present != expected:
        words = f"{present[0]} of {present[1]} keepers" if view else "no accepted keepers"
        raise Refused(
            f"album {name!r} has {words}, not {expected[0]} of {expected[1]}",
            f"propose others: ffem album keepers {name} --keeper 0x... --threshold {expected[0]}",
        )
