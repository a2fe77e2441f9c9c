"""A changed byte anywhere in a bundle is an error that names the place; so are other things that were done to it."""

from __future__ import annotations

import random
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ffem_chain.audit.bundle.archive import Archive, InMemory, write
from ffem_chain.audit.bundle.export import Wish, export
from ffem_chain.audit.bundle.format import HEAD, REPORT, Head, dump, load
from ffem_chain.audit.bundle.plan import Links
from ffem_chain.audit.bundle.report import compare
from ffem_chain.audit.bundle.verify import examine, verify
from ffem_chain.errors import FfemError, FormatError, InputError, Tampered
from tests.e2e.world import World

from .crowd import Crowd, public_key

_A_FEW = 10


def altered(data: bytes, at: int, source: random.Random) -> bytes:
    """`data` with another byte at `at`."""
    return data[:at] + bytes([data[at] ^ source.randrange(1, 256)]) + data[at + 1 :]


def small(world: World, folder: Path) -> tuple[Path, bytes]:
    """The bundle of a registry in which one key was registered, and the hash that an auditor trusts."""
    world.registry(6).register_key(1, public_key(6))
    path = folder / "small.tar"
    return path, export(world.registry(9), path, Wish()).verified.head.block_hash


def places(path: Path) -> Iterator[tuple[int, str, int]]:
    """Every byte of a bundle: its offset, the file that it is in (empty: between files), and where in that."""
    whole, files = path.read_bytes(), Archive(path)
    at = 0
    for name in files:
        start = whole.index(files[name], at)
        yield from ((offset, "", 0) for offset in range(at, start))
        yield from ((start + index, name, index) for index in range(len(files[name])))
        at = start + len(files[name])
    yield from ((offset, "", 0) for offset in range(at, len(whole)))


def test_every_byte_counts(world: World, tmp_path: Path) -> None:
    """All of them, of a small bundle; each error names the file that is damaged, or the offset between files."""
    path, trusted = small(world, tmp_path)
    whole, files, source = path.read_bytes(), InMemory(dict(Archive(path))), random.Random(4)
    found, other = verify(path, [trusted]), tmp_path / "other.tar"
    count = 0
    for offset, name, index in places(path):
        count += 1
        with pytest.raises((Tampered, FormatError)) as error:
            if name == REPORT:  # the proofs are as they were: only the comparison can notice
                compare(found, altered(files[name], index, source))
            elif name:
                examine(InMemory({**files, name: altered(files[name], index, source)}), [trusted])
            else:
                other.write_bytes(altered(whole, offset, source))
                Archive(other)
        named = (name,) if name else ("byte", HEAD, "beginning")
        assert any(part in error.value.message for part in named), error.value.message
    assert count == len(whole)


@pytest.mark.parametrize("links", [Links.HEADERS, Links.HISTORY])
def test_some_bytes_of_every_file(crowd: Crowd, tmp_path: Path, links: Links) -> None:
    """As an auditor sees it, of a bundle that has every kind of file."""
    path, other, source = tmp_path / "bundle.tar", tmp_path / "other.tar", random.Random(5)
    done = export(crowd.world.registry(9), path, Wish(links=links), stores=[crowd.store])
    whole, by_file = path.read_bytes(), {}
    for offset, name, _ in places(path):
        by_file.setdefault(name, []).append(offset)
    kinds = {name.partition("-")[0] for name in by_file if name}
    assert kinds - {"links"} == {HEAD, REPORT, "state.cbor", "headers", "receipts", "captures", "lists"}
    assert ("links" in kinds) == (links is Links.HISTORY)
    for name, offsets in by_file.items():
        for offset in source.sample(offsets, min(_A_FEW, len(offsets))):
            other.write_bytes(altered(whole, offset, source))
            with pytest.raises((Tampered, FormatError)) as error:
                verify(other, [done.verified.head.block_hash])
            assert name in error.value.message


def test_the_event_is_named(crowd: Crowd, tmp_path: Path) -> None:
    """A damaged receipt says which block, and which event seems to be in it."""
    path = tmp_path / "bundle.tar"
    done = export(crowd.world.registry(9), path, Wish())
    files = Archive(path)
    data = bytearray(files["receipts-00000.cbor"])
    data[data.index(b"a sealed key")] ^= 1
    damaged = InMemory({**files, "receipts-00000.cbor": bytes(data)})
    block = done.verified.history.recoveries[0].block
    with pytest.raises(Tampered, match=rf"receipts-00000\.cbor: entry \d+: block {block}: node 0 .*RecoveryPublished"):
        examine(damaged, [done.verified.head.block_hash])


