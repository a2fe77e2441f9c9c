"""The contract's storage, word for word, as it must be after a history.

Slots follow `KeyRegistry.sol`'s order of state variables; the artifact's code is checked, so the layout is known. The
root over these words equals the one that the chain's block commits to exactly where the history is complete and right:
one word too few, and the roots differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_abi import encode
from eth_utils import keccak

from ffem_chain.audit.history import History
from ffem_chain.chain.types import KeyStatus
from ffem_chain.roles.ledger import Ledger

KEYS, KEY_COUNT, ACTIVE_KEY, ALBUMS, EPOCHS, SET_COUNT, SETS, MEMBERS, CAPTURES, GRANTS = range(10)


@dataclass(frozen=True)
class About:
    """What a word of the storage is part of; `text` for people, ids empty where they do not apply."""

    text: str
    grant: bytes = b""
    album: bytes = b""
    uid: bytes = b""
    wallet: str = ""


@dataclass(frozen=True)
class Word:
    """One word of the storage: its value, and what it is about."""

    value: int
    about: About


def at(base: int | bytes, *path: tuple[str, Any]) -> bytes:
    """Slot of an entry of a (nested) mapping: `base` is the mapping's slot, `path` (ABI type, key), outermost first."""
    slot = base.to_bytes(32, "big") if isinstance(base, int) else base
    for abi_type, key in path:
        slot = keccak(encode([abi_type, "bytes32"], [key, slot]))
    return slot


def after(slot: bytes, offset: int) -> bytes:
    """The slot `offset` behind another."""
    return ((int.from_bytes(slot, "big") + offset) % (1 << 256)).to_bytes(32, "big")


def capture_slot(album: bytes, uid: bytes) -> bytes:
    """Slot that is zero exactly where the album has no such capture."""
    return at(CAPTURES, ("bytes32", album), ("bytes32", uid))


def grant_slot(grant: bytes) -> bytes:
    """Slot of a grant's packed state, zero exactly where there is no such grant; the next one holds its head."""
    return at(GRANTS, ("bytes32", grant))


def words(history: History) -> dict[bytes, Word]:
    """Every word that the events speak of, by slot; also those that must be zero."""
    found: dict[bytes, Word] = {}
    _keys(history, found)
    _albums(history, found)
    _keeper_sets(history, found)
    for grant, ledger in history.grants.items():
        about = About(f"grant {grant.hex()[:16]}", grant=grant, album=ledger.created.album)
        found[grant_slot(grant)] = Word(grant_word(ledger), about)
        found[after(grant_slot(grant), 1)] = Word(int.from_bytes(ledger.state.head, "big"), about)
    return found


def grant_word(ledger: Ledger) -> int:
    """A grant's state as the contract packs it."""
    state = ledger.state
    answered = 0
    for commit in ledger.commits:
        if commit.seq == state.seq:
            answered |= 1 << commit.index & 0xFF
    word = int(state.recipient, 16) << 96 | state.expiry << 56 | state.keeper_set << 26
    word |= int(state.opened) << 25 | int(state.revoked) << 24
    return word | state.seq << 16 | (state.released & 0xFF) << 8 | answered


def _keys(history: History, found: dict[bytes, Word]) -> None:
    counts: dict[str, int] = {}
    active: dict[tuple[str, int], int] = {}
    for (wallet, version), key in history.keys.items():
        about = About(f"encryption key version {version} of {wallet}", wallet=wallet)
        suite = key.registered.suite
        value = int.from_bytes(keccak(key.registered.public_key)[:30], "big") | suite << 240 | key.status << 248
        found[at(KEYS, ("address", wallet), ("uint32", version))] = Word(value, about)
        counts[wallet] = max(version, counts.get(wallet, 0))
        active.setdefault((wallet, suite), 0)
        if key.status is KeyStatus.ACTIVE:
            active[(wallet, suite)] = version
    for wallet, count in counts.items():
        about = About(f"the number of encryption keys of {wallet}", wallet=wallet)
        found[at(KEY_COUNT, ("address", wallet))] = Word(count, about)
    for (wallet, suite), version in active.items():
        about = About(f"the active encryption key of suite {suite} of {wallet}", wallet=wallet)
        found[at(ACTIVE_KEY, ("address", wallet), ("uint8", suite))] = Word(version, about)


