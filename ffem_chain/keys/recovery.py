"""Recovery codes: 32 random bytes as 24 words (BIP-39), and encryption keys sealed to them.

The code gives one key of each suite, so that a sealed copy of a key is no weaker and no longer than an envelope to the
key itself. Only the public halves stay with the wallet. Byte layouts: docs/KEYS.md.
"""

from __future__ import annotations

import unicodedata

from eth_account.hdaccount.mnemonic import Mnemonic

from ffem_chain.errors import FormatError, InputError
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import ENVELOPE_OVERHEAD, PUBLIC_LENGTH, PrivateKey, check_suite, open_envelope, seal
from ffem_chain.keys.tree import hkdf

WORDS = 24
_BYTES = 32


class RecoveryCode:
    """A code that opens every encryption key that was sealed to it."""

    def __init__(self, code: Secret) -> None:
        if len(code) != _BYTES:
            raise FormatError(f"a recovery code has {_BYTES} bytes")
        self._code = code

    def __repr__(self) -> str:
        return "RecoveryCode(hidden)"

    @classmethod
    def new(cls) -> RecoveryCode:
        """From the system's generator."""
        return cls(Secret.random(_BYTES))

    def words(self) -> Secret:
        """The code as 24 English words of BIP-39, ASCII, with single spaces. It is no wallet's seed phrase."""
        phrase: str = Mnemonic().to_mnemonic(self._code.to_secret_bytes())
        return Secret(phrase.encode("ascii"))

    @classmethod
    def from_words(cls, typed: Secret) -> RecoveryCode:
        """The code that somebody typed: words in any case, with any white space, each at least its first four letters.

        Raises InputError saying which word is wrong by its place, and never what was typed.
        """
        try:
            text = unicodedata.normalize("NFKD", typed.to_secret_bytes().decode()).lower()
        except UnicodeDecodeError:
            raise InputError("the recovery code is not text") from None
        book = Mnemonic()
        words = [book.expand_word(word) for word in text.split()]
        if len(words) != WORDS:
            raise InputError(f"a recovery code has {WORDS} words, and these are {len(words)}")
        wrong = [str(place) for place, word in enumerate(words, 1) if word not in book.wordlist]
        if wrong:
            raise InputError(f"word {', '.join(wrong)} of the recovery code is none of its list", "look again")
        if not book.is_mnemonic_valid(" ".join(words)):
            raise InputError("the recovery code has a wrong word, or words in another order", "look again")
        number = 0
        for word in words:
            number = number << 11 | book.wordlist.index(word)
        return cls(Secret((number >> 8).to_bytes(_BYTES, "big")))  # without the checksum

    def private(self, suite: int) -> PrivateKey:
        """The private key of a suite that the code stands for."""
        secret = hkdf(self._code, "recovery/key", bytes([check_suite(suite)]))
        return PrivateKey.from_secret_bytes(suite, secret)

    def publics(self) -> dict[int, bytes]:
        """Public key of each suite: what a wallet keeps."""
        return {suite: self.private(suite).public for suite in PUBLIC_LENGTH}


def recovery_info(deployment: bytes, wallet: bytes, version: int, suite: int) -> bytes:
    """What a sealed copy of a key is bound to: deployment id (32 bytes), wallet (20), version of the key, its suite."""
    if len(deployment) != 32 or len(wallet) != 20:
        raise ValueError("a deployment id has 32 bytes, a wallet 20")
    return b"ffem/v1/recovery\x00" + deployment + wallet + version.to_bytes(4, "big") + bytes([suite])


def seal_private(private: PrivateKey, public: bytes, info: bytes) -> bytes:
    """A private key sealed to a recovery key of the same suite: an envelope of its 32 bytes."""
    return seal(private.suite, public, Secret(private.to_secret_bytes()), info)


def open_private(code: RecoveryCode, suite: int, sealed: bytes, info: bytes) -> PrivateKey:
    """The private key in a sealed copy. FormatError for other bytes, Tampered for another code or another `info`."""
    if len(sealed) != ENVELOPE_OVERHEAD[check_suite(suite)] + _BYTES:
        raise FormatError("this is not a sealed key")
    return PrivateKey(suite, open_envelope(code.private(suite), sealed, info))
