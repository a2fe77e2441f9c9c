"""A folder sealed and registered at once, interrupted and gone on with, and opened by those it is granted to."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ffem_chain.chain.events import CaptureRegistered, CapturesRegistered
from ffem_chain.chain.registry import Registry
from ffem_chain.chain.types import GrantParams, album_id
from ffem_chain.stores.local import LocalStore
from ffem_node import seal as sealing

from .world import World, photo, pixels


@pytest.fixture
def album(world: World) -> str:
    """An album for these tests alone: a batch takes everything that waits in its album. Its id."""
    if not any(one["name"] == "outing" for one in world.json("owner", "album", "list")["albums"]):
        world.ok("owner", "album", "create", "outing", "--keeper", world.address("keeper"))
        world.ok("keeper", "keeper", "accept")
    found: str = world.json("owner", "album", "show", "outing")["album"]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two photos that differ, and something else."""
    made = tmp_path / "photos"
    made.mkdir()
    photo(made / "a.jpg")
    (made / "b.JPG").write_bytes((made / "a.jpg").read_bytes() + b"another file")
    (made / "notes.txt").write_text("not a photo")
    return made


def batches(world: World, album: str) -> list[Any]:
    return list(Registry(world.anvil.url, world.registry).events([CapturesRegistered], album=bytes.fromhex(album)))


def test_a_folder_is_registered_at_once_and_opened(world: World, album: str, folder: Path, tmp_path: Path) -> None:
    known = len(batches(world, album))
    done = world.json("owner", "seal", folder, "--album", "outing", "--batch")
    first, second = done["captures"]
    assert [Path(one["photo"]).name for one in done["captures"]] == ["a.jpg", "b.JPG"]
    [batch] = done["batches"]
    assert {one["root"] for one in (first, second)} == {batch["root"]} and first["registered"] is True
    assert (batch["captures"], batch["album"]) == (2, album) and batch["gas"] > 21_000
    assert LocalStore(world.home / "store").has(batch["list"])
    [event] = batches(world, album)[known:]
    assert (event.root.hex(), event.count) == (batch["root"], 2)

    again = world.ok("owner", "seal", folder, "--album", "outing", "--batch")
    assert again.out.count("sealed before, capture") == 2 and "nothing that this store holds waits" in again.err
    assert "registering" not in again.err
    assert len(batches(world, album)) == known + 1
    shown = world.json("owner", "album", "show", "outing")
    assert shown["captures"] == sum(one.count for one in batches(world, album))

    uid = second["uid"]
    shown = world.json("owner", "show", uid[:10])
    assert (shown["uid"], shown["batch"]["root"], shown["registered"]) == (uid, batch["root"], True)
    values = (bytes.fromhex(shown[name]) for name in ("album", "uid"))
    assert len(shown["batch"]["proof"]) == 1 and all(len(value) == 32 for value in values)
    world.fails("stranger", 7, "in-album", "show", uid)
    assert world.json("stranger", "show", uid[:10], "--in-album", album[:12])["batch"] == shown["batch"]
    text = world.ok("stranger", "show", second["cid"], "--in-album", album).out
    assert f"registered  in block {shown['block']}, in batch {batch['root']}" in text

    world.grant(uid, "bob")
    # A stranger's registration of the same uid, by itself in an album of theirs, does not come before the batch.
    stranger, salt = world.chain("stranger"), secrets.token_bytes(32)
    stranger.create_album(salt, secrets.token_bytes(32), [world.address("stranger")], 1)
    theirs = album_id(world.address("stranger"), salt)
    stranger.register_capture(theirs, bytes.fromhex(uid), secrets.token_bytes(32), secrets.token_bytes(32), 1, 7)
    assert world.json("owner", "show", uid)["album"] == world.json("bob", "show", uid)["album"] == album
    world.fails("bob", 10, "no answer from", "open", uid[:10], "-o", tmp_path / "early.png", "--wait", 0)
    world.ok("keeper", "keeper", "run", "--once")
    world.ok("bob", "open", uid[:10], "-o", tmp_path / "opened.png")
    assert np.array_equal(pixels(tmp_path / "opened.png"), pixels(folder / "b.JPG"))
    world.fails("bob", 7, "no capture", "open", first["uid"], "-o", tmp_path / "other.png")
    world.fails("bob", 7, "is not granted", "open", first["uid"], "-o", tmp_path / "other.png", "--in-album", album)
    world.json("stranger", "fake", uid, "-o", tmp_path / "fake.png", "--in-album", album)
    # Where the stranger grants it as well, both albums are named, and nothing is requested.
    version = stranger.active_key(world.address("bob"), 1)
    scope = secrets.token_bytes(32)
    stranger.grant(GrantParams(theirs, salt, scope, world.address("bob"), version, 0, 0, b"no envelope"))
    for command in ("show", "open", "request"):
        out = ("-o", tmp_path / "other.png") if command == "open" else ()
        refused = world.fails("bob", 3, "registered in 2 albums", command, uid, *out)
        assert album[:16] in refused and theirs.hex()[:16] in refused and "--in-album" in refused
    wrong = world.ok("bob", "show", first["cid"], "--in-album", album, env={"FFEM_PASSPHRASE": "no horse"})
    assert first["uid"] in wrong.out
    stays = world.ffem("bob", "show", shown_alone(world), env={"FFEM_PASSPHRASE": "no horse"})
    assert "is left out" in stays.err
    assert world.json("bob", "show", uid, "--in-album", album)["album"] == album
    assert world.json("owner", "show", uid)["album"] == album
    assert not (tmp_path / "other.png").exists()


