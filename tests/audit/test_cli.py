"""`ffem audit` and `ffem sync` as somebody types them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ffem_chain.audit.run import audit
from ffem_chain.chain import events as ev
from ffem_chain.stores.cid import cid_of_digest
from ffem_devnet.ipfs import IpfsDaemon
from tests.support.cli import PASSPHRASE, Cli, make_wallet
from tests.support.liar import dropping, lying

from .story import Story


@pytest.fixture
def ffem(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`ffem` of somebody who has the settings, and nothing else."""
    for name in [name for name in os.environ if name.startswith("FFEM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FFEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FFEM_RPC_URL", story.world.url)
    monkeypatch.setenv("FFEM_REGISTRY", story.world.address)
    return Cli(tmp_path / "home")


def own(story: Story, home: Path, account: int) -> None:
    """Give that home the wallet and the vault of an account."""
    make_wallet(home, account=story.world.accounts[account])
    shutil.copy(story.world.folder / f"w{account}.vault", home / "wallets" / "default.vault")


def test_audit_of_everything(story: Story, ffem: Cli) -> None:
    report = audit(story.world.registry(9))
    done = ffem("audit", "--json")
    assert (done.status, done.err) == (0, "")
    data = done.data
    assert (data["block"], data["block_hash"]) == (report.block, report.block_hash.hex()) and data["complete"]
    assert len(data["timeline"]) == len(report.timeline)
    assert data["counts"]["grants"] == 5 and data["counts"]["captures"] == 2
    assert {a["kind"] for a in data["anomalies"]} == {a.kind.name.lower() for a in report.anomalies}
    assert data["limits"] == list(report.limits)
    people = ffem("audit")
    assert people.status == 0
    for moment in report.timeline:
        assert moment.text in people.out and "0x" + moment.tx.hex() in people.out
    for anomaly in report.anomalies:
        assert anomaly.text in people.out and anomaly.hint in people.out
    for limit in report.limits:
        assert limit in people.out
    assert f"hash 0x{report.block_hash.hex()}" in people.out
    assert ffem("audit", "--block", report.block, "--json").out == done.out
    assert ffem("audit", "--block", "0x" + report.block_hash.hex(), "--json").out == done.out


def test_a_capture_and_a_recipient(story: Story, ffem: Cli) -> None:
    uid, bob = story.scene.uid.hex(), story.world.accounts[4].address
    data = ffem("audit", uid[:10], "--json").data
    assert data["capture"]["uid"] == uid and len(data["capture"]["grants"]) == 5
    assert data["capture"]["cid"] == cid_of_digest(bytes.fromhex(data["capture"]["digest"]))
    assert "timeline" not in data
    people = ffem("audit", uid)
    assert "does not say what a grant is for" in people.out and "cannot be recalled" in people.out
    data = ffem("audit", "--recipient", bob, "--json").data
    assert data["recipient"]["wallet"] == bob and len(data["recipient"]["grants"]) == 3
    assert bob in ffem("audit", "-r", bob.lower()).out
    both = ffem("audit", uid, "-r", bob, "--json").data
    assert both["capture"] and both["recipient"]


@pytest.mark.parametrize("account", [0, 4])
def test_what_a_vault_knows(
    story: Story, ffem: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: int
) -> None:
    """The owner's vault resolves every grant, a recipient's its own; without a passphrase nobody is asked for one."""
    own(story, tmp_path / "home", account)
    blind = ffem("audit", story.scene.uid.hex())
    assert blind.status == 0 and "add --scopes" in blind.err
    monkeypatch.setenv("FFEM_PASSPHRASE", PASSPHRASE)
    capture = ffem("audit", story.scene.uid.hex(), "--json").data["capture"]
    scopes = {line["grant"]: line["scope"] for line in capture["grants"]}
    assert scopes[story.id("opened").hex()] == f"face 0 of capture {story.scene.uid.hex()[:16]}"
    assert bool(capture["cannot_tell"]) == (account == 4)
    assert (scopes[story.id("asked").hex()] == "") == (account == 4)
    hidden = ffem("audit", story.scene.uid.hex(), "--no-scopes", "--json").data["capture"]
    assert not any(line["scope"] for line in hidden["grants"])


def test_vaults_that_do_not_open(story: Story, ffem: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An audit needs none: only who asks for --scopes hears of it."""
    uid = story.scene.uid.hex()
    missing = ffem("audit", uid, "--scopes")
    assert missing.status == 3 and "no wallet" in missing.err and missing.out == ""
    own(story, tmp_path / "home", 0)
    monkeypatch.setenv("FFEM_PASSPHRASE", "wrong horse")
    done = ffem("audit", uid)
    assert done.status == 0 and "left out" in done.err
    assert ffem("audit", uid, "--scopes").status == 5
    (tmp_path / "home" / "wallets" / "default.vault").unlink()
    assert ffem("audit", uid).status == 0


def test_status(story: Story, ffem: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 where it could be carried out, 12 where its basis is broken; --strict counts warnings."""
    assert ffem("audit", "--patience", 0).status == 0
    strict = ffem("audit", "--patience", 0, "--strict")
    assert strict.status == 12 and "silent keeper" in strict.out and "warnings" in strict.err
    assert ffem("audit", "--check-store", "--strict").status == 12  # an empty store of its own
    hidden = story.id("asked")
    with lying(story.world.url, dropping(lambda event: getattr(event, "grant_id", b"") == hidden)) as url:
        monkeypatch.setenv("FFEM_RPC_URL", url)
        assert ffem("audit", story.scene.uid.hex()).status == 0  # the index has what the node hides by now
        broken = ffem("audit", story.scene.uid.hex(), "--no-index", "--json")
        monkeypatch.setenv("FFEM_HOME", str(tmp_path / "other"))
        assert ffem("audit", story.scene.uid.hex(), "--json").out == broken.out  # an index of its own would not do
    assert broken.status == 12 and not broken.data["complete"]
    assert broken.data["anomalies"][0]["kind"] == "missing_history"
    assert json.loads(broken.err)["exit_status"] == 12


def test_unknown_code(story: Story, ffem: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFEM_REGISTRY", story.world.accounts[8].address)
    for words in ((), (story.scene.uid.hex(),), ("-r", story.world.accounts[4].address)):
        done = ffem("audit", *words)
        assert done.status == 12 and "unknown contract code" in done.out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("ab" * 32,), 7, "proven by the storage root"),
        (("abc",), 3, "too few"),
        (("no capture",), 3, "names nothing"),
        (("--recipient", "0x12"), 3, "not a wallet address"),
        (("--block", "yesterday"), 3, "is no block"),
        (("--block", "99999999"), 8, "no block"),
        (("--in-album", "abcdef12"), 3, "no album's id"),
        (("--copy", "/nowhere"), 3, "no copy"),
        (("--copy", "b" + "a" * 58), 3, "no copy"),
        (("--patience", "-1"), 2, "patience"),
        (("--grant", "ab" * 32), 7, "proven by the storage root"),
        (("--grant", "abc"), 3, "too few"),
        (("--grant", "no grant"), 3, "names nothing"),
    ],
)
def test_bad_input(ffem: Cli, tmp_path: Path, words: tuple[str, ...], status: int, message: str) -> None:
    done = ffem("audit", *words)
    assert (done.status, done.out) == (status, "") and message in done.err
    assert [path.name for path in (tmp_path / "home").glob("*")] in ([], ["sync"])  # at most the index


