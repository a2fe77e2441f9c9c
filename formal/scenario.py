"""What is explored: who takes part, who is dishonest, how often what may happen."""

from __future__ import annotations

from dataclasses import dataclass

from ffem_node.keeper import Keeper
from formal.contract import REAL, Rules


@dataclass(frozen=True)
class Scenario:
    """Bounds of an exploration.

    `threshold` of `keepers` keepers; `dishonest` are some of them. `grants`: (recipient, whether it expires). Honest
    keepers wait for `confirmations` blocks; up to `reorgs` times the newest blocks, at most `depth`, are replaced by
    empty ones, and their transactions may be mined later, or never (`returning`). Each grant gets up to `requests`
    requests; with `reuse` also with request keys that somebody, anybody, has used before. With `losing`, commits of
    honest keepers may be sent and mined later, or never. `batch`: all grants are one batch. The owner revokes
    single grants (`revocations`), or all that it has not yet revoked, at once (`rotations`).
    With `copies`, the first recipient has made a grant to itself, in an album of its own that the same keepers serve,
    of the bytes of the first grant.
    """

    threshold: int
    keepers: int
    grants: tuple[tuple[int, bool], ...]
    dishonest: tuple[int, ...] = ()
    confirmations: int = 1
    depth: int = 0
    reorgs: int = 0
    requests: int = 1
    reuse: bool = False
    returning: bool = False
    losing: bool = False
    batch: bool = False
    revocations: bool = True
    rotations: bool = False
    copies: bool = False
    rules: Rules = REAL
    keeper: type[Keeper] = Keeper


# By name; the first four are what `make test` explores.
SCENARIOS: dict[str, Scenario] = {
    "one dishonest of three": Scenario(2, 3, ((0, True),), dishonest=(2,)),
    "reorganisation": Scenario(2, 2, ((0, False),), confirmations=2, depth=1, reorgs=1),
    "keys used again": Scenario(1, 1, ((0, False), (0, False)), reuse=True),
    "a grant that copies another": Scenario(1, 1, ((0, True),), copies=True),
    "keys used again by three": Scenario(1, 1, ((0, False), (0, False), (1, False)), requests=2, reuse=True),
    "all that can happen to one grant": Scenario(
        2,
        3,
        ((0, True),),
        dishonest=(2,),
        confirmations=2,
        depth=1,
        reorgs=2,
        requests=2,
        reuse=True,
        returning=True,
        losing=True,
    ),
    "deeper reorganisations": Scenario(
        2, 3, ((0, False),), dishonest=(0,), confirmations=3, depth=2, reorgs=2, returning=True
    ),
    "two grants of one recipient": Scenario(
        2, 2, ((0, True), (0, False)), confirmations=2, depth=1, reorgs=1, reuse=True, batch=True
    ),
    "copies, with one dishonest of three": Scenario(2, 3, ((0, False),), dishonest=(2,), copies=True),
    "three dishonest of four": Scenario(4, 4, ((0, True),), dishonest=(1, 2, 3), confirmations=2, depth=1, reorgs=1),
    "three recipients, four grants, two keepers": Scenario(
        2, 2, ((0, False), (0, True), (1, False), (2, False)), batch=True, revocations=False, rotations=True
    ),
    "two recipients, two grants, one dishonest of three keepers": Scenario(
        2, 3, ((0, False), (1, False)), dishonest=(0,), batch=True, revocations=False, rotations=True
    ),
    "three recipients, four grants, one dishonest of three keepers": Scenario(
        2,
        3,
        ((0, False), (0, True), (1, False), (2, False)),
        dishonest=(0,),
        batch=True,
        revocations=False,
        rotations=True,
    ),
}
