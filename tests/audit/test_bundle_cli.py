"""`ffem audit export` and `ffem audit verify` as somebody types them; the verifier with nothing but file and hash."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ffem_chain.stores.local import LocalStore
from tests.support.cli import Cli, python

from .crowd import Crowd
from .story import Story

# No connection, no torch: what asks for them ends the process.
ALONE = """
import builtins, socket, sys
def no(*_, **__): raise SystemExit("the network was asked for")
class Socket(socket.socket): connect = connect_ex = sendto = no
socket.socket, socket.create_connection, socket.getaddrinfo = Socket, no, no
real = builtins.__import__
def careful(name, *rest, **more):
    if name.partition(".")[0] in ("torch", "cv2"): raise SystemExit(name + " was asked for")
    return real(name, *rest, **more)
builtins.__import__ = careful
from ffem_cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def ffem(crowd: Crowd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """`ffem` of somebody who has the settings, and a store with what the crowd sealed."""
    for name in [name for name in os.environ if name.startswith("FFEM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FFEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FFEM_RPC_URL", crowd.world.url)
    monkeypatch.setenv("FFEM_REGISTRY", crowd.world.address)
    store = LocalStore(tmp_path / "store")
    for cid in crowd.store.pins:
        store.put(crowd.store.get(cid))
    monkeypatch.setenv("FFEM_STORE", f"local:{tmp_path / 'store'}")
    return Cli(tmp_path / "home")


def alone(*words: object) -> tuple[int, str, str]:
    """The verifier in a process of its own, in an empty environment, with neither network nor settings."""
    root = Path(__file__).parents[2]
    done = python(["-c", ALONE, *words], {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(root)})
    return done.status, done.out, done.err


def test_an_auditor_with_the_bundle_reaches_the_same_list(crowd: Crowd, ffem: Cli, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.tar"
    made = ffem.ok("audit", "export", "-o", bundle, "--json").data
    assert made["links"] == "headers" and made["logs_complete"] and made["bytes"] == bundle.stat().st_size
    there = ffem.ok("audit", "--block", made["block"], "--json").data
    status, out, err = alone(
        "audit", "verify", "--offline", bundle, "--block-hash", "0x" + made["block_hash"], "--json"
    )
    assert (status, err) == (0, "")
    here = json.loads(out)
    for name in ("address", "deployment", "block", "block_hash", "time", "complete", "counts", "anomalies"):
        assert here[name] == there[name], name
    assert [one["text"] for one in here["timeline"]] == [one["text"] for one in there["timeline"]]
    assert {one["grant"]: one["may_open"] for one in here["grants"]} == {
        grant.hex(): name in ("opened", "direct", "stays", "alone", "cancelled") for name, grant in crowd.grants.items()
    }
    assert {one["uid"] for one in here["captures"]} == {uid.hex() for uid in (crowd.single, *crowd.uids)}
    assert all(one["manifest"]["faces"] == 2 for one in here["captures"])
    people = ffem.ok("audit", "verify", "--offline", bundle, "--block-hash", "0x" + made["block_hash"]).out
    for moment in there["timeline"]:
        assert moment["text"] in people
    for limit in here["limits"]:
        assert limit in people


def test_a_capture_of_a_batch_and_a_recipient(crowd: Crowd, ffem: Cli, tmp_path: Path) -> None:
    bundle, uid, bob = tmp_path / "bundle.tar", crowd.uids[1].hex(), crowd.world.accounts[4].address
    made = ffem.ok("audit", "export", "-o", bundle, "--in-album", crowd.album.hex(), "--json").data
    words = ("audit", "verify", "--offline", bundle, "--block-hash", "0x" + made["block_hash"])
    data = ffem.ok(*words, "--capture", uid[:10], "--recipient", bob, "--json").data
    assert data["capture"]["uid"] == uid and len(data["capture"]["grants"]) == len(crowd.grants)
    assert data["recipient"]["wallet"] == bob and "timeline" not in data
    assert ffem(*words, "--capture", "00" * 32).status == 7
    assert uid in ffem.ok(*words, "--capture", uid).out


def test_a_proof_stands_in_for_a_list_that_a_bundle_lacks(crowd: Crowd, ffem: Cli, tmp_path: Path) -> None:
    bundle, proof, uid = tmp_path / "bundle.tar", tmp_path / "proof.json", crowd.uids[0].hex()
    made = ffem.ok("audit", "export", "-o", bundle, "--no-manifests", "--json").data
    ffem.ok("show", uid, "--in-album", crowd.album.hex(), "--save-proof", proof)
    words = ("audit", "verify", "--offline", bundle, "--block-hash", "0x" + made["block_hash"], "--capture", uid)
    assert "batches without one here: 2" in ffem(*words).err
    data = ffem.ok(*words, "--proof", proof, "--json").data
    assert data["capture"]["uid"] == uid and len(data["capture"]["grants"]) == len(crowd.grants)
    proof.write_bytes(proof.read_bytes().replace(b'"count": 2', b'"count": 3'))
    assert ffem(*words, "--proof", proof).status == 7


def test_an_audit_by_a_node_finds_it_too(crowd: Crowd, ffem: Cli) -> None:
    """In the list that the store serves; the batch whose list it lacks is named."""
    uid = crowd.uids[0].hex()
    done = ffem.ok("audit", uid[:12])
    assert uid in done.out and "lists of 1 batches of captures are not in the store" in done.err
    data = ffem.ok("audit", uid, "--check-store", "--json").data
    assert data["capture"]["uid"] == uid and data["counts"]["batches"] == 2
    indexed, anew = (ffem.ok("audit", uid, "--json", *more).data for more in ((), ("--no-index",)))
    assert ffem.ok("sync", "--json").data["unlisted_batches"] == 1
    assert "lists of 1 batches of captures are not in the store" in ffem.ok("sync").out
    assert indexed == anew and indexed["unlisted_batches"] == data["unlisted_batches"] == 1
    kinds = [(one["kind"], one["text"]) for one in ffem.ok("audit", "--check-store", "--json").data["anomalies"]]
    (missing,) = [text for kind, text in kinds if kind == "not_served"]
    assert crowd.lost.hex()[:16] in missing


def test_the_own_node_gives_the_hash(crowd: Crowd, ffem: Cli, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.tar"
    ffem.ok("audit", "export", "-o", bundle, "--no-manifests", "--links", "history")
    done = ffem.ok("audit", "verify", bundle)
    assert "trusting http" in done.err and "not every header is here" in done.out
    assert ffem("audit", "export", "-o", bundle).status == 3  # it is not replaced


def test_what_fails(crowd: Crowd, ffem: Cli, tmp_path: Path, story: Story) -> None:
    bundle, other = tmp_path / "bundle.tar", tmp_path / "other.tar"
    made = ffem.ok("audit", "export", "-o", bundle, "--json").data
    trusted = ("--block-hash", "0x" + made["block_hash"])
    data = bytearray(bundle.read_bytes())
    data[data.index(b"WHAT HAPPENED")] ^= 1
    other.write_bytes(bytes(data))
    for words, status, message in (
        ((bundle,), 3, "proves nothing by itself"),
        ((bundle, "--block-hash", "0x" + "11" * 32), 6, "no trusted hash leads to it"),
        ((bundle, "--block-hash", "12"), 3, "no hash of a block"),
        ((other, *trusted), 6, "report.txt: line"),
        ((tmp_path / "none", *trusted), 3, "no bundle"),
        ((Path(__file__), *trusted), 4, "no bundle of ffem audit export"),
        ((bundle, *trusted, "--recipient", "0x12"), 3, "not a wallet address"),
    ):
        done = ffem("audit", "verify", "--offline", *words)
        assert (done.status, done.out) == (status, "") and message in done.err, done
    assert ffem("audit", "verify", "--offline", bundle, *trusted, "--strict").status == 12
    for words, status in (
        (("--in-album", "11" * 32), 7),
        (("--checkpoint", "5"), 3),
        (("--block", "0x" + "1" * 64), 8),
    ):
        assert ffem("audit", "export", "-o", tmp_path / "new.tar", *words).status == status
    assert {path.name for path in tmp_path.iterdir()} == {"store", "bundle.tar", "other.tar"}


def test_help(ffem: Cli) -> None:
    assert "Example: ffem audit export" in ffem("audit", "export", "--help").out
    assert "Example: ffem audit verify" in ffem("audit", "verify", "--help").out
    assert {"show", "export", "verify"} <= set(ffem("audit", "--help").out.replace("│", " ").split())
