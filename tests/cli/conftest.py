"""The command `ffem` as somebody types it: in this process, or in one of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from ffem_chain.chain.registry import deploy
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
from ffem_cli.main import run
from ffem_devnet.anvil import Anvil

PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True)
class Done:
    """What a command left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its JSON document."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The JSON document of its error."""
        return json.loads(self.err)


class Cli:
    """Runs commands against the FFEM_HOME `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: object) -> Done:
        """Run a command in this process."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = run([str(word) for word in words])
        assert "Traceback" not in out.getvalue() + err.getvalue()
        return Done(status, out.getvalue(), err.getvalue())

    def ok(self, *words: object) -> Done:
        """Run a command that must work."""
        done = self(*words)
        assert done.status == 0, done
        return done

    def process(self, *words: object, before: Callable[[], None] | None = None, **environment: str) -> Done:
        """Run a command in a process of its own, without a terminal; `before` runs in it first."""
        done = subprocess.run(
            [sys.executable, "-m", "ffem_cli.main", *map(str, words)],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            preexec_fn=before,
            timeout=120,
        )
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def files(self) -> dict[str, bytes]:
        """Everything in the home but locks and nonces."""
        return {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and path.suffix != ".lock" and "nonces" not in path.parts
        }


def make_wallet(home: Path, name: str = "default", account: LocalAccount | None = None) -> LocalAccount:
    """A wallet and its vault; its keystore asks less of scrypt than those that the program makes."""
    made: LocalAccount = account or Account.create()
    folder = home / "wallets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keystore = folder / f"{name}.json"
    keystore.write_text(json.dumps(Account.encrypt(bytes(made.key), PASSPHRASE, kdf="scrypt", iterations=1024)))
    keystore.chmod(0o600)
    Vault.create(folder / f"{name}.vault", Secret(PASSPHRASE.encode()))
    return made


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`ffem` with a home that does not exist yet, and a passphrase."""
    for name in list(os.environ):
        if name.startswith("FFEM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FFEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FFEM_PASSPHRASE", PASSPHRASE)
    return Cli(tmp_path / "home")


@pytest.fixture
def registry(anvil: Anvil) -> str:
    """A registry of the test's own."""
    return deploy(anvil.url, anvil.accounts[9])


@pytest.fixture
def ready(cli: Cli, anvil: Anvil, registry: str) -> Cli:
    """`ffem` with a wallet that has ether, and a registry in the profile."""
    make_wallet(cli.home, account=anvil.accounts[0])
    cli.ok("config", "set", "rpc_url", anvil.url)
    cli.ok("config", "set", "registry", registry)
    return cli
