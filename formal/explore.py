"""Every state that can be reached, breadth first, with the real keepers' decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ffem_chain.chain.events import AccessRequested, GrantRevoked, ReleaseCommitted
from ffem_chain.chain.reverts import ChainRefused
from ffem_chain.errors import ChainUnavailable
from ffem_chain.keys.suites import SECP256K1
from ffem_node.keeper import Keeper
from formal.contract import Chain
from formal.memoised import memoised
from formal.memory import MemoryRegistry, MemoryVault
from formal.people import DEPLOYMENT, EXPIRY, SET, People, private_key, request_key, seed
from formal.promises import Promises
from formal.scenario import Scenario
from formal.state import Memory, State, Transaction, View

# Blocks that a keeper reads again: more than any exploration has, so that no state depends on a block's number.
_ALL = 10_000


@dataclass
class Found:
    """What an exploration came to. `broken`: the promise that does not hold, empty where all do, and the shortest way
    there. `reached`: what happened to some grant in some state. `whole`: no state was left out."""

    states: int = 0
    moves: int = 0
    longest: int = 0
    whole: bool = True
    broken: str = ""
    way: list[str] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)


class Explorer:
    """The moves of a scenario. The n-th one-time key for a grant has the name `grant.n`."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.people = People(
            scenario.threshold, scenario.keepers, scenario.dishonest, scenario.grants, copies=scenario.copies
        )
        self.honest = [i for i in range(scenario.keepers) if i not in scenario.dishonest]
        self.promises = Promises(self.people, scenario.confirmations)
        # A reorganisation takes a request back, and its key with it; the recipient may draw another one.
        self._most_fresh = scenario.requests + scenario.reorgs
        self._names = {
            request_key(f"{number}.{n}"): f"{number}.{n}"
            for number in range(len(self.people.grants))
            for n in range(self._most_fresh)
        }
        ordered = scenario.reuse or scenario.losing
        # unless grants matter to each other, the n-th key of one is as good as the n-th of another
        shown = {key: name if ordered else name.partition(".")[2] for key, name in self._names.items()}
        kinds = {one.made: (one.params.expiry != 0, one.copied) for one in self.people.grants}
        self._view = View(kinds, shown, max(scenario.confirmations - 1, scenario.depth), ordered)
        self._machines: dict[int, Keeper] = {}

    def start(self) -> State:
        """All is granted, nobody has asked."""
        chain = self.people.genesis(self.scenario.depth, self.scenario.rules, batch=self.scenario.batch)
        memories = {}
        for index in self.honest:
            private = private_key(f"keeper {index}")
            entry = {"suite": SECP256K1, "secret": private.to_secret_bytes(), "public": private.public}
            content = {"keyring": {DEPLOYMENT.hex(): {"versions": {"1": entry}, "pending": []}}}
            account, vault = self.people.keepers[index], MemoryVault(content)
            keeper = self.scenario.keeper(
                MemoryRegistry(chain, account.address, DEPLOYMENT),
                vault,
                account,
                limit_per_wallet=_ALL,
                confirmations=self.scenario.confirmations,
                reorg_depth=_ALL,
            )
            keeper.adopt_deployment()
            self._machines[index], memories[index] = keeper, Memory(vault.content)
        return State(chain, memories, fresh=(0,) * len(self.people.grants))

    def run(self, most: int = 0, say: Callable[[Found], None] = lambda found: None) -> Found:
        """Look at every state, or at the `most` nearest ones; stops at the first broken promise. `say` hears how far it
        is after each round of moves."""
        found = Found()
        with memoised():
            first = self.start()
            start = self.key(first)
            parents: dict[bytes, tuple[bytes, str]] = {start: (b"", "")}
            layer = [(start, first)]
            while layer:
                following = []
                for here, state in layer:
                    for label, after in self.moves(state):
                        found.moves += 1
                        there = self.key(after)
                        if there in parents:
                            continue
                        parents[there] = here, label
                        found.broken = self.promises.broken(state, after, found.reached)
                        if found.broken:
                            found.states, found.way = len(parents), _way(parents, there)
                            return found
                        following.append((there, after))
                    if most and len(parents) >= most:
                        found.whole = False
                        break
                if not found.whole:
                    break
                found.longest += bool(following)
                found.states = len(parents)
                say(found)
                layer = following
            found.states = len(parents)
        return found

    def key(self, state: State) -> bytes:
        return state.key(self._view)

    # ------------------------------------------------------------------ moves

    def moves(self, state: State) -> Iterator[tuple[str, State]]:
        """What may happen next, and what comes of it."""
        scenario, chain = self.scenario, state.chain
        if self._view.ages:
            yield "a block", replace(state, chain=chain.mined())
        if chain.time < EXPIRY and any(expires for _, expires in scenario.grants):
            yield "expiry", replace(state, chain=replace(chain, time=EXPIRY))
        for number in range(len(self.people.grants)):
            yield from self._owner_and_recipient(number, state)
        if scenario.rotations:
            own = [one for one in self.people.grants if not one.copied]
            salts = [one.params.salt for one in own if not chain.grants[one.made].revoked]
            yield from self._sent(state, "rotate", ("revoke", self.people.owner, self.people.album, tuple(salts)))
        for index in self.honest:
            yield f"keeper {index} steps", self.step(state, index)
            if scenario.losing:
                yield f"keeper {index} steps, and its transaction is late", self.step(state, index, loses=True)
        for blocks in range(1, scenario.depth + 1 if state.reorgs < scenario.reorgs else 0):
            yield f"a reorganisation of {blocks}", self._reorganised(state, blocks)
        for transaction in sorted(state.dropped, key=repr):
            rest = replace(state, dropped=state.dropped - {transaction})
            yield from self._sent(rest, "what was dropped is mined", transaction)

    def _owner_and_recipient(self, number: int, state: State) -> Iterator[tuple[str, State]]:
        scenario, chain, granted = self.scenario, state.chain, self.people.grants[number]
        made, wallet = granted.made, granted.params.recipient
        grant = chain.grants[made]
        if scenario.revocations and not granted.copied:
            revoke = ("revoke", self.people.owner, self.people.album, (granted.params.salt,))
            yield from self._sent(state, f"revoke {number}", revoke)
        if grant.seq < scenario.requests:
            used = state.fresh[number]
            counted = tuple(n + (at == number) for at, n in enumerate(state.fresh))
            asked = ("request", wallet, made, request_key(f"{number}.{used}"))
            if used < self._most_fresh:
                yield from self._sent(replace(state, fresh=counted), f"request {number}", asked)
            for key in self._used(state) if scenario.reuse else ():
                again = ("request", wallet, made, key)
                yield from self._sent(state, f"request {number} with the key {self._names[key]}", again)
        for index in scenario.dishonest:
            wallet = self.people.keepers[index].address
            commit = ("commit", wallet, made, grant.seq, index, seed("garbage", number, grant.seq, index))
            yield from self._sent(state, f"dishonest keeper {index} commits to {number}", commit)

    @staticmethod
    def _used(state: State) -> list[bytes]:
        return sorted({event.request_key for event in state.chain.log if isinstance(event, AccessRequested)})

    @staticmethod
    def _sent(state: State, label: str, transaction: Transaction) -> Iterator[tuple[str, State]]:
        """The state after a transaction; none where the contract refuses it."""
        name, *values = transaction
        try:
            chain: Chain = getattr(state.chain, name)(*values)
        except ChainRefused:
            return
        yield label, replace(state, chain=chain)

    def _reorganised(self, state: State, blocks: int) -> State:
        before, after = state.chain, state.chain.reorganised(blocks)
        dropped: set[Transaction] = set(state.dropped)
        for event in before.log[len(after.log) :] if self.scenario.returning else ():
            made = getattr(event, "grant_id", b"")
            if isinstance(event, AccessRequested):
                dropped.add(("request", before.grants[made].recipient, made, event.request_key))
            elif isinstance(event, GrantRevoked):
                salt = self.people.by_id[made].params.salt
                dropped.add(("revoke", self.people.owner, self.people.album, (salt,)))
            elif isinstance(event, ReleaseCommitted):
                keeper = before.sets[SET].keepers[event.index]
                dropped.add(("commit", keeper, made, event.seq, event.index, event.digest))
        return replace(state, chain=after, dropped=frozenset(dropped), reorgs=state.reorgs + 1)

    def step(self, state: State, index: int, *, loses: bool = False) -> State:
        """The real keeper looks at this chain with this memory."""
        keeper, memory = self._machines[index], state.keepers[index]
        registry, vault = keeper.registry, keeper.vault
        assert isinstance(registry, MemoryRegistry) and isinstance(vault, MemoryVault)
        registry.chain, registry.loses, registry.shown, registry.lost = state.chain, loses, [], []
        vault.content = memory.vault
        keeper._dismissed, keeper._round = set(memory.dismissed), 0
        keeper._resting = {name: (view, until) for name, view, until in memory.resting}
        with suppress(ChainUnavailable):
            keeper.step()
        resting = tuple((name, view, until) for name, (view, until) in keeper._resting.items())
        after = Memory(vault.content, frozenset(keeper._dismissed), resting)
        late: set[Transaction] = {("commit", *commit) for commit in registry.lost}
        return replace(
            state,
            chain=registry.chain,
            keepers={**state.keepers, index: after},
            public=state.public.union(registry.shown),
            dropped=state.dropped | late,
        )


def _way(parents: dict[bytes, tuple[bytes, str]], key: bytes) -> list[str]:
    way: list[str] = []
    while parents[key][0]:
        key, label = parents[key]
        way.append(label)
    return way[::-1]
