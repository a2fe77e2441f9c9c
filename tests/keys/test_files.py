"""Files are whole or absent, private, and never read beyond their limit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from ffem_chain.errors import InputError
from ffem_chain.keys.files import read_file, write_private

from .support import names, run

FULL = """
import resource, sys
from pathlib import Path
from ffem_chain.errors import InputError
from ffem_chain.keys.files import write_private
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_private(Path(sys.argv[1]), b"x" * 5000)
except InputError as error:
    print(error.message)
"""


def test_written_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert names(path.parent) == ["file"]


def test_an_existing_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_private(path, b"one", replace=False)
    with pytest.raises(InputError, match="exists already"):
        write_private(path, b"two", replace=False)
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["file"]


def test_file_systems_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a FAT memory stick, where backups go: link() fails with EPERM."""

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "file"
    write_private(path, b"one", replace=False)
    assert path.read_bytes() == b"one"
    with pytest.raises(InputError, match="exists already"):
        write_private(path, b"two", replace=False)
    assert path.read_bytes() == b"one"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """The kernel refuses to let the file grow, as a full disk does."""
    path = tmp_path / "file"
    write_private(path, b"old")
    done = run(FULL, path)
    assert "file cannot be written" in done.stdout, done.stderr
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be written"):
        write_private(tmp_path / "file" / "below", b"x")


def test_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_file(path, "test", 100) == b"x" * 100
    with pytest.raises(InputError, match="too large for a test"):
        read_file(path, "test", 99)
    with pytest.raises(InputError, match="too large for a test"):
        read_file(Path("/dev/zero"), "test", 1 << 20)  # names no size and never ends


def test_reading_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no test at"):
        read_file(tmp_path / "absent", "test")
    with pytest.raises(InputError, match="cannot be read"):
        read_file(tmp_path, "test")