def _albums(history: History, found: dict[bytes, Word]) -> None:
    for name, album in history.albums.items():
        about = About(f"album {name.hex()[:16]}", album=name)
        latest = max(album.keeper_sets, default=0)
        value = int(album.created.owner, 16) | album.current << 160 | latest << 192
        found[at(ALBUMS, ("bytes32", name))] = Word(value | max(album.epochs, default=0) << 224, about)
        for number, epoch in album.epochs.items():
            about = About(f"epoch {number} of album {name.hex()[:16]}", album=name)
            slot = at(EPOCHS, ("bytes32", name), ("uint32", number))
            found[slot] = Word(int.from_bytes(epoch.key_commit, "big"), about)
        for uid, capture in album.captures.items():
            about = About(f"capture {uid.hex()[:16]} of album {name.hex()[:16]}", album=name, uid=uid)
            values = [capture.digest, capture.key_commit, capture.epoch, capture.slot]
            stored = keccak(encode(["bytes32", "bytes32", "uint32", "uint32"], values))
            found[capture_slot(name, uid)] = Word(int.from_bytes(stored, "big"), about)


def _keeper_sets(history: History, found: dict[bytes, Word]) -> None:
    count = max(history.keeper_sets, default=0)
    found[at(SET_COUNT)] = Word(count, About("the number of keeper sets"))
    for number, keepers in history.keeper_sets.items():
        proposed = keepers.proposed
        about = About(f"keeper set {number}", album=proposed.album)
        head = at(SETS, ("uint32", number))
        found[head] = Word(int.from_bytes(proposed.album, "big"), about)
        found[after(head, 1)] = Word(sum(1 << index for index in keepers.accepted), about)
        size = len(proposed.keepers)
        for index, keeper in enumerate(proposed.keepers):
            slot = at(MEMBERS, ("uint32", number), ("uint256", index))
            found[slot] = Word(int(keeper, 16) | proposed.threshold << 160 | size << 168, about)


def storage_root(values: Mapping[bytes, int]) -> bytes:
    """Root of the storage trie over (slot, value); zero values are absent from it, as on the chain.

    Built from sorted leaves, six times as fast as inserting one after the other as py-trie does; the tests compare.
    """
    leaves = sorted(
        (keccak(slot).hex(), rlp.encode(value.to_bytes((value.bit_length() + 7) // 8, "big")))
        for slot, value in values.items()
        if value
    )
    return keccak(rlp.encode(_node(leaves, 0) if leaves else b""))


def _node(leaves: Sequence[tuple[str, bytes]], depth: int) -> list[Any]:
    """The trie node over sorted (path in nibbles, value), the first `depth` nibbles of which lead to it."""
    first, last = leaves[0][0], leaves[-1][0]
    if len(leaves) == 1:
        return [_path(first[depth:], leaf=True), leaves[0][1]]
    shared = depth
    while first[shared] == last[shared]:
        shared += 1
    if shared > depth:
        return [_path(first[depth:shared], leaf=False), _reference(_node(leaves, shared))]
    branches = {nibble: list(below) for nibble, below in groupby(leaves, key=lambda leaf: leaf[0][depth])}
    below = [_reference(_node(branches[n], depth + 1)) if n in branches else b"" for n in "0123456789abcdef"]
    return [*below, b""]


def _reference(node: list[Any]) -> Any:
    """How a node stands in its parent: by its hash, or itself where it is shorter."""
    encoded = rlp.encode(node)
    return node if len(encoded) < 32 else keccak(encoded)


def _path(nibbles: str, *, leaf: bool) -> bytes:
    """Hex-prefix encoding: the first nibble says whether a leaf follows and whether the path is odd."""
    odd = len(nibbles) % 2
    return bytes.fromhex(f"{2 * leaf + odd:x}{'' if odd else '0'}{nibbles}")
