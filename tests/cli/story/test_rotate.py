"""Albums that live: ranges of time, many wallets at once, and rotation with and without revoking."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from ffem_chain.errors import InputError
from ffem_chain.keys.tree import LAST_SLOT
from ffem_chain.labels import DIRECT_LABEL, HELD_LABEL, MANY_LABEL
from ffem_cli.times import parse_slots

from .world import World, photo

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SLOT = int(NOW.timestamp()) // 60


@pytest.mark.parametrize(
    ("begin", "end", "slots"),
    [
        ("2026-06-01", "2026-06-02", (SLOT - 720, SLOT + 719)),
        ("now", "1h", (SLOT, SLOT + 59)),
        ("12h ago", "now", (SLOT - 720, SLOT - 1)),
        ("2026-06-01T11:59:30", "2026-06-01T12:00:30", (SLOT - 1, SLOT)),
        (None, "2026-06-01T12:00", (0, SLOT - 1)),
        ("now", None, (SLOT, LAST_SLOT)),
    ],
)
def test_ranges(begin: str | None, end: str | None, slots: tuple[int, int]) -> None:
    assert parse_slots(begin, end, NOW) == slots


@pytest.mark.parametrize(
    ("begin", "end"),
    [("now", "now"), ("2026-06-02", "2026-06-01"), ("soon", None), (None, "1970-01-01"), ("99y ago", None)],
)
def test_no_ranges(begin: str | None, end: str | None) -> None:
    with pytest.raises(InputError):
        parse_slots(begin, end, NOW)


@pytest.fixture(scope="module")
def trip(world: World) -> str:
    """An album with a keeper; bob, carol and dora have keys. Others of the world stay as they are for other tests."""
    world.accounts["dora"] = world.anvil.accounts[7]
    world.add_wallet("dora", world.accounts["dora"])
    world.ok("dora", "config", "set", "registry", world.registry)
    world.ok("owner", "album", "create", "journey", "--keeper", world.address("keeper"))
    world.ok("keeper", "keeper", "accept")
    for name in ("bob", "carol", "dora"):
        world.ok(name, "key", "register")
    return "journey"


def seal(world: World, path: Path) -> str:
    uid: str = world.json("owner", "seal", photo(path), "--album", "journey")["captures"][0]["uid"]
    return uid


def test_a_range_and_its_one_receipt(world: World, trip: str, tmp_path: Path) -> None:
    past = seal(world, tmp_path / "past.jpg")
    bob = world.address("bob")
    made = world.ok("owner", "grant", "--album", trip, "--from", "1h ago", "--to", "2h", bob)
    assert MANY_LABEL in made.out and "captures of epoch 1 from " in made.out and " UTC" in made.out
    assert "the album was created at" not in made.err
    long_ago = ("grant", "--album", trip, "--from", "2020-01-01", "--to", "2020-02-01", bob)
    said = world.ok("owner", *long_ago).err
    assert "the album was created at" in said and "sealed off line before" in said
    closed = world.json("owner", *long_ago)
    assert closed["scope"] == "captures of epoch 1 from 2020-01-01 00:00 until 2020-02-01 00:00 UTC"
    world.ok("bob", "request", past)
    world.ok("keeper", "keeper", "run", "--once")
    first = world.ok("bob", "open", past, "-o", tmp_path / "past.png")
    assert "receipt: request 1 in block" in first.out and MANY_LABEL in first.out
    later = seal(world, tmp_path / "later.jpg")
    second = world.ok("bob", "open", later, "-o", tmp_path / "later.png", "--wait", 0)
    assert HELD_LABEL in second.out and MANY_LABEL in second.out
    assert HELD_LABEL in world.ok("bob", "request", later).out
    opened = world.json("bob", "open", later, "-o", tmp_path / "again.png")["grants"]
    assert [(one["held"], one["seq"], one["label"]) for one in opened] == [(True, None, MANY_LABEL)]


def test_many_wallets_at_once(world: World, trip: str, tmp_path: Path) -> None:
    bob, carol, dora = (world.address(name) for name in ("bob", "carol", "dora"))
    listed = tmp_path / "family.txt"
    listed.write_text(f"# the family\n{bob}  # Bob\n\n{carol.lower()}\n{bob}\n")
    made = world.json("owner", "grant", "--album", trip, "--wallets", listed, "--wallet", dora, "--expires", "9d")
    assert {one["recipient"] for one in made["grants"]} == {bob, carol, dora} and made["transactions"] == 1
    world.fails("owner", 3, "whose grants of this album", "revoke", "--album", trip)
    ids = [one["grant"] for one in made["grants"]]
    revoked = world.json("owner", "revoke", *ids)["revoked"]
    assert {one["grant"] for one in revoked} == set(ids) and len({one["block"] for one in revoked}) == 1
    world.fails("owner", 3, "names no wallet", "grant", "--album", trip, "--wallets", empty(tmp_path))
    world.fails(
        "owner", 3, "no list of wallets|does not exist|there is no", "grant", "-a", trip, "--wallets", "/nowhere"
    )
    keeper, visitor = world.address("keeper"), world.address("visitor")
    world.fails("owner", 7, f"recipient {visitor} has no active", "grant", "-a", trip, keeper, visitor)


def empty(folder: Path) -> Path:
    """A list of nobody."""
    path = folder / "nobody.txt"
    path.write_text("# nobody\n")
    return path


def test_revoked_with_a_rotation(world: World, trip: str, tmp_path: Path) -> None:
    """Whose grants are revoked is closed out of what comes; who stays goes on."""
    bob, carol, dora = (world.address(name) for name in ("bob", "carol", "dora"))
    world.ok("owner", "grant", "--album", trip, bob, carol)
    world.ok("owner", "grant", "--album", trip, dora, "--direct")
    said = world.ok("owner", "revoke", "--album", trip, "--wallet", bob, "--rotate")
    assert "epoch     2" in said.out and carol in said.out and DIRECT_LABEL in said.out
    assert "ffem wallet backup" in said.err
    new = seal(world, tmp_path / "new.jpg")
    world.ok("carol", "request", new)
    world.ok("keeper", "keeper", "run", "--once")
    world.ok("carol", "open", new, "-o", tmp_path / "new.png")
    world.ok("dora", "open", new, "-o", tmp_path / "direct.png")
    world.fails("bob", 7, "is not granted to", "open", new, "-o", tmp_path / "bob.png")
    assert not (tmp_path / "bob.png").exists()

    rotated = world.json("owner", "rotate", trip)
    assert (rotated["epoch"], rotated["transactions"], rotated["left_out"]) == (3, 1, [])
    assert {(one["recipient"], one["direct"]) for one in rotated["grants"]} == {(carol, False), (dora, True)}
    nobody = world.ok("owner", "rotate", trip, "--without-grants")
    assert "nobody opens what is sealed now" in nobody.out
    # A range lies in one epoch; captures of its time that are of others are named.
    noted = world.ok("owner", "grant", "--album", trip, "--from", "1h ago", carol)
    assert "1 capture of epoch 2 stay closed: grant those with --epoch 2" in noted.err


def test_what_cannot_be(world: World, trip: str) -> None:
    bob = world.address("bob")
    world.fails("owner", 3, "--from needs an album", "grant", "1f2e3d", bob, "--from", "now")
    world.fails("owner", 3, "is no time", "grant", "--album", trip, bob, "--from", "some day")
    world.fails("owner", 3, "is not after", "grant", "--album", trip, bob, "--from", "2026-06-02", "--to", "2026-06-01")
    world.fails("owner", 3, "what is revoked", "revoke", "--rotate")
    world.fails("owner", 3, "--album means all grants", "revoke", "--album", trip, "1f2e3d")
    world.fails("owner", 3, "what is granted", "grant")
