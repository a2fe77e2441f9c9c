"""A bundle as people read it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffem_cli import audited
from ffem_cli.output import Table, moment

if TYPE_CHECKING:
    from ffem_chain.audit.bundle.captures import Registered
    from ffem_chain.audit.bundle.export import Exported
    from ffem_chain.audit.bundle.verify import Verified
    from ffem_chain.audit.model import Report

Blocks = list[str | Table]


def exported(done: Exported, path: Path) -> tuple[dict[str, Any], Blocks]:
    """What was written."""
    from ffem_chain.audit.bundle.report import coverage

    found = done.verified
    data = _facts(found) | {"file": path, "bytes": done.size, "links": done.links, "coverage": coverage(found)}
    lines: Blocks = [
        f"{path}: {done.size} bytes, {len(found.history.events)} events, {found.headers} headers",
        f"valid for block {found.head.block}, hash 0x{found.head.block_hash.hex()}",
        *coverage(found),
        f"whoever trusts that hash checks it with: ffem audit verify --offline {path} --block-hash 0x…",
    ]
    return data, lines


def head(found: Verified, report: Report) -> tuple[dict[str, Any], Blocks]:
    """What the bundle is, and what is complete."""
    from ffem_chain.audit.bundle.report import coverage

    data = audited.head(report) | _facts(found) | {"coverage": coverage(found)}
    data.pop("chain_id")  # the trusted hash tells which chain it is
    album = found.head.album
    lines: Blocks = [
        f"registry  {report.address}, {'album ' + album.hex() if album else 'all albums'}",
        f"valid for block {report.block} of {moment(report.time)}, hash 0x{report.block_hash.hex()}",
        *coverage(found),
    ]
    return data, lines


def _facts(found: Verified) -> dict[str, Any]:
    return {
        "program": found.head.program,
        "album": found.head.album,
        "block": found.head.block,
        "block_hash": found.head.block_hash,
        "events": len(found.history.events),
        "headers": found.headers,
        "first_block": found.first,
        "logs_complete": found.logs_complete,
        "entries_complete": found.entries_complete,
    }


def everything(found: Verified, report: Report) -> tuple[dict[str, Any], Blocks]:
    """All events, captures and grants."""
    from ffem_chain.audit.bundle.report import Place
    from ffem_chain.audit.views import grant_lines

    grants = grant_lines(report, {})
    events = []
    for one in report.timeline:
        at = Place.of(one)
        entry = asdict(one) | {"transaction": at.transaction, "log": at.log}
        events.append({name: value for name, value in entry.items() if name not in ("tx", "log_index")})
    data = {
        "timeline": events,
        "captures": [_capture(one) for one in found.catalogue.captures],
        "unlisted_batches": [event.root for event in found.catalogue.unlisted],
        "grants": grants,
    }
    rows = [(e["block"], moment(e["time"]), f"{e['transaction']}/{e['log']}", e["text"]) for e in events]
    lines: Blocks = ["", Table(("block", "time", "transaction/log", "what happened"), rows, "nothing has happened yet")]
    rows = [(one.grant.hex()[: audited.DIGITS], one.recipient, moment(one.expiry), one.now) for one in grants]
    lines += ["", Table(("grant", "recipient", "expires", "stands"), rows, "no grant")]
    shown = [
        (
            one.uid.hex()[: audited.DIGITS],
            one.block,
            one.manifest.faces if one.manifest else "-",
            "yes" if one.root else "",
        )
        for one in found.catalogue.captures
    ]
    return data, [*lines, "", Table(("capture", "block", "faces", "in a batch"), shown, "no capture")]


def _capture(one: Registered) -> dict[str, Any]:
    from ffem_chain.stores.cid import cid_of_digest

    manifest = one.manifest
    about = None
    if manifest is not None:
        names = ("faces", "width", "height", "model_id", "rotation", "precision", "size")
        about = {name: getattr(manifest, name) for name in names}
    return {
        "uid": one.uid,
        "album": one.album,
        "cid": cid_of_digest(one.digest),
        "epoch": one.epoch,
        "slot": one.slot,
        "block": one.block,
        "batch": one.root or None,
        "manifest": about,
    }
