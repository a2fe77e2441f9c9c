"""The index: the same answers as a whole audit, proven as before, whatever happens to the chain or to the process."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from eth_utils import keccak

from ffem_chain.audit.captures import find_capture
from ffem_chain.audit.copy import Joined
from ffem_chain.audit.index import update as updating
from ffem_chain.audit.index.ask import Question, ask
from ffem_chain.audit.index.reading import IndexedRegistry
from ffem_chain.audit.index.store import Store
from ffem_chain.audit.index.trie import StoredTrie
from ffem_chain.audit.index.update import Index
from ffem_chain.audit.run import audit
from ffem_chain.audit.storage import storage_root
from ffem_chain.audit.sync import load, sync
from ffem_chain.audit.views import capture_view, grant_view, wallet_view
from ffem_chain.chain import events as ev
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.errors import FormatError, Tampered
from tests.e2e.world import World, album_with, settle
from tests.support.liar import dropping, honest, lying, without_proofs

from .story import Story
from .test_sync import grow

EVERYTHING = Question()
TABLES = ("blocks", "events", "links", "counts", "facts", "words", "nodes")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pieces, and several parts, from a few events."""
    monkeypatch.setattr(updating, "_SPAN", 4)
    monkeypatch.setattr(updating, "_WANTED", 8)
    monkeypatch.setattr(updating, "_PART", 7)


def content(index: Index) -> dict[str, list[Any]]:
    """All that a file holds but where pieces ended."""
    index.trie.root()
    query = "SELECT * FROM "
    rows = {table: sorted(index.store.db.execute(query + table).fetchall()) for table in TABLES}
    with_events = {place >> 20 for place, *_ in rows["events"]}
    rows["blocks"] = [row for row in rows["blocks"] if row[0] in with_events]
    rows["counts"] = [row for row in rows["counts"] if row[1]]
    return rows


def test_the_same_answers_as_a_whole_audit(story: Story, tmp_path: Path) -> None:
    registry = story.world.registry(9)
    whole, index = audit(registry, patience=0), Index(tmp_path, registry)

    def asked(question: Question) -> Any:
        report = ask(index, question, patience=0)
        assert report is not None and report.complete
        for name in ("address", "deployment", "chain_id", "block", "block_hash", "time", "basis", "limits", "counts"):
            assert getattr(report, name) == getattr(whole, name), name
        return report

    for wallet in (account.address for account in story.world.accounts):
        assert wallet_view(asked(Question(wallet=wallet)), wallet, {}) == wallet_view(whole, wallet, {})
    for uid in (story.scene.uid, story.another):
        text = uid.hex()[:10]
        view = capture_view(whole, find_capture(whole, text), {})
        report = asked(Question(capture=text))
        assert capture_view(report, find_capture(report, text), {}) == view
        report = asked(Question(capture=view.cid))
        assert capture_view(report, find_capture(report, view.cid), {}) == view
    for record in story.grants.values():
        text = record.grant_id.hex()[:11]
        assert grant_view(asked(Question(grant=text)), text, {}) == grant_view(whole, text, {})
    assert asked(Question(grant="ab" * 32)).history.grants == {}
    assert index.events() == registry.events() and index.events([ev.GrantCreated]) == registry.events([ev.GrantCreated])
    assert audit(registry, source=Joined(index, registry), patience=0) == whole


def test_a_block_of_the_past(story: Story, tmp_path: Path) -> None:
    """An index knows its newest block only; before that, the whole audit answers, from its events."""
    registry = story.world.registry(9)
    index = Index(tmp_path, registry)
    now = ask(index, EVERYTHING)
    assert now is not None
    before = now.block - 5
    assert ask(index, EVERYTHING, block=before) is None and index.block == now.block
    assert audit(registry, source=Joined(index, registry), block=before) == audit(registry, block=before)
    assert ask(index, EVERYTHING, block=now.block_hash) == ask(index, EVERYTHING, block=now.block)


def test_reads_only_what_is_new(world: World, tmp_path: Path) -> None:
    grow(world, 12)
    assert ask(Index(tmp_path, world.registry(9)), EVERYTHING) is not None
    last = world.registry(9).latest_block()
    grow(world, 2)
    asked: list[str] = []
    first: list[int] = []

    def watching(method: str, parameters: list[Any], result: Any) -> Any:
        asked.append(method)
        if method == "eth_getLogs":
            first.append(int(parameters[0]["fromBlock"], 16))
        return result

    with lying(world.url, watching) as url:
        index = Index(tmp_path, Registry(url, world.address))
        report = ask(index, EVERYTHING)
        assert report is not None and report.counts.events == 27 and min(first) == last + 1
        asked.clear()
        assert ask(index, EVERYTHING) == report
    assert "eth_getLogs" not in asked and "eth_getProof" not in asked and len(asked) < 6


