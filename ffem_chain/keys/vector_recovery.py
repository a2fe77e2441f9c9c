"""Test vectors of recovery codes and of keys sealed to them; see `vectors`."""

from __future__ import annotations

from ffem_chain.keys.recovery import RecoveryCode, open_private, recovery_info, seal_private
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.suites import PrivateKey
from ffem_chain.keys.vector_cases import SUITES, Json, Recorded, change, fixed, private_key


def recovery_vectors(recorded: Recorded) -> Json:
    """A code in words, and an encryption key of each suite sealed to it."""
    code = RecoveryCode(Secret(fixed("recovery/code")))
    deployment, wallet = fixed("recovery/deployment"), fixed("recovery/wallet", 20)
    cases = []
    for number, suite in enumerate(SUITES):
        private, version = private_key("recovery/key", suite), 3 + number
        info, public = recovery_info(deployment, wallet, version, suite), code.private(suite).public

        def make(private: PrivateKey = private, public: bytes = public, info: bytes = info) -> str:
            return seal_private(private, public, info).hex()

        def holds(value: str, private: PrivateKey = private, info: bytes = info) -> bool:
            return open_private(code, private.suite, bytes.fromhex(value), info).public == private.public

        sealed = recorded.keep(["cases", number, "sealed"], make, holds)
        cases.append(
            {
                "suite": suite,
                "version": version,
                "wallet": wallet.hex(),
                "deployment": deployment.hex(),
                "words": code.words().to_secret_bytes().decode(),
                "code_private": code.private(suite).to_secret_bytes().hex(),
                "code_public": public.hex(),
                "private": private.to_secret_bytes().hex(),
                "public": private.public.hex(),
                "sealed": sealed,
                "failures": [
                    change("another version", "Tampered", "version", "set", version + 1),
                    change("another wallet", "Tampered", "wallet", "flip", 0),
                    change("another deployment", "Tampered", "deployment", "flip", 0),
                    change("changed", "Tampered", "sealed", "flip", -1),
                    change("cut off", "FormatError", "sealed", "cut", -1),
                    change("two words swapped", "InputError", "words", "set", _swapped(code)),
                    change("a word is missing", "InputError", "words", "set", _words(code).rsplit(" ", 1)[0]),
                ],
            }
        )
    return {"cases": cases}


def _words(code: RecoveryCode) -> str:
    return code.words().to_secret_bytes().decode()


def _swapped(code: RecoveryCode) -> str:
    first, second, *rest = _words(code).split()
    return " ".join((second, first, *rest))
