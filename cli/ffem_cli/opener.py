"""Opening a capture: which grants open which faces, requesting, waiting for keepers, and the pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ffem_chain.errors import Refused
from ffem_cli import lookup, pictures
from ffem_cli.output import count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ffem_chain.capture.model import Capture
    from ffem_chain.faces.flow.weights import Model
    from ffem_chain.keys.grants import OpenedGrant
    from ffem_chain.keys.secret import Secret
    from ffem_chain.roles.received import ReceivedGrant
    from ffem_chain.roles.recipient import Progress, Recipient, Request
    from ffem_chain.roles.registrations import Registration


@dataclass(frozen=True)
class Part:
    """One grant and the faces that are opened with it. `late`: revoked or expired; it opens only what keepers
    had released before."""

    grant: ReceivedGrant
    faces: tuple[int, ...]
    late: bool


@dataclass(frozen=True)
class Plan:
    """How a capture is opened: grants with their faces, and the sealed faces that stay closed to this wallet."""

    parts: tuple[Part, ...]
    closed: tuple[int, ...]

    @property
    def faces(self) -> list[int]:
        """The faces that open."""
        return sorted(face for part in self.parts for face in part.faces)


def make_plan(recipient: Recipient, event: Registration, sealed: Sequence[int], face: int | None) -> Plan:
    """With as few requests as possible: first direct grants and those whose key is held, then those that cover most;
    for one `face` the narrowest.

    `sealed` are the faces that keys open. Raises Refused or NotForMe, saying why, where nothing opens.
    """
    from ffem_chain.keys.scope import LEVEL_FACE, Scope
    from ffem_chain.roles.records import covers, narrow

    wanted = list(sealed) if face is None else [face]
    targets = {i: Scope(LEVEL_FACE, epoch=event.epoch, slot=event.slot, uid=event.uid, face=i) for i in wanted}
    usable, late = [], []
    for grant in recipient.grants(event.album):
        scope = grant.scope
        if scope is None or not any(covers(scope, one) for one in targets.values()):
            continue
        if grant.opens:
            usable.append(grant)
        elif recipient.outstanding(grant.grant_id) is not None:
            late.append(grant)
    wide = 1 if face is None else -1
    usable.sort(key=lambda one: (not (one.direct or one.held), wide * narrow(one.scope), -one.block))
    parts, open_still = [], dict(targets)
    for grant in [*usable, *late]:
        mine = tuple(i for i, one in open_still.items() if grant.scope is not None and covers(grant.scope, one))
        if mine:
            parts.append(Part(grant, mine, grant in late))
            open_still = {i: one for i, one in open_still.items() if i not in mine}
    if not parts:
        recipient.find(event.uid, face, album=event.album)  # says why
        raise Refused(f"capture {event.uid.hex()[: lookup.SHOWN]} has no face that this wallet may open")
    return Plan(tuple(parts), tuple(open_still))


def ask(recipient: Recipient, part: Part) -> Request | None:
    """Request access, or go on with the request that waits already; None where none is needed."""
    if part.grant.direct or part.grant.held:
        return None
    return recipient.outstanding(part.grant.grant_id) or recipient.request(part.grant.grant_id)


def collect(
    recipient: Recipient, plan: Plan, wait: float, say: Callable[[str, int], None]
) -> list[tuple[Part, OpenedGrant]]:
    """Wait up to `wait` seconds for the keepers of all parts. Requests stay collectable until `forget`.

    Raises as `Recipient.collect`; what was released by then is there again at the next call.
    """
    deadline = time.monotonic() + wait
    opened = []
    for part in plan.parts:
        grant = part.grant.grant_id
        if part.grant.direct:
            opened.append((part, recipient.open_direct(grant)))
            continue
        held = recipient.held(grant) if part.grant.held else None
        if held is not None:
            opened.append((part, held))
            continue

        def show(progress: Progress, grant: bytes = grant) -> None:
            say(f"grant {grant.hex()[: lookup.SHOWN]}: {progress_text(progress)}", len(progress.good))

        left = max(0.0, deadline - time.monotonic())
        opened.append((part, recipient.collect(grant, timeout=left, on_progress=show, keep=True)))
    return opened


def progress_text(progress: Progress) -> str:
    """Who answered, who is silent, who sent a wrong share."""
    words = [f"{len(progress.good)} of {count(progress.needed, 'share')}"]
    for title, wallets in (
        ("answered", progress.good),
        ("committed", progress.committed if len(progress.good) < progress.needed else ()),
        ("WRONG SHARE from", progress.wrong),
        ("waiting for", progress.silent if len(progress.good) < progress.needed else ()),
    ):
        if wallets:
            words.append(f"{title} {', '.join(wallets)}")
    return "; ".join(words)


def draw(capture: Capture, keys: dict[int, Secret], model: Model | None) -> NDArray[np.uint8]:
    """I_enc with the faces of `keys` opened: their exact pixels, or with a `model` what the flow decodes.

    Raises NotForMe for a wrong key, Tampered for damage.
    """
    from ffem_chain.capture.exact import open_faces

    picture = pictures.pixels_of(capture)
    if model is None:
        return open_faces(capture, picture, keys)
    from ffem_chain.faces.readers import open_flow

    for index, key in keys.items():
        picture = open_flow(capture, picture, index, key, model)
    return picture