@pytest.mark.parametrize("depth", [1, 4, 30])
def test_reorganised(world: World, tmp_path: Path, depth: int) -> None:
    """What a reorganisation takes back goes, and the rest is what a new index has; also where that is nothing."""
    world.mine(10)
    grow(world, 24)
    index = Index(tmp_path / "old", world.registry(9))
    assert ask(index, EVERYTHING) is not None
    world.reorganise(depth)
    grow(world, 3)
    assert ask(index, EVERYTHING) is not None
    fresh = Index(tmp_path / "fresh", world.registry(9))
    assert ask(fresh, EVERYTHING) is not None
    assert content(index) == content(fresh) and index.events() == world.registry(9).events()


def test_snapshots_and_grants(world: World, tmp_path: Path) -> None:
    """Grants, requests and releases that never were, after a return to an earlier state of the chain."""
    scene = album_with(world)
    bob = world.recipient(4)
    bob.register_key()
    first = scene.owner.grant(scene.uid, 0, bob.wallet)
    index = Index(tmp_path / "old", world.registry(9))
    snapshot = world.rpc("evm_snapshot")
    bob.request(first.grant_id)
    settle(*scene.keepers)
    scene.owner.grant(scene.uid, 1, bob.wallet, direct=True)
    assert (report := ask(index, Question(wallet=bob.wallet))) is not None
    assert (report.counts.grants, report.counts.opened, report.counts.direct) == (2, 1, 1)
    world.rpc("evm_revert", snapshot)
    assert (report := ask(index, Question(wallet=bob.wallet))) is not None
    assert (report.counts.grants, report.counts.opened, report.counts.direct) == (1, 0, 0)
    fresh = Index(tmp_path / "fresh", world.registry(9))
    assert ask(fresh, EVERYTHING) is not None and content(index) == content(fresh)


