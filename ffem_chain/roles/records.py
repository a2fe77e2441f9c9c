"""What an owner's vault remembers: albums, captures, grants. Plain values, no secrets in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ffem_chain.capture.model import Capture
from ffem_chain.keys.scope import LEVEL_CAPTURE, LEVEL_EPOCH, LEVEL_FACE, Scope
from ffem_chain.keys.tree import LAST_SLOT, SLOT_SECONDS
from ffem_chain.stores.cid import digest_of_cid


@dataclass(frozen=True)
class Album:
    """An album: `album_id` and `salt` are 32 bytes, `epoch` is the one that new captures belong to."""

    name: str
    album_id: bytes
    salt: bytes
    owner: str
    epoch: int


@dataclass(frozen=True)
class CaptureRecord:
    """A capture of this owner. `registered`: its transaction is known to be on this deployment.

    `digest` is the sha2-256 inside `cid`; `model_id` (32 bytes), `rotation` and `precision` belong to the
    face keys. Of `faces` faces those with index in `sealed` can be opened; the others were too small. `source` is the
    SHA-256 of the photo's file, `root` that of the batch the capture was planned for; empty where there is none.
    """

    uid: bytes
    album_id: bytes
    epoch: int
    slot: int
    cid: str
    digest: bytes
    key_commit: bytes
    model_id: bytes
    rotation: str
    precision: str
    faces: int
    sealed: tuple[int, ...]
    registered: bool
    source: bytes = b""
    root: bytes = b""


@dataclass(frozen=True)
class GrantRecord:
    """A grant of this owner. `sent`: its transaction was seen mined, in `block`. `expiry` in unix seconds,
    0 never."""

    grant_id: bytes
    album_id: bytes
    salt: bytes
    scope: Scope
    recipient: str
    key_version: int
    suite: int
    expiry: int
    keeper_set: int
    sent: bool
    block: int

    @property
    def direct(self) -> bool:
        """Openings leave no receipt and cannot be revoked."""
        return self.keeper_set == 0


def capture_to_vault(album: bytes, capture: Capture, cid: str, source: bytes) -> dict[str, Any]:
    """Vault value of a capture that is registered nowhere yet."""
    manifest = capture.manifest
    return {
        "album": album,
        "epoch": manifest.epoch,
        "slot": manifest.slot,
        "cid": cid,
        "digest": digest_of_cid(cid),
        "key_commit": manifest.key_commit,
        "model_id": manifest.model_id,
        "rotation": manifest.rotation,
        "precision": manifest.precision,
        "faces": manifest.faces,
        "sealed": [face.index for face in capture.faces],
        "registered": [],
        "source": source,
    }


def capture_from_vault(uid: str, entry: dict[str, Any], deployment: str) -> CaptureRecord:
    """Capture of a vault value; `uid` and `deployment` in hex."""
    values = {key: value for key, value in entry.items() if key not in ("album", "sealed", "registered")}
    return CaptureRecord(
        uid=bytes.fromhex(uid),
        album_id=entry["album"],
        sealed=tuple(entry["sealed"]),
        registered=deployment in entry["registered"],
        **values,
    )


def grant_to_vault(record: GrantRecord) -> dict[str, Any]:
    """Vault value of a grant."""
    scope = record.scope
    return {
        "album": record.album_id,
        "salt": record.salt,
        "scope": scope.pack(),
        "recipient": record.recipient,
        "key_version": record.key_version,
        "suite": record.suite,
        "expiry": record.expiry,
        "keeper_set": record.keeper_set,
        "sent": int(record.sent),
        "block": record.block,
    }


def grant_from_vault(grant: str, entry: dict[str, Any]) -> GrantRecord:
    """Grant of a vault value; `grant` is the id in hex."""
    scope = entry["scope"]
    return GrantRecord(
        grant_id=bytes.fromhex(grant),
        album_id=entry["album"],
        salt=entry["salt"],
        # vaults of before payload version 2 hold the fields
        scope=Scope.unpack(scope) if isinstance(scope, bytes) else Scope(*scope),
        recipient=entry["recipient"],
        key_version=entry["key_version"],
        suite=entry["suite"],
        expiry=entry["expiry"],
        keeper_set=entry["keeper_set"],
        sent=bool(entry["sent"]),
        block=entry["block"],
    )


def covers(outer: Scope, inner: Scope) -> bool:
    """Whether whoever opens `outer` can derive the key of `inner` (same album): epoch ⊃ range ⊃ capture ⊃ face."""
    if outer.many:
        (first, last), (low, high) = outer.span, inner.span
        return outer.epoch == inner.epoch and first <= low and high <= last
    if inner.many or outer.uid != inner.uid:
        return False
    return outer.level != LEVEL_FACE or outer == inner


def overlaps(one: Scope, other: Scope) -> bool:
    """Whether there is something that both open (same album)."""
    if one.many and other.many:
        (first, last), (low, high) = one.span, other.span
        return one.epoch == other.epoch and first <= high and low <= last
    return covers(one, other) or covers(other, one)


def narrow(scope: Scope | None) -> int:
    """How narrow a scope is: epoch 0, range, capture, face 3; 0 where it is not known."""
    if scope is None or scope.level == LEVEL_EPOCH:
        return 0
    return 1 if scope.many else scope.level - LEVEL_CAPTURE + 2


def describe(scope: Scope) -> str:
    """A scope in words."""
    if scope.level == LEVEL_EPOCH:
        return f"all captures of epoch {scope.epoch}"
    if scope.many:
        first, last = scope.span
        begin = f" from {_moment(first)}" if first else ""
        end = f" until {_moment(last + 1)}" if last < LAST_SLOT else ""
        return f"captures of epoch {scope.epoch}{begin}{end} UTC"
    if scope.level == LEVEL_FACE:
        return f"face {scope.face} of capture {scope.uid.hex()[:16]}"
    return f"capture {scope.uid.hex()[:16]}"


def _moment(slot: int) -> str:
    """The first moment of a slot. The last slots are of years that the calendar here does not have."""
    try:
        return datetime.fromtimestamp(slot * SLOT_SECONDS, UTC).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return f"slot {slot}"
