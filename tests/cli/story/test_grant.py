"""Granting and revoking: what each form gives, and what stays open afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ffem_chain.errors import InputError
from ffem_chain.labels import DIRECT_LABEL, OWNER_KEEPER_LABEL
from ffem_cli.times import parse_moment

from .world import World, photo

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90min", NOW + timedelta(minutes=90)),
        ("12h", NOW + timedelta(hours=12)),
        ("30d", NOW + timedelta(days=30)),
        (" 2 w ", NOW + timedelta(weeks=2)),
        ("1y", NOW + timedelta(days=365)),
        ("2026-12-31", datetime(2026, 12, 31, tzinfo=UTC)),
        ("2026-12-31T18:00", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31T18:00+02:00", datetime(2026, 12, 31, 16, tzinfo=UTC)),
        ("2026-12-31 18:00:30Z", datetime(2026, 12, 31, 18, 0, 30, tzinfo=UTC)),
    ],
)
def test_moments(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "30", "d", "-3d", "3.5d", "0d", "30 months", "999999999y", "1\u0663d", "\x1b[2Jd"),
        *("2026-06-01", "2026-13-01", "2026-02-30", "20261231", "9999-12-31", "2026-W53-1T00:00x"),
        *("2026-06-01T11:59", "2026-06-01T25:00"),
    ],
)
def test_no_moments(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_moment(text, NOW)
    assert "30d" in caught.value.hint


def test_what_a_grant_says(world: World, capture: str) -> None:
    bob = world.address("bob")
    made = world.json("owner", "grant", capture[:6], bob.lower(), "--face", 1, "--expires", "30d", "--keepers", "1/1")
    assert (made["recipient"], made["face"], made["scope"]) == (bob, 1, f"face 1 of capture {capture[:16]}")
    assert (made["suite"], made["direct"], made["threshold"], made["label"]) == (1, False, 1, None)
    assert made["keepers"] == [world.address("keeper")]
    expires = datetime.fromisoformat(made["expires"])
    assert abs(expires - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    listed = {one["grant"]: one for one in world.json("owner", "ls", "--grants", "--album", "family")["grants"]}
    assert (listed[made["grant"]]["status"], listed[made["grant"]]["recipient"]) == ("live", bob)
    assert listed[made["grant"]]["expires"] == made["expires"]
    shown = {one["grant"]: one for one in world.json("owner", "show", capture)["grants"]}
    assert shown[made["grant"]]["scope"] == made["scope"]
    public = {one["grant"]: one for one in world.json("stranger", "show", capture)["grants"]}
    assert public[made["grant"]]["scope"] is None and public[made["grant"]]["recipient"] == bob
    assert "not public" in world.ok("stranger", "show", capture).out
    world.ok("owner", "revoke", made["grant"])


def test_suite_2_where_all_have_it(world: World, capture: str, tmp_path: Path) -> None:
    """Asked for and missing: refused, saying who lacks it. There: taken by itself, and it opens."""
    bob, keeper = world.address("bob"), world.address("keeper")
    world.fails("owner", 7, f"recipient {bob} has no active", "grant", capture, bob, "--suite", 2)
    world.ok("bob", "key", "register", "--suite", 2)
    world.fails("owner", 7, f"keeper {keeper} has no active", "grant", capture, bob, "--suite", 2)
    assert world.json("owner", "grant", capture, bob)["suite"] == 1
    world.ok("keeper", "key", "register", "--suite", 2)
    made = world.json("owner", "grant", capture, bob, "--face", 0)
    assert made["suite"] == 2
    world.ok("bob", "request", capture, "--face", 0)
    world.ok("keeper", "keeper", "run", "--once")
    opened = world.json("bob", "open", capture, "--face", 0, "-o", tmp_path / "opened.png")
    assert [one["grant"] for one in opened["grants"]] == [made["grant"]]
    world.ok("owner", "revoke", capture, "--wallet", bob)


def test_revoked_in_time_and_what_stays_open(world: World, group: Path) -> None:
    world.ok("owner", "album", "create", "trip")
    capture = world.json("owner", "seal", group, "--album", "trip")["captures"][0]["uid"]
    bob, carol = world.address("bob"), world.address("carol")
    face = world.grant(capture, "bob", "--face", 0)
    whole = world.grant(capture, "bob")
    direct = world.grant(capture, "bob", "--face", 1, "--direct")
    others = world.grant(capture, "carol", "--face", 1)
    epoch = world.json("owner", "grant", "--album", "trip", carol)["grant"]

    first = world.ok("owner", "revoke", face)
    assert "before it was opened" in first.out and "revoked at block " in first.out
    assert "still open: 1 other route" in first.out and whole[:16] in first.out
    routes = world.json("owner", "revoke", face)["routes"]  # again: the same outcome, the same routes
    assert {(one["grant"], one["kind"]) for one in routes} == {(whole, "live")}

    second = world.json("owner", "revoke", capture, "--wallet", bob, "--face", 1)
    assert [(one["grant"], one["opened"]) for one in second["revoked"]] == [(direct, True)]
    assert "cannot be revoked" in second["revoked"][0]["text"] and second["revoked"][0]["direct"]
    assert {one["grant"] for one in second["routes"]} == {whole}
    world.fails("owner", 3, "no grant of face 0 alone", "revoke", capture, "--wallet", bob, "--face", 0)

    world.fails("owner", 3, "needs a confirmation", "revoke", capture, "--all")
    everything = world.json("owner", "revoke", capture, "--all", "--yes")
    assert {one["grant"] for one in everything["revoked"]} == {whole, others}
    kinds = {one["grant"]: one["kind"] for one in everything["routes"]}
    assert kinds == {direct: "direct", epoch: "live"}
    assert DIRECT_LABEL in "".join(one["text"] for one in everything["routes"])
    world.fails("owner", 3, "no grant of capture .* to revoke", "revoke", capture, "--all", "--yes")

    opened = world.json("carol", "ls", "--received")["grants"]
    assert [one["status"] for one in opened if one["grant"] == epoch] == ["live"]
    clean = world.ok("owner", "revoke", epoch)
    assert "no other route that this deployment records stays open; copies are out of reach" in clean.out


def test_revoked_too_late(world: World, capture: str) -> None:
    grant = world.grant(capture, "bob")
    world.ok("bob", "request", capture)
    world.ok("keeper", "keeper", "run", "--once")
    (one,) = world.json("owner", "revoke", grant[:12])["revoked"]
    assert one["opened"] is True and one["text"].startswith(
        f"opened at block {one['opened_block']}, cannot be recalled"
    )
    assert one["opened_block"] < one["block"]
    listed = {grant["grant"]: grant for grant in world.json("owner", "ls", "--grants")["grants"]}
    assert (listed[grant]["status"], listed[grant]["opened"]) == ("revoked", True)
    for words in (("ls", "--grants"), ("show", capture)):
        assert "revoked, opened before" in world.ok("owner", *words).out


def test_an_album_without_other_keepers_says_so(world: World) -> None:
    """Keepers change by a proposal that all of them accept; grants keep theirs; --keepers refuses another set."""
    bob = world.address("bob")
    made = world.ok("owner", "album", "create", "alone")
    for result in (made, world.ok("owner", "album", "show", "alone"), world.ok("owner", "album", "list")):
        assert OWNER_KEEPER_LABEL in result.out
    old = world.json("owner", "grant", "--album", "alone", bob)
    assert old["label"] == OWNER_KEEPER_LABEL and old["scope"] == "all captures of epoch 1"
    refusal = world.fails("owner", 7, "has 1 of 1 keepers, not 1 of 2", "grant", "-a", "alone", bob, "--keepers", "1/2")
    assert "ffem album keepers alone" in refusal

    members = ("--keeper", world.address("carol"), "--keeper", world.address("keeper"))
    proposed = world.json("owner", "album", "keepers", "alone", *members)
    number = proposed["number"]
    assert world.json("owner", "album", "keepers", "alone", *members)["number"] == number  # nothing sent twice
    assert [one["accepted"] for one in proposed["proposed"]["keepers"]] == [False, False]
    assert world.json("owner", "grant", "--album", "alone", bob)["keeper_set"] == old["keeper_set"]
    for name in ("carol", "keeper"):
        assert f"set {number} is proposed" in world.ok("owner", "album", "list").out
        world.ok(name, "keeper", "accept", number)
    shown = world.json("stranger", "album", "show", proposed["album"])
    assert (shown["keeper_set"]["number"], shown["proposed"], shown["owner_only"]) == (number, None, False)
    new = world.json("owner", "grant", "--album", "alone", bob, "--keepers", "1/2")
    assert (new["keeper_set"], new["label"]) == (number, None)


def test_an_album_without_accepted_keepers_cannot_grant(world: World) -> None:
    bob, nobody = world.address("bob"), world.anvil.accounts[8].address
    made = world.ok("owner", "album", "create", "waiting", "--keeper", nobody)
    assert "ffem keeper accept" in made.err and "only direct grants are possible" in made.out
    world.fails("owner", 7, "have not all accepted", "grant", "--album", "waiting", bob)
    world.fails("owner", 7, "no accepted keepers", "grant", "--album", "waiting", bob, "--keepers", "1/1")
    assert world.json("owner", "grant", "--album", "waiting", bob, "--direct")["label"] == DIRECT_LABEL
    world.fails("owner", 3, "exists already", "album", "create", "waiting")


def test_a_new_epoch(world: World, tmp_path: Path) -> None:
    """What is sealed after it is not opened by grants of the album before it; --epoch grants the earlier one."""
    bob = world.address("bob")
    world.ok("owner", "album", "create", "years", "--keeper", world.address("keeper"))
    world.ok("keeper", "keeper", "accept")
    old = world.json("owner", "seal", photo(tmp_path / "old.jpg"), "--album", "years")["captures"][0]["uid"]
    before = world.json("owner", "grant", "--album", "years", bob)
    rotated = world.ok("owner", "rotate", "years", "--without-grants")
    assert "epoch     2" in rotated.out and "ffem wallet backup" in rotated.err
    assert world.json("owner", "album", "show", "years")["epoch"] == 2
    new = world.json("owner", "seal", photo(tmp_path / "new.jpg"), "--album", "years")["captures"][0]["uid"]
    world.ok("keeper", "keeper", "run", "--once")
    assert "not granted" in world.fails("bob", 7, "", "request", new)
    listed = {one["uid"]: one["epoch"] for one in world.json("owner", "ls", "--album", "years")["captures"]}
    assert listed == {old: 1, new: 2}

    after = world.json("owner", "grant", "--album", "years", bob)
    earlier = world.json("owner", "grant", "--album", "years", "--epoch", 1, bob)
    assert [one["scope"] for one in (before, after, earlier)] == [f"all captures of epoch {n}" for n in (1, 2, 1)]
    world.fails("owner", 3, "no epoch 3 yet", "grant", "--album", "years", "--epoch", 3, bob)
    world.fails("owner", 3, "--epoch needs an album", "grant", new, bob, "--epoch", 1)
    world.fails("owner", 3, "no album 'nowhere'", "rotate", "nowhere")
