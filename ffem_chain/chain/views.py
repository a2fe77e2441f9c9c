"""What the registry answers to questions. It is what the endpoint says: callers that must not trust it compare with
the events (`ffem_chain.roles.ledger`, `ffem_chain.audit`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

from eth_abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils import keccak, to_checksum_address
from eth_utils.abi import collapse_if_tuple, function_abi_to_4byte_selector
from web3.exceptions import BadFunctionCallOutput
from web3.types import TxParams

from ffem_chain.chain.abi import decode_data
from ffem_chain.chain.artifact import artifact
from ffem_chain.chain.connection import Connection
from ffem_chain.chain.events import KeyRegistered
from ffem_chain.chain.types import (
    AlbumView,
    CaptureBatchView,
    GrantStatus,
    GrantView,
    KeeperSetView,
    KeyStatus,
    KeyView,
)
from ffem_chain.errors import Tampered

_OPENABLE_AT_ONCE = 500
_Status = TypeVar("_Status", KeyStatus, GrantStatus)


@cache
def _functions() -> dict[str, tuple[bytes, tuple[str, ...], tuple[str, ...]]]:
    """Selector and ABI types of what each function takes and gives, by name. web3 finds these anew for each call, which
    takes more of this process's time than the call."""
    return {
        entry["name"]: (
            function_abi_to_4byte_selector(entry),  # type: ignore[arg-type]
            tuple(collapse_if_tuple(one) for one in entry["inputs"]),
            tuple(collapse_if_tuple(one) for one in entry["outputs"]),
        )
        for entry in artifact().abi
        if entry["type"] == "function"
    }


def _checksummed(value: Any) -> Any:
    """A decoded value with addresses, the only text that the registry's functions give, in their checksummed form."""
    if isinstance(value, str):
        return to_checksum_address(value)
    return tuple(_checksummed(one) for one in value) if isinstance(value, (tuple, list)) else value


@cache
def _grant_types() -> tuple[str, ...]:
    """ABI types of what `grantState` answers: one struct, all static."""
    (entry,) = (one for one in artifact().abi if one.get("name") == "grantState")
    return tuple(part["type"] for part in entry["outputs"][0]["components"])


class Views(Connection):
    """Questions to a registry. `block` is a number or a name of a block, as JSON-RPC takes it."""

    def _view(self, name: str, *values: Any, block: int | str = "latest") -> Any:
        """The answer to a function of the contract: its one value, or a list of several."""
        selector, takes, gives = _functions()[name]
        call: TxParams = {"to": self.address, "data": selector + encode(takes, values)}
        answer = self.rpc.ask(lambda w3: w3.eth.call(call, block))  # type: ignore[arg-type]
        with self.rpc.guard():
            try:
                found = [_checksummed(value) for value in decode(gives, answer)]
            except DecodingError:
                raise BadFunctionCallOutput from None
        return found[0] if len(found) == 1 else found

    def _status(self, kind: type[_Status], number: int) -> _Status:
        """A status of the contract's. ChainUnavailable for a number that it cannot give."""
        with self.rpc.guard():
            return kind(number)

    def key(self, wallet: str, version: int, *, block: int | str = "latest") -> KeyView:
        """One encryption key of a wallet."""
        suite, status, key_hash = self._view("key", wallet, version, block=block)
        return KeyView(suite, self._status(KeyStatus, status), key_hash)

    def active_key(self, wallet: str, suite: int, *, block: int | str = "latest") -> int:
        """Version of the wallet's active key of a suite, 0 where there is none."""
        return int(self._view("activeKey", wallet, suite, block=block))

    def public_key(self, wallet: str, version: int) -> bytes:
        """The public key of a version, from the log, checked against the hash in the storage. Raises Tampered."""
        stored = self.key(wallet, version).key_hash
        for event in self.events([KeyRegistered], wallet=wallet, version=version):
            if isinstance(event, KeyRegistered) and keccak(event.public_key)[:30] == stored:
                return event.public_key
        raise Tampered(
            f"the logs lack encryption key version {version} of {wallet}, or give another one",
            "the RPC leaves out or alters logs; use another one",
        )

    def album(self, album: bytes, *, block: int | str = "latest") -> AlbumView:
        """An album; all fields are zero where there is none."""
        return AlbumView(*self._view("album", album, block=block))

    def epoch_key_commit(self, album: bytes, epoch: int, *, block: int | str = "latest") -> bytes:
        """Commitment to an epoch's secret (32 bytes), zero where there is no such epoch."""
        return bytes(self._view("epochKeyCommit", album, epoch, block=block))

    def keeper_set(self, number: int, *, block: int | str = "latest") -> KeeperSetView:
        """A keeper set; who is in it never changes."""
        album, threshold, accepted, keepers = self._view("keeperSet", number, block=block)
        return KeeperSetView(album, threshold, accepted, tuple(keepers))

    def capture_hash(self, album: bytes, uid: bytes, *, block: int | str = "latest") -> bytes:
        """Hash of a capture's registration (32 bytes), zero where there is none."""
        return bytes(self._view("captureHash", album, uid, block=block))

    def capture_batch(self, album: bytes, root: bytes, *, block: int | str = "latest") -> CaptureBatchView:
        """A batch of captures by the root of its Merkle tree (32 bytes); count 0 where there is none."""
        return CaptureBatchView(*self._view("captureBatch", album, root, block=block))

    def verify_capture(
        self,
        album: bytes,
        root: bytes,
        uid: bytes,
        digest: bytes,
        key_commit: bytes,
        slot: int,
        proof: Sequence[bytes],
        *,
        block: int | str = "latest",
    ) -> bool:
        """Whether a registered batch holds the capture; `proof` are the siblings (32 bytes each) from the leaf up."""
        values = (album, root, uid, digest, key_commit, slot, list(proof))
        return bool(self._view("verifyCapture", *values, block=block))

    def nonce_used(self, wallet: str, nonce: int, *, block: int | str = "latest") -> bool:
        """Whether a signed call of the wallet with this nonce was made, or cancelled."""
        return bool(self._view("nonceUsed", wallet, nonce, block=block))

    def grant_state(self, grant: bytes, *, block: int | str = "latest") -> GrantView:
        """State of a grant; status NONE where there is no such grant."""
        status, *rest = self._view("grantState", grant, block=block)
        return GrantView(self._status(GrantStatus, status), *rest)

    def grant_states(self, grants: Sequence[bytes], *, block: int | str = "latest") -> list[GrantView]:
        """State of each grant, like `grant_state`, a hundred in one request."""
        where = hex(block) if isinstance(block, int) else block
        asked = [{"to": self.address, "data": "0x" + self.encoded("grantState", grant).hex()} for grant in grants]
        answers = self.rpc.batch([("eth_call", [question, where]) for question in asked])
        with self.rpc.guard():
            listed = [decode_data(_grant_types(), bytes.fromhex(answer[2:])) for answer in answers]
        return [GrantView(self._status(GrantStatus, status), *rest) for status, *rest in listed]

    def openable_by(self, wallet: str, grants: Sequence[bytes], *, block: int | str = "latest") -> list[GrantStatus]:
        """Status of each grant, NONE where it is not the wallet's."""
        found: list[GrantStatus] = []
        for at in range(0, len(grants), _OPENABLE_AT_ONCE):
            part = list(grants[at : at + _OPENABLE_AT_ONCE])
            answers = self._view("openableBy", wallet, part, block=block)
            found += [self._status(GrantStatus, status) for status in answers]
        return found