def test_killed_at_any_moment(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each of its writes, reading on and going back: the next process goes on and ends at the same content."""
    grow(world, 12)
    fresh = Index(tmp_path / "fresh", world.registry(9))
    assert ask(fresh, EVERYTHING) is not None
    put, folder = Store.put, tmp_path / "killed"
    for moment in range(1, 40):
        left = [moment]

        def dies(*given: Any, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            put(*given)

        with monkeypatch.context() as patch:
            patch.setattr(Store, "put", dies)
            try:
                index = Index(folder, world.registry(9))
                assert ask(index, EVERYTHING) is not None
            except KeyboardInterrupt:
                continue
            break
    assert moment > 5 and content(index) == content(fresh)
    world.reorganise(6)
    for moment in range(1, 40):
        left = [moment]
        with monkeypatch.context() as patch:
            patch.setattr(Store, "put", lambda *given, left=left: dies(*given, left=left))
            try:
                assert ask(Index(folder, world.registry(9)), EVERYTHING) is not None
            except KeyboardInterrupt:
                continue
            break
    assert moment > 3
    fresh = Index(tmp_path / "fresh", world.registry(9))
    assert ask(fresh, EVERYTHING) is not None
    assert content(Index(folder, world.registry(9))) == content(fresh)


def test_a_copy_and_the_index_read_the_logs_once(world: World, tmp_path: Path) -> None:
    """The copy is the one that is made without an index, reorganised or not; then questions ask for no log."""
    asked: list[str] = []

    def watching(method: str, _: list[Any], result: Any) -> Any:
        asked.append(method)
        return result

    with lying(world.url, watching) as url:
        registry, ranges = Registry(url, world.address), dict[str, int]()
        for step in range(3):
            grow(world, 6)
            if step == 2:
                world.reorganise(8)  # six of them in blocks that were not read yet
                grow(world, 1)
            for name in ("beside", "apart"):
                folder = tmp_path / name
                index = Index(folder / "index" if name == "apart" else folder, registry)
                asked.clear()
                done = sync(registry, folder, index=index)
                ranges[name] = asked.count("eth_getLogs")
                assert done.proven and done.removed == 4 * (step == 2)
                asked.clear()
                assert (report := ask(index, EVERYTHING)) is not None and report.counts.events == len(done.copy.logs)
                assert "eth_getLogs" not in asked and "eth_getProof" not in asked
                index.close()
            asked.clear()
            alone = sync(registry, tmp_path / "alone")
            assert alone.copy == load(tmp_path / "beside") == load(tmp_path / "apart")
            assert asked.count("eth_getLogs") <= ranges["beside"] == ranges["apart"]
        # A question first: then there is nothing left to read for the copy.
        index = Index(tmp_path / "third", registry)
        assert ask(index, EVERYTHING) is not None
        asked.clear()
        assert sync(registry, tmp_path / "third", index=index).copy == alone.copy and "eth_getLogs" not in asked


def test_a_copy_of_a_node_that_cannot_be_believed(world: World, tmp_path: Path) -> None:
    """Neither the copy nor the index keeps what it left out; from an honest one both go on."""
    grow(world, 3)
    index = Index(tmp_path, world.registry(9))
    before = sync(world.registry(9), tmp_path, index=index).copy
    kept = content(index)
    grow(world, 6)
    edit = dropping(lambda event: isinstance(event, ev.KeyRegistered) and event.version == 5)
    with lying(world.url, edit) as url, pytest.raises(Tampered):
        sync(Registry(url, world.address), tmp_path, index=Index(tmp_path, Registry(url, world.address)))
    assert load(tmp_path) == before and content(index) == kept and index.block == before.block
    assert sync(world.registry(9), tmp_path, index=index).copy.events() == world.registry(9).events()


def test_nodes_that_cannot_be_believed(world: World, tmp_path: Path) -> None:
    """No answer from logs that do not account for the storage, and nothing of them is kept."""
    grow(world, 3)
    index = Index(tmp_path, world.registry(9))
    assert (before := ask(index, EVERYTHING)) is not None
    kept = content(index)
    grow(world, 6)
    edit = dropping(lambda event: isinstance(event, ev.KeyRegistered) and event.version == 5)
    for lie in (edit, without_proofs(edit)):
        with lying(world.url, lie) as url:
            assert ask(Index(tmp_path, Registry(url, world.address)), EVERYTHING) is None
            assert ask(Index(tmp_path / "new", Registry(url, world.address)), EVERYTHING) is None
        if lie is edit:
            assert content(index) == kept and index.block == before.block
    with lying(world.url, without_proofs(honest)) as url:
        assert ask(Index(tmp_path / "third", Registry(url, world.address)), EVERYTHING) is None
    for folder in (tmp_path, tmp_path / "new", tmp_path / "third"):
        index = Index(folder, world.registry(9))
        # What was read without proofs is found out with them, and read again.
        report = ask(index, EVERYTHING) or ask(index, EVERYTHING)
        assert report is not None and report.counts.events == 17


def test_files(world: World, tmp_path: Path) -> None:
    """Damaged, of another registry, or begun too late: made anew; what is answered agrees with the proven root."""
    grow(world, 4)
    index = Index(tmp_path, world.registry(9))
    wallet = world.accounts[6].address
    assert ask(index, Question(wallet=wallet)) is not None
    assert index.store.path.stat().st_mode & 0o77 == 0
    raw = index.store.db.execute("SELECT place, data FROM events ORDER BY place LIMIT 1").fetchone()
    altered = raw[1].replace(b"\2" + bytes(32), b"\3" + bytes(32))
    assert altered != raw[1]
    index.store.db.execute("UPDATE events SET data = ? WHERE place = ?", (altered, raw[0]))
    index.close()
    with pytest.raises(FormatError, match="is damaged"):
        ask(Index(tmp_path, world.registry(9)), Question(wallet=wallet))
    path = index.store.path
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))
    index = Index(tmp_path, world.registry(9))
    assert (report := ask(index, EVERYTHING)) is not None and report.counts.events == 7
    index.close()
    other = deploy(world.url, world.accounts[9])
    index = Index(tmp_path, Registry(world.url, other))
    assert index.store.total() == 0 and ask(index, EVERYTHING) is not None
    index.close()
    late = Registry(world.url, world.address, from_block=world.registry(9).latest_block())
    assert ask(Index(tmp_path / "late", late), EVERYTHING) is None
    assert ask(Index(tmp_path / "late", world.registry(9)), EVERYTHING) is not None
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = 0 WHERE name = 'version'")
    assert Index(tmp_path, Registry(world.url, other)).block == 0


def test_a_stored_trie_is_the_trie(world: World, tmp_path: Path) -> None:
    """Its root after each change is that of all words at once: few and many, extensions, words that go."""
    store = Store(tmp_path, bytes(32), world.address, 1, 0)
    trie, values, source = StoredTrie(store), dict[bytes, int](), random.Random(5)
    assert trie.root() == storage_root({})
    close = [slot for slot in (n.to_bytes(32, "big") for n in range(2_000)) if keccak(slot)[0] == 18]
    assert len(close) > 1
    for step in range(40):
        change = {source.randbytes(32): source.choice([1, 127, 128, 2**255]) for _ in range(source.choice([1, 3, 60]))}
        change |= {slot: source.randrange(3) for slot in source.sample(sorted(values), min(len(values), 20))}
        if step % 3 == 0:
            change = dict.fromkeys(values, 0) | dict.fromkeys(close, step)
        trie.set(change)
        values |= change
        assert trie.root() == storage_root(values)
        assert trie.agrees(values) and (not values or not trie.agrees(dict.fromkeys(values, 5)))
    trie.set(dict.fromkeys(values, 0))
    assert trie.root() == storage_root({})


def test_a_registry_that_reads_the_index(story: Story, tmp_path: Path) -> None:
    """The same events as from the node, for every way in which they are asked for; none are asked of the node again."""
    plain, bob = story.world.registry(9), story.world.accounts[4].address
    report = ask(Index(tmp_path / plain.deployment_id.hex(), plain), EVERYTHING)
    assert report is not None
    album, opened = story.scene.album.album_id, story.id("opened")
    grant_kinds = [ev.GrantCreated, ev.AccessRequested, ev.ReleaseCommitted, ev.ShareDelivered, ev.GrantRevoked]
    questions: list[tuple[list[type[ev.Event]], dict[str, Any]]] = [
        (grant_kinds, {"grant": opened}),
        (grant_kinds, {"grant": (opened, story.id("revoked"), bytes(32))}),
        ([ev.GrantCreated], {"album": (album, bytes(32))}),
        ([ev.GrantCreated], {"album": album}),
        ([ev.GrantCreated], {"album": album, "recipient": bob}),
        ([ev.GrantCreated], {"recipient": bob}),
        ([ev.CaptureRegistered], {"uid": story.scene.uid}),
        ([ev.CaptureRegistered], {"album": album, "uid": story.scene.uid}),
        ([ev.CaptureRegistered, ev.CapturesRegistered], {"album": album}),
        ([ev.AlbumCreated], {"album": album}),
        ([ev.AlbumCreated], {"owner": story.scene.owner.wallet}),
        ([ev.EpochOpened, ev.KeeperSetProposed], {"album": album}),
        ([ev.KeyRegistered], {"wallet": bob, "version": 1}),
        ([ev.KeyStatusChanged], {"wallet": bob}),
        ([ev.KeeperAccepted, ev.KeeperSetActivated], {"keeper_set": 1}),
        ([ev.GrantOpened], {"grant": bytes(32)}),
    ]
    asked: list[str] = []

    def watching(method: str, _: list[Any], result: Any) -> Any:
        asked.append(method)
        return result

    with lying(story.world.url, watching) as url:
        reading = IndexedRegistry(url, story.world.address, copies=tmp_path)
        for kinds, filters in questions:
            assert reading.events(kinds, **filters) == plain.events(kinds, **filters), filters
        assert "eth_getLogs" not in asked
        assert reading.events([ev.KeeperSetProposed]) == plain.events([ev.KeeperSetProposed])
        assert reading.events([ev.GrantCreated], album=album, to_block=5) == []
        with pytest.raises(ValueError, match="cannot be filtered"):
            reading.events([ev.AlbumCreated], uid=story.scene.uid)
    elsewhere = IndexedRegistry(story.world.url, story.world.address, copies=tmp_path / "none")
    assert elsewhere.events(grant_kinds, grant=opened) == plain.events(grant_kinds, grant=opened)


def test_a_reading_registry_follows_the_chain(world: World, tmp_path: Path) -> None:
    grow(world, 2)
    wallet, plain = world.accounts[6].address, world.registry(9)
    assert ask(Index(tmp_path / plain.deployment_id.hex(), plain), EVERYTHING) is not None
    reading = IndexedRegistry(world.url, world.address, copies=tmp_path)
    assert len(reading.events([ev.KeyRegistered], wallet=wallet)) == 2
    grow(world, 2)
    assert len(reading.events([ev.KeyRegistered], wallet=wallet)) == 4
    world.reorganise(3)
    assert reading.events([ev.KeyRegistered], wallet=wallet) == plain.events([ev.KeyRegistered], wallet=wallet)
