"""The list of bad input: one clear error each, an exit status of its own, nothing written, no traceback, no secret."""

from __future__ import annotations

import os
import signal
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from support.rpc_proxy import RpcProxy, result

from ffem_chain.chain.registry import deploy
from ffem_chain.chain.types import album_id
from ffem_chain.stores.cid import RAW, Cid
from ffem_devnet.anvil import Anvil

from .world import World, photo

NOWHERE = "http://127.0.0.1:9"
CIDV0 = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"


@pytest.fixture(scope="module")
def one(world: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A capture of one face that nobody is granted; its uid."""
    return world.seal(tmp_path_factory.mktemp("one") / "one.jpg")


@pytest.fixture
def nothing_written(world: World, tmp_path: Path) -> Iterator[Path]:
    """The test's folder; what is in the home, and what the test has in its folder, is the same in the end."""
    home = world.files()
    yield tmp_path
    assert world.files() == home
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("out") or ".out" in path.name]


def header_only(path: Path, width: int, height: int) -> Path:
    """A PNG that announces a size and holds nothing."""
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in (head, data)]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


# ---------------------------------------------------------------------- photos


def test_photos_that_cannot_be_sealed(world: World, nothing_written: Path) -> None:
    """None of them leaves anything in the store or in the vault; alone, each has its own message and status."""
    folder = nothing_written
    good = photo(folder / "good.jpg").read_bytes()
    (folder / "empty.jpg").touch()
    (folder / "cut.jpg").write_bytes(good[: len(good) // 2])
    (folder / "text.jpg").write_text("this is no picture")
    (folder / "link.jpg").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.jpg")
    Image.new("RGB", (64, 64)).save(folder / "dark.png")
    Image.new("RGB", (8, 8)).save(
        folder / "moving.webp", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")]
    )
    header_only(folder / "huge.png", 60_000, 60_000)
    expected = {
        "absent.jpg": "there is no such file",
        "empty.jpg": "the file is empty",
        "cut.jpg": "damaged or cut short",
        "text.jpg": "no picture that can be sealed",
        "link.jpg": "a pipe or a device",
        "pipe.jpg": "a pipe or a device",
        "dark.png": "no face was found",
        "moving.webp": "the picture is animated",
        "huge.png": "are too many|far too large",
    }
    for name, words in expected.items():
        said = world.fails("owner", 3, words, "seal", folder / name, "--album", "family")
        assert "NOT SEALED" not in said
    photos = [folder / name for name in expected]
    done = world.ffem("owner", "seal", *photos, "--album", "family", "--json")
    assert done.status == 1 and done.error["error"] == "9 of 9 photos were not sealed or not exported"
    assert [bool(one["error"]) for one in done.data["captures"]] == [True] * 9


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 3, "no photo was named"),
        (("--resume", "--offline"), 3, "--resume needs the chain"),
        (("x.jpg", "--rotation", "cube"), 3, "rotation must be sphere or block"),
        (("x.jpg", "--album", "nobody's"), 3, "there is no album"),
        (("x.jpg", "--export", "/nowhere/at/all"), 3, "there is no folder /nowhere/at/all"),
        (("x.jpg", "--colour"), 2, "No such option"),
    ],
)
def test_what_seal_cannot_do(world: World, nothing_written: Path, words: tuple, status: int, message: str) -> None:
    world.fails("owner", status, message, "seal", *words)


def test_an_album_that_is_not_registered(world: World, nothing_written: Path) -> None:
    """On another deployment the album does not exist: refused before anything is sealed."""
    other = ("--registry", deploy(world.anvil.url, world.accounts["stranger"]))
    path = photo(nothing_written / "a.jpg")
    world.fails("owner", 7, "is not on this deployment", *other, "seal", path, "--album", "family")


def test_a_full_disk(world: World, nothing_written: Path) -> None:
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "
        "from ffem_cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    path = photo(nothing_written / "a.jpg")
    full = world.python("owner", "-c", script, "seal", path, "--album", "family")
    assert full.status == 9 and "cannot be written" in full.err and "free some space" in full.err


# ---------------------------------------------------------------------- names of captures


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../../etc/passwd", "names nothing here"),
        ("http://127.0.0.1/x", "names nothing here"),
        ("/ipfs/bafy", "names nothing here"),
        ("file:///etc/passwd", "names nothing here"),
        (CIDV0, "not a CID"),
        (str(Cid(RAW, bytes(32))), "names a single block"),
        ("bafybei" + "a" * 53, "not a CID"),
        ("", "names nothing here"),
        ("12345", "5 digits: too few"),
        ("a" * 65, "65 digits: too many"),
        ("\x1b]0;x\x07", r"\\x1b"),
        ("x" * 10_000, "names nothing here"),
    ],
)
def test_a_hostile_name(world: World, nothing_written: Path, name: str, message: str) -> None:
    for words in (("show", name), ("fake", name, "-o", nothing_written / "out.png")):
        said = world.fails("stranger", 3, message, *words)
        assert "\x1b" not in said and len(said) < 1000
    world.fails("owner", 3, "", "grant", name, world.address("bob"))
    world.fails("owner", 3, "", "revoke", name, "--all", "--yes")
    world.fails("bob", 3, message, "open", name, "-o", nothing_written / "out.png")


