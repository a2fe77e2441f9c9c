"""Captures of batches in the index: answers from it are those of a whole audit, and a list counts only as its root."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ffem_chain.audit.bundle.captures import from_stores
from ffem_chain.audit.captures import find_capture
from ffem_chain.audit.index import ask as asking
from ffem_chain.audit.index import lists as listing
from ffem_chain.audit.index.ask import Question, ask
from ffem_chain.audit.index.lists import ListIndex
from ffem_chain.audit.index.reading import IndexedRegistry
from ffem_chain.audit.index.update import Index
from ffem_chain.audit.proofs import read_header
from ffem_chain.audit.run import audit
from ffem_chain.audit.views import capture_view
from ffem_chain.capture.batch import NAME, CaptureList
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import FormatError, Refused
from ffem_chain.roles.lists import Lists
from ffem_chain.roles.registrations import Registrations
from ffem_chain.stores.memory import MemoryStore
from tests.e2e.lies import Lies, entries, flipped_byte, other_list
from tests.e2e.world import World, album_with
from tests.support.liar import lying

from .crowd import Crowd


class Counting(MemoryStore):
    """Counts what it is asked for."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self.blocks, self.asked = store.blocks, list[str]()

    def get(self, cid: str, **options: Any) -> dict[str, bytes]:
        self.asked.append(cid)
        return super().get(cid, **options)


def asked(index: Index, text: str, lists: Lists | None = None) -> Any:
    report = ask(index, Question(capture=text), lists=None if lists is None else lambda: lists)
    assert report is not None and report.complete
    return report


@pytest.fixture
def lies(world: World) -> Lies:
    return Lies(album_with(world), ())


def test_the_same_answer_as_a_whole_audit(crowd: Crowd, tmp_path: Path) -> None:
    """By uid and by CID; the second question needs neither the store nor the node's logs."""
    registry, store = crowd.world.registry(9), Counting(crowd.store)
    whole, lists = audit(registry), Lists(store, tmp_path / "batches")
    listed = from_stores(whole.history, [crowd.store]).listed
    index = Index(tmp_path / "index", registry)
    for uid in (*crowd.uids, crowd.single):
        view = capture_view(whole, find_capture(whole, uid.hex(), None, listed), {})
        for text in (uid.hex(), uid.hex()[:9], view.cid):
            report = asked(index, text, lists)
            assert capture_view(report, find_capture(report, text), {}) == view
            assert (report.counts, report.unlisted) == (whole.counts, 1)
    assert len(store.asked) == 2  # the list, and the one that nobody has
    methods: list[str] = []

    def watching(method: str, _: list[Any], result: Any) -> Any:
        methods.append(method)
        return result

    with lying(crowd.world.url, watching) as url:
        fresh = Index(tmp_path / "index", Registry(url, crowd.world.address))
        methods.clear()
        report = asked(fresh, crowd.uids[1].hex())
        assert find_capture(report, crowd.uids[1].hex()).album == crowd.album
    assert "eth_getLogs" not in methods and len(methods) < 6
    with pytest.raises(Refused, match=r"as far as lists are known \(batches without one here: 1\)"):
        find_capture(asked(index, "ab" * 32), "ab" * 32)


