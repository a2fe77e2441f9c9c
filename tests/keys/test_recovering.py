"""Encryption keys of a wallet, lost with its vault and taken back from a real chain with the recovery code alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from eth_account import Account

from ffem_chain.chain.events import RecoveryPublished
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.chain.signed import ExternalWallet
from ffem_chain.errors import InputError, NotForMe, Refused
from ffem_chain.keys import vault as vaults
from ffem_chain.keys.recovery import RecoveryCode, recovery_info, seal_private
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import PrivateKey
from ffem_chain.keys.vault import Vault
from ffem_chain.roles.keyring import KeyRing
from ffem_devnet.anvil import Anvil


class Wallet:
    """A wallet on a registry of its own, with as many vaults as it takes."""

    def __init__(self, anvil: Anvil, folder: Path) -> None:
        self.anvil, self.folder, self.account = anvil, folder, anvil.accounts[6]
        self.address = deploy(anvil.url, anvil.accounts[9])
        self.registry = Registry(anvil.url, self.address, account=self.account)
        self.vaults = 0

    def ring(self, **options: Any) -> KeyRing:
        """Its key ring in a new vault."""
        self.vaults += 1
        with mock.patch.dict(vaults._KDF, n=1 << 14):
            vault = Vault.create(self.folder / f"{self.vaults}.vault", Secret(b"pass"))
        return KeyRing(options.get("registry", self.registry), vault, options.get("account", self.account))

    def copies(self) -> list[RecoveryPublished]:
        """What is on the chain."""
        found = self.registry.events([RecoveryPublished], wallet=self.account.address)
        return [event for event in found if isinstance(event, RecoveryPublished)]


@pytest.fixture
def wallet(anvil: Anvil, tmp_path: Path) -> Wallet:
    return Wallet(anvil, tmp_path)


def test_keys_before_and_after_the_code_come_back(wallet: Wallet) -> None:
    ring, code = wallet.ring(), RecoveryCode.new()
    ring.register(1)
    ring.register(2)
    assert ring.without_copy() == [] and ring.publish_recovery() == []  # no code, no copy
    ring.set_recovery(code)
    assert ring.without_copy() == [1, 2] and ring.publish_recovery() == [1, 2]
    ring.rotate(1)
    assert [copy.version for copy in wallet.copies()] == [1, 2, 3]

    fresh = wallet.ring()
    assert [record.held for record in KeyRing.keys(fresh)] == [False] * 3
    result = fresh.recover(code)
    assert (result.found, result.held, result.missing) == ((1, 2, 3), (), ())
    assert KeyRing.keys(fresh) == KeyRing.keys(ring) and [record.held for record in KeyRing.keys(fresh)] == [True] * 3
    for version in (1, 2, 3):
        assert fresh.private(version).to_secret_bytes() == ring.private(version).to_secret_bytes()
    # the code is in use again, and the copies count
    assert fresh.without_copy() == [] and fresh.rotate(2) == 4 and [c.version for c in wallet.copies()] == [1, 2, 3, 4]
    again = fresh.recover(code)
    assert (again.found, again.held) == ((), (1, 2, 3, 4))


def test_only_the_code_opens_and_only_here(wallet: Wallet) -> None:
    ring, code = wallet.ring(), RecoveryCode.new()
    with pytest.raises(InputError, match="registered no encryption key") as refused:
        wallet.ring().recover(code)
    assert "the keys of its own wallet" in refused.value.hint
    ring.register(1)
    with pytest.raises(NotForMe, match="published no copy of a key"):
        wallet.ring().recover(code)
    ring.set_recovery(code)
    ring.publish_recovery()
    with pytest.raises(NotForMe, match="no copy that this code opens"):
        wallet.ring().recover(RecoveryCode.new())
    # the same bytes on another deployment are no copy there
    other = Registry(wallet.anvil.url, deploy(wallet.anvil.url, wallet.anvil.accounts[9]), account=wallet.account)
    other.register_key(1, ring.private(1).public)
    other.publish_recovery(1, wallet.copies()[0].sealed_key)
    with pytest.raises(NotForMe):
        wallet.ring(registry=other).recover(code)


def test_a_copy_of_another_key_is_not_kept(wallet: Wallet) -> None:
    """Whoever held the wallet for a while cannot plant a key: the registry's hash of the public half decides."""
    ring, code, planted = wallet.ring(), RecoveryCode.new(), PrivateKey.generate(1)
    ring.register(1)
    ring.register(1)
    ring.set_recovery(code)
    ring.publish_recovery()
    place = bytes.fromhex(wallet.account.address[2:])
    info = recovery_info(wallet.registry.deployment_id, place, 1, 1)
    wallet.registry.publish_recovery(1, seal_private(planted, code.publics()[1], info))
    wallet.registry.publish_recovery(2, b"anything at all")
    fresh = wallet.ring()
    assert fresh.recover(code).found == (1, 2)  # the older, true copies are found behind them
    assert fresh.private(1).to_secret_bytes() == ring.private(1).to_secret_bytes()


def test_a_new_code_gets_copies_of_its_own(wallet: Wallet) -> None:
    ring, first, second = wallet.ring(), RecoveryCode.new(), RecoveryCode.new()
    ring.register(1)
    ring.set_recovery(first)
    ring.publish_recovery()
    ring.set_recovery(second)
    assert ring.publish_recovery() == [1]
    for code in (first, second):  # what was published for the first stays readable, as the documents say
        assert wallet.ring().recover(code).found == (1,)


def test_the_signing_key_is_never_sealed(wallet: Wallet) -> None:
    ring, code = wallet.ring(), RecoveryCode.new()
    ring.set_recovery(code)
    assert ring.register(1, wallet_key=True) == 1
    assert wallet.copies() == [] and ring.without_copy() == []
    ring.register(1)
    result = wallet.ring().recover(code)
    assert (result.found, result.missing) == ((2,), (1,))


def test_what_was_interrupted_is_made_up_for(wallet: Wallet) -> None:
    ring, code = wallet.ring(), RecoveryCode.new()
    ring.register(1)
    ring.set_recovery(code)
    with mock.patch.object(Registry, "publish_recovery", side_effect=Refused("no")), pytest.raises(Refused):
        ring.publish_recovery()
    assert wallet.copies() == [] and ring.publish_recovery() == [1]


def test_a_vault_of_an_external_wallet_holds_no_signing_key(wallet: Wallet) -> None:
    ring = wallet.ring(account=ExternalWallet(Account.create().address))
    with pytest.raises(InputError, match="signing key is not here"):
        ring.register(1, wallet_key=True)
