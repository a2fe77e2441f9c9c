"""The command `ffem` as somebody types it: in this process, or in one of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
from ffem_cli.main import run

PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True)
class Done:
    """What a command left: exit status, stdout, stderr."""

    status: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert "Traceback" not in self.out + self.err, self.err

    @property
    def data(self) -> Any:
        """Its JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        """The JSON document of its error."""
        return json.loads(self.err)


def ffem(words: Sequence[object]) -> Done:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = run([str(word) for word in words])
    return Done(status, out.getvalue(), err.getvalue())


def python(words: Sequence[object], environment: Mapping[str, str], before: Callable[[], None] | None = None) -> Done:
    """Run Python in a process of its own, without a terminal; `before` runs in it first."""
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        env={**environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        preexec_fn=before,
        timeout=120,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def files(home: Path) -> dict[str, bytes]:
    """Everything in a home but locks, nonces, fetched lists of batches and the index of a chain's logs, which any
    command may bring up to date: to see that nothing was written."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file()
        and path.suffix != ".lock"
        and path.name != "lock"
        and not path.name.startswith("index.sqlite")
        and not {"nonces", "batches"} & set(path.relative_to(home).parts)
    }


def write_keystore(home: Path, name: str, account: LocalAccount) -> None:
    """A wallet's keystore, which asks less of scrypt than those that the program makes."""
    folder = home / "wallets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(Account.encrypt(bytes(account.key), PASSPHRASE, kdf="scrypt", iterations=1024)))
    path.chmod(0o600)


def make_wallet(home: Path, name: str = "default", account: LocalAccount | None = None) -> LocalAccount:
    """A wallet and its vault."""
    made: LocalAccount = account or Account.create()
    write_keystore(home, name, made)
    Vault.create(home / "wallets" / f"{name}.vault", Secret(PASSPHRASE.encode()))
    return made


class Cli:
    """Runs commands against the FFEM_HOME `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *words: object) -> Done:
        """Run a command in this process."""
        return ffem(words)

    def ok(self, *words: object) -> Done:
        """Run a command that must work."""
        done = self(*words)
        assert done.status == 0, done
        return done

    def process(self, *words: object, before: Callable[[], None] | None = None, **environment: str) -> Done:
        """Run a command in a process of its own, without a terminal; `before` runs in it first."""
        return python(["-m", "ffem_cli.main", *words], {**os.environ, **environment}, before)

    def files(self) -> dict[str, bytes]:
        """Everything in the home but locks and nonces."""
        return files(self.home)
