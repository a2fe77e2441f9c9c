"""People of the command-line tests: profiles in one FFEM_HOME, and `ffem` as they type it."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from eth_account.signers.local import LocalAccount
from eth_utils import keccak
from numpy.typing import NDArray
from PIL import Image
from web3 import HTTPProvider

from ffem_chain.chain.events import CaptureRegistered
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.rpc import wait_until
from ffem_chain.chain.types import album_id
from ffem_chain.keys import vault
from ffem_chain.keys.secret import Secret
from ffem_devnet.anvil import Anvil
from tests.support.cli import PASSPHRASE, Done, ffem, files, python, write_keystore

PEOPLE = ("owner", "bob", "keeper", "carol", "stranger", "visitor")


class World:
    """A chain, a registry on it, a home with a profile for everybody, and a store in it."""

    def __init__(self, anvil: Anvil, home: Path) -> None:
        self.anvil, self.home = anvil, home
        self.accounts: dict[str, LocalAccount] = dict(zip(PEOPLE, anvil.accounts, strict=False))
        for name, account in self.accounts.items():
            self.add_wallet(name, account)
        deployed = self.ffem("owner", "deploy")
        assert deployed.status == 0, deployed.err
        self.registry = deployed.out.strip()
        for name in self.accounts:
            self.ok(name, "config", "set", "registry", self.registry)

    def add_wallet(self, name: str, account: LocalAccount) -> None:
        """A profile with a wallet of its own. Keystore and vault ask less of scrypt than those that the program makes:
        every command opens both."""
        write_keystore(self.home, name, account)
        with mock.patch.dict(vault._KDF, n=1 << 14):
            self.ok(name, "--rpc-url", self.anvil.url, "init")

    def address(self, name: str) -> str:
        """Somebody's wallet."""
        return self.accounts[name].address

    @contextmanager
    def environment(self, name: str, extra: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
        """The environment of somebody's commands."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("FFEM_")}
        mine = {"FFEM_HOME": str(self.home), "FFEM_PROFILE": name, "FFEM_PASSPHRASE": PASSPHRASE}
        with mock.patch.dict(os.environ, {**clean, **mine, **(extra or {})}, clear=True):
            yield dict(os.environ)

    def ffem(self, name: str, *words: object, env: Mapping[str, str] | None = None) -> Done:
        """Run a command as somebody, in this process."""
        with self.environment(name, env):
            result = ffem(words)
        self.check_clean(result)
        return result

    def check_clean(self, result: Done) -> None:
        """No secret, whatever happened."""
        both = result.out + result.err
        assert PASSPHRASE not in both
        for account in self.accounts.values():
            assert account.key.hex().removeprefix("0x") not in both.lower()

    def seal(self, path: Path, *words: object) -> str:
        """Seal a new photo of one face into the owner's album; its uid."""
        (sealed,) = self.json("owner", "seal", photo(path), "--album", "family", *words)["captures"]
        uid: str = sealed["uid"]
        return uid

    def grant(self, capture: str, name: str, *words: object) -> str:
        """Grant a capture to somebody; the grant's id."""
        made: str = self.json("owner", "grant", capture, self.address(name), *words)["grant"]
        return made

    def ok(self, name: str, *words: object, env: Mapping[str, str] | None = None) -> Done:
        """Run a command that must work."""
        result = self.ffem(name, *words, env=env)
        assert result.status == 0, (words, result)
        return result

    def json(self, name: str, *words: object) -> Any:
        """The JSON document of a command that must work."""
        result = self.ok(name, *words, "--json")
        assert result.err == "", result.err
        return result.data

    def fails(self, name: str, status: int, pattern: str, *words: object, env: Mapping[str, str] | None = None) -> str:
        """Run a command that must fail with an exit status and a message; stderr, which says it once with a hint."""
        result = self.ffem(name, *words, env=env)
        assert result.status == status, (words, result)
        assert re.search(pattern, result.err), (pattern, result.err)
        assert result.err.count("error:") == 1, result.err
        return result.err

    @contextmanager
    def process(self, name: str, *words: object) -> Iterator[subprocess.Popen[str]]:
        """A command in a process of its own; it is stopped in the end."""
        with self.environment(name) as env:
            process = subprocess.Popen(
                [sys.executable, "-m", "ffem_cli.main", *map(str, words)],
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def python(self, name: str, *words: object) -> Done:
        """Run Python as somebody, in a process of its own, to its end."""
        with self.environment(name) as env:
            result = python(words, env)
        self.check_clean(result)
        return result

    # ------------------------------------------------------------------ what no command does

    def chain(self, name: str) -> Registry:
        """A connection with somebody's wallet."""
        return Registry(self.anvil.url, self.registry, account=self.accounts[name])

    def deliver_wrong_share(self, name: str, grant: bytes, index: int) -> None:
        """Commit to garbage as a keeper, and deliver it."""
        registry, garbage = self.chain(name), secrets.token_bytes(82)
        state = registry.grant_state(grant)
        registry.commit_release(grant, state.seq, index, keccak(garbage))
        registry.deliver(grant, state.seq, index, state.head, [], garbage)

    def register_again(self, name: str, uid: bytes) -> tuple[str, str]:
        """Register somebody else's capture in an album of one's own: (the first album, the new one)."""
        registry, salt = self.chain(name), secrets.token_bytes(32)
        (there,) = registry.events([CaptureRegistered], uid=uid)
        assert isinstance(there, CaptureRegistered)
        registry.create_album(salt, secrets.token_bytes(32), [self.address(name)], 1)
        album = album_id(self.address(name), salt)
        registry.register_capture(album, uid, there.digest, there.key_commit, 1, there.slot)
        return there.album.hex(), album.hex()

    def drop_keys(self, name: str) -> None:
        """Forget somebody's private encryption keys, as a vault that was not kept does."""
        with vault.Vault.open(self.home / "wallets" / f"{name}.vault", Secret(PASSPHRASE.encode())).edit() as data:
            data["keyring"] = {}

    def rpc(self, method: str, *params: Any) -> Any:
        """Call the development chain directly."""
        answer = HTTPProvider(self.anvil.url).make_request(method, list(params))  # type: ignore[arg-type]
        assert "error" not in answer, answer
        return answer.get("result")

    @staticmethod
    def wait_for(done: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until something is so."""
        assert wait_until(done, seconds, longest=0.1), "it did not happen in time"

    def pass_time(self, seconds: int) -> None:
        """Move the chain's clock on."""
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")

    def files(self) -> dict[str, bytes]:
        """Everything in the home but locks and nonces: to see that nothing was written."""
        return files(self.home)


def photo(path: Path, copies: int = 1) -> Path:
    """A JPEG of the astronaut's face and shoulders, `copies` times side by side. u8[288,320,3] each."""
    import skimage.data

    one = skimage.data.astronaut()[:288, 64:384]
    Image.fromarray(np.hstack([one] * copies)).save(path, quality=92)
    return path


def pixels(path: Path) -> NDArray[np.uint8]:
    """u8[H,W,3] of a picture."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def differing(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels differ, bool[H,W]."""
    return np.asarray((one != other).any(axis=2))


def box(face: Mapping[str, Sequence[int]]) -> tuple[slice, slice]:
    """Rows and columns of a face as `show --json` gives it."""
    x, y, width, height = face["box"]
    return slice(y, y + height), slice(x, x + width)
