"""`ffem audit`: what the chain proves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import FfemError, InputError, NotForMe
from ffem_cli import audited, lookup, shell
from ffem_cli.commands.captures import ProofOption
from ffem_cli.defaulting import DefaultGroup
from ffem_cli.indexed import percent, session_index
from ffem_cli.output import Answer, Table
from ffem_cli.passphrases import has_secret
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.audit.model import Anomaly, Report
    from ffem_chain.audit.source import EventSource
    from ffem_chain.audit.views import Scopes
    from ffem_chain.capture.proof import CaptureProof
    from ffem_chain.chain.events import CaptureRegistered
    from ffem_chain.chain.registry import Registry

HOUR = 3_600
_GRANT_HINT = "a grant is its id, or at least 6 first digits of it"


class AnomaliesFound(FfemError):
    """The audit was carried out and its basis is broken, or, with --strict, it found something to act on."""

    exit_status = 12


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    from ffem_cli.commands import bundles  # which takes options of this module

    group = typer.Typer(
        name="audit",
        cls=DefaultGroup,
        help="Recompute from the chain who was granted what, who opened it, what was revoked (show; also without it).",
        epilog="Example: ffem audit 3f9a1c --strict",
        rich_markup_mode="rich",
    )
    shell.command(group, "show", example="ffem audit 3f9a1c --strict")(audit)
    bundles.add_to(group)
    app.add_typer(group)


def audit(
    session: Session,
    capture: Annotated[
        str | None, typer.Argument(help="A capture (uid, its first digits, or CID): who may open it, who did.")
    ] = None,
    recipient: Annotated[
        str | None, typer.Option("--recipient", "-r", metavar="WALLET", help="What a wallet received and opened.")
    ] = None,
    grant: Annotated[
        str | None, typer.Option("--grant", "-g", metavar="GRANT", help="A grant: all that happened to it.")
    ] = None,
    in_album: Annotated[str | None, typer.Option("--in-album", help="Id of the capture's album.")] = None,
    proof: ProofOption = None,
    block: Annotated[
        str | None, typer.Option("--block", help="Number, or the 0x hash of a block you trust (default: the newest).")
    ] = None,
    patience: Annotated[
        int, typer.Option("--patience", min=0, help="Seconds after which a keeper counts as silent.")
    ] = HOUR,
    check_store: Annotated[
        bool, typer.Option("--check-store", help="Ask the store of the settings for each capture.")
    ] = False,
    copy: Annotated[
        str | None, typer.Option("--copy", metavar="FOLDER|CID", help="Read older logs from a copy (see `ffem sync`).")
    ] = None,
    scopes: Annotated[
        bool | None,
        typer.Option(
            "--scopes/--no-scopes",
            help="Unlock this wallet's vault to say what its grants are for (default: where no passphrase is asked).",
        ),
    ] = None,
    use_index: Annotated[
        bool, typer.Option("--index/--no-index", help="Keep an index of the logs (see `ffem sync`), or read all anew.")
    ] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="Leave with status 12 for warnings, too, not only where proof is broken.")
    ] = False,
) -> Answer:
    """Recompute from the chain who was granted what, who opened it, what was revoked, and what is wrong.

    It needs no wallet and no passphrase. What no audit can prove is printed, too. Exit status 12: the chain's history
    is missing, altered or another contract's.
    """
    from ffem_chain.audit.captures import find_capture, shown_by
    from ffem_chain.audit.copy import Joined
    from ffem_chain.audit.index.ask import Question, ask
    from ffem_chain.audit.run import audit as run
    from ffem_chain.audit.views import capture_view, grant_view, wallet_view
    from ffem_chain.roles.keyring import checksum

    wallet = None if recipient is None else checksum(recipient)
    if capture is not None:
        lookup.parse_name(capture)
    if grant is not None:
        grant = lookup.parse_name(grant, hint=_GRANT_HINT).prefix or _no_grant(grant)
    at, album = parse_block(block), parse_album(in_album)
    proven = proof_of(proof, capture, in_album)
    registry = session.unchecked_registry()
    source = source_of(session, registry, copy)
    stores = [session.store()] if check_store else []
    index = session_index(session, registry) if use_index and source is None else None
    how: dict[str, Any] = {"confirmations": session.config.whole("confirmations"), "patience": patience, "block": at}
    with session.out.progress(100) as bar:
        report = None
        if index is not None:
            asked = Question(capture=capture, proof=proven, grant=grant, wallet=wallet)
            report = ask(index, asked, lists=session.lists, progress=percent(bar), **how)
            source = Joined(index, registry)
        answered = report is not None and not stores
        if report is None or stores or not (capture or grant or wallet):
            report = run(registry, source=source, stores=stores, progress=percent(bar), **how)
    data: dict[str, Any] = audited.head(report)
    blocks: list[str | Table] = audited.summary(report)
    shown = report.anomalies
    known: Scopes = _scopes(session, report, scopes) if report.deployment and (capture or grant or wallet) else {}
    if capture is not None and report.deployment:
        if proven is not None:
            listed, unlisted = shown_by(report, proven), 0
        else:
            listed, unlisted = (report.listed, report.unlisted) if answered else _listed(session, report)
        if unlisted:
            session.out.note(f"lists of {unlisted} batches of captures are not in the store: they are left out")
        data["unlisted_batches"] = unlisted
        view = capture_view(report, find_capture(report, capture, album, listed, unlisted), known)
        data["capture"], shown = view, view.anomalies
        blocks += audited.capture_blocks(view)
    if grant is not None and report.deployment:
        one = grant_view(report, grant, known)
        data["grant"], shown = one.line, tuple(a for a in shown if a in one.anomalies)
        blocks += audited.grant_blocks(one)
    if wallet is not None:
        seen = wallet_view(report, wallet, known)
        data["recipient"], shown = seen, tuple(a for a in shown if a in seen.anomalies)
        blocks += audited.wallet_blocks(seen)
    if capture is None and grant is None and wallet is None:
        data["timeline"] = report.timeline
        blocks += audited.timeline_table(report.timeline)
    broken = tuple(a for a in report.anomalies if a.severity.name == "BROKEN" and a not in shown)
    shown = (*broken, *shown)
    data["anomalies"], data["limits"] = shown, report.limits
    blocks += audited.anomaly_blocks(shown)
    blocks += ["", "What no audit can prove:", *(f"  - {limit}" for limit in report.limits)]
    return Answer(data, blocks, failure(shown, strict))


def failure(found: tuple[Anomaly, ...], strict: bool) -> AnomaliesFound | None:
    counted = {name: sum(one.severity.name == name for one in found) for name in ("BROKEN", "WARNING")}
    if counted["BROKEN"]:
        return AnomaliesFound(
            f"the audit's basis is broken in {counted['BROKEN']} places", "do not rely on it: see what to do above"
        )
    if strict and counted["WARNING"]:
        return AnomaliesFound(f"{counted['WARNING']} warnings", "see what to do above")
    return None


# ---------------------------------------------------------------------- what is read


def parse_block(text: str | None) -> int | bytes | None:
    if text is None:
        return None
    try:
        if text.startswith(("0x", "0X")) and len(text) == 66:
            return bytes.fromhex(text[2:])
        if text.isascii() and text.isdigit():
            return int(text)
    except ValueError:
        pass
    raise InputError(f"{text[:80]!r} is no block", "a block is a number, or 0x and the 64 digits of its hash")


def _no_grant(text: str) -> str:
    raise InputError(f"{text[:80]!r} is no grant", _GRANT_HINT)


def parse_album(text: str | None) -> bytes | None:
    if text is None:
        return None
    name = lookup.parse_name(text, hint="an album's id has 64 hexadecimal digits")
    if len(name.prefix) != 64:
        raise InputError(f"{text[:80]!r} is no album's id", "an album's id has 64 hexadecimal digits")
    return bytes.fromhex(name.prefix)


def proof_of(proof: Path | None, capture: str | None, album: str | None) -> CaptureProof | None:
    """The proof in a file, which is of the capture that is asked about. Raises InputError, FormatError, Tampered."""
    if proof is None:
        return None
    if capture is None:
        raise InputError("--proof is of a capture, and none was named", "name it as well")
    return lookup.read_proof(proof, capture, album)


def source_of(session: Session, registry: Registry, copy: str | None) -> EventSource | None:
    """The copy joined with the node, None where none was asked for."""
    if copy is None:
        return None
    from ffem_chain.audit.copy import Copy, Joined
    from ffem_chain.audit.sync import load

    found: Copy | None
    if copy.startswith("baf") and len(copy) == 59:
        found = Copy.from_files(session.store().get(copy))
    else:
        folder = Path(copy).expanduser()
        found = load(folder) if folder.is_dir() else None
        if found is None:
            raise InputError(f"there is no copy in {folder}", "make one: ffem sync")
    if found.address != registry.address or found.chain_id != registry.rpc.chain_id:
        raise InputError(f"the copy is of {found.address} on chain {found.chain_id}, another registry", "ffem sync")
    return Joined(found, registry)


def _listed(session: Session, report: Report) -> tuple[tuple[CaptureRegistered, ...], int]:
    """Captures of batches, from the lists that the store serves, and how many lists it does not."""
    if not any(entry.batches for entry in report.history.albums.values()):
        return (), 0
    from ffem_chain.audit.bundle.captures import from_stores

    known = from_stores(report.history, [session.store()])
    return known.listed, len(known.unlisted)


def _scopes(session: Session, report: Report, wanted: bool | None) -> Scopes:
    """What this wallet's vault knows of what grants are for: those it gave and those it received."""
    there = session.has_wallet() and session.vault_path().exists()
    if wanted is False or not (wanted or there):
        return {}
    if wanted is None and not has_secret("FFEM_PASSPHRASE"):
        session.out.note("add --scopes to say what the grants of this wallet are for")
        return {}
    try:
        return _known(session, report)
    except NotForMe as error:
        if wanted:
            raise
        session.out.note(f"what grants are for is left out: {error.message}")
        return {}


def _known(session: Session, report: Report) -> Scopes:
    owner = session.owner()
    found = {record.grant_id: record.scope for record in owner.grants()}
    if any(ledger.created.recipient == owner.wallet for ledger in report.history.grants.values()):
        received = session.recipient().grants()
        found |= {grant.grant_id: grant.scope for grant in received if grant.scope is not None}
    return found
