"""Lists of batches that lie, are too large or are not there: each is named, and captures elsewhere are found."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ffem_chain.capture.batch import CaptureList, Entry
from ffem_chain.chain.events import CapturesRegistered, Event
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import FormatError, Refused, StoreUnavailable, Tampered
from ffem_chain.roles.registrations import Registration, Registrations
from ffem_chain.stores.cid import cid_of_digest
from ffem_chain.stores.memory import MemoryStore
from tests.support.liar import dropping, lying, on_logs

from .lies import HOSTILE, Lies, entries, gigabyte, other_list
from .world import World, album_with


@pytest.fixture
def lies(world: World) -> Lies:
    return Lies(album_with(world), ())


def test_lists_that_cannot_be_used_are_named_and_block_nothing(lies: Lies) -> None:
    """An album full of them, and after them an honest batch, whose captures are found like the one by itself."""
    lists = {lie: CaptureList.of(1, entries(2)) for lie, _, _ in HOSTILE}
    for lie, listed in lists.items():
        lie(lies, listed)
    lies.honest_batch()
    finder = lies.finder()
    for uid in lies.honest:
        assert finder.find(lies.album, uid).uid == uid
    assert len(finder.problems) == len(HOSTILE)
    for lie, error, words in HOSTILE:
        name = f"batch {lists[lie].root.hex()[:16]} of album {lies.album.hex()[:16]}"
        [problem] = [one for one in finder.problems if name in one.message]
        assert type(problem) is error and words in problem.message and problem.hint, lie.__name__


@pytest.mark.parametrize("lie", [other_list, gigabyte])
def test_what_such_a_batch_may_have_is_not_just_missing(lies: Lies, lie: Callable[[Lies, CaptureList], None]) -> None:
    """One error says what was looked for and which batch could not be read."""
    listed = CaptureList.of(1, entries(2))
    lie(lies, listed)
    uid = listed.entries[0].uid
    words = f"capture {uid.hex()[:16]} is not registered in album.*batch {listed.root.hex()[:16]} of album"
    with pytest.raises((Tampered, FormatError), match=words):
        lies.finder().find(lies.album, uid)


def test_of_several_registrations_the_first_counts(lies: Lies) -> None:
    """By itself, then in two batches that name other content: the order of the chain's logs decides."""
    mine, other = lies.scene.owner.capture(lies.scene.uid), entries(1)[0]
    same = Entry(mine.uid, bytes(32), mine.key_commit, mine.slot)
    for one in (replace(other, digest=b"\x01" * 32), replace(other, digest=b"\x02" * 32), same):
        listed = CaptureList.of(1, [one])
        lies.register(listed.root, lies.put(listed.pack()), 1)
    finder = lies.finder()
    assert finder.find(lies.album, mine.uid).digest == mine.digest
    assert finder.find(lies.album, other.uid).digest == b"\x01" * 32

    lies.registry.register_capture(lies.album, other.uid, b"\x03" * 32, other.key_commit, 1, other.slot)
    found = finder.find(lies.album, other.uid)
    assert (found.digest, bool(found.root)) == (b"\x01" * 32, True)


def test_verified_lists_are_kept(lies: Lies, tmp_path: Path) -> None:
    """A list is fetched once; a kept one that was changed is fetched again."""
    lies.honest_batch()
    uid = lies.honest[1]
    folder = tmp_path / "lists"
    found = Registrations(lies.registry, lies.store, folder).find(lies.album, uid)
    [kept] = folder.iterdir()
    empty = Registrations(lies.registry, MemoryStore(), folder)
    assert empty.find(lies.album, uid) == found
    data = kept.read_bytes()
    for change in (data[:-1], data[:50] + bytes([data[50] ^ 1]) + data[51:], b""):
        kept.write_bytes(change)
        with pytest.raises(StoreUnavailable):
            Registrations(lies.registry, MemoryStore(), folder).find(lies.album, uid)
        assert Registrations(lies.registry, lies.store, folder).find(lies.album, uid) == found
        assert kept.read_bytes() == data


