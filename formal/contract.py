"""The contract's table of transitions for grants, requests, commits, deliveries and revocations, in memory.

A value that never changes: every transaction gives another one, so that an exploration can branch. What it does is
compared with the real contract, call by call, in tests/formal/test_conformance.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NoReturn

from ffem_chain.chain.events import (
    AccessRequested,
    Event,
    GrantCreated,
    GrantOpened,
    GrantRevoked,
    GrantsBatched,
    ReleaseCommitted,
    ShareDelivered,
)
from ffem_chain.chain.reverts import ChainRefused
from ffem_chain.chain.types import (
    GrantParams,
    GrantStatus,
    GrantView,
    KeeperSetView,
    KeyStatus,
    KeyView,
    batch_head,
    commit_leaf,
    first_head,
    grant_id,
    next_head,
)

_MOST_REQUESTS = 255
_grant_id, _leaf, _next = cache(grant_id), cache(commit_leaf), cache(next_head)


@dataclass(frozen=True)
class Grant:
    """The contract's word of a grant, unpacked, and its head. `answered`: who committed to request `seq`."""

    recipient: str
    expiry: int
    keeper_set: int
    batch: int
    head: bytes
    direct: bool = False
    seq: int = 0
    released: int = 0
    answered: int = 0
    opened: bool = False
    revoked: bool = False


@dataclass(frozen=True)
class Rules:
    """Guards of the contract. All hold in the real one; an exploration must notice where one is missing."""

    revocation_ends_commits: bool = True
    expiry_ends_commits: bool = True
    keepers_count_once: bool = True
    commits_need_a_request: bool = True


REAL = Rules()


@dataclass(frozen=True)
class Album:
    """Who owns it, and its current keeper set."""

    owner: str
    keeper_set: int


