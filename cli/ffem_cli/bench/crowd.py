"""A registry in which many cameras and families have been busy: made on a development chain that signs for everybody.

Every event is one that the contract itself logs, and follows from a transaction of the wallet that may send it. Only
what the contract cannot tell apart is random: envelopes, shares, digests.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from eth_abi import encode
from eth_utils import keccak, to_checksum_address

from ffem_chain.capture.batch import NAME, CaptureList, Entry
from ffem_chain.chain.artifact import artifact
from ffem_chain.chain.rpc import Rpc
from ffem_chain.chain.types import album_id, first_head, grant_id
from ffem_chain.stores.cid import digest_of_cid
from ffem_chain.stores.memory import MemoryStore
from ffem_chain.stores.unixfs import build

# (sender, data): a call of the registry
Call = tuple[str, bytes]
CAPTURES, LISTED, GRANTS, RECIPIENTS = 20, 100, 20, 4  # of one album; `LISTED` captures are in a batch
EVENTS = 6 + CAPTURES + 5 * GRANTS - GRANTS // 10 * 3 + RECIPIENTS + 1  # that one family leaves
_GAS, _BLOCK_GAS = 400_000, 10**10
_PER_BLOCK, _PER_REQUEST = 2_000, 500
_SLOT = 29_000_000
_PAYLOAD, _SHARE = 244, 82  # suite 1, one keeper: docs/KEYS.md


class Crowd:
    """Fills the registry at `address`. `seed` makes the same wallets and bytes again."""

    def __init__(self, url: str, address: str, seed: int = 1) -> None:
        self.rpc = Rpc(url, 120.0)
        self.address = address
        self._random = random.Random(seed)  # noqa: S311 - nothing here is secret
        self._nonces: dict[str, int] = {}
        self.lists = MemoryStore()
        self._selectors = _selectors()
        self.sets = 0

    def fill(self, events: int, say: Callable[[str, int], None] = lambda text, done: None) -> list[Family]:
        """Add families until about so many events are there; `say` hears how many are."""
        self._ask([("anvil_autoImpersonateAccount", [True]), ("evm_setAutomine", [False])])
        self._ask([("evm_setBlockGasLimit", [hex(_BLOCK_GAS)])])
        found: list[Family] = []
        for start in range(0, max(1, events // EVENTS), 20):
            part = [self._family() for _ in range(min(20, max(1, events // EVENTS) - start))]
            # Step by step: what a family does next needs what it did before, other families do not.
            for calls in zip(*(family.steps() for family in part), strict=True):
                self._send([call for each in calls for call in each])
            found += part
            say("filling a registry", min(events, len(found) * EVENTS))
        self._ask([("evm_setAutomine", [True]), ("anvil_autoImpersonateAccount", [False])])
        return found

    def _family(self) -> Family:
        self.sets += 1
        family = Family(self._random, self.sets, self._selectors)
        self.lists.put({NAME: family.listed.pack()})
        return family

    def _send(self, calls: Sequence[Call]) -> None:
        """The calls in blocks of their own, in order."""
        for start in range(0, len(calls), _PER_BLOCK):
            part = calls[start : start + _PER_BLOCK]
            poor = sorted({sender for sender, _ in part} - set(self._nonces))
            self._ask([("anvil_setBalance", [wallet, hex(10**21)]) for wallet in poor])
            self._nonces |= dict.fromkeys(poor, 0)
            questions = []
            for sender, data in part:
                question = {"from": sender, "to": self.address, "gas": hex(_GAS), "data": "0x" + data.hex()}
                question["nonce"] = hex(self._nonces[sender])
                self._nonces[sender] += 1
                questions.append(("eth_sendTransaction", [question]))
            self._ask(questions)
            self._ask([("evm_mine", [])])

    def _ask(self, questions: Sequence[tuple[str, list[Any]]]) -> None:
        for start in range(0, len(questions), _PER_REQUEST):
            self.rpc.batch(questions[start : start + _PER_REQUEST])


class Family:
    """An owner, a keeper and a few recipients: an album, captures, grants, most of them asked for and released."""

    def __init__(self, source: random.Random, keeper_set: int, selectors: dict[str, tuple[bytes, list[str]]]) -> None:
        self._bytes, self._selectors, self._set = source.randbytes, selectors, keeper_set
        wallets = [to_checksum_address(source.randbytes(20)) for _ in range(RECIPIENTS + 2)]
        self.owner, self.keeper, self.recipients = wallets[0], wallets[1], wallets[2:]
        self._salt = source.randbytes(32)
        self.album = album_id(self.owner, self._salt)
        self.uids = [source.randbytes(32) for _ in range(CAPTURES)]
        draw = source.randbytes
        entries = (Entry(draw(32), draw(32), draw(32), _SLOT) for _ in range(LISTED))
        self.listed = CaptureList.of(1, entries)
        self.salts = [source.randbytes(32) for _ in range(GRANTS)]
        self.grants = [grant_id(self.album, salt) for salt in self.salts]
        self._bodies = [(source.randbytes(32), source.randbytes(_PAYLOAD)) for _ in range(GRANTS)]
        self._shares = [source.randbytes(_SHARE) for _ in range(GRANTS)]

    def steps(self) -> Iterator[list[Call]]:
        """What happens, in an order in which each step needs the ones before."""
        everybody = [self.keeper, *self.recipients]
        yield [self._call(one, "registerKey", 1, b"\2" + self._bytes(32)) for one in everybody]
        yield [self._call(self.owner, "createAlbum", self._salt, self._bytes(32), [self.keeper], 1)]
        yield [self._call(self.keeper, "acceptKeeperSet", self._set)]
        captures = [(self.album, uid, self._bytes(32), self._bytes(32), 1, _SLOT) for uid in self.uids]
        cid = str(build({NAME: self.listed.pack()})[0])
        batch = self.album, self.listed.root, digest_of_cid(cid), LISTED, 1
        yield [
            *(self._call(self.owner, "registerCapture", *values) for values in captures),
            self._call(self.owner, "registerCaptures", *batch),
        ]
        to = [self.recipients[number % RECIPIENTS] for number in range(GRANTS)]
        told = zip(self.salts, self._bodies, to, strict=True)
        yield [
            self._call(self.owner, "grant", (self.album, salt, scope, who, 1, 0, self._set, payload))
            for salt, (scope, payload), who in told
        ]
        revoked, asked = GRANTS // 10, range(GRANTS // 10, GRANTS)
        yield [self._call(self.owner, "revoke", self.album, salt) for salt in self.salts[:revoked]]
        yield [self._call(to[n], "requestAccess", self.grants[n], b"\1\2" + self._bytes(32)) for n in asked]
        yield [self._call(self.keeper, "commitRelease", self.grants[n], 1, 0, keccak(self._shares[n])) for n in asked]
        yield [
            self._call(self.keeper, "deliver", self.grants[n], 1, 0, self._head(n), [], self._shares[n]) for n in asked
        ]

    def _head(self, number: int) -> bytes:
        scope, payload = self._bodies[number]
        return first_head(self.grants[number], self.album, scope, 1, 1, payload)

    def _call(self, sender: str, name: str, *values: Any) -> Call:
        selector, types = self._selectors[name]
        return sender, selector + encode(types, values)


def _selectors() -> dict[str, tuple[bytes, list[str]]]:
    """Selector and ABI types of each function."""
    found = {}
    for entry in artifact().abi:
        if entry["type"] == "function":
            types = [_type(one) for one in entry["inputs"]]
            found[entry["name"]] = keccak(text=f"{entry['name']}({','.join(types)})")[:4], types
    return found


def _type(entry: dict[str, Any]) -> str:
    if not entry["type"].startswith("tuple"):
        return str(entry["type"])
    inner = ",".join(_type(one) for one in entry["components"])
    return f"({inner}){entry['type'].removeprefix('tuple')}"
