"""The vault: damage and a wrong passphrase differ, no write is lost or half done, no file makes it take much memory."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffem_chain.errors import FormatError, InputError, NotForMe, Tampered
from ffem_chain.keys import vault as module
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault, check_vault

from .support import VAULT, VAULT_PASSPHRASE, VECTOR, run

EDITOR = """
import sys
from pathlib import Path
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
vault = Vault.open(Path(sys.argv[1]), Secret(sys.argv[2].encode()))
for number in range(int(sys.argv[3])):
    with vault.edit() as data:
        data["number"] += 1
        data.setdefault("seen", []).append([sys.argv[4], number])
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
vault = Vault.open(Path(sys.argv[1]), Secret(sys.argv[2].encode()))
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with vault.edit() as data:
    data["number"] = 99
"""
FULL = """
import resource, sys
from pathlib import Path
from ffem_chain.errors import InputError
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
vault = Vault.open(Path(sys.argv[1]), Secret(sys.argv[2].encode()))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with vault.edit() as data:
        data["much"] = b"x" * 5000
except InputError as error:
    print(error.message)
"""
BOUNDED = """
import resource, sys
from pathlib import Path
from ffem_chain.errors import FfemError
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))
try:
    Vault.open(Path(sys.argv[1]), Secret(b"pass"))
except FfemError as error:
    print(type(error).__name__)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The vault of the vectors, as a file."""
    path = tmp_path / "test.vault"
    path.write_bytes(VAULT)
    return path


def opened(path: Path) -> Vault:
    return Vault.open(path, VAULT_PASSPHRASE)


def rebuilt(**changes: Any) -> bytes:
    """The vector's vault with fields changed by somebody who knows the format: its digest is in order."""
    fields = {**cbor2.loads(VAULT), **changes}
    parts = [fields[name] for name in ("header", "check", "nonce", "data")]
    joined = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return cbor2.dumps({**fields, "digest": hashlib.sha256(joined).digest()})


def header(**changes: Any) -> bytes:
    inner = cbor2.loads(cbor2.loads(VAULT)["header"])
    return cbor2.dumps({**inner, "kdf": {**inner["kdf"], **changes}})


def flipped(data: bytes, position: int = -1) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1
    return bytes(changed)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    vault = Vault.create(tmp_path / "new.vault", Secret(b"pass"))
    assert vault.read() == {}
    content = {"bytes": bytes(32), "text": "ä", "number": 1 << 60, "list": [1, [2, {"deep": True}]], "none": None}
    with vault.edit() as data:
        data.update(content)
    again = Vault.open(vault.path, Secret(b"pass"))
    assert again.read() == vault.read() == content
    again.read()["text"] = "changed copy"
    assert again.read() == content
    assert stat.S_IMODE(vault.path.stat().st_mode) == 0o600
    assert "pass" not in repr(vault)


def test_nothing_of_the_content_shows_in_the_file(tmp_path: Path) -> None:
    vault = Vault.create(tmp_path / "new.vault", Secret(b"pass"))
    with vault.edit() as data:
        data["name"] = "a readable name"
    first = vault.path.read_bytes()
    assert b"readable" not in first
    with vault.edit():
        pass
    second = vault.path.read_bytes()
    assert cbor2.loads(first)["nonce"] != cbor2.loads(second)["nonce"]
    assert cbor2.loads(first)["data"] != cbor2.loads(second)["data"]


def test_passphrases(path: Path, tmp_path: Path) -> None:
    for wrong in (b"", b"correct", VECTOR["passphrase"].encode() + b"\n"):
        with pytest.raises(NotForMe, match="passphrase"):
            Vault.open(path, Secret(wrong))
    with pytest.raises(InputError, match="empty"):
        Vault.create(tmp_path / "new.vault", Secret(b""))
    with pytest.raises(InputError, match="exists already"):
        Vault.create(path, Secret(b"pass"))
    assert opened(path).read() == VECTOR["content"]


@pytest.mark.timeout(120)  # trying the passphrase each time would take longer
def test_a_flipped_bit_anywhere_is_damage_and_never_a_wrong_passphrase(path: Path) -> None:
    """Found before the passphrase is tried, so a right one is never called wrong."""
    for position in range(len(VAULT)):
        for bit in (0, 3, 7):
            changed = bytearray(VAULT)
            changed[position] ^= 1 << bit
            path.write_bytes(changed)
            with pytest.raises(FormatError):
                opened(path)


def test_truncated_at_every_length(path: Path) -> None:
    for length in range(len(VAULT)):
        path.write_bytes(VAULT[:length])
        with pytest.raises(FormatError):
            opened(path)
    path.write_bytes(VAULT + b"\x00")
    with pytest.raises(FormatError):
        opened(path)


def test_damage_on_purpose(path: Path) -> None:
    """With the plain digest in order, the keyed values still tell."""
    fields = cbor2.loads(VAULT)
    for name, error in (("nonce", Tampered), ("data", Tampered), ("check", NotForMe)):
        path.write_bytes(rebuilt(**{name: flipped(fields[name])}))
        with pytest.raises(error):
            opened(path)
    path.write_bytes(rebuilt(header=header(salt=bytes(16))))
    with pytest.raises(NotForMe):
        opened(path)
    path.write_bytes(rebuilt(header=header(n=1 << 14)))  # a weaker derivation is another key
    with pytest.raises(NotForMe):
        opened(path)


