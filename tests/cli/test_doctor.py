"""`ffem doctor`: what is wrong, what hangs on it, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ffem_devnet.anvil import Anvil
from tests.support.cli import PASSPHRASE, Cli, make_wallet


def findings(done: Any) -> dict[str, dict[str, str]]:
    return {one["check"]: one for one in done.data["findings"]}


def test_a_home_in_order(ready: Cli) -> None:
    ready.ok("key", "register")
    done = ready.ok("doctor", "--json")
    assert done.data["healthy"] is True
    found = findings(done)
    for check in ("wallet", "vault", "chain", "registry", "balance", "keys", "unfinished", "store", "faces"):
        assert found[check]["state"] == "ok", found[check]
    assert "private halves in the vault" in found["keys"]["text"]
    text = ready.ok("doctor")
    assert "FAIL" not in text.out and PASSPHRASE not in text.out


def test_an_empty_home_is_told_where_to_begin(cli: Cli) -> None:
    done = cli("--rpc-url", "http://127.0.0.1:9", "--timeout", "1", "doctor")
    assert done.status == 1 and done.err.startswith("error: not working: wallet, chain")
    assert "what to do:" in done.out and "ffem init" in done.out and "ffem devnet up" in done.out
    found = findings(cli("--rpc-url", "http://127.0.0.1:9", "--timeout", "1", "doctor", "--json"))
    assert found["vault"]["state"] == found["registry"]["state"] == found["keys"]["state"] == "skip"
    assert found["vault"]["text"] == "not checked: needs wallet"
    assert found["store"]["state"] == "ok"


def test_without_a_passphrase_the_rest_is_checked(ready: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FFEM_PASSPHRASE")
    found = findings(ready.ok("doctor", "--json"))
    assert found["vault"]["state"] == "skip" and "FFEM_PASSPHRASE_FILE" in found["vault"]["fix"]
    assert found["keys"]["state"] == "warn" and found["keys"]["fix"] == "ffem key register"
    assert found["registry"]["state"] == "ok"


def test_a_vault_that_lacks_the_active_key(ready: Cli, tmp_path: Path) -> None:
    ready.ok("key", "register")
    (ready.home / "wallets").rename(tmp_path / "lost")
    from ffem_devnet.accounts import accounts

    make_wallet(ready.home, account=accounts()[0])
    done = ready("doctor", "--json")
    assert done.status == 1 and done.data["healthy"] is False
    key = findings(done)["keys"]
    assert key["state"] == "fail" and "does not hold the private half" in key["text"]
    assert "ffem wallet restore" in key["fix"] and "ffem key rotate" in key["fix"]
    ready.ok("key", "rotate")
    assert findings(ready.ok("doctor", "--json"))["keys"]["state"] == "ok"


@pytest.mark.parametrize(
    ("options", "check", "state", "words"),
    [
        (("--registry", "0x" + "11" * 20), "registry", "fail", "there is no contract at"),
        (("--from-block", "999999"), "registry", "fail", "from_block 999999 lies ahead"),
        (("--store", "http://127.0.0.1:9", "--timeout", "2"), "store", "fail", ""),
        (("--model", "ffem-9"), "faces", "fail", "there is no model 'ffem-9'"),
        (("--detector", "yolo5face", "--model-cache", "nowhere"), "faces.detector", "fail", "not on this machine"),
        (("--wallet", "nobody"), "wallet", "fail", "there is no wallet 'nobody'"),
    ],
)
def test_one_thing_that_is_wrong(ready: Cli, options: tuple[str, ...], check: str, state: str, words: str) -> None:
    before = ready.files()
    done = ready(*options, "doctor", "--json")
    found = findings(done)[check]
    assert done.status == 1 and found["state"] == state and words in found["text"]
    assert found["fix"], "it says what to do"
    after = ready.files()
    after.pop("store/lock", None)
    assert after == before


def test_a_wrong_passphrase_and_a_wallet_that_others_read(ready: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    (ready.home / "wallets" / "default.json").chmod(0o644)
    monkeypatch.setenv("FFEM_PASSPHRASE", "wrong")
    done = ready("doctor", "--json")
    found = findings(done)
    assert found["wallet"]["state"] == "warn" and found["wallet"]["fix"].startswith("chmod 600 ")
    assert found["vault"]["state"] == "fail" and "does not open" in found["vault"]["text"]
    assert found["unfinished"]["state"] == "skip"


def test_an_empty_purse(cli: Cli, anvil: Anvil, registry: str) -> None:
    make_wallet(cli.home)
    found = findings(cli.ok("--rpc-url", anvil.url, "--registry", registry, "doctor", "--json"))
    assert found["balance"]["state"] == "warn" and "send ether to 0x" in found["balance"]["fix"]


def test_missing_tools_are_only_looked_at(ready: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFEM_NODE_MODULES", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path))
    found = findings(ready.ok("doctor", "--json"))
    assert found["tools.anvil"]["state"] == "warn" and "make setup" in found["tools.anvil"]["fix"]