def test_an_album_of_another_is_named_by_its_id(world: World, one: str) -> None:
    said = world.fails("stranger", 3, "'family' names nothing here", "show", one, "--in-album", "family")
    assert "CID" not in said and "an album's id is 64" in said


@pytest.mark.parametrize("name", ["f" * 64, "ffffff", str(Cid(0x70, bytes(32)))])
def test_an_unknown_capture(world: World, one: str, nothing_written: Path, name: str) -> None:
    world.fails("stranger", 7, "no capture .* is registered on this deployment", "show", name)
    world.fails("stranger", 7, "no capture", "fake", name, "-o", nothing_written / "out.png")
    world.fails("bob", 7, "no capture", "open", name, "-o", nothing_written / "out.png")
    world.fails("owner", 3, "is not in this vault", "grant", name, world.address("bob"))
    world.fails("owner", 3, "is no capture and no grant", "revoke", name, "--all", "--yes")
    world.fails("bob", 3, "is not in this vault", "grant", one, world.address("bob"))


def test_an_ambiguous_prefix(world: World, nothing_written: Path) -> None:
    registry = world.chain("stranger")
    salt, digest = os.urandom(32), os.urandom(32)
    registry.create_album(salt, digest, [world.address("stranger")], 1)
    mine = album_id(world.address("stranger"), salt)
    for last in (1, 2):
        uid = bytes.fromhex("ab" * 31) + bytes([last])
        registry.register_capture(mine, uid, digest, digest, 1, 0)
    said = world.fails("bob", 3, "could be 2 captures: abab", "show", "abababab")
    assert "type more digits" in said
    world.fails("bob", 3, "could be 2 captures", "open", "abababab", "-o", nothing_written / "out.png")


# ---------------------------------------------------------------------- grants


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 3, "who may open it"),
        (("0x12",), 3, "is not a wallet address"),
        (("0x" + "0" * 40,), 3, "is not a wallet address"),
        (("0x70997970C51812dc3A010C7d01b50e0d17dc79c8",), 3, "checksum"),
        (("BOB", "--face", "7"), 3, "there is no face 7 in capture"),
        (("BOB", "--face", "-1"), 2, "--face"),
        (("BOB", "--face", "nose"), 2, "--face"),
        (("BOB", "--expires", "yesterday"), 3, "is no time in the future"),
        (("BOB", "--expires", "2020-01-01"), 3, "has passed already"),
        (("BOB", "--suite", "3"), 2, "--suite"),
        (("BOB", "--suite", "1", "--keepers", "3/2"), 3, "is no set of keepers"),
        (("BOB", "--keepers", "2/2"), 7, "has 1 of 1 keepers, not 2 of 2"),
        (("BOB", "--direct", "--keepers", "1/1"), 3, "a direct grant has no keepers"),
        (("BOB", "--album", "family"), 3, "--album grants the whole album"),
        (("STRANGER",), 7, "has no active encryption key"),
    ],
)
def test_what_grant_cannot_do(
    world: World, one: str, nothing_written: Path, words: tuple[str, ...], status: int, message: str
) -> None:
    names = {"BOB": world.address("bob"), "STRANGER": world.address("stranger")}
    world.fails("owner", status, message, "grant", one, *(names.get(word, word) for word in words))


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 3, "whose grants of this capture"),
        (("--wallet", "BOB", "--all"), 3, "whose grants of this capture"),
        (("--wallet", "0x12"), 3, "is not a wallet address"),
        (("--all",), 3, "needs a confirmation"),
        (("--wallet", "BOB"), 3, "there is no grant of capture"),
        (("--wallet", "BOB", "--face", "5"), 3, "there is no face 5"),
    ],
)
def test_what_revoke_cannot_do(
    world: World, one: str, nothing_written: Path, words: tuple[str, ...], status: int, message: str
) -> None:
    bob = world.address("bob")
    world.fails("owner", status, message, "revoke", one, *(bob if word == "BOB" else word for word in words))


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("create", " "), 3, "needs a name"),
        (("create", "new", "--keeper", "0x12"), 3, "is not a wallet address"),
        (("create", "new", "--threshold", "2"), 3, "2 of 1 keepers"),
        (("create", "new", "--keeper", "BOB", "--keeper", "BOB"), 3, "all distinct"),
        (("create", "family"), 3, "exists already"),
        (("keepers", "family", "--keeper", "BOB", "--threshold", "9"), 2, "--threshold"),
        (("show", "nothing"), 3, "there is no album 'nothing'"),
    ],
)
def test_what_album_cannot_do(
    world: World, nothing_written: Path, words: tuple[str, ...], status: int, message: str
) -> None:
    bob = world.address("bob")
    world.fails("owner", status, message, "album", *(bob if word == "BOB" else word for word in words))


