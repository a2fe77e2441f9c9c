"""Keepers: accepting, running until they are stopped, outages, other deployments, keys."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.rpc_proxy import RpcProxy

from ffem_chain.chain.registry import deploy

from .world import World, pixels


@pytest.fixture(autouse=True, scope="module")
def drained(world: World) -> None:
    """What tests before these have requested is answered."""
    world.ok("keeper", "keeper", "run", "--once")


def reader(process: subprocess.Popen[str]) -> tuple[list[dict[str, Any]], threading.Thread]:
    """JSON lines of a running process, as they come."""
    lines: list[dict[str, Any]] = []

    def read() -> None:
        assert process.stdout is not None
        lines.extend(json.loads(line) for line in process.stdout)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return lines, thread


def said(lines: list[dict[str, Any]], kind: str) -> Callable[[], bool]:
    return lambda: any(line["kind"] == kind for line in list(lines))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_until_it_is_stopped(world: World, tmp_path: Path, number: signal.Signals) -> None:
    """While `open` waits, a keeper in another process releases; a signal ends it cleanly, without a trace."""
    capture, out = world.seal(tmp_path / "a.jpg"), tmp_path / "opened.png"
    grant = world.grant(capture, "bob")
    with world.process("keeper", "keeper", "run", "--poll", 0.1, "--json") as process:
        lines, thread = reader(process)
        opened = world.ok("bob", "open", capture, "-o", out, "--wait", 60)
        assert "1 of 1 share; answered" in opened.err
        world.wait_for(said(lines, "done"))
        process.send_signal(number)
        assert process.wait(30) == 0
        thread.join(10)
        assert process.stderr is not None and process.stderr.read() == ""
    assert np.array_equal(pixels(out), pixels(tmp_path / "a.jpg"))
    assert [line["kind"] for line in lines] == ["requested", "committed", "delivered", "done"]
    assert {line["grant"] for line in lines} == {grant} and {line["seq"] for line in lines} == {1}
    assert set(lines[0]) == {"time", "kind", "grant", "seq", "text"}


def test_it_survives_an_outage_of_the_chain(world: World, tmp_path: Path) -> None:
    capture = world.seal(tmp_path / "a.jpg")
    world.grant(capture, "bob")
    with RpcProxy(world.anvil.url) as proxy:
        settings = ("--rpc-url", proxy.url, "--timeout", 2)
        with world.process("keeper", *settings, "keeper", "run", "--poll", 0.1, "--json") as process:
            lines, _ = reader(process)
            asked = len(proxy.methods)
            world.wait_for(lambda: len(proxy.methods) > asked + 10)
            proxy.hook = lambda question, ask: None
            world.wait_for(said(lines, "offline"))
            world.ok("bob", "request", capture)
            proxy.hook = lambda question, ask: ask()
            world.wait_for(said(lines, "done"))
            assert process.poll() is None
    assert [line["kind"] for line in lines] == ["offline", "online", "requested", "committed", "delivered", "done"]
    world.ok("bob", "open", capture, "-o", tmp_path / "opened.png", "--wait", 0)


def test_what_it_refuses_is_said(world: World, tmp_path: Path) -> None:
    capture = world.seal(tmp_path / "a.jpg")
    grant = world.grant(capture, "bob")
    world.ok("bob", "request", capture)
    world.ok("owner", "revoke", grant)
    lines = world.ok("keeper", "keeper", "run", "--once").out.splitlines()
    assert (
        len(lines) == 2
        and lines[1].split(maxsplit=2)[2] == f"refused     grant {grant[:16]} request 1  the grant is revoked"
    )
    assert world.ok("keeper", "keeper", "run", "--once").out == ""


def test_releases_to_one_wallet_are_limited(world: World, tmp_path: Path) -> None:
    capture = world.seal(tmp_path / "a.jpg")
    world.grant(capture, "carol")
    for number in range(2):
        world.ffem("carol", "open", capture, "-o", tmp_path / f"{number}.png", "--wait", 0)
        kinds = [one["kind"] for one in world.ok("keeper", "keeper", "run", "--once", "--limit", 1, "--json").lines]
        assert kinds[-1] == ("limited" if number else "done")
        if not number:
            world.ok("carol", "open", capture, "-o", tmp_path / "0.png", "--wait", 0)
    world.ok("keeper", "keeper", "run", "--once")  # the usual limit
    world.ok("carol", "open", capture, "-o", tmp_path / "1.png", "--wait", 0)


def test_several_sets_wait(world: World) -> None:
    """One that waits is accepted by itself; of several, one is named, or all are."""
    sets = []
    for name in ("first", "second"):
        made = world.json("owner", "album", "create", name, "--keeper", world.address("carol"))
        sets.append(made["proposed"]["number"])
    refusal = world.fails("carol", 3, "2 keeper sets wait", "keeper", "accept")
    assert all(str(number) in refusal for number in sets) and "--all" in refusal
    assert world.json("carol", "keeper", "accept", sets[0])["accepted"][0]["state"] == "serves"
    states = {one["keeper_set"]: one["state"] for one in world.json("carol", "keeper", "list")["keeper_sets"]}
    assert (states[sets[0]], states[sets[1]]) == ("serves", "waits for this wallet")
    assert [one["keeper_set"] for one in world.json("carol", "keeper", "accept")["accepted"]] == [sets[1]]
    assert "nothing waits" in world.ok("carol", "keeper", "accept").out
    shown = world.ok("stranger", "keeper", "show", sets[1]).out
    assert f"{world.address('carol')} has accepted" in shown and "1 of 1" in shown
    world.fails("stranger", 3, "there is no keeper set 9999", "keeper", "show", 9999)
    world.fails("bob", 7, "does not name", "keeper", "accept", sets[0])
    world.fails("visitor", 3, "no keeper set waits for", "keeper", "accept")
    assert "no album asks" in world.ok("visitor", "keeper", "list").out


def test_old_keys_go_when_no_live_grant_needs_them(world: World, tmp_path: Path) -> None:
    def held() -> set[int]:
        return {one["version"] for one in world.json("keeper", "key", "show")["keys"] if one["held"]}

    capture = world.seal(tmp_path / "a.jpg")
    grant = world.grant(capture, "bob")
    old = world.json("owner", "grant", capture, world.address("carol"), "--suite", 1, "--direct")["key_version"]
    assert old >= 1
    used = held()
    new = world.json("keeper", "keeper", "rotate")["version"]
    assert held() == used | {new}
    world.fails("keeper", 3, "needs a confirmation", "keeper", "rotate", "--destroy-unused")
    assert held() == used | {new}
    world.ok("bob", "request", capture)
    world.ok("keeper", "keeper", "rotate", "--destroy-unused", "--yes")
    world.ok("keeper", "keeper", "run", "--once")  # the live grant's key is still there
    world.ok("bob", "open", capture, "-o", tmp_path / "opened.png", "--wait", 0)
    world.ok("owner", "revoke", grant)


def test_it_never_follows_to_another_deployment_by_itself(world: World) -> None:
    """A registry at another address is another deployment: `run` refuses it, `accept` moves there and back."""
    other = ("--registry", deploy(world.anvil.url, world.accounts["stranger"]))
    refusal = world.fails("keeper", 8, "this keeper serves deployment", *other, "keeper", "run", "--once")
    assert "ffem keeper accept" in refusal
    world.fails("keeper", 3, "no keeper set waits", *other, "keeper", "accept")
    world.ok("keeper", "keeper", "run", "--once")
    world.ok("owner", *other, "album", "create", "elsewhere", "--keeper", world.address("keeper"))
    world.ok("keeper", *other, "keeper", "accept")
    assert world.ok("keeper", *other, "keeper", "run", "--once").out == ""
    world.ok("keeper", "keeper", "accept")
    world.ok("keeper", "keeper", "run", "--once")