def shown_alone(world: World) -> str:
    """A capture that is registered by itself, in whatever album."""
    events = Registry(world.anvil.url, world.registry).events([CaptureRegistered])
    uids = [event.uid.hex() for event in events if isinstance(event, CaptureRegistered)]
    return next(uid for uid in uids if uids.count(uid) == 1)


def test_an_interrupted_folder_goes_on(world: World, album: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the second photo; the same command seals that one, and registers both at once."""
    known, seal = len(batches(world, album)), sealing.seal_photo
    for path in folder.glob("?.*"):
        path.write_bytes(path.read_bytes() + b"of another day")

    def interrupted(path: Path, *args: Any, **options: Any) -> sealing.Sealed:
        if Path(path).name != "a.jpg":
            raise KeyboardInterrupt
        return seal(path, *args, **options)

    command = ("seal", folder, "--album", "outing", "--batch")
    monkeypatch.setattr(sealing, "seal_photo", interrupted)
    stopped = world.ffem("owner", *command, "--json")
    assert stopped.status == 130
    assert "the same command goes on, or ffem seal --resume --batch registers it" in stopped.error["hint"]
    [first] = stopped.data["captures"]
    assert first["registered"] is False and len(batches(world, album)) == known
    monkeypatch.undo()

    done = world.json("owner", *command)
    before, second = done["captures"]
    assert (before["uid"], before["before"], before["registered"]) == (first["uid"], True, True)
    assert second["uid"] != first["uid"] and [one["captures"] for one in done["batches"]] == [2]
    assert len(batches(world, album)) == known + 1


def test_proofs_stand_in_for_a_list_that_is_gone(
    world: World, album: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written beside each picture and in the owner's home; who has one needs no list."""
    for path in folder.glob("?.*"):
        path.write_bytes(path.read_bytes() + b"of a day with proofs")
    out = tmp_path / "out"
    out.mkdir()
    done = world.json("owner", "seal", folder, "--album", "outing", "--batch", "--export", out)
    first, second = done["captures"]
    beside = sorted(out.glob("*.proof.json"))
    assert [path.name for path in beside] == [
        f"{name}-{one['uid'][:8]}.proof.json" for name, one in zip("ab", done["captures"], strict=True)
    ]
    uid, proof = first["uid"], tmp_path / "proof.json"
    home = world.home / "proofs"
    assert (home / f"{uid}.json").read_bytes() == beside[0].read_bytes()
    shown = world.json("owner", "show", uid, "--save-proof", proof)
    assert proof.read_bytes() == beside[0].read_bytes() and shown["proof"] == str(proof)
    world.fails("owner", 3, "exists already", "show", uid, "--save-proof", proof)
    world.grant(uid, "bob")
    LocalStore(world.home / "store").unpin(done["batches"][0]["list"])
    (world.home / "batches" / f"{first['root']}.bin").unlink(missing_ok=True)

    picture = tmp_path / "opened.png"
    world.fails("bob", 9, "list of batch", "open", uid, "-o", picture)
    world.fails("bob", 10, "no answer from", "open", uid, "-o", picture, "--wait", 0, "--proof", proof)
    world.ok("keeper", "keeper", "run", "--once")
    world.ok("bob", "open", uid, "-o", picture, "--proof", proof)
    assert np.array_equal(pixels(picture), pixels(folder / "a.jpg"))
    stranger = ("stranger", "show", uid)
    world.fails("stranger", 7, "no capture", "show", uid)
    assert world.json(*stranger, "--proof", proof)["batch"] == shown["batch"]
    # Not `ok`: Anvil leaves a word that became zero (a withdrawn key) in its storage trie, where Ethereum has none, so
    # that the audit finds its root to be another one and says so.
    audited = world.ffem("stranger", "audit", uid, "--proof", proof, "--json").data
    assert audited["capture"]["digest"] and audited["capture"]["album"] == album and audited["unlisted_batches"] == 0
    assert world.ffem("stranger", "audit", uid, "--proof", proof, "--no-index", "--json").data == audited
    world.fails("stranger", 7, "as far as lists are known", "audit", uid)
    world.fails("bob", 7, "is not granted", "open", second["uid"], "-o", tmp_path / "x.png", "--proof", beside[1])

    world.fails("stranger", 3, "not of", "show", second["uid"], "--proof", proof)
    world.fails("stranger", 3, "not of", "show", uid, "--proof", proof, "--in-album", "ab" * 32)
    other = tmp_path / "other.json"
    text = proof.read_text()
    other.write_text(text.replace(f'"slot": {shown["slot"]}', '"slot": 7'))
    world.fails("stranger", 6, "does not lead", "show", uid, "--proof", other)
    other.write_text(text.replace(album, "ab" * 32))
    world.fails("stranger", 7, "is not on the chain", "show", uid, "--proof", other)
    world.fails("stranger", 7, "no capture", "audit", uid, "--proof", other)
    other.write_text("{}")
    world.fails("stranger", 4, "not the proof of a capture", "audit", uid, "--proof", other)
    world.fails("stranger", 3, "none was named", "audit", "--proof", proof)
    world.ok("owner", "seal", "--resume", "--batch", "--album", "outing")  # puts the list again
    assert world.json("bob", "show", uid)["batch"] == shown["batch"]


def test_sealed_offline_and_registered_at_once(world: World, album: str, folder: Path) -> None:
    """What waits is registered as one batch; a second call has nothing to do."""
    for path in folder.glob("?.*"):
        path.write_bytes(path.read_bytes() + b"of a third day")
    sealed = world.json("owner", "seal", folder, "--album", "outing", "--offline")["captures"]
    world.fails("owner", 3, "--batch needs the chain", "seal", folder, "--batch", "--offline")
    done = world.json("owner", "seal", "--resume", "--batch", "--album", "outing")
    assert {one["uid"] for one in done["captures"]} == {one["uid"] for one in sealed}
    assert [one["captures"] for one in done["batches"]] == [2]
    assert world.json("owner", "seal", "--resume", "--batch", "--album", "outing") == {"captures": [], "batches": []}
    empty = folder / "empty"
    empty.mkdir()
    world.fails("owner", 3, "there is no photo in", "seal", empty, "--batch", "--album", "outing")