# ---------------------------------------------------------------------- opening


def test_places_to_which_nothing_can_be_written(world: World, one: str, tmp_path: Path) -> None:
    """Said before anything is asked: no request, no receipt."""
    world.grant(one, "bob")
    there = tmp_path / "there.png"
    there.write_bytes(b"mine")
    before = world.files()
    for words in (("open", one), ("fake", one), ("show", one)):
        assert "nothing was written" in world.fails("bob", 3, "exists already", *words, "-o", there)
        world.fails("bob", 3, "there is no folder", *words, "-o", tmp_path / "no" / "out.png")
        world.fails("bob", 3, "there is no folder", *words, "-o", there / "out.png")
        world.fails("bob", 3, "is a folder", *words, "-o", tmp_path)
    world.fails("bob", 3, "cannot be written|nothing can be written", "fake", one, "-o", "/proc/out.png")
    assert there.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [there] and world.files() == before
    world.ok("owner", "revoke", one, "--wallet", world.address("bob"))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_may_not_be_written(world: World, one: str, nothing_written: Path) -> None:
    folder = nothing_written / "mine"
    folder.mkdir(mode=0o500)
    world.fails("bob", 3, "nothing can be written to", "fake", one, "-o", folder / "out.png")


@pytest.mark.parametrize("temperature", ["-0.1", "1.5", "nan", "warm"])
def test_a_temperature_that_is_none(world: World, one: str, nothing_written: Path, temperature: str) -> None:
    status = 2 if temperature == "warm" else 3
    out = nothing_written / "out.png"
    world.fails("bob", status, "emperature", "fake", one, f"--temperature={temperature}", "-o", out)


def test_nothing_was_granted(world: World, one: str, nothing_written: Path) -> None:
    out = nothing_written / "out.png"
    for name in ("stranger", "carol"):
        world.fails(name, 7, "is not granted to 0x", "open", one, "-o", out)
        world.fails(name, 7, "is not granted to 0x", "request", one)
    said = world.fails("owner", 7, "is not granted to 0x", "open", one, "-o", out)
    assert f"ffem grant {one[:16]} {world.address('owner')} --direct" in said
    world.fails("carol", 3, "there is no face 9", "open", one, "--face", 9, "-o", out)


def test_revoked_expired_and_stale(world: World, tmp_path: Path) -> None:
    capture, out = world.seal(tmp_path / "a.jpg"), tmp_path / "out.png"
    grant = world.grant(capture, "bob")
    world.ok("owner", "revoke", grant)
    assert "new grant" in world.fails("bob", 7, "is revoked", "open", capture, "-o", out)

    world.grant(capture, "bob", "--expires", "1h")
    world.pass_time(3601)
    world.fails("bob", 7, "is expired", "open", capture, "-o", out)
    listed = [one["status"] for one in world.json("bob", "ls", "--received")["grants"] if one["capture"] == capture]
    assert listed == ["revoked", "expired"]

    # Sealed to a version whose private half is gone: not this vault's, and said so.
    world.ok("stranger", "key", "register")
    world.grant(capture, "stranger")
    vault = world.home / "wallets" / "stranger.vault"
    kept = vault.read_bytes()
    world.drop_keys("stranger")
    world.fails("stranger", 5, "cannot be read here", "open", capture, "-o", out)
    assert "no private half" in world.ok("stranger", "ls", "--received").out
    vault.write_bytes(kept)
    # A key declared compromised: the keeper releases nothing more to it, and says why.
    world.ok("stranger", "key", "compromised", 1, "--yes")
    world.fails("stranger", 10, "no answer from", "open", capture, "-o", out, "--wait", 0)
    assert "version 1 is compromised" in world.ok("keeper", "keeper", "run", "--once").out
    world.fails("owner", 7, "no active encryption key", "grant", capture, world.address("stranger"))
    assert not out.exists()


