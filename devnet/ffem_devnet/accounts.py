"""The wallets of a development chain. Their keys are public: everybody derives them from the same words."""

from __future__ import annotations

from functools import cache

from eth_account import Account
from eth_account.signers.local import LocalAccount

MNEMONIC = "test test test test test test test test test test test junk"
COUNT = 10


@cache
def accounts() -> tuple[LocalAccount, ...]:
    """Ten wallets that Anvil and Ganache fund with 10,000 ether each. Never use them on a chain with value."""
    Account.enable_unaudited_hdwallet_features()
    return tuple(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}") for index in range(COUNT))