def test_a_missing_list_is_remembered_and_asked_for_later(
    crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, store = Index(tmp_path, crowd.world.registry(9)), Counting(MemoryStore())
    uid = crowd.uids[0].hex()
    for _ in range(3):
        assert asked(index, uid, Lists(store)).unlisted == 2
    assert len(store.asked) == 2 and set(index.lists.reasons()) == {crowd.root, crowd.lost}
    assert all("does not have" in why for why in index.lists.reasons().values())
    store.blocks = crowd.store.blocks
    now = listing.time.time()
    monkeypatch.setattr(listing.time, "time", lambda: now + listing.AGAIN + 1)
    report = asked(index, uid, Lists(store))
    assert report.unlisted == 1 and find_capture(report, uid).uid.hex() == uid
    assert index.lists.take(Lists(store), older=0) == 0 and set(index.lists.reasons()) == {crowd.lost}


def test_lists_that_lie(lies: Lies, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of another root is never asked for again; a store that gave other bytes may give the right ones. An album of
    missing ones does not hide that of somebody else."""
    wrong, flipped = CaptureList.of(1, entries(2)), CaptureList.of(1, entries(2))
    other_list(lies, wrong)
    flipped_byte(lies, flipped)
    index, store = Index(tmp_path, lies.registry), Counting(lies.store)
    assert asked(index, wrong.entries[0].uid.hex(), Lists(store)).unlisted == 2
    honest = MemoryStore()
    honest.put({NAME: flipped.pack()})
    store.blocks = honest.blocks
    store.asked.clear()
    monkeypatch.setattr(asking, "AGAIN", 0)
    for _ in range(2):
        report = asked(index, flipped.entries[0].uid.hex(), Lists(store))
    assert find_capture(report, flipped.entries[0].uid.hex()).digest == flipped.entries[0].digest
    assert len(store.asked) == 1 and set(index.lists.reasons()) == {wrong.root}
    for seed in range(1, 6):
        lies.register(bytes([seed]) * 32, bytes([seed]) * 32, 7)
    store.asked.clear()
    index.update(read_header(lies.registry.rpc, "latest"))
    index.lists.take(Lists(store))
    assert len(store.asked) == 3 and len(index.lists.unknown()) == 6


def test_resumed_and_reorganised(lies: Lies, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between two lists the next process takes the other one; a block that goes takes its lists along."""
    made = [CaptureList.of(1, entries(3)) for _ in range(2)]
    for listed in made:
        lies.register(listed.root, lies.put(listed.pack()), 3)
    store, keep = Counting(lies.store), ListIndex._keep

    def dies(self: ListIndex, event: Any, listed: CaptureList) -> int:
        if listed.root == made[1].root:
            raise KeyboardInterrupt
        return keep(self, event, listed)

    uids = [listed.entries[1].uid for listed in made]
    with monkeypatch.context() as patch:
        patch.setattr(ListIndex, "_keep", dies)
        with pytest.raises(KeyboardInterrupt):
            asked(Index(tmp_path / "old", lies.registry), uids[0].hex(), Lists(store))
    index = Index(tmp_path / "old", lies.registry)
    assert asked(index, uids[0].hex(), Lists(store)).unlisted == 0 and len(store.asked) == 3
    world.reorganise(1)  # the second batch goes
    assert [bool(asked(index, uid.hex()).listed) for uid in uids] == [True, False]
    lies.register(made[1].root, lies.put(made[1].pack()), 3)
    assert asked(index, uids[1].hex(), Lists(store)).listed
    fresh = Index(tmp_path / "fresh", lies.registry)
    asked(fresh, uids[0].hex(), Lists(store))
    rows = [one.store.db.execute("SELECT * FROM listed ORDER BY place, uid").fetchall() for one in (index, fresh)]
    assert rows[0] == rows[1] and len(rows[0]) == 6


def test_what_is_answered_is_under_the_root(lies: Lies, tmp_path: Path) -> None:
    lies.honest_batch()
    uid, index = lies.honest[1], Index(tmp_path, lies.registry)
    assert asked(index, uid.hex(), Lists(lies.store)).listed
    index.store.db.execute("UPDATE listed SET digest = ? WHERE uid = ?", (bytes(32), uid))
    with pytest.raises(FormatError, match="is damaged"):
        asked(index, uid.hex())


def test_a_registry_that_reads_the_index_knows_the_batch(lies: Lies, world: World, tmp_path: Path) -> None:
    """Names are found in all albums, and of an album's lists only those are read that may have the capture."""
    for _ in range(2):
        listed = CaptureList.of(1, entries(2))
        lies.register(listed.root, lies.put(listed.pack()), 2)
    lies.honest_batch()
    single, uid, _ = lies.honest
    plain, folder = lies.registry, tmp_path / "batches"
    index = Index(tmp_path / plain.deployment_id.hex(), plain)
    assert ask(index, Question()) is not None
    reading = IndexedRegistry(world.url, world.address, copies=tmp_path, lists=Lists(None, folder))
    assert reading.named(prefix=uid.hex()[:8]) == [] and len(reading.batches_with(lies.album, uid) or ()) == 3
    store = Counting(lies.store)
    found = Registrations(reading, store, folder).find(lies.album, uid)
    assert len(store.asked) == 3 and reading.batches_with(lies.album, uid) == {found.root}
    store.asked.clear()
    assert Registrations(reading, store, None).find(lies.album, uid) == found and len(store.asked) == 1
    assert reading.named(prefix=uid.hex()[:8]) == reading.named(digest=found.digest) == [(lies.album, uid)]
    assert reading.named(prefix=single.hex()) == [(lies.album, single)]
    assert IndexedRegistry(world.url, world.address, copies=tmp_path / "none").named(prefix=uid.hex()) is None
