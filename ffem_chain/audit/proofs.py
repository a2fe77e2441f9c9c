"""What a block hash proves: header -> state root -> the registry's account -> its storage root and single words.

Trusting one block hash is enough: everything else that a node says about the state at that block is checked against it
(EIP-1186 proofs). A chain whose headers have other fields, or a node without `eth_getProof`, leaves the node's word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_utils import keccak
from rlp.exceptions import RLPException  # type: ignore[import-untyped]
from trie.hexary import HexaryTrie

from ffem_chain.chain.artifact import artifact
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.rpc import Rpc
from ffem_chain.errors import ChainUnavailable, FfemError, FormatError, Tampered

_HINT = "use another RPC: this one contradicts itself"
# Header fields in the order in which they are hashed; the later ones came with forks and may be absent.
_BYTES = 0
_NUMBER = 1
_FIELDS: tuple[tuple[str, int], ...] = (
    ("parentHash", _BYTES),
    ("sha3Uncles", _BYTES),
    ("miner", _BYTES),
    ("stateRoot", _BYTES),
    ("transactionsRoot", _BYTES),
    ("receiptsRoot", _BYTES),
    ("logsBloom", _BYTES),
    ("difficulty", _NUMBER),
    ("number", _NUMBER),
    ("gasLimit", _NUMBER),
    ("gasUsed", _NUMBER),
    ("timestamp", _NUMBER),
    ("extraData", _BYTES),
    ("mixHash", _BYTES),
    ("nonce", _BYTES),
    ("baseFeePerGas", _NUMBER),
    ("withdrawalsRoot", _BYTES),
    ("blobGasUsed", _NUMBER),
    ("excessBlobGas", _NUMBER),
    ("parentBeaconBlockRoot", _BYTES),
    ("requestsHash", _BYTES),
)
_PARENT, _STATE_ROOT, _RECEIPTS_ROOT, _BLOOM, _NUMBER_AT, _TIME_AT = 0, 3, 5, 6, 8, 11
_LENGTHS = {_PARENT: 32, _STATE_ROOT: 32, _RECEIPTS_ROOT: 32, _BLOOM: 256}
_LONGEST = 16 << 10  # bytes of a header; proof-of-authority chains keep lists of signers in theirs
_BATCH = 100


def _raw(value: Any) -> bytes:
    try:
        digits = str(value).removeprefix("0x")
        return bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
    except ValueError:
        raise FormatError("the RPC gives something that is not hexadecimal", "check the RPC URL") from None


@dataclass(frozen=True)
class Header:
    """A block: number, hash (32 bytes), time (unix seconds), state root, and its header in RLP.

    `encoded` is empty where the header's hash could not be recomputed: the rest is then the node's word.
    """

    number: int
    hash: bytes
    time: int
    state_root: bytes
    encoded: bytes

    @property
    def proven(self) -> bool:
        """Whether number, time and state root are what the hash commits to."""
        return bool(self.encoded)

    @classmethod
    def decode(cls, encoded: bytes) -> Header:
        """From RLP: what the hash of these bytes commits to. Raises FormatError."""
        fields = _header_fields(encoded)
        number, time = (int.from_bytes(fields[place], "big") for place in (_NUMBER_AT, _TIME_AT))
        return cls(number, keccak(encoded), time, fields[_STATE_ROOT], encoded)

    def logging(self) -> tuple[bytes, bytes, int]:
        """Hash of the parent, root of the receipts (32 bytes each) and the bloom of the logs (2,048 bits).

        Raises FormatError where the header is not proven.
        """
        fields = _header_fields(self.encoded)
        return fields[_PARENT], fields[_RECEIPTS_ROOT], int.from_bytes(fields[_BLOOM], "big")


def _header_fields(encoded: bytes) -> list[bytes]:
    try:
        # Whoever made the bytes may nest lists as deeply as they are long.
        fields = rlp.decode(encoded) if len(encoded) <= _LONGEST else []
    except RLPException:
        fields = []
    plain = isinstance(fields, list) and all(isinstance(field, bytes) for field in fields)
    if not plain or not 15 <= len(fields) <= len(_FIELDS) or any(len(fields[n]) != s for n, s in _LENGTHS.items()):
        raise FormatError("this is no block header")
    return list(fields)


def header_of(block: Mapping[str, Any]) -> Header:
    """The header in an answer of eth_getBlockBy..., its hash recomputed where the chain's headers are known ones."""
    try:
        claimed, number, time = _raw(block["hash"]), int(block["number"], 16), int(block["timestamp"], 16)
        values = []
        for name, kind in _FIELDS:
            if block.get(name) is None:
                break
            values.append(_raw(block[name]) if kind == _BYTES else int(block[name], 16))
        encoded = rlp.encode(values)
        root = _raw(block["stateRoot"])
    except (KeyError, TypeError, ValueError):
        raise FormatError("the RPC gives something that is no block", "check the RPC URL") from None
    return Header(number, claimed, time, root, encoded if keccak(encoded) == claimed else b"")


def read_header(rpc: Rpc, block: int | bytes | str) -> Header:
    """A block by number, hash or tag. Raises ChainUnavailable where the chain has none, Tampered where the node gives
    another one than the hash asked for."""
    if isinstance(block, bytes):
        (answer,) = rpc.batch([("eth_getBlockByHash", ["0x" + block.hex(), False])])
    else:
        (answer,) = rpc.batch([("eth_getBlockByNumber", [hex(block) if isinstance(block, int) else block, False])])
    if not isinstance(answer, Mapping):
        name = "0x" + block.hex() if isinstance(block, bytes) else block
        raise ChainUnavailable(f"the chain at {rpc.name} has no block {name}", "check the number, and the RPC URL")
    header = header_of(answer)
    if isinstance(block, bytes) and header.hash != block:
        raise Tampered("the RPC gives another block than the hash that was asked for", _HINT)
    return header