def test_what_fails_is_not_kept(lies: Lies, tmp_path: Path) -> None:
    listed = CaptureList.of(1, entries(2))
    other_list(lies, listed)
    with pytest.raises(Tampered):
        Registrations(lies.registry, lies.store, tmp_path / "lists").find(lies.album, listed.entries[0].uid)
    assert not (tmp_path / "lists").exists()


def test_a_store_that_lacks_many_lists_is_not_asked_for_each(lies: Lies) -> None:
    asked = []

    class Counting(MemoryStore):
        def get(self, cid: str, **options: Any) -> dict[str, bytes]:
            asked.append(cid)
            return super().get(cid, **options)

    for _ in range(5):
        lies.register(secrets.token_bytes(32), secrets.token_bytes(32), 7)
    finder = lies.finder(Counting())
    with pytest.raises(StoreUnavailable, match="and 4 more"):
        finder.find(lies.album, bytes(32))
    assert len(asked) == 3 and len(finder.problems) == 5
    assert finder.find(lies.album, lies.scene.uid).uid == lies.scene.uid


def test_a_node_that_alters_or_drops_the_log_of_a_batch(world: World, lies: Lies) -> None:
    lies.honest_batch()
    uid = lies.honest[1]

    def retold(log: dict[str, Any], event: Event) -> dict[str, Any]:
        if not isinstance(event, CapturesRegistered):
            return log
        return {**log, "data": log["data"][:66] + f"{7:064x}" + log["data"][130:]}

    with (
        lying(world.url, on_logs(retold)) as url,
        pytest.raises(Tampered, match="does not match the contract's state"),
    ):
        Registrations(Registry(url, world.address), lies.store).find(lies.album, uid)
    with (
        lying(world.url, dropping(lambda event: isinstance(event, CapturesRegistered))) as url,
        pytest.raises(Refused, match="is not registered in album"),
    ):
        Registrations(Registry(url, world.address), lies.store).find(lies.album, uid)
    assert isinstance(lies.finder().find(lies.album, uid), Registration)


def test_without_an_album_the_given_ones_are_searched(world: World, lies: Lies) -> None:
    """A hostile batch in one album does not hide a capture in the next."""
    listed = CaptureList.of(1, entries(2))
    gigabyte(lies, listed)
    lies.honest_batch()
    stranger = secrets.token_bytes(32)
    finder = lies.finder()
    uid = lies.honest[2]
    assert finder.find_anywhere(uid, [stranger, lies.album]).album == lies.album
    assert finder.find_anywhere(lies.scene.uid).album == lies.album
    with pytest.raises(Refused, match="no capture"):
        finder.find_anywhere(uid, [stranger])
    wanted = uid.hex()[:10]
    assert finder.search(lies.album, lambda one, _: one.hex().startswith(wanted)) == [uid]
    found = finder.find(lies.album, uid)
    assert finder.search(lies.album, lambda _, digest: digest == found.digest) == [uid]
    assert lies.store.has(cid_of_digest(found.digest))


def test_a_strangers_registration_hides_no_batch(world: World, lies: Lies) -> None:
    """Uids are public: whoever registers one by itself in an album of theirs changes nothing for who names an album."""
    lies.honest_batch()
    uid, theirs = lies.honest[2], world.owner(7).create_album("theirs").album_id
    world.registry(7).register_capture(theirs, uid, bytes([1]) * 32, bytes([2]) * 32, 1, 7)
    assert lies.finder().find_anywhere(uid, [lies.album]).album == lies.album
    world.registry(7).register_capture(theirs, lies.scene.uid, bytes([1]) * 32, bytes([2]) * 32, 1, 7)
    assert lies.finder().find_anywhere(lies.scene.uid, [lies.album]).album == lies.album
    assert lies.finder().find_anywhere(uid).album == theirs
    with pytest.raises(Refused, match="registered in 2 albums"):
        lies.finder().find_anywhere(lies.scene.uid)
