"""An audit as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ffem_cli import lookup
from ffem_cli.output import Table, moment

if TYPE_CHECKING:
    from ffem_chain.audit.model import Anomaly, Moment, Report
    from ffem_chain.audit.views import CaptureView, GrantLine, GrantView, WalletView

DIGITS = lookup.SHOWN


def head(report: Report) -> dict[str, Any]:
    return {
        "address": report.address,
        "deployment": report.deployment,
        "chain_id": report.chain_id,
        "block": report.block,
        "block_hash": report.block_hash,
        "time": report.time,
        "complete": report.complete,
        "basis": report.basis,
        "counts": {
            name: getattr(report.counts, name)
            for name in ("events", "albums", "captures", "batches", "grants", "opened", "direct", "revoked")
        },
    }


def summary(report: Report) -> list[str | Table]:
    counts = head(report)["counts"]
    numbers = ", ".join(f"{name} {number}" for name, number in counts.items())
    return [
        f"registry  {report.address} on chain {report.chain_id}",
        f"valid for block {report.block} of {moment(report.time)}, hash 0x{report.block_hash.hex()}",
        f"complete  {'yes' if report.complete else 'NOT PROVEN'}: {report.basis}",
        f"found     {numbers}",
    ]


def timeline_table(moments: tuple[Moment, ...]) -> list[str | Table]:
    rows = [(one.block, moment(one.time), one.text, "0x" + one.tx.hex()) for one in moments]
    return ["", Table(("block", "time", "what happened", "transaction"), rows, "nothing has happened yet")]


def _grants(lines: tuple[GrantLine, ...], other: str) -> Table:
    rows = [
        (
            line.grant.hex()[:DIGITS],
            line.owner if other == "owner" else line.recipient,
            line.scope or "not known here",
            moment(line.expiry),
            line.now,
        )
        for line in lines
    ]
    return Table(("grant", other, "is for", "expires", "stands"), rows, "no grant")


def _steps(lines: tuple[GrantLine, ...]) -> list[str | Table]:
    steps = sorted((step for line in lines for step in line.steps), key=lambda step: step.block)
    rows = [(step.block, moment(step.time), step.text, "0x" + step.tx.hex()) for step in steps]
    return ["", Table(("block", "time", "receipt", "transaction"), rows)] if rows else []


def capture_blocks(view: CaptureView) -> list[str | Table]:
    blocks: list[str | Table] = [
        "",
        f"capture   {view.uid.hex()}",
        f"album     {view.album.hex()} of {view.owner}, epoch {view.epoch}",
        f"digest    {view.digest.hex()}",
        f"cid       {view.cid}",
        f"recorded  block {view.block}, {moment(view.time)}, 0x{view.tx.hex()}",
        "",
        _grants(view.grants, "recipient"),
    ]
    if view.elsewhere:
        blocks.append(f"{view.elsewhere} more grants of the album are for something else, this vault knows")
    if view.cannot_tell:
        blocks.append(view.cannot_tell)
    return blocks + _steps(view.grants)


def grant_blocks(view: GrantView) -> list[str | Table]:
    line = view.line
    key = f"version {line.key_version} ({line.key_status.name.lower()}), suite {line.suite}"
    keepers = f"{line.threshold} of {', '.join(line.keepers)}" if line.keepers else "none"
    return [
        "",
        f"grant     {line.grant.hex()}",
        f"album     {line.album.hex()} of {line.owner}",
        f"to        {line.recipient}, key {key}",
        f"keepers   {keepers}",
        f"is for    {line.scope or 'not known here'}",
        f"expires   {moment(line.expiry)}",
        f"stands    {line.now}",
        *_steps((line,)),
    ]


def wallet_blocks(view: WalletView) -> list[str | Table]:
    keys = [
        (key.version, key.suite, key.status.name.lower(), key.block, key.compromised_block or "-") for key in view.keys
    ]
    blocks: list[str | Table] = ["", f"wallet    {view.wallet}"]
    if view.owns:
        blocks.append(f"owns      {', '.join(name.hex()[:DIGITS] for name in view.owns)}")
    if view.keeps:
        blocks.append(f"keeper    of sets {', '.join(str(number) for number in view.keeps)}")
    columns = ("key version", "suite", "status", "since block", "compromised at")
    blocks += [Table(columns, keys, "it has published no encryption key"), "", _grants(view.grants, "owner")]
    if view.cannot_tell:
        blocks.append(view.cannot_tell)
    return blocks + _steps(view.grants)


def anomaly_blocks(found: tuple[Anomaly, ...]) -> list[str | Table]:
    if not found:
        return ["", "Anomalies: none"]
    blocks: list[str | Table] = ["", "Anomalies:"]
    for one in found:
        blocks.append(f"  [{one.severity.name}] {one.kind.value}: {one.text}")
        blocks.append(f"      what to do: {one.hint}")
    return blocks
