"""Opening: what the trusted wallet, the stranger and the public see."""

from __future__ import annotations

import signal
import stat
from pathlib import Path

import numpy as np
import pytest

from ffem_chain.chain.events import AccessRequested, GrantCreated
from ffem_chain.chain.registry import Registry
from ffem_chain.labels import DIRECT_LABEL
from ffem_cli.opener import progress_text

from .world import World, box, differing, photo, pixels


def requests(world: World, grant: str) -> int:
    """How many requests a grant has had."""
    registry = Registry(world.anvil.url, world.registry)
    return len(registry.events([AccessRequested], grant=bytes.fromhex(grant)))


def test_the_whole_story(world: World, capture: str, group: Path, tmp_path: Path) -> None:
    """Granted, requested, released, opened bit-exactly; the stranger gets nothing, the public a fake."""
    original = pixels(group)
    shown = world.json("stranger", "show", capture[:8], "-o", tmp_path / "encrypted.png")
    first, second = shown["faces"]
    encrypted = pixels(tmp_path / "encrypted.png")
    covered = np.zeros(original.shape[:2], bool)
    covered[box(first)] = covered[box(second)] = True
    assert np.array_equal(encrypted[~covered], original[~covered])
    assert differing(encrypted, original)[covered].mean() > 0.95

    grant = world.grant(capture, "bob", "--expires", "30d")
    out = tmp_path / "opened.png"
    waiting = world.fails("bob", 10, "no answer from", "open", capture, "-o", out, "--wait", 0)
    assert f"0 of 1 share; waiting for {world.address('keeper')}" in waiting
    assert "the request stays valid" in waiting and not out.exists()
    kinds = [one["kind"] for one in world.ok("keeper", "keeper", "run", "--once", "--json").lines]
    assert kinds == ["requested", "committed", "delivered", "done"]

    opened = world.json("bob", "open", shown["cid"], "-o", out)
    assert np.array_equal(pixels(out), original)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert (opened["layer"], opened["faces"], opened["closed"]) == ("exact", [0, 1], [])
    assert [(one["grant"], one["seq"], one["resumed"]) for one in opened["grants"]] == [(grant, 1, True)]
    assert requests(world, grant) == 1

    nothing = tmp_path / "nothing.png"
    world.fails("stranger", 7, "is not granted to", "open", capture, "-o", nothing)
    fake, other = tmp_path / "fake.png", tmp_path / "other.png"
    world.ok("stranger", "fake", capture, "-o", fake, env={"FFEM_WALLET": "nobody", "FFEM_PASSPHRASE": ""})
    world.ok("bob", "fake", capture, "-o", other)
    assert fake.read_bytes() == other.read_bytes()
    assert np.array_equal(pixels(fake)[~covered], original[~covered])
    assert differing(pixels(fake), original)[covered].mean() > 0.9
    assert not nothing.exists()


def test_one_face_opens_and_the_other_stays_closed(world: World, capture: str, group: Path, tmp_path: Path) -> None:
    faces = world.json("stranger", "show", capture, "-o", tmp_path / "encrypted.png")["faces"]
    original, encrypted = pixels(group), pixels(tmp_path / "encrypted.png")
    world.grant(capture, "carol", "--face", 1)
    world.fails(
        "carol", 7, "face 0 of capture .* is not granted", "open", capture, "--face", 0, "-o", tmp_path / "x.png"
    )
    asked = world.json("carol", "request", capture)
    assert asked["closed"] == [0] and asked["requests"][0]["faces"] == [1]
    assert world.json("carol", "request", capture, "--face", 1)["requests"][0]["resumed"] is True
    world.ok("keeper", "keeper", "run", "--once")

    done = world.ok("carol", "open", capture, "-o", tmp_path / "one.png")
    assert "stay closed, not granted to this wallet: face 0" in done.out
    one = pixels(tmp_path / "one.png")
    assert np.array_equal(one[box(faces[1])], original[box(faces[1])])
    assert np.array_equal(one[box(faces[0])], encrypted[box(faces[0])])
    assert not (tmp_path / "x.png").exists()


def test_every_opening_leaves_a_receipt(world: World, tmp_path: Path) -> None:
    capture = world.seal(tmp_path / "a.jpg")
    grant = world.grant(capture, "bob")
    for number in (1, 2):
        world.ffem("bob", "open", capture, "-o", tmp_path / f"{number}.png", "--wait", 0)
        world.ok("keeper", "keeper", "run", "--once")
        world.ok("bob", "open", capture, "-o", tmp_path / f"{number}.png")
        assert requests(world, grant) == number


