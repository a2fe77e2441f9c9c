"""Vectors and documents that take long to compute, kept in a folder, so that an interrupted evaluation goes on.

A part's file is named by the digest of everything that its vectors depend on; what changed is computed anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")
Say = Callable[[str, int], None]
_PART = 100


class Cache:
    """Vectors by what they depend on; `folder` None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def rows(
        self,
        what: str,
        items: Sequence[tuple[str, Item]],
        compute: Callable[[Item], NDArray[np.float32]],
        say: Say,
        **depends: object,
    ) -> NDArray[np.float32]:
        """`compute(item)` of every (name, item), stacked, float32 (N, d); several threads call it at a time. `depends`
        is all but the names that a vector depends on (JSON values): model ids, digests, seeds. `say` hears `what` and
        how many are done."""
        parts = []
        for at in range(0, len(items), _PART):
            part = items[at : at + _PART]
            path = self._path([what, depends, [name for name, _ in part]])
            if path is not None and path.exists():
                parts.append(np.load(path, allow_pickle=False))
                say(what, at + len(part))
                continue
            rows = []
            with threads() as pool:
                say(what, at)
                for row in pool.map(compute, [item for _, item in part]):
                    rows.append(row)
                    say(what, at + len(rows))
            parts.append(np.stack(rows).astype(np.float32))
            if path is not None:
                fresh = path.with_suffix(f".{os.getpid()}.part")
                with fresh.open("wb") as out:
                    np.save(out, parts[-1])
                fresh.replace(path)
        return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)

    def document(self, what: str, compute: Callable[[], Any], **depends: object) -> Any:
        """`compute()`, a JSON value, kept under `what` and all that it depends on."""
        path = self._path([what, depends], "json")
        if path is None:
            return compute()
        if not path.exists():
            text = json.dumps(compute())
            fresh = path.with_suffix(f".{os.getpid()}.part")
            fresh.write_text(text)
            fresh.replace(path)
        return json.loads(path.read_text())

    def _path(self, key: object, kind: str = "npy") -> Path | None:
        if self.folder is None:
            return None
        return self.folder / f"{hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]}.{kind}"


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    """A thread a core, in which torch does without threads of its own: on two cores two pictures at a time take two
    thirds of the time that one after the other takes with two threads each."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
