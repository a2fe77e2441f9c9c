"""What the registry's custom errors mean, one sentence and one hint each."""

from __future__ import annotations

from functools import cache
from typing import Any

from eth_abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils import keccak, to_checksum_address

from ffem_chain.chain.artifact import artifact
from ffem_chain.chain.types import KeyStatus
from ffem_chain.errors import Refused

# name -> (sentence, hint); the fields are the error's own, in the contract's camelCase.
SENTENCES: dict[str, tuple[str, str]] = {
    "UnknownSuite": ("Suite {suite} is unknown to the registry.", "use suite 1 or 2"),
    "BadPublicKey": ("A public key of {length} bytes does not fit suite {suite}.", "register the key again"),
    "NoSuchKey": (
        "Wallet {wallet} has no encryption key of version {version}.",
        "its holder runs: ffem key register",
    ),
    "KeyStatusNotForward": ("A key that is {from} cannot become {to}.", "register a new key instead"),
    "AlbumExists": ("Album {album} exists already.", "use another salt"),
    "NoSuchAlbum": ("Album {album} does not exist on this registry.", "check the album and the deployment"),
    "NotAlbumOwner": ("Wallet {caller} does not own album {album}.", "use the owner's wallet"),
    "BadThreshold": (
        "A threshold of {threshold} does not fit {keepers} keepers.",
        "1 <= threshold <= keepers <= 8",
    ),
    "DuplicateKeeper": ("Keeper {keeper} is named twice.", "name each keeper once"),
    "ZeroAddress": ("The zero address cannot take this role.", "name a wallet"),
    "ZeroCommit": ("A commitment of zero commits to nothing.", "send the real commitment"),
    "NoSuchKeeperSet": ("Keeper set {keeperSet} does not exist.", "check its number with: ffem album show"),
    "KeeperSetSuperseded": (
        "Keeper set {keeperSet} is superseded by set {latest}.",
        "accept the newest proposal",
    ),
    "NotKeeper": ("Wallet {caller} is no keeper of set {keeperSet}.", "use the keeper's wallet"),
    "AlreadyAccepted": ("Keeper {keeper} has already accepted set {keeperSet}.", "nothing is left to do"),
    "CaptureExists": ("Capture {uid} is already registered in album {album}.", "nothing is left to do"),
    "EpochExists": (
        "Epoch {epoch} of album {album} was begun with this key already.",
        "nothing is left to do",
    ),
    "BadEpoch": ("Epoch {epoch} is not one of the album's epochs 1 to {current}.", "read the album again"),
    "GrantExists": ("Grant {grantId} exists already.", "use another salt"),
    "NoSuchGrant": ("Grant {grantId} does not exist on this registry.", "check the grant and the deployment"),
    "NotCurrentKeeperSet": (
        "Keeper set {keeperSet} is not the album's current one, which is {current} (0: none has accepted).",
        "wait for the keepers to accept, or grant again",
    ),
    "StaleKey": (
        "Key version {version} of wallet {wallet} is {status}.",
        "seal to the wallet's active key",
    ),
    "ExpiryPassed": ("The expiry {expiry} has passed already.", "choose a later expiry"),
    "GrantIsRevoked": ("Grant {grantId} is revoked.", "ask the owner for a new grant"),
    "GrantIsExpired": ("Grant {grantId} expired at {expiry}.", "ask the owner for a new grant"),
    "GrantIsDirect": ("Grant {grantId} is direct: it has no keepers to ask.", "open it directly"),
    "NotRecipient": ("Wallet {caller} is not the recipient of grant {grantId}.", "use the recipient's wallet"),
    "TooManyRequests": ("Grant {grantId} has had all its 255 requests.", "ask the owner for a new grant"),
    "StaleRequest": (
        "Request {seq} of grant {grantId} is not its newest, which is {current} (0: none).",
        "answer the newest request",
    ),
    "AlreadyCommitted": (
        "Keeper {index} has already committed to request {seq} of grant {grantId}.",
        "deliver the committed bytes",
    ),
    "NotCommitted": (
        "The delivered bytes are not what a keeper committed to for grant {grantId} (or another commit came first).",
        "read the commits again",
    ),
    "BadCaptureCount": ("A batch of {count} captures cannot be registered.", "register 1 to 10,000 at once"),
    "CaptureBatchExists": (
        "Album {album} has a batch of captures with root {root} already.",
        "nothing is left to do",
    ),
    "EmptyBatch": ("A batch without grants cannot be made.", "name at least one grant"),
    "MixedAlbums": (
        "A batch of album {album} has a grant of album {other}.",
        "grant in one batch for each album",
    ),
    "BatchesExhausted": ("The registry has made all its 2^29 - 1 batches.", "grant without a batch"),
    "SignatureExpired": (
        "The signature was good until {deadline} (unix seconds).",
        "sign again with a later deadline",
    ),
    "NonceUsed": (
        "Wallet {wallet} has used or cancelled nonce {nonce}.",
        "look whether the call went through already, else sign again with a new nonce",
    ),
    "BadSignature": (
        "Wallet {signer} has not signed this call for this registry and chain.",
        "check wallet, chain and registry, and sign again",
    ),
}
_PANIC, _ERROR = keccak(text="Panic(uint256)")[:4], keccak(text="Error(string)")[:4]


class ChainRefused(Refused):
    """A revert of the registry.

    Attributes: `name` of the custom error ("" when it is none) and its `values` by name.
    """

    def __init__(self, name: str, values: dict[str, Any], message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.name = name
        self.values = values


@cache
def _errors() -> dict[bytes, tuple[str, list[str], list[str]]]:
    found = {}
    for entry in artifact().abi:
        if entry["type"] == "error":
            types = [field["type"] for field in entry["inputs"]]
            selector = keccak(text=f"{entry['name']}({','.join(types)})")[:4]
            found[selector] = (entry["name"], types, [field["name"] for field in entry["inputs"]])
    return found


def _shown(abi_type: str, name: str, value: Any) -> str:
    if name in ("status", "from", "to"):
        return KeyStatus(value).name.lower() if value in iter(KeyStatus) else str(value)
    return "0x" + value.hex() if abi_type == "bytes32" else str(value)


def refused(data: bytes | None) -> ChainRefused:
    """The error that revert data stands for; data of another contract gives a general sentence."""
    known = _errors().get(data[:4]) if data else None
    if known is None or data is None:
        return ChainRefused("", {}, f"The chain refuses the call ({_reason(data)}).", "check the deployment")
    name, types, names = known
    try:
        raw = abi_decode(types, data[4:])
    except DecodingError:
        return ChainRefused(name, {}, f"The registry refuses with {name}, but its arguments are damaged.")
    values = {
        field: to_checksum_address(value) if abi_type == "address" else value
        for field, abi_type, value in zip(names, types, raw, strict=True)
    }
    sentence, hint = SENTENCES[name]
    shown = {field: _shown(kind, field, values[field]) for field, kind in zip(names, types, strict=True)}
    return ChainRefused(name, values, sentence.format(**shown), hint)


def _reason(data: bytes | None) -> str:
    if not data:
        return "no reason given"
    try:
        if data[:4] == _ERROR:
            return str(abi_decode(["string"], data[4:])[0])
        if data[:4] == _PANIC:
            return f"panic 0x{abi_decode(['uint256'], data[4:])[0]:02x}"
    except DecodingError:
        pass
    return f"unknown error 0x{data[:4].hex()}"
