"""`ffem audit export` and `ffem audit verify`: an audit in one file, for somebody who has no node."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import audited, bundled, shell
from ffem_cli.commands import audit
from ffem_cli.commands.captures import ProofOption
from ffem_cli.indexed import percent
from ffem_cli.output import Answer
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.chain.rpc import Rpc


class LinksChoice(Enum):
    """What links the blocks: see docs/AUDIT.md."""

    AUTO = "auto"
    HEADERS = "headers"
    HISTORY = "history"
    CHAINS = "chains"


def add_to(group: typer.Typer) -> None:
    """Add the commands of this module to the group of audits."""
    shell.command(group, "export", example="ffem audit export -o bundle.tar")(export)
    shell.command(group, "verify", example=f"ffem audit verify --offline bundle.tar --block-hash 0x{'5a' * 32}")(verify)


def export(
    session: Session,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The bundle; must not exist yet.")],
    in_album: Annotated[
        str | None, typer.Option("--in-album", help="Id of the one album to export (default: all of the registry).")
    ] = None,
    block: Annotated[
        str | None, typer.Option("--block", help="Number, or the 0x hash of a block (default: the newest).")
    ] = None,
    links: Annotated[
        LinksChoice,
        typer.Option(
            "--links", help="What links events to the block: all headers, EIP-2935 proofs, or chains of headers."
        ),
    ] = LinksChoice.AUTO,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option("--checkpoint", metavar="HASH", help="0x hash of an older block that the auditor trusts, too."),
    ] = None,
    patience: Annotated[
        int, typer.Option("--patience", min=0, help="Seconds after which a keeper counts as silent.")
    ] = audit.HOUR,
    copy: Annotated[
        str | None, typer.Option("--copy", metavar="FOLDER|CID", help="Read older logs from a copy (see `ffem sync`).")
    ] = None,
    manifests: Annotated[
        bool, typer.Option("--manifests/--no-manifests", help="Ask the store for captures' manifests and lists.")
    ] = True,
) -> Answer:
    """Write an audit that proves itself into one file: events with receipt proofs, block headers, state, manifests.

    Whoever trusts the hash of the block that is printed can check all of it with `ffem audit verify --offline`, without
    a node. An export that was interrupted goes on when it is called again.
    """
    from ffem_chain.audit.bundle.export import Wish
    from ffem_chain.audit.bundle.export import export as run
    from ffem_chain.audit.bundle.plan import Links

    wish = Wish(
        album=audit.parse_album(in_album),
        block=audit.parse_block(block),
        confirmations=session.config.whole("confirmations"),
        patience=patience,
        links=Links(links.value),
        checkpoints=_hashes(checkpoint or []),
    )
    registry = session.registry()
    source = audit.source_of(session, registry, copy)
    stores = [session.store()] if manifests else []
    with session.out.progress(100) as bar:
        done = run(registry, output, wish, source=source, stores=stores, progress=percent(bar))
    data, blocks = bundled.exported(done, output)
    return Answer(data, blocks)


def verify(
    session: Session,
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The file that `ffem audit export` wrote.")],
    block_hash: Annotated[
        list[str] | None,
        typer.Option("--block-hash", metavar="HASH", help="0x hash of a block that you trust; can be repeated."),
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network: the hash that you trust is all that is needed.")
    ] = False,
    capture: Annotated[
        str | None,
        typer.Option("--capture", help="A capture (uid, first digits, or CID): who may open it, who did."),
    ] = None,
    proof: ProofOption = None,
    recipient: Annotated[
        str | None, typer.Option("--recipient", "-r", metavar="WALLET", help="What a wallet received and opened.")
    ] = None,
    any_report: Annotated[
        bool, typer.Option("--any-report", help="Do not compare report.txt (worded by another version of ffem).")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Leave with status 12 for warnings, too, not only where proof is broken.")
    ] = False,
) -> Answer:
    """Check a bundle against the hash of a block that you trust, and say what it proves.

    With --offline nothing but the file and the hash is used. Without --block-hash, the chain of the settings is asked
    for the hash: trust it as far as you trust that node. A changed byte anywhere is an error that names the place.
    """
    from ffem_chain.audit.bundle.report import report_of
    from ffem_chain.audit.bundle.verify import verify as run
    from ffem_chain.audit.captures import find_capture, shown_by
    from ffem_chain.audit.views import capture_view, wallet_view
    from ffem_chain.roles.keyring import checksum

    wallet = None if recipient is None else checksum(recipient)
    proven = audit.proof_of(proof, capture, None)
    trusted = _hashes(block_hash or [])
    if not trusted:
        if offline:
            raise InputError(
                "a bundle proves nothing by itself", "give the hash of a block that you trust: --block-hash"
            )
        trusted = (_from_node(session, bundle),)
    found = run(bundle, trusted, any_report=any_report)
    report = report_of(found)
    data, blocks = bundled.head(found, report)
    shown = report.anomalies
    if capture is not None:
        known = found.catalogue
        listed = known.listed if proven is None else shown_by(report, proven)
        unlisted = len(known.unlisted) if proven is None else 0
        view = capture_view(report, find_capture(report, capture, None, listed, unlisted), {})
        data["capture"], shown = view, view.anomalies
        blocks += audited.capture_blocks(view)
    if wallet is not None:
        seen = wallet_view(report, wallet, {})
        data["recipient"], shown = seen, tuple(one for one in shown if one in seen.anomalies)
        blocks += audited.wallet_blocks(seen)
    if capture is None and wallet is None:
        more, lines = bundled.everything(found, report)
        data |= more
        blocks += lines
    data["anomalies"], data["limits"] = shown, report.limits
    blocks += audited.anomaly_blocks(shown)
    blocks += ["", "What cannot be proven:", *(f"  - {limit}" for limit in report.limits)]
    return Answer(data, blocks, audit.failure(shown, strict))


def _hashes(texts: list[str]) -> tuple[bytes, ...]:
    found = []
    for text in texts:
        block = audit.parse_block(text)
        if not isinstance(block, bytes):
            raise InputError(f"{text[:80]!r} is no hash of a block", "0x and 64 hexadecimal digits")
        found.append(block)
    return tuple(found)


def _from_node(session: Session, bundle: Path) -> bytes:
    """Hash of the bundle's block on the chain of the settings."""
    from ffem_chain.audit.bundle.archive import Archive
    from ffem_chain.audit.bundle.format import HEAD, Head
    from ffem_chain.audit.proofs import read_header

    head = Head.unpack(Archive(bundle)[HEAD])
    rpc: Rpc = session.rpc()
    header: Any = read_header(rpc, head.block)
    session.out.note(f"trusting {rpc.name} for the hash of block {head.block}: 0x{header.hash.hex()}")
    return bytes(header.hash)