@dataclass(frozen=True)
class Chain:
    """A chain with one registry. `time` in unix seconds. `grants` and `log` are as of now; `undo` holds what they were
    before each of the newest blocks, newest last, as far back as a reorganisation may go."""

    albums: dict[bytes, Album]
    sets: dict[int, KeeperSetView]
    keys: dict[tuple[str, int], KeyView]
    rules: Rules = REAL
    depth: int = 0
    height: int = 1
    fork: int = 0
    time: int = 0
    batches: int = 0
    grants: dict[bytes, Grant] = field(default_factory=dict)
    log: tuple[Event, ...] = ()
    undo: tuple[tuple[dict[bytes, Grant], int, int], ...] = ()

    # ------------------------------------------------------------------ blocks

    def mined(self) -> Chain:
        """The newest block is closed and an empty one is on top; transactions go into that."""
        before = (*self.undo, (self.grants, len(self.log), self.batches))
        return replace(self, height=self.height + 1, undo=before[-self.depth :] if self.depth else ())

    def reorganised(self, blocks: int) -> Chain:
        """The newest `blocks` blocks are replaced by empty ones."""
        grants, length, batches = self.undo[-blocks]
        undo = (*self.undo[:-blocks], *[self.undo[-blocks]] * blocks)
        return replace(self, grants=grants, log=self.log[:length], batches=batches, undo=undo, fork=self.fork + 1)

    # ------------------------------------------------------------------ owners

    def grant(self, caller: str, params: GrantParams) -> Chain:
        """`grant`."""
        current = self._own(params.album, caller).keeper_set
        made, event, head = self._create(params, current)
        return self._with({made: self._fresh(params, current, head, 0)}, event)

    def grant_batch(self, caller: str, grants: Sequence[GrantParams]) -> Chain:
        """`grantBatch`."""
        if not grants:
            _refuse("EmptyBatch")
        album, batch = grants[0].album, self.batches + 1
        current = self._own(album, caller).keeper_set
        chain, heads = replace(self, batches=batch), []
        for params in grants:
            if params.album != album:
                _refuse("MixedAlbums")
            made, event, head = chain._create(params, current)
            heads.append(head)
            chain = chain._with({made: chain._fresh(params, current, head, batch)}, event)
        ids = [params.grant_id for params in grants]
        head = batch_head(heads)
        marked = {made: replace(chain.grants[made], head=head) for made in ids}
        place = {"album": album, "batch": batch, "head": head, "grant_ids": tuple(ids)}
        return chain._with(marked, (GrantsBatched, place))

    def revoke(self, caller: str, album: bytes, salts: Sequence[bytes]) -> Chain:
        """`revoke` and `revokeBatch`: all or none."""
        self._own(album, caller)
        chain = self
        for salt in salts:
            made = _grant_id(album, salt)
            grant = chain.grants.get(made)
            if grant is None:
                _refuse("NoSuchGrant")
            if grant.revoked:
                _refuse("GrantIsRevoked")
            said = {"grant_id": made, "opened": grant.opened, "released": grant.released}
            chain = chain._with({made: replace(grant, revoked=True)}, (GrantRevoked, said))
        return chain

    # ------------------------------------------------------------------ recipients and keepers

    def request(self, caller: str, made: bytes, request_key: bytes) -> Chain:
        """`requestAccess`, and `requestAccessFor` where `caller` has signed."""
        grant = self._usable(made)
        if grant.recipient != caller:
            _refuse("NotRecipient")
        if grant.direct:
            _refuse("GrantIsDirect")
        if grant.seq == _MOST_REQUESTS:
            _refuse("TooManyRequests")
        after = replace(grant, seq=grant.seq + 1, answered=0)
        return self._with({made: after}, (AccessRequested, _place(made, after.seq, request_key=request_key)))

    def commit(self, caller: str, made: bytes, seq: int, index: int, digest: bytes) -> Chain:
        """`commitRelease`."""
        rules = self.rules
        grant = self._usable(made, rules.revocation_ends_commits, rules.expiry_ends_commits)
        members = self.sets.get(grant.keeper_set)
        if members is None or index >= len(members.keepers) or members.keepers[index] != caller:
            _refuse("NotKeeper")
        if seq != grant.seq or (seq == 0 and rules.commits_need_a_request):
            _refuse("StaleRequest")
        if grant.answered >> index & 1:
            _refuse("AlreadyCommitted")
        released = grant.released | 1 << index
        count = released.bit_count()
        if not rules.keepers_count_once:
            count = 1 + sum(isinstance(e, ReleaseCommitted) and e.grant_id == made for e in self.log)
        opens = not grant.opened and count >= members.threshold
        after = replace(
            grant,
            released=released,
            answered=grant.answered | 1 << index,
            opened=grant.opened or opens,
            head=_next(grant.head, _leaf(seq, index, digest)),
        )
        logged = [(ReleaseCommitted, _place(made, seq, index=index, digest=digest))]
        return self._with({made: after}, *logged, *([(GrantOpened, {"grant_id": made})] if opens else []))

    def deliver(
        self, made: bytes, seq: int, index: int, previous: bytes, later: Sequence[bytes], sealed: bytes, digest: bytes
    ) -> Chain:
        """`deliver`, by anybody; `digest` is the keccak256 of `sealed`."""
        head = _next(previous, _leaf(seq, index, digest))
        for leaf in later:
            head = _next(head, leaf)
        grant = self.grants.get(made)
        if grant is None or head != grant.head:
            _refuse("NotCommitted")
        return self._with({}, (ShareDelivered, _place(made, seq, index=index, sealed_share=sealed)))

    # ------------------------------------------------------------------ views

    def view(self, made: bytes) -> GrantView:
        """`grantState`."""
        grant = self.grants.get(made)
        if grant is None:
            return GrantView(GrantStatus.NONE, "0x" + "00" * 20, 0, 0, 0, 0, False, False, bytes(32))
        status = GrantStatus.OPENED if grant.opened else GrantStatus.LIVE
        if self._expired(grant):
            status = GrantStatus.EXPIRED
        if grant.revoked:
            status = GrantStatus.REVOKED
        return GrantView(
            status,
            grant.recipient,
            grant.expiry,
            grant.keeper_set,
            grant.seq,
            grant.released,
            grant.opened,
            grant.revoked,
            grant.head,
            grant.batch,
        )

    # ------------------------------------------------------------------ inside

    def _expired(self, grant: Grant) -> bool:
        return grant.expiry != 0 and grant.expiry <= self.time

    def _usable(self, made: bytes, unless_revoked: bool = True, unless_expired: bool = True) -> Grant:
        grant = self.grants.get(made)
        if grant is None:
            _refuse("NoSuchGrant")
        if grant.revoked and unless_revoked:
            _refuse("GrantIsRevoked")
        if self._expired(grant) and unless_expired:
            _refuse("GrantIsExpired")
        return grant

    def _own(self, album: bytes, caller: str) -> Album:
        found = self.albums.get(album)
        if found is None:
            _refuse("NoSuchAlbum")
        if found.owner != caller:
            _refuse("NotAlbumOwner")
        return found

    def _create(self, params: GrantParams, current: int) -> tuple[bytes, tuple[type[Event], dict[str, Any]], bytes]:
        if not int(params.recipient, 16):
            _refuse("ZeroAddress")
        if not any(params.scope_commit):
            _refuse("ZeroCommit")
        if params.keeper_set not in (0, current):
            _refuse("NotCurrentKeeperSet")
        if params.expiry and params.expiry <= self.time:
            _refuse("ExpiryPassed")
        key = self.keys.get((params.recipient, params.key_version))
        if key is None or key.status is not KeyStatus.ACTIVE:
            _refuse("StaleKey")
        made = params.grant_id
        if made in self.grants:
            _refuse("GrantExists")
        said = {name: value for name, value in vars(params).items() if name != "salt"}
        head = first_head(made, params.album, params.scope_commit, params.key_version, key.suite, params.payload)
        return made, (GrantCreated, {**said, "grant_id": made, "suite": key.suite}), head

    @staticmethod
    def _fresh(params: GrantParams, current: int, head: bytes, batch: int) -> Grant:
        direct = params.keeper_set == 0
        keepers = 0 if direct else current
        return Grant(params.recipient, params.expiry, keepers, batch, head, direct=direct, opened=direct)

    def _with(self, grants: dict[bytes, Grant], *logged: tuple[type[Event], dict[str, Any]]) -> Chain:
        block_hash = b"%16d%16d" % (self.fork, self.height)
        at = len(self.log)
        events = tuple(
            kind(block=self.height, block_hash=block_hash, tx=b"%32d" % at, log_index=at + i, **said)
            for i, (kind, said) in enumerate(logged)
        )
        return replace(self, grants={**self.grants, **grants}, log=self.log + events)


def _place(made: bytes, seq: int, **rest: Any) -> dict[str, Any]:
    return {"grant_id": made, "seq": seq, **rest}


def _refuse(name: str) -> NoReturn:
    raise ChainRefused(name, {}, f"the contract refuses: {name}")
