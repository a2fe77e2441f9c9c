"""`ffem demo` as a stranger calls it: a process of its own, with an empty home; only FaceMesh was fetched before."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image
from skimage.data import astronaut

from ffem_chain.errors import FfemError, InputError, Refused
from ffem_chain.faces.modelcache import VARIABLE, default_folder
from ffem_cli.demo.pictures import STORY, Folder, Panel, overview
from ffem_cli.demo.play import NAMES
from ffem_cli.demo.telling import refusal
from tests.support.cli import Cli

ACTS = ["world", "people", "seal", "register", "public", "grant", "release", "open", "flow"]
ACTS += ["stranger", "mistake", "revoke", "replay", "audit"]


@dataclass
class Home:
    """An empty home, and a folder for temporary files that nobody else uses."""

    folder: Path

    def start(self, *words: object) -> subprocess.Popen[str]:
        """The command in a session of its own: a signal reaches it alone, and not the servers that it has started."""
        keep = {name: value for name, value in os.environ.items() if not name.startswith(("FFEM_", "XDG_"))}
        return subprocess.Popen(
            [Path(sys.executable).with_name("ffem"), "demo", *map(str, words)],
            env={**keep, "HOME": str(self.home), "TMPDIR": str(self.temporary), VARIABLE: str(default_folder())},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def processes(self) -> list[psutil.Process]:
        """Processes that run with this home."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("HOME") == str(self.home) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.AccessDenied, psutil.NoSuchProcess):
                continue
        return found

    def assert_nothing_left(self) -> None:
        """No process, no temporary file, nothing in the home."""
        assert self.processes() == []
        assert list(self.temporary.iterdir()) == []
        assert list(self.home.iterdir()) == []


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    home.home.mkdir()
    home.temporary.mkdir()
    yield home
    for process in home.processes():
        process.kill()


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image.convert("RGB"))


def test_the_whole_story_with_no_arguments(home: Home) -> None:
    (home.folder / "demo-out").mkdir()
    (home.folder / "demo-out" / "notes.txt").write_text("mine")
    demo = home.start()
    said, complained = demo.communicate(timeout=300)
    assert demo.returncode == 0, said + complained
    home.assert_nothing_left()

    out = home.folder / "demo-out"
    assert {path.name for path in out.iterdir()} == {*NAMES, "notes.txt"}
    assert (out / "notes.txt").read_text() == "mine"
    photo = astronaut()
    assert np.array_equal(pixels(out / "original.png"), photo)
    assert np.array_equal(pixels(out / "opened.png"), photo)
    encrypted, fake, flow = (pixels(out / name) for name in ("encrypted.png", "fake.png", "opened-by-flow.png"))
    changed = (encrypted != photo).any(axis=2)
    face = np.zeros(changed.shape, bool)
    face[56:180, 180:270] = True
    assert changed[face].mean() > 0.99 and 0 < changed.mean() < 0.2
    for other in (fake, flow):
        assert not (other != photo).any(axis=2)[~changed].any()
        assert (other != photo).any(axis=2)[face].mean() > 0.5

    story = json.loads((out / STORY).read_text())
    acts = {act["act"]: act for act in story["acts"]}
    assert list(acts) == ACTS
    assert acts["seal"]["faces"] == 1 and acts["public"]["others_unchanged"]
    assert acts["open"]["identical"]
    assert acts["open"]["opened_sha256"] == hashlib.sha256(photo.tobytes()).hexdigest()
    assert acts["flow"]["psnr_db"] > 20
    receipts = acts["release"]["receipts"]
    assert [one["what"] for one in receipts] == ["request", "commit", "deliver"]
    assert [one["block"] for one in receipts] == sorted(one["block"] for one in receipts)
    assert acts["revoke"]["opened_block"] == receipts[1]["block"] < acts["revoke"]["block"]
    assert "cannot be recalled" in acts["revoke"]["lines"][0]
    assert "not granted" in acts["stranger"]["tool"][0]
    assert "not the recipient" in acts["stranger"]["contract"]
    assert "revoked" in acts["mistake"]["tool"] and "revoked" in acts["mistake"]["contract"]
    assert "moved to another place" in acts["replay"]["moved"]
    assert "does not match its digest" in acts["replay"]["changed"]

    audit = json.loads((out / "audit.json").read_text())
    assert audit["complete"] and acts["audit"]["complete"]
    assert {one["kind"] for one in audit["anomalies"]} == {"revoked_too_late", "owner_only_keeper"}
    assert any("off-record" in limit for limit in audit["limits"])
    assert [grant["recipient"] for grant in audit["capture"]["grants"]] == [
        acts["people"]["recipient"],
        acts["people"]["stranger"],
    ]
    for words in ("bit for bit", "receipts bind recipients, not the owner", "overview.png", "what no audit can prove"):
        assert words in said


