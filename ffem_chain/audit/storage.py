"""The contract's storage, word for word, as it must be after a history.

Slots follow the order of state variables in `Layout.sol`; the artifact's code is checked, so the layout is known. The
root over these words equals the one that the chain's block commits to exactly where the history is complete and right:
one word too few, and the roots differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import rlp  # type: ignore[import-untyped]
from eth_hash.auto import keccak

from ffem_chain.audit.history import History
from ffem_chain.audit.tries import root_of
from ffem_chain.chain.abi import static_words
from ffem_chain.chain.types import KeyStatus
from ffem_chain.roles.ledger import Ledger

KEYS, KEY_COUNT, ACTIVE_KEY, ALBUMS, EPOCHS, SET_COUNT, SETS, MEMBERS, CAPTURES, GRANTS = range(10)
BATCH_COUNT, BATCHES, CAPTURE_BATCHES, NONCES = range(10, 14)


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


@lru_cache(maxsize=4_096)
def _mapping(slot: bytes, key: bytes | int | str) -> bytes:
    return keccak(static_words(key) + slot)


def at(base: int, *path: bytes | int | str) -> bytes:
    """Slot of an entry of a (nested) mapping: `base` is the mapping's slot, `path` its keys, outermost first."""
    slot = base.to_bytes(32, "big")
    for key in path[:-1]:  # the mapping of a wallet or an album, which has many entries
        slot = _mapping(slot, key)
    return keccak(static_words(path[-1]) + slot) if path else slot


def after(slot: bytes, offset: int) -> bytes:
    """The slot `offset` behind another."""
    return ((int.from_bytes(slot, "big") + offset) % (1 << 256)).to_bytes(32, "big")


def capture_slot(album: bytes, uid: bytes) -> bytes:
    """Slot that is zero exactly where the album has no such capture."""
    return at(CAPTURES, album, uid)


def grant_slot(grant: bytes) -> bytes:
    """Slot of a grant's packed state, zero exactly where there is no such grant; the next one holds its head."""
    return at(GRANTS, grant)


def words(history: History) -> dict[bytes, Word]:
    """Every word that the events speak of, by slot; also those that must be zero. Of one album's history not the
    numbers of keeper sets and batches, which all albums share."""
    found: dict[bytes, Word] = {}
    _keys(history, found)
    _albums(history, found)
    _keeper_sets(history, found)
    for grant, ledger in history.grants.items():
        about = About(f"grant {grant.hex()[:16]}", grant=grant, album=ledger.created.album)
        found[grant_slot(grant)] = Word(grant_word(ledger), about)
        # In a batch, the batch's head stands for it until the first commit.
        head = b"" if ledger.state.batch and not ledger.commits else ledger.state.head
        found[after(grant_slot(grant), 1)] = Word(int.from_bytes(head, "big"), about)
    _batches(history, found)
    for (wallet, number), mask in history.nonces.items():
        about = About(f"used nonces of {wallet}", wallet=wallet)
        found[at(NONCES, wallet, number)] = Word(mask, about)
    return found


def grant_word(ledger: Ledger) -> int:
    """A grant's state as the contract packs it."""
    state = ledger.state
    answered = 0
    for commit in ledger.commits:
        if commit.seq == state.seq:
            answered |= 1 << commit.index & 0xFF
    source = 1 << 29 | state.batch if state.batch else state.keeper_set
    word = int(state.recipient, 16) << 96 | state.expiry << 56 | source << 26
    word |= int(state.opened) << 25 | int(state.revoked) << 24
    return word | state.seq << 16 | (state.released & 0xFF) << 8 | answered


def _batches(history: History, found: dict[bytes, Word]) -> None:
    if history.whole:
        count = max(history.batches, default=0)
        found[at(BATCH_COUNT)] = Word(count, About("the number of batches of grants"))
    for number, batch in history.batches.items():
        about = About(f"batch {number} of grants", album=batch.logged.album)
        slot = at(BATCHES, number)
        found[slot] = Word(batch.keeper_set, about)
        found[after(slot, 1)] = Word(int.from_bytes(batch.head, "big"), about)


