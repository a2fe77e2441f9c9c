"""The sealing pipeline for one photograph: nothing leaves it before every face is covered and sealed.

Order, and why: faces are found, encoded and sealed in memory; the sealed picture is checked against the
original (every face's region changed); only then does the store get the files; the vault records the
capture; the chain registers it. A stage that fails leaves nothing of the picture behind, and a registration
that was interrupted is resumed from the vault.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.capture.model import Box, Capture, Manifest
from ffem_chain.chain.registry import Registry
from ffem_chain.errors import InputError, Tampered
from ffem_chain.keys import tree
from ffem_chain.keys.secret import Secret
from ffem_chain.roles.owner import Owner
from ffem_chain.roles.reading import load_capture
from ffem_chain.roles.records import CaptureRecord
from ffem_chain.stores.base import Store

if TYPE_CHECKING:
    from ffem_chain.faces.weights import Model

STAGES = ("load", "detect", "encode", "rotate", "exact", "pack", "store", "register")
PRECISION = "q10"
# A cover that left this share of a face's pixels as they were is no cover.
_MOST_UNCHANGED = 0.2


@dataclass(frozen=True)
class Sealed:
    """A sealed photograph.

    `faces` are sealed and can be opened, `covered` are too small for the flow and covered for ever. `bytes`
    by file name, `timings_ms` by stage (`STAGES`). `registered` False: sealed offline, to be registered by
    `resume_pending`.
    """

    uid: bytes
    cid: str
    faces: int
    covered: int
    bytes: dict[str, int]
    timings_ms: dict[str, float]
    registered: bool


def seal_photo(
    photo: Path | NDArray[np.uint8],
    owner: Owner,
    album: str,
    registry: Registry | None,
    store: Store,
    model: Model,
    detector: Any,
    *,
    rotation: str = "sphere",
    keep_metadata: bool = False,
    allow_no_faces: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> Sealed:
    """Seal a photograph (a path, or u8[H,W,3] RGB) into `album` and register it; `registry` None seals
    offline.

    `on_progress` is called with each stage's name as it begins. Raises InputError (unreadable picture, no
    face found), and whatever a stage raises; then nothing was stored or registered, except that a failed
    registration leaves the sealed capture recorded for `resume_pending`.
    """
    raise NotImplementedError


def resume_pending(owner: Owner, store: Store) -> list[CaptureRecord]:
    """Register the captures that were sealed but not registered, and are still in the store."""
    waiting = [record for record in owner.captures() if not record.registered]
    return [owner.register_capture(record.uid) for record in waiting if store.has(record.cid)]
