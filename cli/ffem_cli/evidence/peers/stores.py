"""Gas of keeping sealed bytes on a chain: storage, code, logs, and this project's grants; whole transactions on Anvil.

Every way is given the same bytes: an envelope alone, and the whole payload of a grant, whose gas stands beside it. A
grant does more than keep its payload: it checks owner, key and expiry, and writes the state that revocation needs.
"""

from __future__ import annotations

import json
import secrets
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from ffem_chain.errors import FfemError
from ffem_cli.bench.gas import serve
from ffem_cli.eval.cache import Say
from ffem_cli.sandbox import Person, Sandbox

if TYPE_CHECKING:
    from web3.contract import Contract

    from ffem_chain.roles.owner import Owner

WAYS = {
    "inStorage": "contract storage",
    "inCode": "contract code (SSTORE2)",
    "inLog": "event log alone",
    "inLogWithDigest": "event log, digest in storage",
}
_ALBUM = "peers"


@dataclass(frozen=True)
class Grant:
    """What a grant put on the chain: its name, its payload and the gas of its transaction."""

    name: str
    payload: bytes
    gas: int


def artifact() -> dict[str, Any]:
    """The compiled `EnvelopeStores`: ABI and creation code."""
    found: dict[str, Any] = json.loads(
        resources.files("ffem_devnet").joinpath("EnvelopeStores.json").read_text("utf-8")
    )
    return found


def measure(repeats: int, say: Say) -> dict[str, Any]:
    """{"rows": [{"what", "bytes", "gas": {way: medians of `repeats`}, "grant": gas or None}], "repeats"}.

    Raises FfemError where a store does not give back what it was given.
    """
    with Sandbox() as box:
        say("gas: making wallets", 0)
        owner, recipient = _people(box)
        stores = Stores(box, box.person("keeps bytes", keystore=False))
        grants: dict[str, list[Grant]] = {}
        for number in range(repeats):
            say(f"gas: grants, round {number + 1} of {repeats}", number)
            for grant in _grants(box, owner, recipient):
                grants.setdefault(grant.name, []).append(grant)
        rows = []
        for suite in (1, 2):
            say("gas: envelopes", suite)
            payloads = [_envelope(suite) for _ in range(repeats)]
            rows.append(_row(f"envelope alone, suite {suite}", payloads, stores, None))
        for name, made in grants.items():
            say(f"gas: {name}", 0)
            gas = statistics.median(one.gas for one in made)
            rows.append(_row(name, [one.payload for one in made], stores, round(gas)))
    return {"rows": rows, "repeats": repeats}


def _row(what: str, payloads: Sequence[bytes], stores: Stores, grant: int | None) -> dict[str, Any]:
    gas = {way: round(statistics.median(stores.keep(way, payload) for payload in payloads)) for way in WAYS}
    return {"what": what, "bytes": len(payloads[0]), "gas": gas, "grant": grant}


def _people(box: Sandbox) -> tuple[Owner, str]:
    """An owner whose album has one keeper, and a recipient with keys of both suites."""
    from ffem_chain.keys.suites import XWING
    from ffem_chain.roles.keyring import KeyRing
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.recipient import Recipient

    camera, third, friend = (box.person(name, keystore=False) for name in ("owner", "keeper", "recipient"))
    owner = Owner(camera.registry, camera.vault, camera.account)
    serve(owner, third, _ALBUM)
    recipient = Recipient(friend.registry, friend.vault, friend.account)
    recipient.register_key()
    recipient.register_key(XWING)
    KeyRing(third.registry, third.vault, third.account).register(XWING)
    # the first grant of an album writes what later ones only change
    owner.grant(None, None, recipient.wallet, album=_ALBUM)
    return owner, recipient.wallet


def _grants(box: Sandbox, owner: Owner, wallet: str) -> list[Grant]:
    from ffem_chain.chain.events import GrantCreated
    from ffem_chain.keys.suites import SECP256K1, XWING

    out = []
    for suite, word in ((SECP256K1, "suite 1"), (XWING, "suite 2")):
        for direct in (True, False):
            record = owner.grant(None, None, wallet, album=_ALBUM, suite=suite, direct=direct)
            created: Any
            (created,) = owner.registry.events([GrantCreated], grant=record.grant_id)
            kind = "direct" if direct else "one keeper"
            out.append(Grant(f"payload of a grant, {kind}, {word}", created.payload, box.gas_of(created.tx)))
    return out


def _envelope(suite: int) -> bytes:
    from ffem_chain.keys.suites import PrivateKey, seal

    return seal(suite, PrivateKey.generate(suite).public, secrets.token_bytes(32), bytes(124))


class Stores:
    """The contract `EnvelopeStores`, deployed and asked by one wallet."""

    def __init__(self, box: Sandbox, person: Person) -> None:
        from ffem_chain.chain.sender import Sender

        self._rpc = person.registry.rpc
        self._sender = Sender(self._rpc, person.account)
        made = artifact()
        mined = self._sender.send(None, bytes.fromhex(made["bytecode"].removeprefix("0x")))
        self._address = str(mined["contractAddress"])
        self._contract: Contract = self._rpc.w3.eth.contract(address=self._address, abi=made["abi"])  # type: ignore[call-overload]

    def keep(self, way: str, payload: bytes) -> int:
        """Gas of keeping `payload` under a fresh id, which is then read back. FfemError where another comes back."""
        token = secrets.token_bytes(32)
        data = bytes.fromhex(self._contract.encode_abi(way, [token, payload]).removeprefix("0x"))
        mined = self._sender.send(self._address, data)
        if self._kept(way, token, mined) != payload:
            raise FfemError(f"{WAYS[way]} gives back other bytes: this is a fault", "please report it")
        return int(mined["gasUsed"])

    def _kept(self, way: str, token: bytes, mined: Any) -> bytes:
        functions = self._contract.functions
        if way == "inStorage":
            return bytes(functions.fromStorage(token).call())
        if way == "inCode":
            return bytes(functions.fromCode(token).call())
        (event,) = self._contract.events.Kept().process_receipt(mined)
        return bytes(event["args"]["payload"]) if bytes(event["args"]["id"]) == token else b""