def test_interrupted_while_it_waits(world: World, tmp_path: Path) -> None:
    """Ctrl-C leaves nothing but the request; the same command goes on with that."""
    capture, out = world.seal(tmp_path / "a.jpg"), tmp_path / "opened.png"
    grant = world.grant(capture, "bob")
    with world.process("bob", "open", capture, "-o", out, "--wait", 300) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "waiting for" in line
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert rest.startswith("error: interrupted") and "Traceback" not in rest
    assert not out.exists() and requests(world, grant) == 1
    world.ok("keeper", "keeper", "run", "--once")
    assert world.json("bob", "open", capture, "-o", out)["grants"][0]["seq"] == 1
    assert np.array_equal(pixels(out), pixels(tmp_path / "a.jpg"))


def test_a_picture_that_could_not_be_written_needs_no_other_receipt(world: World, tmp_path: Path) -> None:
    capture, out = world.seal(tmp_path / "a.jpg"), tmp_path / "opened.png"
    grant = world.grant(capture, "bob")
    world.ok("bob", "request", capture)
    world.ok("keeper", "keeper", "run", "--once")
    # The vault is rewritten by then, and small; the picture does not fit.
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
        "from ffem_cli.main import run; sys.exit(run(sys.argv[1:]))"
    )
    full = world.python("bob", "-c", script, "open", capture, "-o", out)
    assert full.status == 3 and "cannot be written" in full.err and "free some space" in full.err
    assert list(tmp_path.iterdir()) == [tmp_path / "a.jpg"]
    world.ok("bob", "open", capture, "-o", out)
    assert requests(world, grant) == 1 and np.array_equal(pixels(out), pixels(tmp_path / "a.jpg"))


def test_direct_grants_say_what_they_are(world: World, tmp_path: Path) -> None:
    capture, out = world.seal(tmp_path / "a.jpg"), tmp_path / "opened.png"
    made = world.ok("owner", "grant", capture, world.address("bob"), "--direct")
    assert DIRECT_LABEL in made.out
    assert DIRECT_LABEL in world.ok("owner", "ls", "--grants").out
    assert DIRECT_LABEL in world.ok("bob", "ls", "--received").out
    assert DIRECT_LABEL in world.ok("owner", "show", capture).out
    assert DIRECT_LABEL in world.ok("bob", "request", capture).out
    assert DIRECT_LABEL in world.ok("bob", "open", capture, "-o", out).out
    assert np.array_equal(pixels(out), pixels(tmp_path / "a.jpg"))
    late = world.ok("owner", "revoke", capture, "--wallet", world.address("bob"))
    assert "cannot be recalled" in late.out
    world.ok("bob", "open", capture, "-o", out, "--force")  # as the label says


def test_released_before_it_was_revoked(world: World, tmp_path: Path) -> None:
    """What keepers had released opens, as the revocation itself says; a new request is refused."""
    capture, out = world.seal(tmp_path / "a.jpg"), tmp_path / "opened.png"
    world.grant(capture, "bob")
    world.ok("bob", "request", capture)
    world.ok("keeper", "keeper", "run", "--once")
    revoked = world.json("owner", "revoke", capture, "--wallet", world.address("bob"))["revoked"]
    assert revoked[0]["opened"] is True and "cannot be recalled" in revoked[0]["text"]
    world.ok("bob", "open", capture, "-o", out)
    assert np.array_equal(pixels(out), pixels(tmp_path / "a.jpg"))
    world.fails("bob", 7, "is revoked", "open", capture, "-o", tmp_path / "again.png")
    assert not (tmp_path / "again.png").exists()


def test_through_the_flow_alone(world: World, tmp_path: Path) -> None:
    capture = world.seal(tmp_path / "a.jpg")
    world.grant(capture, "bob", "--direct")
    (face,) = world.json("bob", "show", capture, "-o", tmp_path / "encrypted.png")["faces"]
    opened = world.json("bob", "open", capture, "--flow", "-o", tmp_path / "flow.png")
    assert opened["layer"] == "flow"
    rows, columns = box(face)  # the box reaches beyond the square that the flow knows
    inner = (slice(rows.start + 70, rows.stop - 50), slice(columns.start + 50, columns.stop - 50))
    original, flow, encrypted = (
        pixels(path)[inner].astype(float)
        for path in (tmp_path / "a.jpg", tmp_path / "flow.png", tmp_path / "encrypted.png")
    )
    error = float(np.sqrt(((flow - original) ** 2).mean()))
    assert 0 < error < 20 < 40 < float(np.sqrt(((encrypted - original) ** 2).mean()))


