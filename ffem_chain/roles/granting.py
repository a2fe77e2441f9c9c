"""Making grants: sealing each to its recipient and keepers, and sending them, alone or as batches.

Records are in the vault before the transaction that makes their grants: one that was interrupted shows as not `sent`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ffem_chain.chain.events import GrantCreated
from ffem_chain.chain.types import GrantParams, GrantStatus, grant_id
from ffem_chain.errors import Refused
from ffem_chain.keys import tree
from ffem_chain.keys.grants import GrantContext, KeeperKey, build_grant, build_range_grant
from ffem_chain.keys.scope import LEVEL_CAPTURE, LEVEL_EPOCH, LEVEL_FACE, LEVEL_NODE, Scope
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import SECP256K1, XWING
from ffem_chain.roles.keyring import address_bytes, published_key
from ffem_chain.roles.records import Album, GrantRecord

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner

# A transaction may use 2^24 gas (EIP-7825) and not more than its block; nodes take one of 128 KiB. A fifth stays free.
_MOST_GAS, _MOST_BYTES = (1 << 24) * 4 // 5, (128 << 10) * 4 // 5
# More than measured on Anvil for batches of 20 to 70: 40,052 gas for a payload of 244 bytes, 241,947 for one of 5,868.
_GAS_OF_GRANT, _GAS_OF_BYTE = 36_000, 36
# of a call's data, beside the payload
_BYTES_OF_GRANT = 12 * 32
# seconds by which "in 30 days" may differ beside the time between two calls
_LATE = 60
OnPage = Callable[[int, int], None]


@dataclass(frozen=True)
class Wanted:
    """A grant to be made. `expiry` in unix seconds, 0 never; `suite` None: 2 where recipient and keepers all have it,
    else 1; `salt` (32 bytes) where an interrupted call had chosen one."""

    scope: Scope
    recipient: str
    expiry: int = 0
    direct: bool = False
    suite: int | None = None
    salt: bytes = b""


@dataclass(frozen=True)
class Prepared:
    """A grant that is sealed and not sent."""

    record: GrantRecord
    params: GrantParams


class Granting:
    """Seals grants of one album to its present keepers. What the chain says of those is asked once."""

    def __init__(self, owner: Owner, album: Album) -> None:
        self._owner, self._album, self._registry = owner, album, owner.registry
        self._keepers: dict[int, list[KeeperKey]] = {}
        self._keys: dict[Scope, Secret | list[Secret]] = {}
        self._set: tuple[int, int, tuple[str, ...]] | None = None
        self._xwing: bool | None = None

    def prepare(self, wanted: Wanted) -> Prepared:
        """Seal a grant; `recipient` is a checksummed address. Raises Refused where the recipient or a keeper has no
        key, or the keepers have not all accepted."""
        number, threshold, members = (0, 0, ()) if wanted.direct else self._keeper_set()
        suite = self._suite(wanted.recipient, members) if wanted.suite is None else wanted.suite
        version, public = published_key(self._registry, wanted.recipient, suite, "recipient")
        keepers = self._keeper_keys(suite, members)
        salt, album = wanted.salt or secrets.token_bytes(32), self._album.album_id
        context = GrantContext(
            deployment=self._registry.deployment_id,
            album=album,
            grant=grant_id(album, salt),
            recipient=address_bytes(wanted.recipient),
            key_version=version,
            suite=suite,
            threshold=threshold,
            keepers=len(members),
        )
        key, to = self._key(wanted.scope), (wanted.scope, context, public, keepers)
        built = build_grant(key, *to) if isinstance(key, Secret) else build_range_grant(key, *to)
        record = GrantRecord(
            grant_id=context.grant,
            album_id=album,
            salt=salt,
            scope=wanted.scope,
            recipient=wanted.recipient,
            key_version=version,
            suite=suite,
            expiry=wanted.expiry,
            keeper_set=number,
            sent=False,
            block=0,
        )
        commit, payload = built.scope_commit, built.payload
        values = (album, salt, commit, wanted.recipient, version, wanted.expiry, number, payload)
        return Prepared(record, GrantParams(*values))

    def _keeper_set(self) -> tuple[int, int, tuple[str, ...]]:
        if self._set is None:
            number = self._registry.album(self._album.album_id).current_keeper_set
            if not number:
                raise Refused(
                    f"the keepers of album {self._album.name!r} have not all accepted",
                    "each keeper runs: ffem keeper accept",
                )
            view = self._registry.keeper_set(number)
            self._set = number, view.threshold, view.keepers
        return self._set

    def _keeper_keys(self, suite: int, members: Sequence[str]) -> list[KeeperKey]:
        if not members:
            return []
        if suite not in self._keepers:
            self._keepers[suite] = [
                KeeperKey(address_bytes(member), *published_key(self._registry, member, suite, "keeper"))
                for member in members
            ]
        return self._keepers[suite]

    def _suite(self, recipient: str, members: Sequence[str]) -> int:
        if self._xwing is None:
            self._xwing = all(self._registry.active_key(member, XWING) for member in members)
        both = (self._xwing or not members) and self._registry.active_key(recipient, XWING)
        return XWING if both else SECP256K1

    def _key(self, scope: Scope) -> Secret | list[Secret]:
        """The key of a scope, or the keys of a range's nodes."""
        if scope not in self._keys:
            self._keys[scope] = key_of(self._owner, self._album, scope)
        return self._keys[scope]


