"""Bundles: what they prove, by which links, and that they go on where they were interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ffem_chain.audit.bundle import export as exporting
from ffem_chain.audit.bundle import plan
from ffem_chain.audit.bundle.archive import Archive
from ffem_chain.audit.bundle.export import Exported, Wish, export
from ffem_chain.audit.bundle.format import HEAD, HEADERS, RECEIPTS, REPORT, Head
from ffem_chain.audit.bundle.plan import Links
from ffem_chain.audit.bundle.report import Place, report_of
from ffem_chain.audit.bundle.verify import Verified, verify
from ffem_chain.audit.captures import find_capture
from ffem_chain.audit.run import audit
from ffem_chain.audit.views import capture_view, grant_lines
from ffem_chain.chain import events as ev
from ffem_chain.chain.registry import Registry, deploy
from ffem_chain.errors import ChainUnavailable, FfemError, InputError, Refused, Tampered
from ffem_chain.stores.cid import digest_of_cid
from ffem_devnet.ganache import Ganache
from tests.e2e.world import World, album_with
from tests.support.liar import Refuses, dropping, lying, without_proofs

from .crowd import Crowd, public_key
from .story import Story


def made(crowd: Crowd, folder: Path, **wish: Any) -> tuple[Path, Exported]:
    """A bundle of the crowd's registry."""
    path = folder / "bundle.tar"
    return path, export(crowd.world.registry(9), path, Wish(**wish), stores=[crowd.store])


def kinds(found: Verified) -> list[str]:
    """Kinds of the events, in order."""
    return [type(event).__name__ for event in found.history.events]


def test_it_is_what_an_audit_of_the_chain_says(crowd: Crowd, tmp_path: Path) -> None:
    path, done = made(crowd, tmp_path)
    found = verify(path, [done.verified.head.block_hash])
    live, report = audit(crowd.world.registry(9), block=found.head.block), report_of(found)
    assert [m.text for m in report.timeline] == [m.text for m in live.timeline]
    assert [a.text for a in report.anomalies] == [a.text for a in live.anomalies]
    assert (report.times, report.counts, report.complete) == (live.times, live.counts, True)
    assert found.history.grants.keys() == live.history.grants.keys()
    for grant, ledger in found.history.grants.items():
        assert ledger.state == live.history.grants[grant].state
    assert found.logs_complete and not any("stands in logs only" in limit for limit in report.limits)
    # Where an event stands is the chain's place of it, too: transaction and log of receipts.
    for mine, theirs in zip(report.timeline, live.timeline, strict=True):
        receipt = crowd.world.registry(9).rpc.receipt(theirs.tx)
        assert receipt is not None
        at = Place.of(mine)
        assert at.transaction == receipt["transactionIndex"]
        assert receipt["logs"][at.log]["logIndex"] == theirs.log_index
    assert not (tmp_path / "bundle.tar.partial").exists()


def test_captures_by_themselves_and_in_batches(crowd: Crowd, tmp_path: Path) -> None:
    path, done = made(crowd, tmp_path)
    found = verify(path, [done.verified.head.block_hash])
    by_uid = {capture.uid: capture for capture in found.catalogue.captures}
    assert set(by_uid) == {crowd.single, *crowd.uids}
    assert all(one.manifest is not None and one.manifest.faces == 2 for one in by_uid.values())
    assert {by_uid[uid].root for uid in crowd.uids} == {crowd.root} and by_uid[crowd.single].root == b""
    assert [event.root for event in found.catalogue.unlisted] == [crowd.lost]
    report = report_of(found)
    assert report.limits[0].startswith("what 300 captures in 1 batches are")
    view = capture_view(report, find_capture(report, crowd.uids[0].hex()[:12], None, found.catalogue.listed), {})
    assert view.album == crowd.album and len(view.grants) == len(crowd.grants)
    text = Archive(path)[REPORT].decode()
    for capture in by_uid:
        assert capture.hex() in text
    for moment in report.timeline:
        assert moment.text in text
    assert crowd.lost.hex() in text and all(limit in text for limit in report.limits)