def test_cut_short_and_made_longer(world: World, tmp_path: Path) -> None:
    path, trusted = small(world, tmp_path)
    whole, other = path.read_bytes(), tmp_path / "other.tar"
    for length in (*range(0, len(whole), 97), len(whole) - 1):
        other.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            verify(other, [trusted])
    for more in (b"\0", b"x", bytes(512), bytes(10_240)):
        other.write_bytes(whole + more)
        with pytest.raises(FormatError, match="does not end as it should"):
            verify(other, [trusted])
    with pytest.raises(InputError, match="no bundle"):
        verify(tmp_path / "nothing.tar", [trusted])
    with pytest.raises(InputError):
        verify(tmp_path, [trusted])


def test_what_somebody_may_try(crowd: Crowd, tmp_path: Path) -> None:
    """With a head that fits: leaving events out, adding nodes, other deployments, albums, blocks, names."""
    path, other = tmp_path / "bundle.tar", tmp_path / "other.tar"
    done = export(crowd.world.registry(9), path, Wish(links=Links.CHAINS), stores=[crowd.store])
    files, trusted = dict(Archive(path)), [done.verified.head.block_hash]
    head = Head.unpack(files[HEAD])
    receipts = load("receipts-00000.cbor", files["receipts-00000.cbor"])
    account, storage = load("state.cbor", files["state.cbor"])

    def tried(message: str, changed: dict[str, bytes] | None = None, **values: object) -> None:
        made = {**files, HEAD: replace(head, **values).pack(), **(changed or {})}  # type: ignore[arg-type]
        other.unlink(missing_ok=True)
        write(other, made.items())
        with pytest.raises((Tampered, FormatError), match=message):
            verify(other, trusted)

    tried("are missing", {"receipts-00000.cbor": dump(receipts[:3] + receipts[4:])})
    tried("line 5 is not", {"receipts-00000.cbor": dump(receipts[:-1])})  # a recovery copy is in no storage
    tried("it is not in order", {"receipts-00000.cbor": dump([receipts[1], receipts[0], *receipts[2:]])})
    tried("more nodes than", {"state.cbor": dump([account, [b"\xc0"]])})
    tried("not the node that its parent names", {"state.cbor": dump([[*account, account[0]], storage])})
    tried("not the registry that this version", deployment=b"\1" * 32)
    tried("has no contract at|do not reach", registry=crowd.world.accounts[8].address)
    tried("another hash than its header", block=head.block - 1)
    tried("another hash than its header", block_hash=b"\1" * 32)
    tried("do not reach|no album|missing", album=crowd.album)
    tried("line 6 is not", patience=5)
    tried("worded it", program="0.0.1")
    tried("other files than it lists", files=tuple(name for name in head.files if not name.startswith("lists")))


def test_headers_that_are_none(world: World, tmp_path: Path) -> None:
    """They are read before anything says that they are headers: nesting without end must not end the process."""
    path, trusted = small(world, tmp_path)
    files = dict(Archive(path))
    deep = b""
    for _ in range(120_000):
        size = len(deep).to_bytes(3, "big").lstrip(b"\0")
        deep = (bytes([0xC0 + len(deep)]) if len(deep) < 56 else bytes([0xF7 + len(size)]) + size) + deep
    for header in (deep, b"", b"\xc0", b"\x80", bytes(600)):
        with pytest.raises(FormatError, match=r"headers-00000\.cbor: entry 0: this is no block header"):
            examine(InMemory({**files, "headers-00000.cbor": dump([header])}), [trusted])


def test_files_that_no_bundle_has(tmp_path: Path) -> None:
    """The reader takes no other archive, and allocates nothing for what a header announces."""
    path = tmp_path / "odd.tar"
    path.write_bytes(b"")
    junk = random.Random(6)
    for data in (b"", bytes(1024), junk.randbytes(5_000), b"\x1f\x8b" + bytes(600)):
        path.write_bytes(data)
        with pytest.raises(FormatError):
            Archive(path)
    entry = tarfile.TarInfo("bundle.json")
    entry.size = 1 << 40
    path.write_bytes(entry.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(FfemError):
        Archive(path)
    for name in ("../bundle.json", "/etc/passwd"):
        path.unlink()
        write(path, [(name, b"x")])
        with pytest.raises(FormatError, match="does not begin with"):
            Archive(path)
