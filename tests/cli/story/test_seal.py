"""Sealing: several photos at once, offline, interrupted, and with a chain that fails in between."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image
from support.rpc_proxy import RpcProxy

from ffem_chain.capture.format import from_files
from ffem_chain.stores.local import LocalStore

from .world import World, photo, pixels


def listed(world: World) -> dict[str, Any]:
    """The captures in the owner's vault, by uid."""
    return {one["uid"]: one for one in world.json("owner", "ls")["captures"]}


def test_one_bad_photo_stops_no_other(world: World, group: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(group.read_bytes()[:2000])
    before = set(listed(world))
    done = world.ffem(
        "owner", "seal", group, bad, photo(tmp_path / "one.jpg"), "-a", "family", "-o", tmp_path, "--json"
    )
    assert done.status == 1 and "1 of 3 photos were not sealed or not exported" in done.error["error"]
    first, second, third = done.data["captures"]
    assert (first["faces"], first["covered"], first["registered"], first["album"]) == (2, 0, True, "family")
    assert "damaged" in second["error"] and "uid" not in second
    assert set(first["bytes"]) == {"image.png", "pose.json", "faces.cbor", "manifest.json"}
    assert set(first["ms"]) == {"load", "detect", "encode", "rotate", "exact", "pack", "store", "register"}
    assert set(listed(world)) - before == {first["uid"], third["uid"]}
    files = LocalStore(world.home / "store").get(third["cid"])
    assert Path(third["exported"]).read_bytes() == files["image.png"]
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(
        Path(one["exported"]).name for one in (first, third)
    )


def test_what_people_read(world: World, tmp_path: Path) -> None:
    done = world.ok("owner", "seal", photo(tmp_path / "one.jpg"), "--album", "family")
    assert done.err == f"sealing {tmp_path / 'one.jpg'} (1 of 1)\n"
    for words in ("1 face sealed; registered", "capture  ", "cid      bafybei", "faces.cbor", " ms: load"):
        assert words in done.out


def test_offline_then_registered(world: World, tmp_path: Path) -> None:
    """Sealing asks no chain; until it is registered only the owner sees it, and it cannot be granted."""
    dead = ("--rpc-url", "http://127.0.0.1:9")
    path = photo(tmp_path / "one.jpg")
    (sealed,) = world.json("owner", *dead, "seal", path, "--album", "family", "--offline")["captures"]
    uid = sealed["uid"]
    assert sealed["registered"] is False and listed(world)[uid]["registered"] is False
    assert "registered  no: ffem seal --resume" in world.ok("owner", "show", uid).out
    world.fails("stranger", 7, "no capture .* is registered", "show", uid)
    world.fails("owner", 7, "is not registered on this deployment", "grant", uid, world.address("bob"))
    assert [one["uid"] for one in world.json("owner", "seal", "--resume")["captures"]] == [uid]
    assert world.json("stranger", "show", uid)["registered"] is True
    again = world.ok("owner", "seal", "--resume")
    assert again.out == "" and "nothing that this store holds waits" in again.err


def test_a_chain_that_fails_before_the_registration(world: World, tmp_path: Path) -> None:
    """The capture is sealed and kept, the exit status says that something is left to do, and --resume does it."""
    with RpcProxy(world.anvil.url) as proxy:
        proxy.hook = lambda question, ask: None if question["method"] == "eth_estimateGas" else ask()
        path = photo(tmp_path / "one.jpg")
        done = world.ffem("owner", "--rpc-url", proxy.url, "seal", path, "--album", "family", "--json")
    assert done.status == 10 and done.error["hint"] == "ffem seal --resume"
    (sealed,) = done.data["captures"]
    assert sealed["registered"] is False
    (resumed,) = world.json("owner", "seal", "--resume")["captures"]
    assert (resumed["uid"], resumed["registered"]) == (sealed["uid"], True)


def test_interrupted_between_photos(world: World, tmp_path: Path) -> None:
    """Ctrl-C tells what is done; what is sealed is whole, registered at once or by --resume."""
    photos = [photo(tmp_path / f"{number}.jpg") for number in range(4)]
    before = set(listed(world))
    with world.process("owner", "seal", *photos, "--album", "family", "--json") as process:
        world.wait_for(lambda: len(set(listed(world)) - before) >= 1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "of 4 photos are done" in err
    world.ok("owner", "seal", "--resume")
    after = listed(world)
    made = set(after) - before
    assert 1 <= len(made) < 4 and all(after[uid]["registered"] for uid in made)
    assert {one["uid"] for one in json.loads(out)["captures"]} <= made
    store = LocalStore(world.home / "store")
    for uid in made:
        from_files(store.get(after[uid]["cid"]))


def test_options_of_one_capture(world: World, tmp_path: Path) -> None:
    path = photo(tmp_path / "one.jpg")
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Hasselblad"
    exif[ExifTags.Base.Artist] = "somebody"
    exif[ExifTags.Base.Orientation] = 3
    with Image.open(path) as image:
        image.rotate(180).save(path, exif=exif)
    (sealed,) = world.json(
        "owner", "--album", "family", "seal", path, "--rotation", "block", "--keep-metadata", "-o", tmp_path
    )["captures"]
    shown = world.json("owner", "show", sealed["uid"])
    assert shown["manifest"]["rotation"] == "block" and shown["faces"][0]["sealed"] is True
    with Image.open(sealed["exported"]) as image:
        kept = dict(image.getexif())
    assert kept == {ExifTags.Base.Model: "Hasselblad"}
    assert 0 <= shown["faces"][0]["box"][1] < 60  # upright: the face is above the middle


def test_a_picture_without_faces_is_published_only_on_request(world: World, tmp_path: Path) -> None:
    path = tmp_path / "sky.png"
    Image.fromarray(np.full((96, 128, 3), 190, np.uint8)).save(path)
    before, files = set(listed(world)), world.files()
    world.fails("owner", 3, "no face was found", "seal", path, "--album", "family")
    assert set(listed(world)) == before and world.files() == files
    (sealed,) = world.json("owner", "seal", path, "--album", "family", "--allow-no-faces", "-o", tmp_path)["captures"]
    assert sealed["faces"] == 0 and np.array_equal(pixels(Path(sealed["exported"])), pixels(path))
    world.fails("bob", 3, "no sealed face", "open", sealed["uid"], "-o", tmp_path / "out.png")


def test_a_photo_that_is_sealed_and_not_exported(world: World, tmp_path: Path) -> None:
    """Nothing can be written to the folder: the capture is registered all the same, and that is told apart."""
    path = photo(tmp_path / "one.jpg")
    done = world.ffem("owner", "seal", path, "--album", "family", "-o", "/proc", "--json")
    assert done.status == 3 and "cannot be written" in done.error["error"]
    (sealed,) = done.data["captures"]
    assert sealed["registered"] is True and "cannot be written" in sealed["export_error"]
    assert "error" not in sealed and "exported" not in sealed
