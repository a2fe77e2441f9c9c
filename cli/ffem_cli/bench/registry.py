"""The registry end to end on a chain of its own: what one owner, one keeper and many recipients get done in a second,
and how long a recipient waits from its request to the opened key.

Everything is what the tools do, vaults, envelopes and confirmations included, all in one process; the captures are
digests only, since their pictures have nothing to do with the registry. One keeper, suite 1.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ffem_chain.errors import FfemError
from ffem_cli.bench import machine
from ffem_cli.bench.clock import Clock
from ffem_cli.sandbox import Person, Sandbox, keeping

if TYPE_CHECKING:
    from ffem_chain.roles.owner import Owner
    from ffem_chain.roles.recipient import Recipient
    from ffem_node.keeper import Keeper

Say = Callable[[str, int], None]
RATES = ("captures", "captures_in_batch", "grants", "grants_in_batch", "openings")
_ALBUM = "bench"
_IN_BATCH, _ONE_BY_ONE = 1_000, 10  # captures registered as one root, and by themselves
_WAIT = 300.0


def measure(recipients: Sequence[int], block_times: Sequence[int], repeats: int, say: Say) -> dict[str, Any]:
    """`rates`: a row for each number of recipients, on a chain that mines at once; medians of `repeats` rounds of
    {"per_s", "processor_ms"}, the latter of this process for one.
    `waits`: a row for each block time in seconds, medians and worst of `repeats` openings of one recipient.

    `say` takes what is going on and how many steps are done, of `steps`.
    """
    done = 0

    def step(text: str) -> None:
        nonlocal done
        say(text, done)
        done += 1

    with Sandbox() as box:
        step("making wallets")
        _enrich(box)
        owner, keeper = _album(box)
        people = [_recipient(box.person(f"recipient{number}", keystore=False)) for number in range(max(recipients))]
        rates = []
        for count in recipients:
            rounds = []
            for number in range(repeats):
                step(f"{count} recipients: round {number + 1} of {repeats}")
                rounds.append(_rates(owner, keeper, people[:count]))
            rates.append({"recipients": count, **{name: _median([one[name] for one in rounds]) for name in RATES}})
        waits = []
        for seconds in block_times:
            found = []
            for number in range(repeats):
                step(f"blocks of {seconds} s: opening {number + 1} of {repeats}")
                found.append(_wait(box, owner, keeper, people[0], seconds))
            middle, worst = round(statistics.median(found), 2), round(max(found), 2)
            waits.append({"block_s": seconds, "median_s": middle, "worst_s": worst})
    return {"rates": rates, "waits": waits, "repeats": repeats, "machine": machine.describe()}


def _median(rates: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(one[name] for one in rates), 2) for name in rates[0]}


def steps(recipients: Sequence[int], block_times: Sequence[int], repeats: int) -> int:
    """How many steps `measure` tells of."""
    return 1 + repeats * (len(recipients) + len(block_times))


def _enrich(box: Sandbox) -> None:
    """Ether for many people: the sandbox's own would not do for a hundred."""
    rpc = box.reader().rpc
    (accounts,) = rpc.batch([("eth_accounts", [])])
    rpc.batch([("anvil_setBalance", [account, hex(10**24)]) for account in accounts])


def _album(box: Sandbox) -> tuple[Owner, Keeper]:
    from ffem_chain.roles.owner import Owner
    from ffem_node.keeper import Keeper

    camera, third = box.person("owner", keystore=False), box.person("keeper", keystore=False)
    owner = Owner(camera.registry, camera.vault, camera.account)
    keeper = Keeper(third.registry, third.vault, third.account, limit_per_wallet=10_000)
    owner.create_album(_ALBUM, [third.wallet])
    for proposal in keeper.proposals():
        keeper.accept(proposal.keeper_set)
    return owner, keeper


def _recipient(person: Person) -> Recipient:
    from ffem_chain.roles.recipient import Recipient

    found = Recipient(person.registry, person.vault, person.account)
    found.register_key()
    return found


def _rate(count: int, work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    clock = Clock()
    found = work()
    wall, processor = clock.read()
    return {"per_s": count / wall, "processor_ms": 1000 * processor / count}, found


def _rates(owner: Owner, keeper: Keeper, people: Sequence[Recipient]) -> dict[str, dict[str, float]]:
    """Things done in a second, and this process's processor time for one: captures, grants, openings."""
    wallets = [one.wallet for one in people]
    alone, _ = _rate(_ONE_BY_ONE, lambda: _register(owner, _ONE_BY_ONE))
    batched, _ = _rate(_IN_BATCH, lambda: _register_many(owner, _IN_BATCH))
    grants, records = _rate(
        len(people), lambda: [owner.grant(None, None, wallet, album=_ALBUM, suite=1) for wallet in wallets]
    )
    in_batch, _ = _rate(len(people), lambda: owner.grant_many(None, None, wallets, album=_ALBUM, suite=1))
    pairs = list(zip(people, (record.grant_id for record in records), strict=True))
    openings, _ = _rate(len(people), lambda: _open(keeper, pairs))
    return dict(zip(RATES, (alone, batched, grants, in_batch, openings), strict=True))


def _register(owner: Owner, count: int) -> None:
    from ffem_chain.keys.tree import slot_of

    album = owner.album(_ALBUM)
    for _ in range(count):
        uid, digest, commit = (secrets.token_bytes(32) for _ in range(3))
        owner.registry.register_capture(album.album_id, uid, digest, commit, album.epoch, slot_of(time.time()))


def _register_many(owner: Owner, count: int) -> None:
    """A list, its tree and its registration; what it costs to store the list is left out."""
    from ffem_chain.capture.batch import CaptureList, Entry
    from ffem_chain.keys.tree import slot_of

    album, slot = owner.album(_ALBUM), slot_of(time.time())
    random = secrets.token_bytes
    entries = [Entry(random(32), random(32), random(32), slot) for _ in range(count)]
    listed = CaptureList.of(album.epoch, entries)
    owner.registry.register_captures(album.album_id, listed.root, secrets.token_bytes(32), count, album.epoch)


def _open(keeper: Keeper, pairs: Sequence[tuple[Recipient, bytes]]) -> None:
    """All ask, the keeper answers all, all open."""
    for person, grant in pairs:
        person.request(grant)
    while keeper.step():
        pass
    for person, grant in pairs:
        person.collect(grant, timeout=0)


def _wait(box: Sandbox, owner: Owner, keeper: Keeper, person: Recipient, block_seconds: int) -> float:
    """Seconds from before the request to the opened key, with a keeper that runs by itself."""
    record = owner.grant(None, None, person.wallet, album=_ALBUM, suite=1)
    rpc = owner.registry.rpc
    if block_seconds:
        rpc.batch([("evm_setAutomine", [False]), ("evm_setIntervalMining", [block_seconds])])
        # Somebody asks at any moment of a block's time.
        time.sleep(secrets.randbelow(1_000 * block_seconds) / 1_000)
    try:
        with keeping(keeper):
            start = time.perf_counter()
            person.request(record.grant_id)
            opened = person.collect(record.grant_id, timeout=_WAIT)
            seconds = time.perf_counter() - start
    finally:
        if block_seconds:
            rpc.batch([("evm_setIntervalMining", [0]), ("evm_setAutomine", [True])])
    if opened.key is None:
        raise FfemError("a grant did not open: this is a fault", "please report it")
    return seconds
