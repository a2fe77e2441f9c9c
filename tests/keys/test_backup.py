"""Backup and restore: what comes out is what went in, or nothing."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ffem_chain.errors import FfemError, FormatError, InputError, Tampered
from ffem_chain.keys import backup as module
from ffem_chain.keys.backup import backup, restore
from ffem_chain.keys.secret import Secret
from ffem_chain.keys.vault import Vault
from ffem_chain.keys.wallet import load_wallet

from .support import ADDRESS, KEY, VAULT, VAULT_PASSPHRASE, VECTOR, keystore, names, run

WALLET = json.dumps(keystore()).encode()
FULL = """
import resource, sys
from pathlib import Path
from ffem_chain.errors import InputError
from ffem_chain.keys.backup import restore
resource.setrlimit(resource.RLIMIT_FSIZE, (450, 450))
try:
    restore(Path(sys.argv[1]), Path(sys.argv[2]))
except InputError as error:
    print(error.message)
"""
Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, data: bytes, **fields: Any) -> Entry:
    made = tarfile.TarInfo(name)
    made.size = len(data)
    for field, value in fields.items():
        setattr(made, field, value)
    return made, data


def archive(*entries: Entry, index: dict[str, Any] | bytes | None = None) -> bytes:
    """An archive by somebody who knows the format; its index in order unless another is given."""
    files = {made.name: hashlib.sha256(data).hexdigest() for made, data in entries}
    listed = json.dumps({"v": 1, "files": files} if index is None else index) if not isinstance(index, bytes) else ""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for made, data in [entry("ffem-backup.json", index if isinstance(index, bytes) else listed.encode()), *entries]:
            tar.addfile(made, io.BytesIO(data))
    return packed.getvalue()


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A backup of one wallet and its vault."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "main.json").write_bytes(WALLET)
    (tmp_path / "home" / "main.vault").write_bytes(VAULT)
    backup([tmp_path / "home" / "main.json", tmp_path / "home" / "main.vault"], tmp_path / "backup.tar")
    return tmp_path / "backup.tar"


def refused(folder: Path, data: bytes, error: Any = FormatError) -> None:
    """Restoring fails and leaves nothing."""
    path, target = folder / "hostile.tar", folder / "target"
    path.write_bytes(data)
    with pytest.raises(error):
        restore(path, target)
    assert not target.exists() or names(target) == []


def test_round_trip(packed: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    assert sorted(restore(packed, target)) == [target / "main.json", target / "main.vault"]
    assert (target / "main.json").read_bytes() == WALLET
    assert Vault.open(target / "main.vault", VAULT_PASSPHRASE).read() == VECTOR["content"]
    assert load_wallet(target / "main.json", Secret(b"pass")).address == ADDRESS
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in [packed, *target.iterdir()])


def test_the_backup_is_as_closed_as_its_files(packed: Path) -> None:
    assert KEY not in packed.read_bytes() and KEY.hex().encode() not in packed.read_bytes()


def test_nothing_is_overwritten(packed: Path, tmp_path: Path) -> None:
    target = tmp_path / "new"
    target.mkdir()
    (target / "main.vault").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"main\.vault exists already"):
        restore(packed, target)
    assert names(target) == ["main.vault"]
    assert (target / "main.vault").read_bytes() == b"mine"
    with pytest.raises(InputError, match="exists already"):
        backup([tmp_path / "home" / "main.json"], packed)


def test_a_flipped_bit_anywhere(packed: Path) -> None:
    """Headers, index, contents: refused; where the archive pads with zeros the files that come out are the same."""
    data, same = packed.read_bytes(), 0
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        try:
            contents = module._unpack(bytes(changed))
        except (FormatError, Tampered):
            continue
        assert contents == {"main.json": WALLET, "main.vault": VAULT}
        same += 1
    assert same < len(data) - len(WALLET) - len(VAULT)


def test_truncated(packed: Path, tmp_path: Path) -> None:
    data = packed.read_bytes()
    end = len(data.rstrip(b"\x00"))
    for length in range(0, end, 97):
        refused(tmp_path, data[:length], (FormatError, Tampered))


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json",
        "/tmp/evil.json",
        "a/evil.json",
        "..\\evil.json",
        "C:evil.json",
        ".hidden.json",
        "..",
        ".",
        "",
        "a\nb.json",
        "config.toml",
        "run.sh",
        "x" * 300 + ".json",
        ".json",
    ],
)
def test_names_that_no_backup_of_ours_has(tmp_path: Path, name: str) -> None:
    refused(tmp_path, archive(entry(name, WALLET)))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.CONTTYPE]
)
def test_entries_that_are_no_plain_files(tmp_path: Path, kind: bytes) -> None:
    refused(tmp_path, archive(entry("main.json", b"", type=kind, linkname="/etc/passwd")))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_within_the_archive(tmp_path: Path, kind: bytes) -> None:
    """Even one that leads to a whole wallet, with an index that says so."""
    digest = hashlib.sha256(WALLET).hexdigest()
    entries = entry("a.json", WALLET), entry("b.json", b"", type=kind, linkname="a.json")
    refused(tmp_path, archive(*entries, index={"v": 1, "files": {"a.json": digest, "b.json": digest}}))


def test_duplicates(tmp_path: Path) -> None:
    refused(tmp_path, archive(entry("main.json", b"{}"), entry("main.json", WALLET)))
    refused(tmp_path, archive(entry("ffem-backup.json", b"{}"), entry("main.json", WALLET)))


def _sparse(size: int) -> bytes:
    """A GNU sparse entry that holds nothing and unpacks to `size` zeros."""
    made = tarfile.TarInfo("main.json")
    made.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(made.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = b"%011o\x00" % size  # offset of the only piece: at the end, and empty
    header[398:410] = b"%011o\x00" % 0
    header[483:495] = b"%011o\x00" % size  # real size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\x00 " % sum(header)
    index = archive(index={"v": 1, "files": {"main.json": "00" * 32}})
    return index[: index.rindex(b"}") // 512 * 512 + 512] + bytes(header) + bytes(1024)


def test_entries_that_announce_more_than_there_is(tmp_path: Path) -> None:
    data = _sparse(1 << 32)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert [(e.name, e.size, e.issparse()) for e in tar][1] == ("main.json", 1 << 32, True)
    refused(tmp_path, data)
    lying, _ = entry("main.json", b"")
    lying.size = 1 << 40
    refused(tmp_path, archive()[:1024] + lying.tobuf() + bytes(1024))
    pax = tarfile.TarInfo("main.json")
    pax.pax_headers = {"size": str(1 << 60), "GNU.sparse.realsize": str(1 << 60), "GNU.sparse.major": "1"}
    refused(tmp_path, archive()[:1024] + pax.tobuf(tarfile.PAX_FORMAT) + bytes(1024))


def test_too_many_files(tmp_path: Path) -> None:
    refused(tmp_path, archive(*(entry(f"w{i}.json", WALLET) for i in range(module.MAX_FILES + 1))))


def test_too_large(tmp_path: Path) -> None:
    path = tmp_path / "huge.tar"
    path.touch()
    os.truncate(path, module.MAX_BYTES + 1)
    with pytest.raises(InputError, match="too large for a backup"):
        restore(path, tmp_path / "target")


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"[]",
        b"5",
        b"[" * 50_000,
        b'{"v": 1}',
        b'{"v": 1, "files": 5}',
        b'{"v": 1, "files": [[1, 2, 3]]}',
        b'{"v": 2, "files": {}}',
        b'{"v": "' + b"x" * 1000 + b'", "files": {}}',
        b"\xff",
    ],
)
def test_indexes(tmp_path: Path, index: bytes) -> None:
    refused(tmp_path, archive(index=index))


def test_an_index_that_lies(tmp_path: Path) -> None:
    digest = hashlib.sha256(WALLET).hexdigest()
    for files in ({}, {"main.json": "00" * 32}, {"main.json": digest, "other.json": digest}, {"other.json": digest}):
        refused(tmp_path, archive(entry("main.json", WALLET), index={"v": 1, "files": files}), Tampered)


def test_contents_that_are_no_wallet_or_vault(tmp_path: Path) -> None:
    for name, data in (("a.json", b"{}"), ("a.vault", WALLET), ("a.json", VAULT), ("a.vault", VAULT[:-1])):
        refused(tmp_path, archive(entry(name, data)))
    (tmp_path / "notes.txt").write_bytes(b"notes")
    with pytest.raises(FormatError, match="only wallets"):
        backup([tmp_path / "notes.txt"], tmp_path / "out.tar")
    assert not (tmp_path / "out.tar").exists()


def test_compressed_archives_are_not_ours(tmp_path: Path) -> None:
    """A compressed one could unpack to any size."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        made, data = entry("main.json", bytes(1 << 20))
        tar.addfile(made, io.BytesIO(data))
    refused(tmp_path, out.getvalue())