def test_a_silent_keeper(world: World, tmp_path: Path) -> None:
    capture, out = world.seal(tmp_path / "a.jpg"), tmp_path / "out.png"
    world.grant(capture, "bob")
    said = world.fails(
        "bob", 10, f"no answer from {world.address('keeper')}", "open", capture, "-o", out, "--wait", 0.3
    )
    assert "the request stays valid" in said and not out.exists()
    late = world.ffem("bob", "--wait", "0.2", "open", capture, "-o", out, "--json")
    assert late.status == late.error["exit_status"] == 10 and late.out == "" and not out.exists()
    world.ok("owner", "revoke", capture, "--wallet", world.address("bob"))


# ---------------------------------------------------------------------- wallets, chains and stores


def everything(one: str, out: Path) -> list[tuple[object, ...]]:
    """A command of each kind."""
    return [
        ("album", "list"),
        ("ls",),
        ("grant", one, "0x" + "11" * 20),
        ("revoke", one, "--all", "--yes"),
        ("open", one, "-o", out),
        ("request", one),
        ("keeper", "run", "--once"),
        ("keeper", "accept"),
        ("seal", "--resume"),
    ]


def test_a_wrong_passphrase(world: World, one: str, nothing_written: Path) -> None:
    for words in everything(one, nothing_written / "out.png"):
        said = world.fails(
            "owner", 5, "the passphrase does not open this wallet", *words, env={"FFEM_PASSPHRASE": "wrong horse"}
        )
        assert "wrong horse" not in said


def test_a_wallet_that_is_not_there(world: World, one: str, nothing_written: Path) -> None:
    for words in everything(one, nothing_written / "out.png"):
        world.fails("owner", 3, "there is no wallet 'nobody'", "--wallet", "nobody", *words)


def test_a_dead_chain(world: World, one: str, nothing_written: Path) -> None:
    dead = ("--rpc-url", NOWHERE, "--timeout", 1)
    for words in (("show", one), ("fake", one, "-o", nothing_written / "out.png"), ("open", one, "-o", "out.png")):
        assert "hint:" in world.fails("bob", 8, "does not answer", *dead, *words)
    world.fails("keeper", 8, "does not answer", *dead, "keeper", "run")


def test_a_wrong_chain(world: World, one: str, nothing_written: Path) -> None:
    """Another chain at the URL, a server that is no node, and one that changes its mind."""
    with Anvil.start(chain_id=4242) as other:
        for words in (("show", one), ("ls",), ("keeper", "run", "--once")):
            world.fails("owner", 8, "there is no contract at", "--rpc-url", other.url, *words)
    with RpcProxy(world.anvil.url) as proxy:
        proxy.hook = lambda question, ask: b"<html>"
        world.fails("owner", 8, "no JSON-RPC node|answers with an error", "--rpc-url", proxy.url, "show", one)
        proxy.hook = lambda question, ask: result(question, []) if question["method"] == "eth_getLogs" else ask()
        world.fails("owner", 7, "no capture .* is registered", "--rpc-url", proxy.url, "fake", one, "-o", "out.png")


def test_a_store_that_is_dead_empty_or_lying(world: World, one: str, tmp_path: Path) -> None:
    world.grant(one, "bob", "--direct")
    out, before = tmp_path / "out.png", world.files()
    for store in (NOWHERE, f"local:{tmp_path / 'empty'}"):
        options = ("--store", store, "--timeout", 2)
        world.fails("bob", 9, "", *options, "open", one, "-o", out)
        world.fails("bob", 9, "", *options, "fake", one, "-o", out)
        shown = world.ffem("bob", *options, "show", one, "--json")
        assert shown.status == 9 and shown.data["store"]["has"] is False and shown.data["uid"] == one
    dead = ("--store", NOWHERE, "--timeout", 2)
    world.fails("owner", 9, "", *dead, "seal", photo(tmp_path / "a.jpg"), "--album", "family")
    cid = world.json("bob", "show", one)["cid"]
    root = next((world.home / "store" / "blocks").rglob(cid))
    whole = root.read_bytes()
    root.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    world.fails("bob", 6, "", "open", one, "-o", out)
    root.write_bytes(whole)
    assert not out.exists() and world.files() == before
    world.ok("bob", "open", one, "-o", out)


def test_interrupted_before_anything(world: World, one: str, tmp_path: Path) -> None:
    """Ctrl-C at a passphrase, a chain that hangs, a model that loads: 130, and one line."""
    with RpcProxy(world.anvil.url) as proxy:
        hung, released = [], threading.Event()

        def hang(question: dict, ask: object) -> None:
            hung.append(question)
            released.wait(20)

        proxy.hook = hang
        out = tmp_path / "out.png"
        with world.process("bob", "--rpc-url", proxy.url, "open", one, "-o", out) as process:
            world.wait_for(lambda: bool(hung))
            process.send_signal(signal.SIGINT)
            text = process.communicate(timeout=30)[1]
        released.set()
        assert process.returncode == 130
        assert text.startswith("error: interrupted") and "Traceback" not in text and not out.exists()
