"""A world of its own for `ffem demo` and `ffem bench`: chain, store and people in a temporary folder.

Nothing of the user's is read or written. Whatever ends it, also Ctrl-C or a termination signal, stops the servers by
their process ids and removes the folder.
"""

from __future__ import annotations

import secrets
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from ffem_chain.keys.secret import Secret

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from ffem_chain.chain.registry import Registry
    from ffem_chain.keys.vault import Vault
    from ffem_chain.stores.base import Store
    from ffem_node.keeper import Action, Keeper

_TIMEOUT = 30.0
_ENDINGS = ("SIGTERM", "SIGHUP")


@dataclass(frozen=True)
class Person:
    """A wallet with its vault and its own connection to the chain."""

    name: str
    account: LocalAccount
    vault: Vault
    registry: Registry

    @property
    def wallet(self) -> str:
        """Address of the wallet."""
        return str(self.account.address)


class Sandbox(AbstractContextManager["Sandbox"]):
    """A running chain with a fresh registry, a store, and people with funded wallets.

    `store` is `local` (a folder) or `ipfs` (a daemon of its own, which talks to nobody). Raises MissingExtra where a
    server is not installed, ServerFailed.
    """

    def __init__(self, store: str = "local") -> None:
        self._kind, self._ends = store, ExitStack()
        self.url, self.address = "", ""
        self.folder: Path
        self.store: Store

    def __enter__(self) -> Self:
        from ffem_chain.chain.registry import deploy
        from ffem_chain.stores import open_store
        from ffem_devnet.anvil import Anvil

        with ExitStack() as ends:
            ends.enter_context(_ended_by_signals())
            self.folder = Path(ends.enter_context(tempfile.TemporaryDirectory(prefix="ffem-sandbox-")))
            chain = ends.enter_context(Anvil.start(log=self.folder / "anvil.log"))
            self.url, self._rich = chain.url, chain.accounts[-1]
            if self._kind == "ipfs":
                from ffem_devnet.ipfs import IpfsDaemon

                daemon = ends.enter_context(IpfsDaemon.start(repo=self.folder / "ipfs" / "repo"))
                self.store = open_store(daemon.url)
            else:
                self.store = open_store(f"local:{self.folder / 'store'}")
            self.address = deploy(self.url, self._rich, timeout=_TIMEOUT)
            self._passphrase = Secret(secrets.token_urlsafe(24).encode())
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def second_registry(self) -> str:
        """Address of another deployment of the contract on the same chain."""
        from ffem_chain.chain.registry import deploy

        return deploy(self.url, self._rich, timeout=_TIMEOUT)

    def reader(self, address: str = "") -> Registry:
        """The registry as anybody reads it, without a wallet."""
        from ffem_chain.chain.registry import Registry

        return Registry(self.url, address or self.address, timeout=_TIMEOUT)

    def signing(self, account: LocalAccount, address: str = "") -> Registry:
        """The registry with a wallet."""
        from ffem_chain.chain.registry import Registry

        return Registry(self.url, address or self.address, account=account, timeout=_TIMEOUT)

    def person(self, name: str, *, keystore: bool = True) -> Person:
        """A new person: keystore (unless nobody will look) and vault under a random passphrase, and ether."""
        from ffem_chain.keys.vault import Vault
        from ffem_chain.keys.wallet import save_wallet
        from ffem_cli.making import fund, new_account

        account = new_account()
        if keystore:
            save_wallet(self.folder / f"{name}.json", account, self._passphrase)
        vault = Vault.create(self.folder / f"{name}.vault", self._passphrase)
        fund(self.url, self._rich, account.address, _TIMEOUT)
        return Person(name, account, vault, self.signing(account))

    def gas_of(self, tx: bytes) -> int:
        """Gas that a whole transaction used."""
        registry = self.reader()
        return int(registry.rpc.ask(lambda w3: w3.eth.get_transaction_receipt(tx))["gasUsed"])  # type: ignore[arg-type]


@contextmanager
def keeping(keeper: Keeper, on_action: Callable[[Action], None] | None = None) -> Iterator[None]:
    """The keeper at work in a thread of its own, as `ffem keeper run` does in a process.

    What ended it early is raised where the block ends, instead of what the block then waited for in vain.
    """
    stop, failures = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            keeper.run(stop, on_action, poll=0.1)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, name="keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        if failures:
            raise failures[0]


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Signals that end a process raise SystemExit, so that everything that was begun is also ended."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    known = [getattr(signal, name) for name in _ENDINGS if hasattr(signal, name)]
    before = {number: signal.signal(number, leave) for number in known}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