def test_a_photo_of_ones_own_on_ipfs_and_again_in_the_same_folder(home: Home) -> None:
    upright = np.ascontiguousarray(astronaut()[:, ::-1])
    # Somebody far away: too small to be opened again, and covered all the same.
    upright[-80:, :80] = np.array(Image.fromarray(upright).resize((80, 80)))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    Image.fromarray(np.rot90(upright)).save(home.folder / "mine.webp", lossless=True, exif=exif)
    Folder(home.folder / "out", NAMES).write({"fake.png": b"of an earlier demo"}, {})
    demo = home.start("mine.webp", "--out", "out", "--store", "ipfs", "--json")
    said, complained = demo.communicate(timeout=300)
    assert demo.returncode == 0, complained
    assert complained == ""
    home.assert_nothing_left()
    document = json.loads(said)
    assert [act["act"] for act in document["acts"]] == ACTS
    assert document["acts"][0]["store"] == "ipfs" and "IPFS daemon" in document["acts"][0]["lines"][1]
    acts = {act["act"]: act for act in document["acts"]}
    assert (acts["seal"]["faces"], acts["seal"]["covered"]) == (1, 1)
    assert not acts["open"]["identical"] and any("covered for ever" in line for line in acts["open"]["lines"])
    opened = pixels(home.folder / "out" / "opened.png")
    assert np.array_equal(opened[:-80], upright[:-80]) and np.array_equal(opened[:, 80:], upright[:, 80:])
    assert (opened[444:458, 39:50] == 127).all()
    assert (home.folder / "out" / "fake.png").read_bytes() != b"of an earlier demo"
    assert document["audit"] == json.loads((home.folder / "out" / "audit.json").read_text())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing(home: Home, number: signal.Signals, status: int) -> None:
    demo = home.start()
    assert demo.stdout is not None
    for line in demo.stdout:
        if "Three wallets" in line:
            break
    assert len(home.processes()) == 2  # the demo and its chain
    time.sleep(0.5)
    demo.send_signal(number)
    _, complained = demo.communicate(timeout=60)
    assert demo.returncode == status
    assert "Traceback" not in complained
    home.assert_nothing_left()
    assert not (home.folder / "demo-out").exists()


def test_photos_that_cannot_be_used(cli: Cli, tmp_path: Path) -> None:
    Image.new("RGB", (320, 240), (90, 140, 90)).save(tmp_path / "meadow.png")
    (tmp_path / "junk.jpg").write_bytes(b"no picture at all")
    (tmp_path / "cut.png").write_bytes((tmp_path / "meadow.png").read_bytes()[:-300])
    for name, words in {
        "absent.jpg": "there is no such file",
        "junk.jpg": "no picture that can be sealed",
        "cut.png": "damaged or cut short",
        "meadow.png": "no face in this photo",
    }.items():
        done = cli("demo", tmp_path / name, "--out", tmp_path / "out", "--json")
        assert (done.status, done.out) == (3, ""), name
        assert words in done.error["error"]
        assert not (tmp_path / "out").exists()
    assert not cli.home.exists()


def test_folders_that_cannot_be_used(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "opened.png").write_text("a picture of mine")
    for folder, words in {
        "file": "is a file",
        "file/below": "nothing can be written",
        "mine": "not overwritten",
    }.items():
        done = cli("demo", "--out", tmp_path / folder, "--json")
        assert (done.status, done.out) == (3, "")
        assert words in done.error["error"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["opened.png"]


def test_without_scikit_image(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    done = cli("demo", "--out", tmp_path / "out")
    assert done.status == 11
    assert "ffem demo PHOTO" in done.err


def test_only_its_own_files_are_replaced(tmp_path: Path) -> None:
    names = ("a.png", "b.png")
    Folder(tmp_path, names).write({"a.png": b"1", "b.png": b"2"}, {"photo": "x"})
    # Files of an earlier demo go, also those that the new one does not make.
    Folder(tmp_path, names).write({"a.png": b"3"}, {"photo": "y"})
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", STORY}
    assert (tmp_path / "a.png").read_bytes() == b"3"
    (tmp_path / "a.png").write_bytes(b"changed by hand")
    with pytest.raises(InputError, match=r"a\.png was not made by the demo"):
        Folder(tmp_path, names)
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").symlink_to(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"a\.png was not made by the demo"):
        Folder(tmp_path, names)
    (tmp_path / "a.png").unlink()
    (tmp_path / STORY).write_text('{"made_by": "somebody else"}')
    with pytest.raises(InputError, match=r"story\.json was not made by the demo"):
        Folder(tmp_path, names)


def test_a_list_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"1")
    digest = hashlib.sha256(b"1").hexdigest()
    (tmp_path / "out").mkdir()
    listed = {"made_by": "ffem demo", "files": {"../outside.png": digest, "a.png": digest}}
    (tmp_path / "out" / STORY).write_text(json.dumps(listed))
    Folder(tmp_path / "out", ("a.png",)).write({"a.png": b"2"}, {})
    assert outside.read_bytes() == b"1"


def test_a_refusal_that_does_not_come_is_a_fault() -> None:
    def refused() -> None:
        raise Refused("no")

    assert refusal(Refused, refused) == "no"
    with pytest.raises(FfemError, match="this is a fault"):
        refusal(Refused, lambda: None)


@pytest.mark.parametrize("shape", [(60, 90, 3), (2000, 300, 3), (300, 2000, 3)])
def test_overview_has_every_panel(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)]
    panels = [Panel(np.full(shape, colour, np.uint8), "title", "text\nmore") for colour in colours]
    (tmp_path / "sheet.png").write_bytes(overview(panels, (10, 10, 40, 50)))
    sheet = pixels(tmp_path / "sheet.png")
    assert max(sheet.shape) < 1400
    for colour in colours:
        assert (sheet == colour).all(axis=2).sum() > 1000
