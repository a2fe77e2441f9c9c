"""What the session's story leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

from ffem_chain.roles.records import GrantRecord
from tests.e2e.world import Scene, World


@dataclass(frozen=True)
class Story:
    """A world with an album (keepers 1, 2, 3, two of them needed), two captures, grants by what became of them:

    opened: face 0 to account 4, with a second request that one keeper answered; revoked: face 1 to account 4; asked:
    the whole epoch to account 5, requested; direct: the other capture to account 5; hybrid: directly, suite 2, to 4.
    `other`: an album of account 1, its only keeper.
    """

    world: World
    scene: Scene
    another: bytes
    grants: dict[str, GrantRecord]
    other: bytes

    def id(self, name: str) -> bytes:
        """Id of a grant."""
        return self.grants[name].grant_id
