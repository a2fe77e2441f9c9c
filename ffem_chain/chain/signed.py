"""Signed calls: what a wallet wants of a registry, signed as EIP-712 typed data, for anybody to send.

The domain binds a call to one deployment (chain id, address, deployment id as salt), the signer to one of the wallets
that a key may sign for; the nonce lets it happen once, the deadline ends it. A call without a signature is the same
object with `signature` empty: what a wallet elsewhere signs.
Wire form and limits: docs/RELAY.md.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, replace
from typing import Any, Protocol

from eth_account.messages import SignableMessage, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils import keccak, to_checksum_address

from ffem_chain import boundedjson
from ffem_chain.errors import FormatError

VERSION = 1
MAX_BYTES = 64 << 10
MAX_SIGNATURE = 4096
LIFETIME_SECONDS = 3600
_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")
_DOMAIN = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
)
_TAIL = (("signer", "address"), ("nonce", "uint256"), ("deadline", "uint256"))


@dataclass(frozen=True)
class Kind:
    """A call that can be signed: its EIP-712 type, the function that the wallet itself would call, and the fields of
    the type before `signer`, `nonce` and `deadline`. `struct`: the function takes the fields as one struct."""

    name: str
    function: str
    fields: tuple[tuple[str, str], ...]
    struct: bool = False

    @property
    def relayed(self) -> str:
        """The function that anybody may call with the authorization."""
        return f"{self.function}For"


KINDS: tuple[Kind, ...] = (
    Kind("RegisterKey", "registerKey", (("suite", "uint8"), ("publicKey", "bytes"))),
    Kind("SetKeyStatus", "setKeyStatus", (("version", "uint32"), ("status", "uint8"))),
    Kind("PublishRecovery", "publishRecovery", (("version", "uint32"), ("sealedKey", "bytes"))),
    Kind("RequestAccess", "requestAccess", (("grantId", "bytes32"), ("requestKey", "bytes"))),
    Kind(
        "Grant",
        "grant",
        (
            ("album", "bytes32"),
            ("salt", "bytes32"),
            ("scopeCommit", "bytes32"),
            ("recipient", "address"),
            ("keyVersion", "uint32"),
            ("expiry", "uint40"),
            ("keeperSet", "uint32"),
            ("payload", "bytes"),
        ),
        struct=True,
    ),
    Kind("Revoke", "revoke", (("album", "bytes32"), ("salt", "bytes32"))),
)
BY_NAME = {kind.name: kind for kind in KINDS}
BY_FUNCTION = {kind.function: kind for kind in KINDS}


@dataclass(frozen=True)
class Domain:
    """The one registry that a call is for: chain id, checksummed address, deployment id (32 bytes)."""

    chain_id: int
    registry: str
    deployment: bytes


@dataclass(frozen=True)
class Call:
    """A call of `signer` (checksummed), `values` in the order of its kind's fields.

    `nonce` below 2^256, `deadline` in unix seconds, the last one at which it may be mined. `signature` of an own wallet
    is r ‖ s ‖ v (65 bytes), of a contract wallet what its ERC-1271 check takes; empty: not signed yet.
    """

    domain: Domain
    kind: Kind
    values: tuple[Any, ...]
    signer: str
    nonce: int
    deadline: int
    signature: bytes = b""

    def value(self, field: str) -> Any:
        """The value of one field of the kind."""
        return dict(zip((name for name, _ in self.kind.fields), self.values, strict=True))[field]

    def message(self) -> SignableMessage:
        """What is signed (EIP-712)."""
        return encode_typed_data(full_message=self._typed(self.domain.deployment, self.values))

    @property
    def digest(self) -> bytes:
        """The 32 bytes that the signature is over. It names the call: signatures of one call may differ."""
        message = self.message()
        return keccak(b"\x19" + message.version + message.header + message.body)

    def typed_data(self) -> dict[str, Any]:
        """The same as JSON, as `eth_signTypedData_v4` and wallets take it: bytes in hex, numbers in decimal text."""
        domain, *values = (_text(value) for value in (self.domain.deployment, *self.values))
        typed = self._typed(domain, tuple(values))
        typed["domain"]["chainId"] = str(self.domain.chain_id)
        for name, _ in _TAIL:
            typed["message"][name] = str(typed["message"][name])
        return typed

    def _typed(self, salt: Any, values: tuple[Any, ...]) -> dict[str, Any]:
        fields = (*self.kind.fields, *_TAIL)
        names = [name for name, _ in fields]
        return {
            "types": {
                "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN],
                self.kind.name: [{"name": name, "type": kind} for name, kind in fields],
            },
            "primaryType": self.kind.name,
            "domain": {
                "name": "ffem-chain",
                "version": "1",
                "chainId": self.domain.chain_id,
                "verifyingContract": self.domain.registry,
                "salt": salt,
            },
            "message": dict(zip(names, (*values, self.signer, self.nonce, self.deadline), strict=True)),
        }

    def arguments(self) -> tuple[Any, ...]:
        """Arguments of the function `kind.relayed`."""
        authorization = (self.signer, self.nonce, self.deadline, self.signature)
        return (authorization, self.values) if self.kind.struct else (authorization, *self.values)

    def signed(self, signature: bytes) -> Call:
        """The same call with a signature that was made elsewhere. Raises FormatError for none, or one too long."""
        if not 0 < len(signature) <= MAX_SIGNATURE:
            raise FormatError(f"a signature has 1 to {MAX_SIGNATURE} bytes", "65 for a wallet with a key of its own")
        return replace(self, signature=signature)

    # ------------------------------------------------------------------ wire form

    def to_json(self) -> bytes:
        """One line of JSON, below MAX_BYTES for every call that the registry's own formats allow."""
        document = {
            "v": VERSION,
            "chain": self.domain.chain_id,
            "registry": self.domain.registry,
            "deployment": _text(self.domain.deployment),
            "call": self.kind.name,
            "values": {
                name: _text(value) if isinstance(value, bytes) else value
                for (name, _), value in zip(self.kind.fields, self.values, strict=True)
            },
            "signer": self.signer,
            "nonce": f"0x{self.nonce:064x}",
            "deadline": self.deadline,
            "signature": _text(self.signature),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Call:
        """The call in `data`, which a stranger may have written: well-formed, and nothing more.

        Raises FormatError for anything but the wire form.
        """
        if len(data) > MAX_BYTES:
            raise FormatError(f"a signed call has at most {MAX_BYTES} bytes")
        try:
            document = boundedjson.loads(data, 2)
            if document["v"] != VERSION or isinstance(document["v"], bool):
                raise FormatError("a signed call of another version", "update ffem-chain")
            kind = BY_NAME[document["call"]]
            expected = {"v", "chain", "registry", "deployment", "call", "values", "signer", "nonce", "deadline"}
            if set(document) != {*expected, "signature"} or set(document["values"]) != {n for n, _ in kind.fields}:
                raise KeyError("fields")
            return cls(
                domain=Domain(
                    _parse("uint256", document["chain"]),
                    _parse("address", document["registry"]),
                    _parse("bytes32", document["deployment"]),
                ),
                kind=kind,
                values=tuple(_parse(abi_type, document["values"][name]) for name, abi_type in kind.fields),
                signer=_parse("address", document["signer"]),
                nonce=int.from_bytes(_parse("bytes32", document["nonce"]), "big"),
                deadline=_parse("uint256", document["deadline"]),
                signature=_parse("bytes", document["signature"], MAX_SIGNATURE),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FormatError("this is not a signed call", "a line that ffem --sign-only wrote") from None


def _text(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


def _parse(abi_type: str, value: Any, longest: int = MAX_BYTES) -> Any:
    """One value of the wire form. Raises ValueError or TypeError."""
    if abi_type.startswith("uint"):
        if type(value) is not int or not 0 <= value < 1 << int(abi_type[4:]):
            raise ValueError(abi_type)
        return value
    if not isinstance(value, str):
        raise TypeError(abi_type)
    if abi_type == "address":
        return to_checksum_address("0x" + _parse("bytes20", value.lower()).hex())
    if not _HEX.fullmatch(value):
        raise ValueError(abi_type)
    raw, fixed = bytes.fromhex(value[2:]), abi_type.removeprefix("bytes")
    if len(raw) > longest or (fixed and len(raw) != int(fixed)):
        raise ValueError(abi_type)
    return raw


# ---------------------------------------------------------------------- signing


class Wallet(Protocol):
    """Whose keys and grants these are. Its signing key may be elsewhere."""

    @property
    def address(self) -> str:
        """Checksummed."""


@dataclass(frozen=True)
class ExternalWallet:
    """A wallet whose signing key is not here: in a hardware wallet, or a contract with no key at all."""

    address: str


def new_call(domain: Domain, kind: Kind, values: tuple[Any, ...], signer: str, deadline: int) -> Call:
    """An unsigned call with a random nonce: 256 bits, so nobody has to know which ones are used."""
    return Call(domain, kind, values, signer, secrets.randbits(256), deadline)


def sign(call: Call, account: LocalAccount) -> Call:
    """The call signed by its signer's own key."""
    return call.signed(bytes(account.sign_message(call.message()).signature))
