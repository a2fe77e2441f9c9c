"""What `ffem seal` says of photos and batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ffem_cli.output import Table, count


def blocks(
    outcomes: Iterable[dict[str, Any]], batches: Iterable[dict[str, Any]], batch: bool = False
) -> list[str | Table]:
    """Captures and batches for people. `batch`: they were to be registered as one."""
    resume = "ffem seal --resume" + " --batch" * batch
    lines: list[str | Table] = []
    for one in outcomes:
        if "error" in one:
            reason = str(one["error"]).removeprefix(f"{one['photo']}: ")
            lines.append(f"{one['photo']}: NOT SEALED: {reason}")
        elif one.get("resumed"):
            lines.append(f"{one['uid'].hex()}: registered, {one['cid']}")
        elif one.get("before"):
            lines.append(f"{one['photo']}: sealed before, capture {one['uid'].hex()}")
        else:
            state = "registered" if one["registered"] else f"not registered yet: {resume}"
            covered = f", {one['covered']} too small, covered for ever" if one["covered"] else ""
            lines += [
                f"{one['photo']}: {count(one['faces'], 'face')} sealed{covered}; {state}",
                *_as_they_are(one["not_frontalized"], one["faces"]),
                f"  capture  {one['uid'].hex()}",
                f"  cid      {one['cid']}",
                f"  size     {_kib(sum(one['bytes'].values()))}: "
                + ", ".join(f"{name} {_kib(size)}" for name, size in sorted(one["bytes"].items())),
                f"  time     {one['total_ms']:.0f} ms: "
                + ", ".join(f"{name} {ms:.0f}" for name, ms in one["ms"].items()),
            ]
            if "exported" in one:
                lines.append(f"  I_enc    {one['exported']}")
            elif "export_error" in one:
                lines.append(f"  I_enc    NOT WRITTEN: {one['export_error']}")
    return [*lines, *_batch_lines(batches)]


def _as_they_are(turned: int, faces: int) -> list[str]:
    """A line about faces that a model which turns faces to the front got as they are."""
    were = "was" if turned == 1 else "were"
    return [f"  pose     {turned} of {count(faces, 'face')} {were} not frontalized: turned too far"] if turned else []


def _kib(size: int) -> str:
    return f"{size / 1024:.1f} KiB"


def _batch_lines(batches: Iterable[dict[str, Any]]) -> list[str | Table]:
    lines: list[str | Table] = []
    for one in batches:
        cost = f": {one['gas']} gas, {one['gas'] // one['captures']} a capture" if one["gas"] else ", sent before"
        where = f" in block {one['block']}" if one["block"] else ""
        lines += [
            f"{count(one['captures'], 'capture')} registered at once{where}{cost}",
            f"  root     {one['root'].hex()}",
            f"  list     {one['list']}",
        ]
    return lines