def test_a_disk_that_fills_up_half_way_leaves_nothing(tmp_path: Path) -> None:
    small = json.dumps(keystore()).encode()
    assert len(VAULT) < 450 < len(small)
    path, target = tmp_path / "b.tar", tmp_path / "target"
    path.write_bytes(archive(entry("a.vault", VAULT), entry("b.json", small)))
    done = run(FULL, path, target)
    assert "b.json cannot be written" in done.stdout, done.stderr
    assert names(target) == []


def test_two_files_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "main.json").write_bytes(WALLET)
    with pytest.raises(InputError, match="same name"):
        backup([tmp_path / "a" / "main.json", tmp_path / "b" / "main.json"], tmp_path / "out.tar")


MUTATIONS: list[Callable[[bytearray, int, bytes], None]] = [
    lambda data, at, part: data.__setitem__(slice(at, at + len(part)), part),
    lambda data, at, part: data.__setitem__(slice(at, at), part),
    lambda data, at, part: data.__delitem__(slice(at, at + len(part))),
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5000), st.binary(min_size=1, max_size=40)), max_size=4),
)
def test_mutated_archives(changes: list[tuple[int, int, bytes]]) -> None:
    """Only this project's errors come out, whatever is done to the bytes."""
    data = bytearray(archive(entry("main.json", WALLET), entry("main.vault", VAULT)))
    for kind, at, part in changes:
        MUTATIONS[kind](data, at % len(data), part)
    try:
        contents = module._unpack(bytes(data))
    except FfemError:
        return
    assert contents == {"main.json": WALLET, "main.vault": VAULT}
