"""What a bundle says, for people: the same bytes for the same proofs, so that they can be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from ffem_chain.audit.bundle.captures import Registered
from ffem_chain.audit.bundle.format import REPORT
from ffem_chain.audit.bundle.receipts import place_of
from ffem_chain.audit.bundle.verify import Verified
from ffem_chain.audit.findings import findings
from ffem_chain.audit.limits import limits
from ffem_chain.audit.model import Counts, Moment, Report
from ffem_chain.audit.releases import Scene
from ffem_chain.audit.timeline import timeline
from ffem_chain.audit.views import standing
from ffem_chain.errors import Tampered
from ffem_chain.stores.cid import cid_of_digest

WIDTH = 16


@dataclass(frozen=True)
class Place:
    """Where an event stands: block, index of the transaction in it, position of the log in its receipt."""

    block: int
    transaction: int
    log: int

    @classmethod
    def of(cls, moment: Moment) -> Place:
        """The place of an event of a bundle."""
        return cls(moment.block, *place_of(moment.log_index))


def program() -> str:
    """This version of the library, as a bundle names it."""
    return version("ffem-chain")


def report_of(found: Verified) -> Report:
    """The audit that a bundle amounts to. Its `chain_id` is 0: the trusted hash tells which chain it is."""
    head, header, history = found.head, found.header, found.history
    anomalies = findings(Scene(history, header.time, dict(found.times), head.patience))
    counts, beyond = Counts.of(history), []
    if found.catalogue.unlisted:
        count = sum(event.count for event in found.catalogue.unlisted)
        beyond.append(
            f"what {count} captures in {len(found.catalogue.unlisted)} batches are: no store served the lists"
        )
    if found.catalogue.without_manifest:
        beyond.append(f"manifests of {found.catalogue.without_manifest} captures: no store served right ones")
    if not found.entries_complete:
        beyond.append("that the album has no other grants, captures and batches than those shown")
    return Report(
        address=head.registry,
        deployment=head.deployment,
        chain_id=0,
        block=head.block,
        block_hash=head.block_hash,
        time=header.time,
        complete=found.entries_complete,
        basis=" ".join(coverage(found)),
        anomalies=tuple(anomalies),
        timeline=timeline(history, dict(found.times)),
        limits=(*beyond, *limits(counts, found.entries_complete, head.block, logs=found.logs_complete)),
        history=history,
        times=dict(found.times),
        counts=counts,
    )


def coverage(found: Verified) -> list[str]:
    """What is complete and why, in sentences."""
    if found.head.album is None:
        state = (
            "State: the block's hash proves that no event is missing that changed the contract's storage (keys, "
            "albums, epochs, keeper sets, captures, grants, the number of requests, commits, revocations, used nonces)."
        )
    else:
        state = (
            "State: the block's hash proves each key, epoch, keeper set, capture, grant, commit and revocation shown "
            "here as it stands at the block."
        )
    if found.logs_complete:
        what = "the registry" if found.head.album is None else "this album and its grants"
        logs = (
            f"Logs: every header from block {found.first} on is here, and shows that {what} logged nothing else: no "
            "request, delivery or other event is missing."
        )
    else:
        logs = (
            "Logs: requests' keys, deliveries and sealed recovery keys shown here were logged; that there were no "
            "others is not shown, since not every header is here."
        )
    return [state, logs]


def compare(found: Verified, data: bytes) -> None:
    """Raises Tampered, naming the line, unless `data` is the report of what a bundle proves."""
    if data == text(found).encode():
        return
    if found.head.program != program():
        raise Tampered(
            f"{REPORT}: ffem-chain {found.head.program} worded it, this is {program()}: the two cannot be compared",
            "verify with that version, or leave the report out: --any-report",
        )
    ours, theirs = text(found).encode().split(b"\n"), data.split(b"\n")
    line = next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    raise Tampered(
        f"{REPORT}: line {line + 1} is not what the proofs in the bundle give",
        "do not rely on the report; get the bundle again, or from somebody else",
    )


def text(found: Verified) -> str:
    """The content of report.txt."""
    return "\n".join(_lines(found, report_of(found))) + "\n"


def _lines(found: Verified, report: Report) -> Iterator[str]:
    head, history = found.head, found.history
    album = f"album {head.album.hex()}" if head.album is not None else "all albums"
    yield f"Audit bundle of ffem-chain {head.program}"
    yield f"registry    {head.registry}, deployment {head.deployment.hex()}"
    yield f"of          {album}"
    yield f"valid for   block {head.block} of {moment(report.time)}, hash 0x{head.block_hash.hex()}"
    yield f"holds       {len(history.events)} events, {found.headers} headers from block {found.first} on"
    yield f"patience    {head.patience} s"
    yield ""
    yield "Whoever trusts that hash need trust nobody else for what follows (ffem audit verify --offline)."
    yield from coverage(found)
    yield ""
    yield "WHAT HAPPENED"
    for one in report.timeline:
        at = Place.of(one)
        yield f"block {at.block} transaction {at.transaction} log {at.log}, {moment(one.time)}: {one.kind}: {one.text}"
    yield ""
    yield "CAPTURES"
    yield from (_capture(capture) for capture in found.catalogue.captures)
    for event in found.catalogue.unlisted:
        yield f"batch {event.root.hex()} of {event.count} captures: no store served a list that has this root"
    yield ""
    yield "GRANTS, AND WHAT THEY ALLOW AT THE BLOCK"
    for grant, ledger in history.grants.items():
        yield f"{grant.hex()} to {ledger.created.recipient}: {standing(history, ledger)}"
    yield ""
    yield "OUT OF THE ORDINARY"
    for anomaly in report.anomalies:
        yield f"[{anomaly.severity.name}] {anomaly.kind.value}: {anomaly.text}. What to do: {anomaly.hint}"
    yield ""
    yield "WHAT CANNOT BE PROVEN"
    yield from (f"- {limit}" for limit in report.limits)


def _capture(capture: Registered) -> str:
    manifest = capture.manifest
    what = (
        f"{manifest.faces} faces in {manifest.width} x {manifest.height} px, model {manifest.model_id.hex()[:WIDTH]}, "
        f"{manifest.rotation}, {manifest.precision}"
        if manifest
        else "no store served its manifest"
    )
    batch = f", batch {capture.root.hex()[:WIDTH]}" if capture.root else ""
    where = f"album {capture.album.hex()[:WIDTH]}, epoch {capture.epoch}, slot {capture.slot}{batch}"
    return f"{capture.uid.hex()} at {cid_of_digest(capture.digest)}, {where}: {what}"


def moment(seconds: int) -> str:
    """UTC time of unix seconds."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} s after 1970"