def test_no_chain(ffem: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FFEM_RPC_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("FFEM_TIMEOUT", "1")
    done = ffem("audit")
    assert done.status == 8 and "does not answer" in done.err


def test_sync_and_audit_from_the_copy(story: Story, ffem: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In FFEM_HOME, in the store, and as a CAR; a pruned node and the copy give what a full node gives."""
    car = tmp_path / "logs.car"
    done = ffem("sync", "--car", car, "--json")
    assert (done.status, done.err) == (0, "")
    data = done.data
    assert data["proven"] and data["added"] == data["events"] and car.stat().st_size > 1000
    assert Path(data["folder"]).is_relative_to(tmp_path / "home")
    assert ffem("sync", "--car", car).status == 3  # it is not replaced
    again = ffem("sync")
    assert again.status == 0 and "0 are new" in again.out and data["cid"] in again.out
    whole = ffem("audit", "--block", data["block"], "--json").out
    cut = story.world.registry(9).events([ev.GrantCreated])[-1].block
    with lying(story.world.url, dropping(lambda event: event.block < cut)) as url:
        monkeypatch.setenv("FFEM_RPC_URL", url)
        assert ffem("audit", "--no-index").status == 12
        for copy in (data["folder"], data["cid"]):
            joined = ffem("audit", "--block", data["block"], "--copy", copy, "--json")
            assert joined.status == 0 and joined.out == whole
    monkeypatch.setenv("FFEM_RPC_URL", story.world.url)
    local = ffem("sync", "--local", "--folder", tmp_path / "mine", "--car", tmp_path / "mine.car", "--json").data
    assert local["cid"] is None and (tmp_path / "mine.car").read_bytes() == car.read_bytes()
    assert (tmp_path / "mine" / "head.cbor").exists()


def test_a_copy_on_ipfs(
    story: Story, ffem: Cli, ipfs: IpfsDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real daemon gives it the same CID as a folder does, and serves it to an auditor who has nothing else."""
    here = ffem.ok("sync", "--json").data
    monkeypatch.setenv("FFEM_STORE", ipfs.url)
    monkeypatch.setenv("FFEM_HOME", str(tmp_path / "other"))
    there = ffem.ok("sync", "--json").data
    assert there["cid"] == here["cid"]
    monkeypatch.setenv("FFEM_HOME", str(tmp_path / "third"))
    with lying(story.world.url, dropping(lambda event: event.block <= there["block"])) as url:
        monkeypatch.setenv("FFEM_RPC_URL", url)
        report = ffem.ok("audit", "--copy", there["cid"], "--json").data
    assert report["complete"] and report["counts"]["grants"] == 5


def test_help(ffem: Cli) -> None:
    assert "Example: ffem audit" in ffem("audit", "--help").out
    assert "Example: ffem sync" in ffem("sync", "--help").out
