"""What one command works with. Everything is made when it is first asked for, and imported only then."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ffem_chain.errors import ChainUnavailable, InputError
from ffem_chain.keys.secret import Secret
from ffem_cli.config import Config
from ffem_cli.facetools import FaceTools
from ffem_cli.output import Output
from ffem_cli.passphrases import read_secret

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from ffem_chain.audit.index.reading import IndexedRegistry
    from ffem_chain.chain.registry import Registry
    from ffem_chain.chain.relayclient import RelayClient
    from ffem_chain.chain.rpc import Rpc
    from ffem_chain.chain.signed import ExternalWallet
    from ffem_chain.keys.vault import Vault
    from ffem_chain.roles.keyring import KeyRing
    from ffem_chain.roles.lists import Lists
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.recipient import Recipient
    from ffem_chain.roles.registrations import Registrations
    from ffem_chain.stores.base import Store
    from ffem_cli.signedfile import SignedFile
    from ffem_node.keeper import Keeper


class Session(FaceTools):
    """Settings, output, and what they lead to."""

    def __init__(self, config: Config, out: Output, *, sign_only: Path | None = None) -> None:
        super().__init__(config)
        self.out = out
        self._sign_only = sign_only
        self.signed: SignedFile | None = None
        self._passphrase: Secret | None = None
        self._account: LocalAccount | None = None
        self._vault: Vault | None = None
        self._reader: IndexedRegistry | None = None
        self._writer: Registry | None = None
        self._store: Store | None = None
        self._registrations: Registrations | None = None

    # ------------------------------------------------------------------ secrets

    def passphrase(self, *, new: bool = False) -> Secret:
        """From FFEM_PASSPHRASE_FILE, FFEM_PASSPHRASE or a prompt without echo; `new` asks twice."""
        if self._passphrase is None:
            self._passphrase = read_secret("passphrase", "FFEM_PASSPHRASE", twice=new)
        return self._passphrase

    @property
    def unlocked(self) -> bool:
        """Whether the passphrase has been given in this process."""
        return self._passphrase is not None

    def confirm(self, question: str) -> None:
        """Ask on stderr. Raises InputError where there is no terminal, Abort where the answer is no."""
        if self.out.as_json or not sys.stdin.isatty():
            raise InputError("this needs a confirmation, and there is no terminal to ask on", "add --yes")
        import typer

        typer.confirm(question, abort=True, err=True)

    # ------------------------------------------------------------------ wallet and vault

    def wallet_path(self, name: str | None = None) -> Path:
        """Keystore file of a wallet."""
        return self.config.wallets / f"{name or self.config.text('wallet')}.json"

    def vault_path(self, name: str | None = None) -> Path:
        """Vault of a wallet."""
        return self.config.wallets / f"{name or self.config.text('wallet')}.vault"

    def address(self) -> str:
        """Address of the session's wallet, without unlocking it."""
        from ffem_chain.keys.wallet import wallet_address

        if external := self.external():
            return external.address
        self.need(self.wallet_path(), "wallet")
        return wallet_address(self.wallet_path())

    def has_wallet(self) -> bool:
        """Whether there is a wallet of the name in the settings."""
        return bool(self.config.text("external")) or self.wallet_path().exists()

    def external(self) -> ExternalWallet | None:
        """The wallet of the settings, where its key is elsewhere. Raises InputError for an address that is none."""
        given = self.config.text("external")
        if not given:
            return None
        from ffem_chain.chain.signed import ExternalWallet
        from ffem_chain.roles.keyring import checksum

        return ExternalWallet(checksum(given))

    def identity(self) -> LocalAccount | ExternalWallet:
        """Whose keys and grants these are: the unlocked wallet, or one whose key is elsewhere."""
        return self.external() or self.account()

    def account(self) -> LocalAccount:
        """The unlocked wallet. Raises InputError where there is none, NotForMe for a wrong passphrase."""
        if self._account is None:
            from ffem_chain.keys.wallet import load_wallet

            self.need(self.wallet_path(), "wallet")
            self._account = load_wallet(self.wallet_path(), self.passphrase())
        return self._account

    def vault(self) -> Vault:
        """The unlocked vault. Raises InputError where there is none, NotForMe for a wrong passphrase."""
        if self._vault is None:
            from ffem_chain.keys.vault import Vault

            self.need(self.vault_path(), "vault")
            self._vault = Vault.open(self.vault_path(), self.passphrase())
        return self._vault

    def need(self, path: Path, what: str, name: str | None = None) -> None:
        """Raises InputError where a wallet's file is missing."""
        if not path.exists():
            name = name or self.config.text("wallet")
            raise InputError(f"there is no {what} {name!r} in {path.parent}", "ffem init, or choose one with --profile")

    # ------------------------------------------------------------------ chain and store

    def registry(self) -> IndexedRegistry:
        """The registry, for reading; nothing is unlocked. Raises ChainUnavailable."""
        if self._reader is None:
            from ffem_chain.audit.index.reading import IndexedRegistry
            from ffem_chain.roles.lists import Lists

            self._reader = IndexedRegistry(
                self.config.text("rpc_url"),
                self._registry_address(),
                timeout=self.config.number("timeout"),
                from_block=self.config.whole("from_block"),
                confirmations=self.config.whole("confirmations"),
                copies=self.config.home / "sync",
                lists=Lists(None, self.config.home / "batches"),
            )
        return self._reader

    def unchecked_registry(self) -> Registry:
        """Whatever is at the registry's address, for an audit, which judges the code itself. Raises InputError."""
        return self._connect(None, any_code=True)

    def signing_registry(self) -> Registry:
        """The registry with the unlocked wallet: it sends, or where --relay or --sign-only say so, it signs.

        Raises ChainUnavailable, InputError, NotForMe.
        """
        if self._writer is None:
            # The chain first: nobody types a passphrase for an RPC that is down, or for a wallet that is not there.
            if self.external() is None:
                self.need(self.wallet_path(), "wallet")
            reader = self.registry()
            self._writer = self._handing_on() or self._connect(self.account())
            if self._writer.deployment_id != reader.deployment_id:
                raise ChainUnavailable("the registry changed between two calls", "try again")
        return self._writer

    def paying_registry(self) -> Registry:
        """The registry with the unlocked wallet, which sends and pays itself, whatever the settings say of relays."""
        self.need(self.wallet_path(), "wallet")
        self.registry()
        return self._connect(self.account())

    def relay_client(self) -> RelayClient | None:
        """The relay of the settings. Raises InputError for a URL that is none."""
        url = self.config.text("relay")
        if not url:
            return None
        from ffem_chain.chain.relayclient import RelayClient

        return RelayClient(url, self.config.number("timeout"))

    def _handing_on(self) -> Registry | None:
        """The registry for a wallet whose calls somebody else sends; None where it sends itself."""
        client = self.relay_client()
        if client is None and self._sign_only is None and self.external() is None:
            return None
        from ffem_chain.chain.relayed import Carrier, Paper, Relayed, SignedRegistry
        from ffem_cli.signedfile import SignedFile

        carrier: Carrier
        if client is not None and self._sign_only is None and self.external() is None:
            carrier = Relayed(client)
        else:
            self.signed = SignedFile(self._sign_only)
            carrier = Paper(self.signed.keep)
        return SignedRegistry(
            self.config.text("rpc_url"),
            self._registry_address(),
            wallet=self.identity(),
            carrier=carrier,
            lifetime=self.config.whole("lifetime"),
            confirmations=self.config.whole("confirmations"),
            timeout=self.config.number("timeout"),
            from_block=self.config.whole("from_block"),
        )

    def rpc(self) -> Rpc:
        """The chain without a registry. Raises InputError for a bad URL."""
        from ffem_chain.chain.rpc import Rpc

        return Rpc(self.config.text("rpc_url"), self.config.number("timeout"))

    def nonce_folder(self) -> Path:
        """Where processes that send with the same wallet agree on nonces."""
        folder = self.config.home / "nonces"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _connect(self, account: LocalAccount | None, *, any_code: bool = False) -> Registry:
        from ffem_chain.chain.registry import Registry

        return Registry(
            self.config.text("rpc_url"),
            self._registry_address(),
            account=account,
            confirmations=self.config.whole("confirmations"),
            timeout=self.config.number("timeout"),
            nonce_folder=self.nonce_folder() if account else None,
            from_block=self.config.whole("from_block"),
            any_code=any_code,
        )

    def _registry_address(self) -> str:
        address = self.config.text("registry")
        if not address:
            raise InputError("no registry is set", "ffem devnet up, ffem deploy, or set FFEM_REGISTRY")
        return address

    def store(self) -> Store:
        """The store of the settings. Raises InputError, StoreUnavailable."""
        if self._store is None:
            from ffem_chain.stores import open_store

            self._store = open_store(self.config.text("store"), timeout=self.config.number("timeout"))
        return self._store

    def lists(self) -> Lists:
        """Lists of batches: those that are kept in FFEM_HOME/batches, and others from the store, once one is needed."""
        from ffem_chain.roles.lists import Lists

        return Lists(self.store, self.config.home / "batches")

    def registrations(self) -> Registrations:
        """Where captures are registered, lists of batches included; verified ones are kept in FFEM_HOME/batches."""
        if self._registrations is None:
            from ffem_chain.roles.registrations import Registrations

            self._registrations = Registrations(self.registry(), self.store(), self.config.home / "batches")
        return self._registrations

    # ------------------------------------------------------------------ roles

    def owner(self, *, offline: bool = False) -> Owner:
        """The wallet as an owner; `offline` asks no chain, and can only seal."""
        from ffem_chain.roles.owner import Owner

        return Owner(None if offline else self.signing_registry(), self.vault(), self.identity())

    def recipient(self) -> Recipient:
        """The wallet as a recipient."""
        from ffem_chain.roles.recipient import Recipient

        return Recipient(self.signing_registry(), self.vault(), self.identity(), self.registrations())

    def ring(self) -> KeyRing:
        """The wallet's encryption keys."""
        from ffem_chain.roles.keyring import KeyRing

        return KeyRing(self.signing_registry(), self.vault(), self.identity())

    def keeper(self, *, limit: int = 60) -> Keeper:
        """The wallet as a keeper."""
        from ffem_node.keeper import Keeper

        return Keeper(
            self.signing_registry(),
            self.vault(),
            self.account(),
            limit_per_wallet=limit,
            confirmations=self.config.whole("confirmations"),
        )