def _keys(history: History, found: dict[bytes, Word]) -> None:
    counts: dict[str, int] = {}
    active: dict[tuple[str, int], int] = {}
    for (wallet, version), key in history.keys.items():
        about = About(f"encryption key version {version} of {wallet}", wallet=wallet)
        suite = key.registered.suite
        value = int.from_bytes(keccak(key.registered.public_key)[:30], "big") | suite << 240 | key.status << 248
        found[at(KEYS, wallet, version)] = Word(value, about)
        counts[wallet] = max(version, counts.get(wallet, 0))
        active.setdefault((wallet, suite), 0)
        if key.status is KeyStatus.ACTIVE:
            active[(wallet, suite)] = version
    for wallet, count in counts.items():
        about = About(f"the number of encryption keys of {wallet}", wallet=wallet)
        found[at(KEY_COUNT, wallet)] = Word(count, about)
    for (wallet, suite), version in active.items():
        about = About(f"the active encryption key of suite {suite} of {wallet}", wallet=wallet)
        found[at(ACTIVE_KEY, wallet, suite)] = Word(version, about)


def _albums(history: History, found: dict[bytes, Word]) -> None:
    for name, album in history.albums.items():
        about = About(f"album {name.hex()[:16]}", album=name)
        latest = max(album.keeper_sets, default=0)
        value = int(album.created.owner, 16) | album.current << 160 | latest << 192
        found[at(ALBUMS, name)] = Word(value | max(album.epochs, default=0) << 224, about)
        for number, epoch in album.epochs.items():
            about = About(f"epoch {number} of album {name.hex()[:16]}", album=name)
            slot = at(EPOCHS, name, number)
            found[slot] = Word(int.from_bytes(epoch.key_commit, "big"), about)
        for uid, capture in album.captures.items():
            about = About(f"capture {uid.hex()[:16]} of album {name.hex()[:16]}", album=name, uid=uid)
            stored = keccak(static_words(capture.digest, capture.key_commit, capture.epoch, capture.slot))
            found[capture_slot(name, uid)] = Word(int.from_bytes(stored, "big"), about)
        for root, batch in album.batches.items():
            about = About(f"batch {root.hex()[:16]} of captures of album {name.hex()[:16]}", album=name)
            value = int.from_bytes(keccak(batch.list_digest)[:19], "big") | batch.count << 152
            slot = at(CAPTURE_BATCHES, name, root)
            found[slot] = Word(value | batch.epoch << 184 | batch.time << 216, about)


def _keeper_sets(history: History, found: dict[bytes, Word]) -> None:
    if history.whole:
        count = max(history.keeper_sets, default=0)
        found[at(SET_COUNT)] = Word(count, About("the number of keeper sets"))
    for number, keepers in history.keeper_sets.items():
        proposed = keepers.proposed
        about = About(f"keeper set {number}", album=proposed.album)
        head = at(SETS, number)
        found[head] = Word(int.from_bytes(proposed.album, "big"), about)
        found[after(head, 1)] = Word(sum(1 << index for index in keepers.accepted), about)
        size = len(proposed.keepers)
        for index, keeper in enumerate(proposed.keepers):
            slot = at(MEMBERS, number, index)
            found[slot] = Word(int(keeper, 16) | proposed.threshold << 160 | size << 168, about)


def storage_root(values: Mapping[bytes, int]) -> bytes:
    """Root of the storage trie over (slot, value); zero values are absent from it, as on the chain."""
    leaves = sorted(
        (keccak(slot).hex(), rlp.encode(value.to_bytes((value.bit_length() + 7) // 8, "big")))
        for slot, value in values.items()
        if value
    )
    return root_of(leaves)