def test_two_of_three_keepers_one_wrong_one_silent(world: World, tmp_path: Path) -> None:
    """Who answered, who sent a wrong share and who is silent is said; the third keeper opens it."""
    members = [word for name in ("keeper", "carol", "owner") for word in ("--keeper", world.address(name))]
    world.ok("owner", "album", "create", "three", *members, "--threshold", 2)
    world.ok("keeper", "keeper", "accept")
    world.ok("carol", "keeper", "accept")
    sealed = world.json("owner", "seal", photo(tmp_path / "a.jpg"), "--album", "three")["captures"][0]["uid"]
    grant = world.grant(sealed, "bob", "--keepers", "2/3")
    world.ok("bob", "request", sealed)
    world.ok("keeper", "keeper", "run", "--once")
    world.deliver_wrong_share("carol", bytes.fromhex(grant), index=1)
    out = tmp_path / "opened.png"
    said = world.fails("bob", 10, "wrong shares from", "open", sealed, "-o", out, "--wait", 0)
    assert f"committed {world.address('keeper')}" in said  # its share is shown when as many as needed have committed
    assert f"WRONG SHARE from {world.address('carol')}" in said
    assert f"waiting for {world.address('owner')}" in said and not out.exists()
    world.ok("owner", "keeper", "run", "--once")
    world.ok("keeper", "keeper", "run", "--once")
    assert world.json("bob", "open", sealed, "-o", out)["grants"][0]["seq"] == 1
    assert np.array_equal(pixels(out), pixels(tmp_path / "a.jpg"))


def test_a_uid_that_a_stranger_registers_too(world: World, tmp_path: Path) -> None:
    """Anybody may register a uid in an album of theirs; it neither misleads nor blocks the recipient."""
    capture, out = world.seal(tmp_path / "a.jpg"), tmp_path / "opened.png"
    world.grant(capture, "bob", "--direct")
    mine, album = world.register_again("stranger", bytes.fromhex(capture))
    # the visitor was never granted anything, carol has a grant in one of them
    hint = world.fails("visitor", 3, "registered in 2 albums", "show", capture)
    assert "--in-album" in hint
    assert world.json("carol", "show", capture, "--in-album", mine)["owner"] == world.address("owner")
    world.fails("carol", 6, "names another", "fake", capture, "--in-album", album, "-o", tmp_path / "fake.png")
    world.ok("bob", "open", capture, "-o", out)
    assert np.array_equal(pixels(out), pixels(tmp_path / "a.jpg"))
    assert not (tmp_path / "fake.png").exists()


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        ((2, (), (), ("A", "B")), "0 of 2 shares; waiting for A, B"),
        ((2, ("A",), ("B",), ("C",)), "1 of 2 shares; answered A; WRONG SHARE from B; waiting for C"),
        ((1, ("A",), (), ("B",)), "1 of 1 share; answered A"),
        ((2, (), (), ("B",), ("A",)), "0 of 2 shares; committed A; waiting for B"),
    ],
)
def test_what_the_display_says(progress: tuple, text: str) -> None:
    from ffem_chain.roles.recipient import Progress

    assert progress_text(Progress(*progress)) == text


def test_received_grants_are_listed(world: World, capture: str) -> None:
    registry = Registry(world.anvil.url, world.registry)
    mine = world.grant(capture, "bob")
    made = {one.grant_id.hex() for one in registry.events([GrantCreated], recipient=world.address("bob"))}
    listed = {one["grant"]: one for one in world.json("bob", "ls", "--received")["grants"]}
    assert mine in made and set(listed) == made
    assert (listed[mine]["capture"], listed[mine]["scope"]) == (capture, f"capture {capture[:16]}")
    # anybody may grant what cannot be read, as the stranger of another story does; what the owner grants can be
    album = listed[mine]["album"]
    assert [one for one in listed.values() if one["album"] == album and not one["readable"]] == []
