"""An album with its owner as keeper, a recipient without ether, and a relay that the owner pays: on a real Anvil."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.chain.relayclient import RelayClient
from ffem_chain.chain.relayed import Carrier, Relayed, SignedRegistry
from ffem_chain.chain.signed import BY_NAME, Call, new_call, sign
from ffem_chain.chain.types import GrantParams, album_id
from ffem_chain.keys.suites import PrivateKey
from ffem_devnet.anvil import Anvil
from ffem_node.relay import Action, Relay
from ffem_node.relayserver import RelayServer
from ffem_node.relaystate import DAY, Limits, RelayState

ETHER = 10**18
LIMITS = Limits(budget=ETHER, wallet_budget=ETHER, calls_an_hour=100)


class Family:
    """The chain side. `bob` has no ether; `relay()` serves the one album."""

    def __init__(self, anvil: Anvil, folder: Path) -> None:
        self.url, self.folder = anvil.url, folder
        self.address = deploy(anvil.url, anvil.accounts[9])
        self.owner, self.stranger = anvil.accounts[0], anvil.accounts[5]
        self.bob: LocalAccount = Account.create()
        self.registry = Registry(self.url, self.address, account=self.owner)
        salt = secrets.token_bytes(32)
        created = self.registry.create_album(salt, secrets.token_bytes(32), [self.owner.address], 1)
        self.album = album_id(self.owner.address, salt)
        self.keeper_set: int = created.events[2].keeper_set  # type: ignore[attr-defined]
        self.actions: list[Action] = []

    @contextmanager
    def relay(self, limits: Limits = LIMITS, **options: Any) -> Iterator[Relay]:
        """A relay on the state file that all relays of this family share."""
        state = RelayState(self.folder / "relay.sqlite", self.registry.deployment_id)
        relay = Relay(Registry(self.url, self.address, account=self.owner, **options), state, [self.album], limits)
        relay._say = self.actions.append
        try:
            relay.resume()
            yield relay
        finally:
            relay.close()
            state.close()

    def spent(self, now: int) -> int:
        """Wei on the relay's books."""
        state = RelayState(self.folder / "relay.sqlite", self.registry.deployment_id)
        try:
            return state.spent(now)
        finally:
            state.close()

    def invite(self, wallet: str) -> None:
        """What `ffem relay allow` does."""
        state = RelayState(self.folder / "relay.sqlite", self.registry.deployment_id)
        state.allow(wallet)
        state.close()

    def call(self, name: str, *values: Any, by: LocalAccount | None = None, lifetime: int = DAY) -> Call:
        """A signed call (of bob)."""
        signer = by or self.bob
        deadline = self.registry.rpc.block("latest")["timestamp"] + lifetime
        return sign(new_call(self.registry.domain(), BY_NAME[name], values, signer.address, deadline), signer)

    def key_call(self, by: LocalAccount | None = None) -> Call:
        """A signed registration of a fresh key."""
        return self.call("RegisterKey", 1, PrivateKey.generate(1).public, by=by)

    def params(self, recipient: str) -> GrantParams:
        """A grant to a wallet that has a key; its payload is for nobody."""
        version = self.registry.active_key(recipient, 1)
        salt, commit = secrets.token_bytes(32), secrets.token_bytes(32)
        return GrantParams(self.album, salt, commit, recipient, version, 0, self.keeper_set, b"payload")

    def grant_to_bob(self) -> bytes:
        """Bob's key, registered by somebody who pays, and a grant to him; its id."""
        if not self.registry.active_key(self.bob.address, 1):
            self.registry.carry_out(self.key_call())
        params = self.params(self.bob.address)
        self.registry.grant(params)
        return params.grant_id

    def request_call(self, grant: bytes) -> Call:
        """Bob's signed request for a grant."""
        return self.call("RequestAccess", grant, b"\x01" + PrivateKey.generate(1).public)

    def signing(self, wallet: LocalAccount, carrier: Carrier) -> SignedRegistry:
        """The registry for a wallet that signs only."""
        return SignedRegistry(self.url, self.address, wallet=wallet, carrier=carrier)


@contextmanager
def served(relay: Relay, **options: Any) -> Iterator[str]:
    """The relay's URL, while its server (with `options`) runs in a thread of this process."""
    stop, ready, urls = threading.Event(), threading.Event(), []

    def started(url: str) -> None:
        urls.append(url)
        ready.set()

    thread = threading.Thread(target=RelayServer(relay, **options).run, args=(stop, started))
    thread.start()
    try:
        assert ready.wait(30), "the relay did not start"
        yield urls[0]
    finally:
        stop.set()
        thread.join()


def through(url: str, seconds: float = 30.0) -> Relayed:
    """A carrier through the relay at `url`."""
    return Relayed(RelayClient(url, timeout=10.0), seconds)
