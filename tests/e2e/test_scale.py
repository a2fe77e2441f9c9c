"""Many people, many captures, one album: what issue 4 promises, on one chain, in one story.

Two hundred recipients in groups of different fates, 2,000 captures in batches, three keepers of which one is down and
one answers late, a rotation, revocations before and after opening, expiries and a reorganisation. In the end everybody
opens exactly what is theirs, and an auditor with nothing but a bundle knows who was granted, who opened, and what was
revoked or has expired.

Everybody's grants are compared with all captures; pixels are opened of one capture in each batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eth_account import Account
from numpy.typing import NDArray

from ffem_chain.audit.bundle.export import Wish, export
from ffem_chain.audit.bundle.report import report_of
from ffem_chain.audit.bundle.verify import Verified, verify
from ffem_chain.audit.model import Kind
from ffem_chain.capture.exact import open_faces, ownership
from ffem_chain.capture.model import Capture
from ffem_chain.capture.picture import decode
from ffem_chain.chain.registry import deploy
from ffem_chain.chain.types import GrantStatus
from ffem_chain.errors import NotForMe, Pending, Refused
from ffem_chain.keys import vault
from ffem_chain.keys.grants import OpenedGrant
from ffem_chain.keys.scope import LEVEL_FACE, Scope
from ffem_chain.roles.batches import register_batches, waiting
from ffem_chain.roles.reading import load_registered, opened_face_key
from ffem_chain.roles.recipient import Recipient
from ffem_chain.roles.records import GrantRecord, covers
from ffem_chain.roles.registrations import Registrations
from ffem_chain.stores.memory import MemoryStore
from ffem_devnet.anvil import Anvil
from ffem_node.keeper import Keeper

from .world import BOXES, Scene, World, album_with, seal_waiting, settle

RECIPIENTS, CAPTURES, BATCH = 200, 2_000, 250
# What becomes of people, by their number modulo twenty.
GROUPS = (
    *("stays",) * 3,  # granted the epoch, opens it, is granted the next one by the rotation and opens that
    *("late",) * 2,  # the same, but asks only after the rotation
    "joins",  # granted the second epoch only
    *("leaves",) * 2,  # opened the first epoch, and is left out of the second
    *("cut",) * 2,  # revoked before it asked
    *("between",) * 2,  # asked, and revoked when one of the two keepers needed had committed
    *("range",) * 2,  # a range of time of the first epoch
    "expired",  # the same, and never asked before it was over
    *("capture",) * 2,
    "recalled",  # a capture, revoked after it was opened
    "face",  # one of the two of a capture
    "direct",  # of the first epoch, and by the rotation of the second, without keepers
)
# Those who open nothing in the end, and why.
ENDED = {"cut": "revoked", "between": "revoked", "recalled": "revoked", "expired": "expired"}
OWNERS = ownership(BOXES, 96, 64)  # i[64,96]: which face a pixel belongs to
NOW = int(time.time()) // 60
LONG_AGO, THEN = NOW - 3_000, NOW - 2_000  # slots
EARLY, DOWN, LATE = 1, 2, 3  # keepers


@dataclass
class Person:
    """A recipient: its grants in the order in which it got them, and those that it has opened."""

    who: Recipient
    group: str
    granted: list[bytes] = field(default_factory=list)
    opened: dict[bytes, OpenedGrant] = field(default_factory=dict)

    def collect(self, grant: bytes) -> None:
        """Open what the keepers released."""
        self.opened[grant] = self.who.collect(grant, timeout=0)


class Families:
    """The album, its people, and what was sealed: `originals` u8[64,96,3] by uid, `batches` of uids by slot."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.store = MemoryStore()
        self.scene: Scene = album_with(world, keepers=(EARLY, DOWN, LATE), threshold=2, store=self.store)
        self.owner, self.album = self.scene.owner, self.scene.album.album_id
        self.early, _, self.late = self.scene.keepers
        self.originals: dict[bytes, NDArray[np.uint8]] = {self.scene.uid: self.scene.original}
        self.batches: list[tuple[int, int, list[bytes]]] = [
            (1, self.owner.capture(self.scene.uid).slot, [self.scene.uid])
        ]
        self.finder = Registrations(world.registry(0), self.store)
        self.people = [self._person(number) for number in range(RECIPIENTS)]

    def _person(self, number: int) -> Person:
        who = self.world.recipient(10 + number)
        who.registrations = self.finder  # the lists of batches, verified once for all: they are public
        who.register_key()
        return Person(who, GROUPS[number % len(GROUPS)])

    def of(self, *groups: str) -> list[Person]:
        """People of these groups."""
        return [person for person in self.people if person.group in groups]

    def seal(self, slot: int, count: int) -> None:
        """Seal captures of the present epoch and register them as batches."""
        for _ in range(count // BATCH):
            album = self.owner.album("album")
            sealed = seal_waiting(self.owner, album, self.store, BATCH, len(self.originals), slot)
            [batch] = register_batches(self.owner, self.store, waiting(self.owner))
            assert set(batch.uids) == set(sealed)
            self.originals |= sealed
            self.batches.append((album.epoch, slot, list(sealed)))

    def grant(
        self, people: Sequence[Person], uid: bytes | None = None, face: int | None = None, **options: Any
    ) -> None:
        """Grant to all of them in one batch."""
        if uid is None:
            options["album"] = "album"
        self.note(self.owner.grant_many(uid, face, [person.who.wallet for person in people], **options))

    def note(self, records: Iterable[GrantRecord]) -> None:
        """Note who was granted what."""
        by_wallet = {person.who.wallet: person for person in self.people}
        for record in records:
            by_wallet[record.recipient].granted.append(record.grant_id)

    def first_grants(self, *groups: str) -> list[bytes]:
        """The first grant of each of these people."""
        return [person.granted[0] for person in self.of(*groups)]

    def uids(self, epoch: int, slot: int | None = None) -> list[bytes]:
        """Captures of an epoch (and a slot)."""
        return [uid for number, at, uids in self.batches for uid in uids if number == epoch and slot in (None, at)]

    @property
    def once(self) -> bytes:
        """The capture that is granted by itself."""
        return self.uids(1, LONG_AGO)[0]

    def granted(self, group: str) -> list[bytes]:
        """Captures that were granted to this group, whatever became of it."""
        first, second, alone = self.uids(1), self.uids(2), [self.once]
        return {
            **dict.fromkeys(("stays", "late", "direct"), first + second),
            **dict.fromkeys(("leaves", "cut", "between"), first),
            **dict.fromkeys(("range", "expired"), self.uids(1, THEN)),
            **dict.fromkeys(("capture", "recalled", "face"), alone),
            "joins": second,
        }[group]

    def theirs(self, group: str) -> dict[bytes, set[int]]:
        """Faces by uid that somebody of this group opens in the end."""
        uids = [] if group in ENDED else self.granted(group)
        return {uid: {0} if group == "face" else {0, 1} for uid in uids}


def comes_to_rest(*keepers: Keeper) -> None:
    """Let keepers finish what they can: 16 transactions a step each."""
    settle(*keepers, rounds=10 + RECIPIENTS)


def ask(people: Iterable[Person], which: Callable[[Person], Iterable[bytes]]) -> None:
    """Request what was not requested yet, or what a reorganisation has taken."""
    for person in people:
        for grant in which(person):
            if person.who.outstanding(grant) is None:
                person.who.request(grant)


def first(person: Person) -> list[bytes]:
    """The grant that somebody got first."""
    return person.granted[:1]


def unopened(person: Person) -> list[bytes]:
    """Grants that somebody has not opened."""
    return [grant for grant in person.granted if grant not in person.opened]


@pytest.fixture
def families(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Families]:
    """A chain of its own, since its clock moves and it is reorganised."""
    # The least scrypt that a vault may have: two hundred of them lie on this machine.
    monkeypatch.setattr(vault, "_KDF", {"n": 1 << 14, "r": 8, "p": 1})
    with Anvil.start() as chain:
        accounts = [*chain.accounts, *(Account.create() for _ in range(RECIPIENTS))]
        world = World(chain.url, deploy(chain.url, chain.accounts[9]), accounts, tmp_path)
        for account in accounts[10:]:
            world.rpc("anvil_setBalance", account.address, hex(10**18))
        yield Families(world)


def first_epoch(all_: Families) -> None:
    """Captures and grants of the first epoch; requests, which one keeper answers at once; a reorganisation; the other
    keeper's answers."""
    all_.seal(LONG_AGO, CAPTURES // 2)
    all_.seal(THEN, CAPTURES // 4)
    all_.grant(all_.of("stays", "late", "leaves", "cut", "between"))
    all_.grant(all_.of("range"), slots=(THEN - 5, THEN + 5))
    all_.grant(all_.of("expired"), slots=(THEN - 5, THEN + 5), expires=datetime.now(UTC) + timedelta(hours=1))
    all_.grant(all_.of("capture", "recalled"), all_.once)
    all_.grant(all_.of("face"), all_.once, 0)
    all_.grant(all_.of("direct"), direct=True)

    asking = all_.of("stays", "leaves", "between", "range", "capture", "recalled", "face")
    ask(asking[:-3], first)
    comes_to_rest(all_.early)
    before = all_.owner.registry.latest_block()
    ask(asking[-3:], first)
    comes_to_rest(all_.early)
    ended = all_.first_grants("cut", "between")
    assert not any(result.opened for result in all_.owner.revoke_many(ended))

    # The requests of three people, what the keeper answered them, and all those revocations never happened.
    all_.world.reorganise(all_.owner.registry.latest_block() - before)
    assert not all_.owner.registry.grant_state(ended[0]).revoked
    assert not any(result.opened for result in all_.owner.revoke_many(ended))
    ask(asking, lambda person: [] if person.group == "between" else person.granted[:1])
    comes_to_rest(all_.early)
    with pytest.raises(Pending, match="0 of 2 shares"):
        asking[0].who.collect(asking[0].granted[0], timeout=0)
    comes_to_rest(all_.late, all_.early)
    for person in asking:
        if person.group != "between":
            person.collect(person.granted[0])


def second_epoch(all_: Families) -> None:
    """Revocations after opening, a rotation, captures and grants of the second epoch, and time that passes."""
    assert all(result.opened for result in all_.owner.revoke_many(all_.first_grants("recalled")))
    leaving = all_.of("leaves")
    rotated = all_.owner.rotate(
        "album", all_.first_grants("leaves"), leave_out=[person.who.wallet for person in leaving]
    )
    staying = {person.who.wallet for person in all_.of("stays", "late", "direct")}
    assert ({one.recipient for one in rotated.granted}, rotated.transactions) == (staying, 1)
    all_.note(rotated.granted)
    all_.seal(NOW, CAPTURES // 4)
    all_.grant(all_.of("joins"))
    all_.world.pass_time(timedelta(hours=2))
    ask(all_.of("stays", "late", "joins"), unopened)
    comes_to_rest(all_.early, all_.late)
    for person in all_.of("stays", "late", "joins"):
        for grant in unopened(person):
            person.collect(grant)
    for person in all_.of("direct"):
        person.opened |= {grant: person.who.open_direct(grant) for grant in person.granted}


@dataclass
class Sealed:
    """What everybody can read: a scope for each face of all captures by uid, and a few captures with their pictures."""

    faces: dict[bytes, list[Scope]]
    captures: dict[bytes, tuple[Capture, NDArray[np.uint8]]]

    @classmethod
    def of(cls, all_: Families) -> Sealed:
        """The last capture of each batch, and the one that is granted by itself."""
        faces = {
            uid: [Scope(LEVEL_FACE, epoch=epoch, slot=slot, uid=uid, face=face) for face in (0, 1)]
            for epoch, slot, uids in all_.batches
            for uid in uids
        }
        captures = {}
        for uid in [all_.once, *(uids[-1] for _, _, uids in all_.batches)]:
            capture = load_registered(all_.owner.registry, all_.store, all_.finder.find(all_.album, uid))
            captures[uid] = capture, decode(capture.image_png, 96, 64)
        return cls(faces, captures)


def opens_what_is_theirs(all_: Families, sealed: Sealed, person: Person, turn: int) -> None:
    """And nothing else: by their grants of all captures, by pixels of some, and by what they are told of two."""
    theirs = all_.theirs(person.group)
    mine = [grant for grant in person.who.grants(all_.album) if grant.opens]
    scopes = [grant.scope for grant in mine if grant.scope is not None]
    found = {
        uid: {face.face for face in faces if any(covers(scope, face) for scope in scopes)}
        for uid, faces in sealed.faces.items()
    }
    assert {uid: faces for uid, faces in found.items() if faces} == theirs, person.group

    held = [person.opened[grant.grant_id] for grant in mine]
    for uid, (capture, picture) in sealed.captures.items():
        keys = {}
        for face in (0, 1):
            for opened in held:
                try:
                    keys[face] = opened_face_key(opened, capture, face)
                except NotForMe:
                    continue
        assert set(keys) == theirs.get(uid, set())
        if keys:
            seen = np.isin(OWNERS, [-1, *keys])  # -1: of no face
            right = open_faces(capture, picture, keys) == all_.originals[uid]
            assert right[seen].all() and right.all() == seen.all()

    for uid in (list(sealed.captures)[turn % len(sealed.captures)], all_.once):
        if uid in theirs:
            assert person.who.find(uid, 0, album=all_.album)[0].grant_id in person.opened
            continue
        ended = ENDED.get(person.group, "") if uid in all_.granted(person.group) else ""
        with pytest.raises(Refused, match=f"is {ended}" if ended else "not granted"):
            person.who.find(uid, 0, album=all_.album)
    if person.group in ENDED:
        with pytest.raises(Refused, match=ENDED[person.group]):
            person.who.request(person.granted[0])


Listed = dict[bytes, tuple[str, bool, GrantStatus]]  # by grant: recipient, whether it was opened, what it allows now


def as_it_was(all_: Families) -> Listed:
    """What happened to each grant, as the people of this test know it."""
    found: Listed = {}
    for person in all_.people:
        for number, grant in enumerate(person.granted):
            status = GrantStatus.OPENED
            if number == 0 and person.group in ("leaves", "cut", "between", "recalled"):
                status = GrantStatus.REVOKED
            elif person.group == "expired":
                status = GrantStatus.EXPIRED
            found[grant] = person.who.wallet, grant in person.opened, status
    return found


def as_audited(bundle: Verified) -> Listed:
    """The same from a bundle alone."""
    return {
        grant: (ledger.created.recipient, ledger.opened_block is not None, ledger.state.status)
        for grant, ledger in bundle.history.grants.items()
    }


def test_a_registry_that_many_families_use(families: Families, tmp_path: Path) -> None:
    first_epoch(families)
    second_epoch(families)
    assert len(families.originals) == CAPTURES + 1

    registry = families.owner.registry
    sealed = Sealed.of(families)
    for turn, person in enumerate(families.people):
        opens_what_is_theirs(families, sealed, person, turn)

    path = tmp_path / "bundle.tar"
    done = export(registry, path, Wish(), stores=[families.store])
    trusted = bytes(registry.rpc.block(done.verified.head.block)["hash"])
    bundle = verify(path, [trusted])
    assert as_audited(bundle) == as_it_was(families)
    assert bundle.entries_complete and bundle.logs_complete
    told = {capture.uid: (capture.epoch, capture.slot) for capture in bundle.catalogue.captures}
    assert told == {uid: (epoch, slot) for epoch, slot, uids in families.batches for uid in uids}
    assert bundle.catalogue.without_manifest == 0 and not bundle.catalogue.unlisted
    [album] = bundle.history.albums.values()
    assert set(album.epochs) == {1, 2}
    noted: dict[Kind, set[bytes]] = {}
    for anomaly in report_of(bundle).anomalies:
        noted.setdefault(anomaly.kind, set()).add(anomaly.grant)
        if anomaly.kind is Kind.SILENT_KEEPER:
            assert anomaly.wallet == families.world.accounts[DOWN].address
    # Two hours are more than keepers may take. What was asked after them is not late, what was revoked before is over.
    asked = families.first_grants("stays", "range", "capture", "face")
    assert noted == {
        Kind.SILENT_KEEPER: set(asked),
        Kind.REVOKED_TOO_LATE: set(families.first_grants("leaves", "recalled")),
        Kind.EXPIRED: set(families.first_grants("expired")),
        Kind.DIRECT_GRANT: {grant for person in families.of("direct") for grant in person.granted},
    }
