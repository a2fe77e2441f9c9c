"""What the tests of files need: quick wallets, the vault of the vectors, and processes that die or find no space."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from eth_account import Account

from ffem_chain.keys.secret import Secret

VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "vault.json").read_text())
VAULT, VAULT_PASSPHRASE = bytes.fromhex(VECTOR["file"]), Secret(VECTOR["passphrase"].encode())
KEY = bytes(range(1, 33))
ADDRESS = Account.from_key(KEY).address


def names(folder: Path) -> list[str]:
    """Names of all files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def keystore(**changes: Any) -> dict[str, Any]:
    """A keystore by eth-account under the passphrase "pass", weak so that it is quick."""
    made: dict[str, Any] = Account.encrypt(KEY, "pass", kdf="scrypt", iterations=1024)
    made["crypto"]["kdfparams"].update(changes)
    return made


def run(code: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Runs Python code in a process of its own."""
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=120)