def read_headers(rpc: Rpc, numbers: Sequence[int]) -> dict[int, Header]:
    """Several blocks by number; those that the chain does not have are left out."""
    answers = rpc.batch([("eth_getBlockByNumber", [hex(number), False]) for number in numbers])
    pairs = zip(numbers, answers, strict=True)
    return {number: header_of(answer) for number, answer in pairs if isinstance(answer, Mapping)}


def on_chain(rpc: Rpc, header: Header) -> bool:
    """Whether the block is (still) the one of its number. Raises ChainUnavailable where the node does not answer."""
    there = read_headers(rpc, [header.number]).get(header.number)
    return there is not None and there.hash == header.hash


@dataclass(frozen=True)
class AccountProof:
    """The registry's account at a block: what the proof's nodes (RLP) show under the block's state root."""

    nodes: tuple[bytes, ...]
    storage_root: bytes
    code_hash: bytes


def account_proof(address: str, state_root: bytes, nodes: Sequence[bytes]) -> AccountProof:
    """Check a proof of an account. Raises Tampered where it does not lead there from `state_root`."""
    found = _lookup(state_root, keccak(bytes.fromhex(address[2:])), nodes, "the registry's account")
    fields = _rlp(found) if found else []
    if not isinstance(fields, list) or len(fields) != 4:
        raise Tampered(f"the block's state has no contract at {address}", _HINT)
    return AccountProof(tuple(nodes), fields[2], fields[3])


def storage_word(storage_root: bytes, slot: bytes, nodes: Sequence[bytes]) -> int:
    """The word at `slot` under a storage root, 0 where the proof shows that there is none. Raises Tampered."""
    found = _lookup(storage_root, keccak(slot), nodes, "a word of the registry's storage")
    value = _rlp(found) if found else b""
    if not isinstance(value, bytes):
        raise Tampered("a proof of the registry's storage is damaged", _HINT)
    return int.from_bytes(value, "big")


def _lookup(root: bytes, path: bytes, nodes: Sequence[bytes], what: str) -> bytes:
    try:
        decoded = [_rlp(node) for node in nodes]
        return bytes(HexaryTrie.get_from_proof(root, path, decoded))  # type: ignore[no-untyped-call]
    except Exception:
        # The library's errors have no common base: whatever it trips over, the proof does not hold.
        raise Tampered(f"the node's proof of {what} does not match the block", _HINT) from None


def _nodes(value: Any) -> list[bytes]:
    if not isinstance(value, list):
        raise Tampered("the node gives something that is no proof", _HINT)
    return [_raw(node) for node in value]


def _rlp(data: bytes) -> Any:
    try:
        return rlp.decode(data)
    except RLPException:
        raise Tampered("the node's proof is damaged", _HINT) from None


class Prover:
    """The registry's storage at one block, each answer proven where the node can (`account` is None where not)."""

    def __init__(self, registry: Registry, header: Header) -> None:
        self._rpc, self._address, self.header = registry.rpc, registry.address, header
        self.account: AccountProof | None = None
        try:
            answer = self._ask([])
        except Tampered:
            raise
        except FfemError:
            return  # a node without eth_getProof, or without the state of that block
        self.account = account_proof(self._address, header.state_root, _nodes(answer.get("accountProof")))

    def _ask(self, slots: Sequence[bytes]) -> Mapping[str, Any]:
        names = ["0x" + slot.hex() for slot in slots]
        (answer,) = self._rpc.batch([("eth_getProof", [self._address, names, hex(self.header.number)])])
        if not isinstance(answer, Mapping):
            raise ChainUnavailable(f"the chain at {self._rpc.name} gives no proofs", "use another RPC")
        return answer

    @property
    def proven(self) -> bool:
        """Whether answers follow from the block's hash alone."""
        return self.account is not None and self.header.proven

    def check_code(self, code: bytes) -> None:
        """Raises Tampered where `code` is not what the block's state holds at the registry's address."""
        if self.account is not None and keccak(code) != self.account.code_hash:
            raise Tampered("the node gives other code than the block's state holds", _HINT)

    def read(self, slots: Sequence[bytes]) -> dict[bytes, int]:
        """Words of the storage, by slot. Raises Tampered where a proof fails, ChainUnavailable."""
        if self.account is None:
            at = hex(self.header.number)
            questions = [("eth_getStorageAt", [self._address, "0x" + slot.hex(), at]) for slot in slots]
            return dict(zip(slots, (int.from_bytes(_raw(a), "big") for a in self._rpc.batch(questions)), strict=True))
        found: dict[bytes, int] = {}
        for start in range(0, len(slots), _BATCH):
            part = slots[start : start + _BATCH]
            proofs = self._ask(part).get("storageProof")
            if not isinstance(proofs, list) or len(proofs) != len(part):
                raise Tampered("the node leaves out proofs that it was asked for", _HINT)
            for slot, proof in zip(part, proofs, strict=True):
                nodes = _nodes(proof.get("proof") if isinstance(proof, Mapping) else None)
                found[slot] = storage_word(self.account.storage_root, slot, nodes)
        return found


def deployment_in(code: bytes) -> bytes | None:
    """Deployment id in the code of a registry, None where the code is not the registry's."""
    if not artifact().is_code(code):
        return None
    values = artifact().immutable_values(code)
    return values.pop() if len(values) == 1 else None
