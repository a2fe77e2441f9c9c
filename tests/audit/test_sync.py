"""Copies of the logs: incremental, resumable, safe against reorganisations, and proving themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cbor2
import pytest

from ffem_chain.audit import copy as copies
from ffem_chain.audit import sync as syncing
from ffem_chain.audit.copy import HEAD, PROOF, Copy, Joined
from ffem_chain.audit.history import rebuild
from ffem_chain.audit.model import Kind
from ffem_chain.audit.run import audit
from ffem_chain.audit.storage import words
from ffem_chain.audit.sync import load, sync
from ffem_chain.chain import events as ev
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.errors import FfemError, FormatError, InputError, Tampered
from ffem_chain.stores.local import LocalStore
from ffem_chain.stores.memory import MemoryStore
from tests.e2e.world import World
from tests.support.liar import dropping, honest, lying, without_proofs

from .story import Story


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several files, and several pieces, from a few events."""
    monkeypatch.setattr(copies, "PER_FILE", 8)
    monkeypatch.setattr(syncing, "PER_FILE", 8)
    monkeypatch.setattr("ffem_chain.audit.source._SHORTEST", 25)
    monkeypatch.setattr("ffem_chain.audit.source._PIECES", 10**9)


def grow(world: World, count: int) -> None:
    """Some more history: keys of account 6."""
    registry = world.registry(6)
    for number in range(count):
        registry.register_key(1, b"\2" + number.to_bytes(32, "big"))


def tree(folder: Path) -> dict[str, bytes]:
    """What a folder holds of a copy."""
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.cbor"))}


