"""What links a block to a trusted hash: the block behind it names it, or a later block's state does (EIP-2935)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_utils import keccak
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from ffem_chain.audit.bundle.format import HEADERS, LINKS, hashes_only, place
from ffem_chain.audit.proofs import Header
from ffem_chain.audit.tries import Mismatch, Trie, select
from ffem_chain.chain.rpc import Rpc
from ffem_chain.errors import ChainUnavailable, FormatError, Tampered

# EIP-2935: before each block, the hash of its parent goes to the slot (number of the parent) % 8191 of this contract.
HISTORY = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
WINDOW = 8_191
_AT_ONCE = 100
_CODE = bytes.fromhex("6e49e66782037c0555897870e29fa5e552daf4719552131a0abce779daec0a5d")


def account_path(address: bytes) -> str:
    """Path of an account (20 bytes) in the state trie."""
    return keccak(address).hex()


def slot_path(slot: bytes) -> str:
    """Path of a slot (32 bytes) in a storage trie."""
    return keccak(slot).hex()


def account_in(trie: Trie, address: bytes) -> tuple[bytes, bytes]:
    """Storage root and code hash of an account. Raises Tampered where the trie shows none."""
    value = trie.get(account_path(address))
    try:
        fields = rlp.decode(value) if value is not None else []
    except RLPException:
        fields = []
    if not isinstance(fields, list) or len(fields) != 4 or not all(isinstance(field, bytes) for field in fields):
        raise Tampered(f"the block's state has no contract at 0x{address.hex()}")
    return fields[2], fields[3]


def word_in(trie: Trie, slot: bytes) -> int:
    """The word at a slot, 0 where there is none. Raises Tampered where the trie does not say."""
    value = trie.get(slot_path(slot))
    try:
        found = rlp.decode(value) if value is not None else b""
    except RLPException:
        raise Tampered("a word of the storage is damaged") from None
    return int.from_bytes(found, "big")


def _slot(number: int) -> bytes:
    return (number % WINDOW).to_bytes(32, "big")


@dataclass(frozen=True)
class Link:
    """Under the state root of `block`: nodes to the history contract, and in its storage to hashes of older blocks."""

    block: int
    account: tuple[bytes, ...]
    storage: tuple[bytes, ...]

    def pack(self) -> list[Any]:
        """Its entry in a file."""
        return [self.block, list(self.account), list(self.storage)]

    @classmethod
    def unpack(cls, entry: Any) -> Link:
        """Strict inverse of `pack`. Raises FormatError."""
        if not isinstance(entry, list) or len(entry) != 3 or type(entry[0]) is not int:
            raise FormatError("a link is not of the form that it has")
        nodes = [tuple(hashes_only(part, "a part of a link")) for part in entry[1:]]
        return cls(entry[0], *nodes)

    def hashes(self, header: Header) -> Trie:
        """The storage of the history contract, as far as the nodes show it. Raises Tampered."""
        storage_root, code = account_in(Trie.walk(header.state_root, self.account), HISTORY)
        if code != _CODE:
            raise Tampered(f"the chain of block {self.block} does not keep hashes as EIP-2935 says")
        return Trie.walk(storage_root, self.storage)


def read_link(rpc: Rpc, header: Header, older: Sequence[int]) -> Link:
    """The link from a block to older ones, at most `WINDOW` before it. Raises ChainUnavailable, Tampered."""
    slots = [_slot(number) for number in older]
    account, storage = read_proofs(rpc, HISTORY, header, slots)
    root, _ = account_in(Trie.walk(header.state_root, account), HISTORY)
    link = Link(header.number, tuple(account), tuple(select(root, storage, [slot_path(slot) for slot in slots])))
    if any(word_in(link.hashes(header), slot) == 0 for slot in slots):
        raise ChainUnavailable(f"the chain at {rpc.name} does not keep hashes of blocks (EIP-2935)", "--links chains")
    return link


def keeps_hashes(rpc: Rpc) -> bool:
    """Whether the chain has the history contract."""
    (code,) = rpc.batch([("eth_getCode", ["0x" + HISTORY.hex(), "latest"])])
    return isinstance(code, str) and keccak(hexstr=code) == _CODE


def read_proofs(
    rpc: Rpc, address: bytes, header: Header, slots: Sequence[bytes]
) -> tuple[list[bytes], dict[bytes, bytes]]:
    """Nodes in preorder to an account under a block's state root, and nodes by hash to slots of its storage.

    Raises ChainUnavailable, Tampered.
    """
    account: dict[bytes, bytes] = {}
    storage: dict[bytes, bytes] = {}
    for start in range(0, max(1, len(slots)), _AT_ONCE):
        names = ["0x" + slot.hex() for slot in slots[start : start + _AT_ONCE]]
        (answer,) = rpc.batch([("eth_getProof", ["0x" + address.hex(), names, hex(header.number)])])
        try:
            account |= _pool(answer["accountProof"])
            for proof in answer["storageProof"]:
                storage |= _pool(proof["proof"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ChainUnavailable(f"the chain at {rpc.name} gives no proofs", "use another RPC") from None
    return select(header.state_root, account, [account_path(address)]), storage


def _pool(nodes: Iterable[str]) -> dict[bytes, bytes]:
    """Nodes as JSON-RPC gives them, by hash."""
    found = (bytes.fromhex(node[2:]) for node in nodes)
    return {keccak(node): node for node in found}


def check_links(headers: Sequence[Header], links: Mapping[int, Link], trusted: Collection[bytes]) -> None:
    """Whether every header, ascending by number, leads to a trusted hash. Raises Tampered, naming file and block."""
    known: dict[int, Trie] = {}
    places = {block: index for index, block in enumerate(links)}
    for at in range(len(headers) - 1, -1, -1):
        header = headers[at]
        behind = headers[at + 1] if at + 1 < len(headers) else None
        if behind is not None and behind.number == header.number + 1:
            named = behind.logging()[0] == header.hash
            why = f"it is not the parent that block {behind.number} names"
        else:
            named, why = _in_history(header, known), "no trusted hash leads to it"
        if header.hash not in trusted and not named:
            hash_ = f"0x{header.hash.hex()}"
            raise Tampered(f"{place(HEADERS, at)}: the header of block {header.number} has the hash {hash_}: {why}")
        if header.number in links:
            try:
                known[header.number] = links[header.number].hashes(header)
            except Mismatch as error:
                file = place(LINKS, places[header.number])
                text = f"{file}: node {error.index} of the link of block {header.number}: {error.message}"
                raise Tampered(text) from None
    if len(known) != len(links):
        block = next(block for block in links if block not in known)
        raise Tampered(f"{place(LINKS, places[block])}: there is no header of block {block}")


def _in_history(header: Header, known: dict[int, Trie]) -> bool:
    """Whether the state of a block of `known` (descending), at most `WINDOW` behind, holds the header's hash."""
    for block in reversed(known):
        if block - header.number > WINDOW:
            return False
        try:
            if word_in(known[block], _slot(header.number)).to_bytes(32, "big") == header.hash:
                return True
        except (Tampered, OverflowError):
            continue  # this link is to other blocks
    return False
