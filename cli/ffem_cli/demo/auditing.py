"""The last act: an auditor, who holds no key, recomputes from the chain who could open what."""

from __future__ import annotations

from typing import Any

from ffem_chain.audit.captures import find_capture
from ffem_chain.audit.run import audit
from ffem_chain.audit.views import capture_view
from ffem_cli.audited import head
from ffem_cli.demo.story import Story
from ffem_cli.demo.telling import count


def judge(story: Story) -> dict[str, Any]:
    """Audit the registry; the report as data, for audit.json."""
    with story.teller.act("audit", "An auditor, who holds no key, reads the chain") as act:
        act.working("reading logs and proofs")
        report = audit(
            story.box.reader(), stores=[story.box.store], progress=lambda text, done, total: act.working(text)
        )
        capture = capture_view(report, find_capture(report, story.uid.hex()), {})
        act.say(
            f"up to block {report.block}, hash 0x{report.block_hash.hex()}",
            f"{'complete' if report.complete else 'NOT PROVEN COMPLETE'}: {report.basis}",
            "what happened (the chain shows addresses, the names are added here):",
            *(f"  block {moment.block:3}  {moment.text}" for moment in report.timeline),
            "who could open the capture:",
            *(f"  {line.recipient}: {line.now}" for line in capture.grants),
            f"{count(len(report.anomalies), 'finding')}:",
            *(f"  {one.severity.name.lower()}: {one.text}" for one in report.anomalies),
            "what no audit can prove:",
            *(f"  {limit}" for limit in report.limits),
            complete=report.complete,
            block=report.block,
            anomalies=[one.kind.value for one in report.anomalies],
        )
    parts = {"timeline": report.timeline, "anomalies": report.anomalies, "limits": report.limits}
    return {**head(report), "capture": capture, **parts}