def test_a_copy_is_the_whole_history(story: Story, tmp_path: Path) -> None:
    registry = story.world.registry(9)
    done = sync(registry, tmp_path)
    events = registry.events()
    assert (done.added, done.removed, done.proven) == (len(events), 0, True)
    assert list(done.copy.logs) == events == done.copy.events()
    header = done.copy.verify()
    assert (header.number, header.hash) == (done.copy.block, done.copy.block_hash)
    assert load(tmp_path) == done.copy == Copy.from_files(tree(tmp_path))
    kinds = [ev.GrantCreated, ev.CaptureRegistered]
    middle = events[len(events) // 2].block
    assert done.copy.events(kinds, from_block=middle) == registry.events(kinds, from_block=middle)
    assert done.copy.events(to_block=middle) == registry.events(to_block=middle)
    again = sync(registry, tmp_path)
    assert (again.added, again.removed) == (0, 0) and again.copy == done.copy


def test_two_people_get_the_same_cid(world: World, tmp_path: Path) -> None:
    """However often they synced before."""
    for _ in range(3):
        grow(world, 7)
        sync(world.registry(9), tmp_path / "often")
    sync(world.registry(8), tmp_path / "once")
    assert tree(tmp_path / "often") == tree(tmp_path / "once")
    assert MemoryStore().put(tree(tmp_path / "often")) == MemoryStore().put(load(tmp_path / "once").files())
    store = LocalStore(tmp_path / "store")
    cid = store.put(load(tmp_path / "once").files())
    store.export_car(cid, tmp_path / "logs.car")
    assert (tmp_path / "logs.car").stat().st_size > 1000
    assert Copy.from_files(store.get(cid)).verify().number == world.registry(9).latest_block()


def test_full_files_stay_as_they_are(world: World, tmp_path: Path) -> None:
    grow(world, 10)
    sync(world.registry(9), tmp_path)
    first = (tmp_path / "events-00000.cbor").stat()
    grow(world, 10)
    done = sync(world.registry(9), tmp_path)
    assert done.added == 20 and (tmp_path / "events-00004.cbor").exists()  # a new key retires the former: two events
    assert (tmp_path / "events-00000.cbor").stat().st_mtime_ns == first.st_mtime_ns
    assert done.copy.verify()


def test_interrupted_and_resumed(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed at every write, and at every reading: the next call goes on and ends at the same bytes."""
    grow(world, 12)
    sync(world.registry(9), tmp_path / "whole")
    write, events = syncing.write_private, Registry.events
    for moment in (1, 2, 3, 5):
        for target, name, original in ((syncing, "write_private", write), (Registry, "events", events)):
            left = [moment]

            def dies(*given: Any, original: Any = original, left: list[int] = left, **more: Any) -> Any:
                left[0] -= 1
                if left[0] == 0:
                    raise KeyboardInterrupt
                return original(*given, **more)

            folder = tmp_path / f"{name}-{moment}"
            with monkeypatch.context() as patch:
                patch.setattr(target, name, dies)
                try:
                    sync(world.registry(9), folder)
                except KeyboardInterrupt:
                    partial = load(folder)
                    assert partial is None or partial.block <= world.registry(9).latest_block()
            done = sync(world.registry(9), folder)
            assert done.proven and tree(folder) == tree(tmp_path / "whole")


def test_goes_on_where_it_stopped(world: World, tmp_path: Path) -> None:
    grow(world, 12)
    sync(world.registry(9), tmp_path)
    last = world.registry(9).latest_block()
    grow(world, 1)
    asked: list[int] = []

    def watching(method: str, parameters: list[Any], result: Any) -> Any:
        if method == "eth_getLogs":
            asked.append(int(parameters[0]["fromBlock"], 16))
        return result

    with lying(world.url, watching) as url:
        assert sync(Registry(url, world.address), tmp_path).added == 2
    assert min(asked) == last + 1


@pytest.mark.parametrize("depth", [1, 4, 30])
def test_reorganised(world: World, tmp_path: Path, depth: int) -> None:
    """What a reorganisation takes back goes from the copy, also where that is all of it."""
    world.mine(10)
    grow(world, 24)
    sync(world.registry(9), tmp_path)
    world.reorganise(depth)
    world.mine(3)
    done = sync(world.registry(9), tmp_path)
    assert done.removed == min(2 * depth, 47) and done.proven
    assert list(done.copy.logs) == world.registry(9).events()
    fresh = sync(world.registry(9), tmp_path / "fresh")
    assert tree(tmp_path) == tree(tmp_path / "fresh") and fresh.copy == done.copy


def test_killed_while_a_reorganisation_is_taken_back(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow(world, 24)
    sync(world.registry(9), tmp_path)
    world.reorganise(12)
    world.mine(1)
    write = syncing.write_private
    for moment in range(1, 5):
        left = [moment]

        def dies(*given: Any, left: list[int] = left, **more: Any) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            write(*given, **more)

        with monkeypatch.context() as patch:
            patch.setattr(syncing, "write_private", dies)
            try:
                sync(world.registry(9), tmp_path)
            except KeyboardInterrupt:
                assert load(tmp_path) is not None
    done = sync(world.registry(9), tmp_path)
    assert list(done.copy.logs) == world.registry(9).events() and done.proven


def test_reorganised_while_it_is_read(world: World, tmp_path: Path) -> None:
    grow(world, 12)
    pending = [True]

    def reorganising(method: str, _: list[Any], result: Any) -> Any:
        if method == "eth_getProof" and pending and pending.pop():
            world.reorganise(5)
            world.mine(5)
        return result

    with lying(world.url, reorganising) as url:
        done = sync(Registry(url, world.address), tmp_path)
    assert not pending and done.proven
    assert list(done.copy.logs) == world.registry(9).events()


def test_a_node_that_leaves_out_logs(world: World, tmp_path: Path) -> None:
    """Nothing of what it gave is kept."""
    grow(world, 3)
    sync(world.registry(9), tmp_path)
    before = tree(tmp_path)
    grow(world, 12)
    edit = dropping(lambda event: isinstance(event, ev.KeyRegistered) and event.version == 9)
    with lying(world.url, edit) as url:
        for folder in (tmp_path, tmp_path / "new"):
            with pytest.raises(Tampered, match="not the whole history"):
                sync(Registry(url, world.address), folder)
    assert tree(tmp_path) == before and not tree(tmp_path / "new")
    assert sync(world.registry(9), tmp_path).proven
    with pytest.raises(Tampered), lying(world.url, honest) as url:
        sync(Registry(url, world.address, from_block=world.registry(9).latest_block()), tmp_path / "late")


def test_a_node_without_proofs(world: World, tmp_path: Path) -> None:
    grow(world, 3)
    with lying(world.url, without_proofs(honest)) as url:
        done = sync(Registry(url, world.address), tmp_path)
    assert not done.proven and PROOF not in tree(tmp_path)
    with pytest.raises(Tampered, match="no proof"):
        done.copy.verify()
    assert sync(world.registry(9), tmp_path).proven


def test_a_pruned_node_and_a_copy(story: Story, tmp_path: Path) -> None:
    """Where the node has dropped old logs, the audit needs the copy, and gives the same report as with a full node."""
    registry = story.world.registry(9)
    copy = sync(registry, tmp_path).copy
    cut = registry.events([ev.GrantCreated])[-1].block
    with lying(story.world.url, dropping(lambda event: event.block < cut)) as url:
        pruned = Registry(url, story.world.address)
        alone = audit(pruned, block=copy.block)
        assert any(a.kind is Kind.MISSING_HISTORY and "ffem audit --copy" in a.hint for a in alone.anomalies)
        older = replace(copy, logs=tuple(e for e in copy.logs if e.block <= cut), block=cut)
        for known in (copy, older):
            assert audit(pruned, source=Joined(known, pruned), block=copy.block) == audit(registry, block=copy.block)


def test_a_copy_of_another_branch_is_not_believed(world: World, tmp_path: Path) -> None:
    grow(world, 6)
    copy = sync(world.registry(9), tmp_path).copy
    world.reorganise(4)
    world.mine(8)
    registry = world.registry(9)
    with pytest.raises(FfemError, match="not on its chain"):
        audit(registry, source=Joined(copy, registry))


def test_copies_that_lie(story: Story, tmp_path: Path) -> None:
    copy = sync(story.world.registry(9), tmp_path).copy
    files = copy.files()
    dropped = replace(copy, logs=copy.logs[:-1])
    grant = next(e for e in copy.logs if isinstance(e, ev.GrantCreated))
    altered = replace(
        copy, logs=tuple(replace(e, payload=b"x" + e.payload[1:]) if e is grant else e for e in copy.logs)
    )
    later = replace(copy, block=copy.block + 1)
    twice = replace(copy, logs=(*copy.logs, copy.logs[-1]))
    with pytest.raises(FormatError, match="not in order of the chain"):
        Copy.from_files(twice.files())
    for lie in (dropped, altered, later):
        with pytest.raises(Tampered):
            Copy.from_files(lie.files()).verify()
    without_one = {name: data for name, data in files.items() if name != "events-00001.cbor"}
    extra = {**files, "events-00099.cbor": files["events-00000.cbor"]}
    head = cbor2.loads(files[HEAD])
    wrong_head = [{**head, "version": 2}, {**head, "events": 3}, {**head, "block": 3}, {**head, "deployment": b"x"}]
    damaged = [without_one, extra, {PROOF: files[PROOF]}, {**files, "note.txt": b"hello"}]
    damaged += [{**files, HEAD: cbor2.dumps(value, canonical=True)} for value in wrong_head]
    damaged += [{**files, name: data[:-1]} for name, data in files.items()]
    damaged += [{**files, name: data + b"\0"} for name, data in files.items()]
    for bad in damaged:
        with pytest.raises(FormatError):
            Copy.from_files(bad)


@pytest.mark.parametrize("name", [HEAD, PROOF, "events-00000.cbor", "events-00003.cbor"])
def test_no_flipped_bit_is_believed(story: Story, tmp_path: Path, name: str) -> None:
    files = sync(story.world.registry(9), tmp_path).copy.files()
    trusted = Copy.from_files(files)
    step = max(1, len(files[name]) // 25)
    for position in range(0, len(files[name]), step):
        data = bytearray(files[name])
        data[position] ^= 1 << position % 8
        with_bit = {**files, name: bytes(data)}
        try:
            read = Copy.from_files(with_bit)
            header = read.verify()
        except FfemError:
            continue
        # What no storage proves may differ: the deployment's id, places of logs, deliveries, request keys.
        assert header.hash == trusted.block_hash == read.block_hash
        states = [words(rebuild(one.logs, header.time)) for one in (read, trusted)]
        assert states[0] == states[1]


def test_folders(world: World, tmp_path: Path) -> None:
    grow(world, 1)
    sync(world.registry(9), tmp_path)
    other = deploy(world.url, world.accounts[9])
    with pytest.raises(InputError, match="another registry"):
        sync(Registry(world.url, other), tmp_path)
    assert load(tmp_path / "nothing") is None
    (tmp_path / "file").write_text("x")
    with pytest.raises(FfemError):
        sync(world.registry(9), tmp_path / "file")
