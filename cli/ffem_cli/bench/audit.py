"""The index of an audit: events a second, where the time goes, and how long questions take as the registry grows.

On a chain of its own that `Crowd` fills. At each size a new index reads everything, then questions are asked in turns.
`waiting` is the time in which there was nothing to do but wait for the node; processor time is of this process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffem_chain.errors import FfemError
from ffem_cli.bench import machine
from ffem_cli.bench.clock import Clock
from ffem_cli.bench.crowd import LISTED, Crowd, Family
from ffem_cli.sandbox import Sandbox

if TYPE_CHECKING:
    from ffem_chain.audit.index.update import Index
    from ffem_chain.chain.registry import Registry

Say = Callable[[str, int], None]
QUESTIONS = ("capture", "batched", "wallet", "keeper", "grant", "show")
STAGES = ("waiting", "keeping", "words", "root")


def measure(sizes: Sequence[int], repeats: int, whole: bool, say: Say) -> dict[str, Any]:
    """Rows for registries with about so many events, ascending: medians and worst of `repeats` questions of each kind.

    `processes`: milliseconds of commands in processes of their own at the last size, and of one that only starts.
    `whole`: also one audit of everything at each size. `say` takes what is going on and how many events are done.
    """
    rows: list[dict[str, Any]] = []
    with Sandbox() as box:
        crowd, families = Crowd(box.url, box.address), list[Family]()
        for size in sizes:
            so_far = sum(row["events"] for row in rows[-1:])
            families += crowd.fill(size - so_far, lambda text, done, so_far=so_far: say(text, so_far + done))  # type: ignore[misc]
            rows.append(_row(box, crowd, families, size, repeats, whole, say))
        processes = _processes(box, box.folder / f"home-{sizes[-1]}", families[-1])
    return {"rows": rows, "processes": processes, "repeats": repeats, "machine": machine.describe()}


def _row(
    box: Sandbox, crowd: Crowd, families: Sequence[Family], size: int, repeats: int, whole: bool, say: Say
) -> dict[str, Any]:
    from ffem_chain.audit.index.ask import Question, ask
    from ffem_chain.audit.index.reading import IndexedRegistry
    from ffem_chain.audit.index.update import Index
    from ffem_chain.roles.lists import Lists

    copies = box.folder / f"home-{size}" / "sync"
    registry = IndexedRegistry(box.url, box.address, copies=copies)
    index = Index(copies / registry.deployment_id.hex(), registry)
    clock = Clock()
    report = ask(index, Question(), progress=lambda text, done, total: say(text, size))
    wall, processor = clock.read()
    if report is None or not report.complete:
        raise FfemError("the index does not account for its chain: this is a fault", "please report it")
    spent, before = index.spent, index.store.size()
    row: dict[str, Any] = {
        "events": spent.events,
        "blocks": registry.latest_block(),
        "index_s": round(wall, 3),
        "processor_s": round(processor, 3),
        **{f"{stage}_s": round(getattr(spent, stage), 3) for stage in STAGES},
        "events_per_s": round(spent.events / wall),
        "events_per_processor_s": round(spent.events / processor),
        "rpc_share": round(spent.waiting / wall, 3),
        "bytes_per_event": round(index.store.size() / spent.events),
    }
    say(f"taking the lists of {len(families)} batches", size)
    clock = Clock()
    taken = index.lists.take(Lists(crowd.lists))
    wall, processor = clock.read()
    row["lists"] = {
        "lists": taken,
        "captures": taken * LISTED,
        "wall_s": round(wall, 3),
        "processor_s": round(processor, 3),
        "bytes_per_capture": round((index.store.size() - before) / (taken * LISTED)),
    }
    say(f"asking {size} events", size)
    row |= _questions(index, registry, families, repeats)
    if whole:
        row["whole"] = _whole(index, registry)
    index.close()
    return row


def _questions(index: Index, registry: Registry, families: Sequence[Family], repeats: int) -> dict[str, Any]:
    """Milliseconds of each question to an index that is up to date, each time about another family."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in QUESTIONS}
    for number in range(-1, repeats):
        family = families[number * 7919 % len(families)]
        for name in QUESTIONS:
            clock = Clock()
            _question(name, index, registry, family)
            if number >= 0:
                times[name].append(clock.read())
    return {
        "questions": {
            name: {
                "median_ms": round(1000 * statistics.median(wall for wall, _ in found), 1),
                "worst_ms": round(1000 * max(wall for wall, _ in found), 1),
                "processor_ms": round(1000 * statistics.median(processor for _, processor in found), 1),
            }
            for name, found in times.items()
        }
    }


def _question(name: str, index: Index, registry: Registry, family: Family) -> None:
    from ffem_chain.audit.captures import find_capture
    from ffem_chain.audit.index.ask import Question, ask
    from ffem_chain.audit.views import capture_view, grant_view, wallet_view
    from ffem_chain.chain.events import GrantCreated
    from ffem_chain.roles.registrations import Registrations

    if name == "show":  # what `ffem show` asks the chain
        Registrations(registry, None).find_anywhere(family.uids[3])
        created = registry.events([GrantCreated], album=family.album)
        registry.grant_states([one.grant_id for one in created if isinstance(one, GrantCreated)])
        return
    uids = {"capture": family.uids[3], "batched": family.listed.entries[7].uid}
    text = {"grant": family.grants[5].hex()[:12], **{one: uid.hex()[:12] for one, uid in uids.items()}}.get(name)
    wallet = {"wallet": family.recipients[0], "keeper": family.keeper}.get(name)
    asked = Question(wallet=wallet, grant=text if name == "grant" else None, capture=text if name in uids else None)
    report = ask(index, asked)
    assert report is not None and report.complete
    if name in uids:
        capture_view(report, find_capture(report, text or ""), {})
    elif name == "grant":
        grant_view(report, text or "", {})
    else:
        wallet_view(report, wallet or "", {})


def _whole(index: Index, registry: Registry) -> dict[str, Any]:
    """Seconds of one audit of everything, each event in words and every anomaly."""
    from ffem_chain.audit.copy import Joined
    from ffem_chain.audit.run import audit

    clock = Clock()
    audit(registry, source=Joined(index, registry))
    wall, processor = clock.read()
    return {"wall_s": round(wall, 2), "processor_s": round(processor, 2)}


def _processes(box: Sandbox, home: Path, family: Family) -> dict[str, Any]:
    """Milliseconds of a process that only starts, and of commands in processes of their own."""
    secret = ("FFEM_PASSPHRASE", "FFEM_PRIVATE_KEY")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(secret)}
    environment |= {"FFEM_HOME": str(home), "FFEM_RPC_URL": box.url, "FFEM_REGISTRY": box.address}
    ffem = [sys.executable, "-m", "ffem_cli.main"]
    runs = {
        "start": [sys.executable, "-c", "import ffem_cli.main, ffem_chain.audit.index.ask"],
        "grant": [*ffem, "audit", "--grant", family.grants[5].hex(), "--json"],
        "capture": [*ffem, "audit", family.uids[3].hex(), "--json"],
    }
    found = {}
    for name, command in runs.items():
        start = time.perf_counter()
        done = subprocess.run(command, env=environment, capture_output=True, stdin=subprocess.DEVNULL)
        found[f"{name}_ms"] = round(1000 * (time.perf_counter() - start))
        if done.returncode:
            raise FfemError(f"ffem audit failed: {done.stderr.decode(errors='replace')[-300:]}", "please report it")
    return found