def key_of(owner: Owner, album: Album, scope: Scope) -> Secret | list[Secret]:
    """The key that opens a scope of this owner's album, or those of a range's nodes in order. Raises InputError."""
    if scope.level == LEVEL_FACE:
        return owner.face_key(scope.uid, scope.face)
    if scope.level == LEVEL_CAPTURE:
        return owner.capture_key(scope.uid)
    secret = owner.epoch_secret(album, scope.epoch)
    if scope.level == LEVEL_EPOCH:
        return secret
    context = tree.TreeContext(album.salt, scope.epoch)
    keys = [tree.node_key(secret, context, node) for node in tree.cover(*scope.span)]
    return keys[0] if scope.level == LEVEL_NODE else keys


# ---------------------------------------------------------------------- sending


def pages(owner: Owner, prepared: Sequence[Prepared]) -> list[list[Prepared]]:
    """`prepared` in parts that one transaction holds, in order."""
    most = min(_MOST_GAS, int(owner.registry.rpc.block("latest")["gasLimit"]) * 4 // 5)
    found: list[list[Prepared]] = []
    gas = size = 0
    for one in prepared:
        payload = len(one.params.payload)
        needs, takes = _GAS_OF_GRANT + _GAS_OF_BYTE * payload, _BYTES_OF_GRANT + payload
        if not found or gas + needs > most or size + takes > _MOST_BYTES:
            found.append([])
            gas = size = 0
        found[-1].append(one)
        gas, size = gas + needs, size + takes
    return found


def send(
    owner: Owner, prepared: Sequence[Prepared], on_page: OnPage | None = None, done: Sequence[GrantRecord] = ()
) -> list[GrantRecord]:
    """Grant all, in as few transactions as hold them; `on_page` gets the grants done and all of them after each. `done`
    are those of the same call that an interrupted one has made; they come first.

    All records are in the vault before the first transaction, and that they go together (see `resumed`). Where one
    fails, the records of its page and later are not `sent`.
    """
    owner.save_grants([one.record for one in prepared])
    everything = [*done, *(one.record for one in prepared)]
    together = {one.grant_id for one in everything} if len(everything) > 1 else set()
    if prepared:
        _note_together(owner, everything, together)
    records = list(done)
    for page in pages(owner, prepared):
        params = [one.params for one in page]
        receipt = owner.registry.grant(params[0]) if len(everything) == 1 else owner.registry.grant_batch(params)
        records += note_sent(owner, page, receipt.block)
        if on_page is not None:
            on_page(len(records), len(everything))
    if together:
        _note_together(owner, everything, set())
    return records


def _note_together(owner: Owner, records: Sequence[GrantRecord], together: set[bytes]) -> None:
    """Note in the album's entry which grants one call makes, and when; none: it is over."""
    with owner.vault.edit() as data:
        entry = owner.album_entry(data, owner.album(records[0].album_id))
        entry.pop("granting", None)
        if together:
            entry["granting"] = {"grants": sorted(together), "at": int(time.time())}


def resumed(owner: Owner, album: Album, wanted: Sequence[Wanted]) -> tuple[list[GrantRecord], list[Wanted]]:
    """Where an interrupted call was to make just these grants: those that the chain has, and those that it has not,
    under the ids that they were to have. Otherwise nothing, and `wanted`.

    They are the same where scopes, wallets and kinds are, and expiries differ by no more than the time since then:
    "in 30 days" is later now.
    """
    noted = owner.album_entry(owner.vault.read(), album).get("granting")
    if noted is None:
        return [], list(wanted)
    names, late = set(noted["grants"]), int(time.time()) - noted["at"] + _LATE
    before = {(one.scope, one.recipient, one.direct): one for one in owner.grants() if one.grant_id in names}
    asked = {(one.scope, one.recipient, one.direct): one for one in wanted}
    same = set(before) == set(asked) and all(
        bool(one.expiry) == bool(before[what].expiry)
        and abs(one.expiry - before[what].expiry) <= late
        and one.suite in (None, before[what].suite)
        for what, one in asked.items()
    )
    if not same:
        return [], list(wanted)
    states = owner.registry.grant_states([before[what].grant_id for what in asked])
    done: list[GrantRecord] = []
    left: list[Wanted] = []
    for (what, one), state in zip(asked.items(), states, strict=True):
        record = before[what]
        if state.status is GrantStatus.NONE:
            left.append(replace(one, expiry=record.expiry, salt=record.salt))
        else:
            made = owner.registry.events([GrantCreated], grant=record.grant_id)
            done.append(replace(record, sent=True, block=made[0].block if made else record.block))
    owner.save_grants(done)
    return done, left


def note_sent(owner: Owner, page: Sequence[Prepared], block: int) -> list[GrantRecord]:
    """Note that a transaction made these grants."""
    records = [replace(one.record, sent=True, block=block) for one in page]
    owner.save_grants(records)
    return records
