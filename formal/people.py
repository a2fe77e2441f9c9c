"""The people of an exploration with their real keys and envelopes, and what each of them can compute.

Nothing is drawn twice: keys come from fixed seeds, and what the library seals at random is sealed once and remembered,
so that two ways to one state give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from itertools import combinations

from eth_account import Account
from eth_account.signers.local import LocalAccount

from ffem_chain.chain.types import GrantParams, KeeperSetView, KeyStatus, KeyView, album_id, grant_id
from ffem_chain.errors import FormatError, NotForMe, Pending, Tampered
from ffem_chain.keys import grants as keys
from ffem_chain.keys.grants import (
    GrantContext,
    KeeperKey,
    Payload,
    build_grant,
    open_grant,
    open_keeper_share,
    parse_payload,
)
from ffem_chain.keys.scope import LEVEL_CAPTURE, Scope
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import SECP256K1, PrivateKey, open_envelope
from ffem_chain.roles.keyring import address_bytes
from formal.contract import Album, Chain, Rules
from formal.memory import Delivery

SET, COPIES_SET = 1, 2
EXPIRY = 1_000
DEPLOYMENT = hashlib.sha256(b"deployment").digest()
_CLOSED = (FormatError, NotForMe, Pending, Tampered)


def seed(*words: object) -> bytes:
    """32 bytes that follow from the words."""
    return hashlib.sha256(" ".join(map(str, words)).encode()).digest()


def account(name: str) -> LocalAccount:
    """The wallet of that name."""
    made: LocalAccount = Account.from_key(seed("wallet", name))
    return made


@cache
def private_key(name: str) -> PrivateKey:
    """The encryption key, or one-time key, of that name."""
    return PrivateKey.from_secret_bytes(SECP256K1, seed("key", name))


@cache
def request_key(name: str) -> bytes:
    """A request key as it is on the chain."""
    return bytes([SECP256K1]) + private_key(name).public


@dataclass(frozen=True)
class Granted:
    """A grant: who may open it, the key that it is for, and its payload. `copied`: its recipient has made it, in an
    album of its own with the same keepers, of the bytes of another grant."""

    made: bytes
    params: GrantParams
    recipient: int
    key: Secret = field(repr=False)
    payload: Payload
    context: GrantContext
    copied: bool = False


class People:
    """An owner, `threshold` of `keepers` keepers, and recipients with one grant each of `grants`: (recipient, whether
    it expires). `dishonest` keepers (indices) show their shares to everybody from the start. With `copies`, the
    recipient of the first grant has copied it into a grant of its own."""

    def __init__(
        self,
        threshold: int,
        keepers: int,
        dishonest: Iterable[int],
        grants: Iterable[tuple[int, bool]],
        *,
        copies: bool = False,
    ) -> None:
        self.threshold, self.dishonest = threshold, frozenset(dishonest)
        self.owner = account("owner").address
        self.keepers = [account(f"keeper {i}") for i in range(keepers)]
        self.wallets = [account(f"recipient {i}").address for i in range(1 + max(r for r, _ in grants))]
        self.album = album_id(self.owner, seed("album"))
        self.grants = [self._grant(number, *one) for number, one in enumerate(grants)]
        if copies:
            self.grants.append(self._copy(self.grants[0]))
        self.by_id = {one.made: one for one in self.grants}
        self._opened: dict[tuple[str, Delivery], Secret | None] = {}
        self._derived: dict[tuple[bytes, int, frozenset[int]], bool] = {}
        self._known: dict[tuple[bytes, int, tuple[str, ...], frozenset[Delivery]], bool] = {}

    def _grant(self, number: int, recipient: int, expires: bool) -> Granted:
        salt, key = seed("salt", number), Secret(seed("granted key", number))
        wallet = self.wallets[recipient]
        context = GrantContext(
            deployment=DEPLOYMENT,
            album=self.album,
            grant=grant_id(self.album, salt),
            recipient=address_bytes(wallet),
            key_version=1,
            suite=SECP256K1,
            threshold=self.threshold,
            keepers=len(self.keepers),
        )
        public = [
            KeeperKey(address_bytes(one.address), 1, private_key(f"keeper {i}").public)
            for i, one in enumerate(self.keepers)
        ]
        scope = Scope(LEVEL_CAPTURE, 1, number, seed("uid", number), 0)
        built = build_grant(key, scope, context, private_key(f"recipient {recipient}").public, public)
        params = GrantParams(
            self.album, salt, built.scope_commit, wallet, 1, EXPIRY if expires else 0, SET, built.payload
        )
        payload = parse_payload(built.payload, SECP256K1, len(self.keepers))
        return Granted(params.grant_id, params, recipient, key, payload, context)

    @staticmethod
    def _copy(one: Granted) -> Granted:
        """Keepers that served it would seal the shares of `one` to request keys of the copy."""
        album = album_id(one.params.recipient, seed("album"))
        params = replace(one.params, album=album, keeper_set=COPIES_SET)
        context = replace(one.context, album=album, grant=params.grant_id)
        nothing = Secret(seed("a copy is for no key"))
        return Granted(params.grant_id, params, one.recipient, nothing, one.payload, context, copied=True)

    def genesis(self, depth: int, rules: Rules, *, batch: bool = False) -> Chain:
        """A chain on which all is granted, in one transaction or in one each, and nothing has been asked for."""
        own, copies = ([one.params for one in self.grants if one.copied == copied] for copied in (False, True))
        wallets = [*self.wallets, *(one.address for one in self.keepers)]
        addresses = tuple(one.address for one in self.keepers)
        members = KeeperSetView(self.album, self.threshold, (1 << len(addresses)) - 1, addresses)
        chain = Chain(
            albums={self.album: Album(self.owner, SET)} | {p.album: Album(p.recipient, COPIES_SET) for p in copies},
            sets={SET: members} | {p.keeper_set: replace(members, album=p.album) for p in copies},
            keys={(wallet, 1): KeyView(SECP256K1, KeyStatus.ACTIVE, bytes(30)) for wallet in wallets},
            rules=rules,
            depth=depth,
        )
        if batch:
            chain = chain.grant_batch(self.owner, own)
        else:
            for params in own:
                chain = chain.grant(self.owner, params)
        for params in copies:
            chain = chain.grant(params.recipient, params)
        for _ in range(depth + 1):
            chain = chain.mined()
        return chain

    # ------------------------------------------------------------------ what somebody can compute

    @cached_property
    def leaked(self) -> dict[bytes, dict[int, Secret]]:
        """By grant: the shares of dishonest keepers."""
        return {
            made: {
                index: open_keeper_share(
                    private_key(f"keeper {index}"),
                    one.payload,
                    one.context,
                    one.params.scope_commit,
                    index,
                    address_bytes(self.keepers[index].address),
                )
                for index in self.dishonest
            }
            for made, one in self.by_id.items()
            if not one.copied
        }

    def _read(self, key: str, delivery: Delivery) -> Secret | None:
        """The share that a one-time key opens of a delivery, whichever grant's it is."""
        name = key, delivery
        if name not in self._opened:
            made, seq, index, sealed = delivery
            one = self.by_id[made]
            info = keys._release_info(one.context, one.params.scope_commit, seq, index)
            try:
                self._opened[name] = open_envelope(private_key(key), sealed, info)
            except _CLOSED:
                self._opened[name] = None
        return self._opened[name]

    def opens(self, made: bytes, recipient: int, one_time: tuple[str, ...], public: frozenset[Delivery]) -> bool:
        """Whether a recipient who holds these one-time keys (names), with all that dishonest keepers hold and all bytes
        that became public, gets the granted key. Real envelopes are tried, with every set of a threshold of shares."""
        asked = made, recipient, one_time, public
        if asked not in self._known:
            self._known[asked] = self._computes(*asked)
        return self._known[asked]

    def _computes(self, made: bytes, recipient: int, one_time: tuple[str, ...], public: frozenset[Delivery]) -> bool:
        shares = dict(self.leaked.get(made, {}))
        read = [self._read(key, delivery) for delivery in public for key in one_time]
        for share in read:
            for index, sealed in enumerate(self.by_id[made].payload.shares):
                if share is not None and keys.share_digest(made, index, share) == sealed.digest:
                    shares[index] = share
        name = made, recipient, frozenset(shares)
        if name not in self._derived:
            self._derived[name] = any(
                self._gives(made, recipient, dict(some)) for some in _sets(shares, self.threshold)
            )
        return self._derived[name]

    def _gives(self, made: bytes, recipient: int, shares: dict[int, Secret]) -> bool:
        one = self.by_id[made]
        private = private_key(f"recipient {recipient}")
        try:
            return open_grant(private, one.payload, one.context, one.params.scope_commit, shares).key == one.key
        except _CLOSED:
            return False


def _sets(shares: dict[int, Secret], threshold: int) -> Iterable[tuple[tuple[int, Secret], ...]]:
    return (some for size in range(min(threshold, len(shares)) + 1) for some in combinations(shares.items(), size))