@pytest.mark.parametrize(
    "kdf",
    [
        {"n": 1 << 40},
        {"n": 1 << 19},
        {"n": (1 << 64) - 1},
        {"n": 3 << 14},
        {"n": 2},
        {"n": 0},
        {"n": [1 << 15]},
        {"n": b""},
        {"r": 1 << 20},
        {"p": 1 << 20},
        {"r": [8]},
        {"salt": b""},
        {"salt": bytes(1 << 20)},
        {"salt": "text of 16 bytes"},
        {"more": 1},
    ],
)
@pytest.mark.timeout(60)
def test_hostile_parameters_are_refused_before_they_cost(path: Path, kdf: dict[str, Any]) -> None:
    path.write_bytes(rebuilt(header=header(**kdf)))
    with pytest.raises(FormatError):
        Vault.open(path, Secret(b"pass"))


def test_hostile_files_take_little_memory(path: Path) -> None:
    """In a process of 700 MiB: the dearest derivation that is allowed, and headers that announce much."""
    path.write_bytes(rebuilt(header=header(n=1 << 18)))
    assert run(BOUNDED, path).stdout.strip() == "NotForMe"
    for bomb in ("9b0000000fffffffff", "5b0000000fffffffff", "bb0000000fffffffff", "81" * 100_000, "c2" * 1000):
        path.write_bytes(bytes.fromhex(bomb))
        assert run(BOUNDED, path).stdout.strip() == "FormatError"
    os.truncate(path, 1 << 40)
    assert run(BOUNDED, path).stdout.strip() == "InputError"


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with pytest.raises(FormatError):
        check_vault(data)


@settings(max_examples=30, deadline=None)
@given(st.recursive(st.one_of(st.integers(), st.binary(), st.text(), st.booleans(), st.floats(), st.none()), st.lists))
def test_any_values_in_its_fields(value: Any) -> None:
    for name in ("header", "check", "nonce", "data", "digest"):
        outer = {**cbor2.loads(VAULT), name: value}
        with pytest.raises(FormatError):
            check_vault(cbor2.dumps(outer))
    with pytest.raises(FormatError):
        check_vault(rebuilt(header=cbor2.dumps({"v": 1, "kdf": value})))


def test_other_versions() -> None:
    inner = cbor2.loads(cbor2.loads(VAULT)["header"])
    for version in (0, 2, 1 << 60):
        with pytest.raises(FormatError, match="of version"):
            check_vault(rebuilt(header=cbor2.dumps({**inner, "v": version})))


# ---------------------------------------------------------------- writing


def test_an_exception_writes_nothing(path: Path) -> None:
    vault = opened(path)
    with pytest.raises(ZeroDivisionError), vault.edit() as data:
        data["number"] = 1 // 0
    assert path.read_bytes() == VAULT


def test_an_edit_within_an_edit_is_refused(path: Path) -> None:
    vault = opened(path)
    with vault.edit() as data:
        with pytest.raises(RuntimeError, match="within an edit"), vault.edit():
            pass
        data["number"] = 8
    assert vault.read()["number"] == 8


def test_two_processes_edit_one_vault(path: Path) -> None:
    """Every edit of both is there."""
    threads = [threading.Thread(target=run, args=(EDITOR, path, VECTOR["passphrase"], 25, name)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = opened(path).read()
    assert content["number"] == VECTOR["content"]["number"] + 50
    assert sorted(map(tuple, content["seen"])) == [(name, i) for name in ("a", "b") for i in range(25)]


def test_two_threads_edit_one_vault(path: Path) -> None:
    vault = opened(path)

    def work() -> None:
        for _ in range(25):
            with vault.edit() as data:
                data["number"] += 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert vault.read()["number"] == VECTOR["content"]["number"] + 75


def test_killed_between_write_and_rename(path: Path) -> None:
    """The old content is whole, and the dead process holds no lock."""
    done = run(KILLED, path, VECTOR["passphrase"])
    assert done.returncode == -9
    assert path.read_bytes() == VAULT
    with opened(path).edit() as data:
        data["number"] = 8
    assert opened(path).read()["number"] == 8


def test_a_full_disk_changes_nothing(path: Path) -> None:
    done = run(FULL, path, VECTOR["passphrase"])
    assert "cannot be written" in done.stdout, done.stderr
    assert path.read_bytes() == VAULT


def test_it_does_not_grow_beyond_what_can_be_read(path: Path) -> None:
    vault = opened(path)
    with pytest.raises(InputError, match="64 MiB"), vault.edit() as data:
        data["much"] = bytes(module.MAX_BYTES)
    assert path.read_bytes() == VAULT


def test_a_vault_held_by_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.2)
    first, second = opened(path), opened(path)
    done = []

    def wait() -> None:
        with pytest.raises(InputError, match="another process"), second.edit():
            pass
        done.append(True)

    with first.edit():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    assert done


def test_a_vault_that_was_replaced(path: Path) -> None:
    vault = opened(path)
    path.unlink()
    Vault.create(path, VAULT_PASSPHRASE)
    with pytest.raises(Tampered, match="replaced"):
        vault.read()
    with pytest.raises(Tampered, match="replaced"), vault.edit():
        pass