@pytest.mark.parametrize("album", [False, True])
@pytest.mark.parametrize("links", [Links.HEADERS, Links.HISTORY, Links.CHAINS])
def test_every_link_leads_to_the_same_events(
    crowd: Crowd, tmp_path: Path, links: Links, album: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over hops of the history, which are short here."""
    monkeypatch.setattr(plan, "WINDOW", 4)
    only = crowd.album if album else None
    crowd.world.mine(6)
    path, done = made(crowd, tmp_path, links=links, album=only)
    found = verify(path, [done.verified.head.block_hash])
    assert done.links is links and found.logs_complete == (links is not Links.HISTORY)
    assert found.entries_complete == (not album or found.logs_complete)
    absent = {"NoncesUsed"} if album else set()
    assert {kind.__name__ for kind in ev.KINDS} - {"KeyStatusChanged"} - set(kinds(found)) == absent
    report = report_of(found)
    assert any("stands in logs only" in limit for limit in report.limits) == (links is Links.HISTORY)
    assert any("no other grants" in limit for limit in report.limits) == (album and links is Links.HISTORY)


def test_an_album_is_not_the_registry(story: Story, tmp_path: Path) -> None:
    """The other album's events are left out; entries of this one are proven one by one."""
    path = tmp_path / "bundle.tar"
    album = story.scene.album.album_id
    done = export(story.world.registry(9), path, Wish(album=album), stores=[story.scene.store])
    found = verify(path, [done.verified.head.block_hash])
    live = audit(story.world.registry(9), block=found.head.block).history
    assert list(found.history.albums) == [album] and set(found.history.grants) == set(live.grants)
    assert {line.now for line in grant_lines(report_of(found), {})}
    for grant, ledger in found.history.grants.items():
        assert ledger.state == live.grants[grant].state
    with pytest.raises(Refused, match="no album"):
        export(story.world.registry(9), tmp_path / "none.tar", Wish(album=b"\1" * 32))
    assert not (tmp_path / "none.tar.partial").exists()


def test_the_trusted_hash(crowd: Crowd, tmp_path: Path) -> None:
    """No other hash will do; of several one is enough, where the headers lead to it."""
    path, done = made(crowd, tmp_path, links=Links.HEADERS)
    head = done.verified.head
    with pytest.raises(Tampered, match=r"headers-00000\.cbor: the header of block .* no trusted hash leads to it"):
        verify(path, [b"\1" * 32])
    with pytest.raises(InputError, match="proves nothing by itself"):
        verify(path, [])
    verify(path, [b"\1" * 32, head.block_hash])


def test_checkpoints(crowd: Crowd, tmp_path: Path) -> None:
    """Chains end at the next block that the auditor trusts; without its hash they prove nothing."""
    registry = crowd.world.registry(9)
    crowd.world.mine(20)
    number = registry.events()[-1].block
    checkpoint = bytes(registry.rpc.block(number)["hash"])
    path, done = made(crowd, tmp_path, links=Links.CHAINS, checkpoints=(checkpoint,))
    head, trusted = done.verified.head, [done.verified.head.block_hash, checkpoint]
    found = verify(path, trusted)
    assert kinds(found) == kinds(done.verified) and found.headers < head.block - found.first
    assert not found.logs_complete
    with pytest.raises(Tampered, match=f"the header of block {number} has the hash .* no trusted hash leads to it"):
        verify(path, [head.block_hash])
    with pytest.raises(InputError, match="not on the chain before"):
        export(registry, tmp_path / "x.tar", Wish(block=number - 1, checkpoints=(checkpoint,)))


def test_an_interrupted_export_goes_on(crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same block, and without reading again what it has."""
    registry, path = crowd.world.registry(9), tmp_path / "bundle.tar"

    def killed(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(exporting, "gather_captures", killed)
        export(registry, path, Wish(), stores=[crowd.store])
    partial = tmp_path / "bundle.tar.partial"
    assert (
        not path.exists() and (partial / "headers-00000.cbor").exists() and (partial / "receipts-00000.cbor").exists()
    )
    begun = registry.latest_block()
    crowd.world.mine(3)
    asked: list[str] = []

    def counting(method: str, _: list[Any], result: Any) -> Any:
        asked.append(method)
        return result

    with lying(crowd.world.url, counting) as url:
        done = export(Registry(url, crowd.world.address), path, Wish(), stores=[crowd.store])
    assert done.verified.head.block == begun and "eth_getBlockReceipts" not in asked
    assert not partial.exists()
    first = path.read_bytes()
    path.unlink()
    export(registry, path, Wish(block=begun), stores=[crowd.store])
    assert path.read_bytes() == first  # the same bytes for the same block
    with pytest.raises(InputError, match="exists already"):
        export(registry, path, Wish())


def test_damage_of_what_was_read_before_is_found(crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry, path = crowd.world.registry(9), tmp_path / "bundle.tar"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(exporting, "gather_captures", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        export(registry, path, Wish())
    part = tmp_path / "bundle.tar.partial" / "receipts-00000.cbor"
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(bytes(data))
    with pytest.raises(FfemError):
        export(registry, path, Wish())
    assert not path.exists()
    export(registry, path, Wish())  # what was damaged was dropped
    assert path.exists()


def test_a_node_that_leaves_out_or_alters(crowd: Crowd, tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar"

    def other_receipts(method: str, _: list[Any], result: Any) -> Any:
        if method == "eth_getBlockReceipts":
            result[0]["logs"][0]["data"] = "0x" + "11" * 32
        return result

    gone = dropping(lambda event: isinstance(event, ev.NoncesUsed))
    for edit, kind in (
        (gone, Tampered),
        (other_receipts, Tampered),
        (without_proofs(lambda *a: a[2]), ChainUnavailable),
    ):
        with lying(crowd.world.url, edit) as url, pytest.raises(kind):
            export(Registry(url, crowd.world.address), path, Wish())
    assert not path.exists()


def test_a_node_without_block_receipts(crowd: Crowd, tmp_path: Path) -> None:
    def old(method: str, _: list[Any], result: Any) -> Any:
        if method == "eth_getBlockReceipts":
            raise Refuses("the method eth_getBlockReceipts does not exist")
        return result

    path, done = made(crowd, tmp_path)
    with lying(crowd.world.url, old) as url:
        wish = Wish(block=done.verified.head.block)
        export(Registry(url, crowd.world.address), tmp_path / "old.tar", wish, stores=[crowd.store])
    assert (tmp_path / "old.tar").read_bytes() == path.read_bytes()


def test_a_reorganisation_meanwhile(world: World, tmp_path: Path) -> None:
    """The block that it was to hold for is gone: the export starts again, with the chain as it is then."""
    world.registry(6).register_key(1, public_key(6))
    world.mine()
    gone = world.registry(9).latest_block()
    old, said = world.registry(9).rpc.block(gone)["hash"], []

    def say(text: str, done: int, total: int) -> None:
        if "headers" in text and text not in said:
            world.reorganise(1)
        said.append(text)

    path = tmp_path / "bundle.tar"
    done = export(world.registry(9), path, Wish(), progress=say)
    assert "the chain was reorganised: the export starts again" in said
    found = verify(path, [done.verified.head.block_hash])
    assert done.verified.head.block_hash != bytes(old) and kinds(found) == ["KeyRegistered"]


def test_headers_of_an_older_fork(tmp_path: Path) -> None:
    """Ganache ends at Shanghai: its headers have fewer fields, and its state keeps no hashes of blocks."""
    with Ganache.start() as chain:
        registry = Registry(chain.url, deploy(chain.url, chain.accounts[9]), account=chain.accounts[1])
        registry.register_key(1, b"\2" * 33)
        registry.rpc.batch([("evm_mine", [{"blocks": 3}])])
        path = tmp_path / "bundle.tar"
        done = export(registry, path, Wish())
        with pytest.raises(FfemError):
            export(registry, tmp_path / "history.tar", Wish(links=Links.HISTORY))
    found = verify(path, [done.verified.head.block_hash])
    assert kinds(found) == ["KeyRegistered"] and found.logs_complete


def test_what_strangers_register_stops_nobody(world: World, tmp_path: Path) -> None:
    """Somebody else's digests, and nonsense: such captures have no manifest, the others keep theirs."""
    scene = album_with(world)
    single = find_capture(audit(world.registry(9)), scene.uid.hex())
    mallory = world.registry(6)
    receipt = mallory.create_album(b"\7" * 32, b"\1" * 32, [world.accounts[6].address], 1)
    (created,) = [event for event in receipt.events if isinstance(event, ev.AlbumCreated)]
    junk = digest_of_cid(scene.store.put({"manifest.json": b"nonsense"}))
    mallory.register_capture(created.album, single.uid, single.digest, single.key_commit, 1, 9)
    mallory.register_capture(created.album, b"\5" * 32, junk, b"\1" * 32, 1, 9)
    path = tmp_path / "bundle.tar"
    done = export(world.registry(9), path, Wish(), stores=[scene.store])
    found = verify(path, [done.verified.head.block_hash])
    manifests = {(c.album, c.uid): c.manifest is not None for c in found.catalogue.captures}
    assert manifests[(scene.album.album_id, scene.uid)] and not manifests[(created.album, single.uid)]
    assert not manifests[(created.album, b"\5" * 32)]


def test_a_report_of_another_version(crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, done = made(crowd, tmp_path)
    trusted = [done.verified.head.block_hash]
    monkeypatch.setattr("ffem_chain.audit.limits._ALWAYS", ("something else",))
    with pytest.raises(Tampered, match=r"report\.txt: line \d+ is not what the proofs"):
        verify(path, trusted)
    verify(path, trusted, any_report=True)
    monkeypatch.setattr("ffem_chain.audit.bundle.report.program", lambda: "9.9")
    with pytest.raises(Tampered, match=r"worded it, this is 9\.9"):
        verify(path, trusted)


def test_the_files(crowd: Crowd, tmp_path: Path) -> None:
    path, done = made(crowd, tmp_path)
    files = Archive(path)
    head = Head.unpack(files[HEAD])
    assert [HEAD, *head.files] == list(files)
    assert {f"{kind}-00000.cbor" for kind in (HEADERS, RECEIPTS, "captures", "lists")} <= set(files)
    assert head == done.verified.head and done.size == path.stat().st_size
