"""`ffem relay`: sending what others have signed, and handing on what was signed here."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import FfemError, InputError
from ffem_cli import lookup, shell
from ffem_cli.output import Answer, Table, count
from ffem_cli.session import Session
from ffem_cli.signals import stopped_by_signals

if TYPE_CHECKING:
    from ffem_chain.chain.registry import Receipt, Registry
    from ffem_chain.chain.signed import Call
    from ffem_node.relay import Action
    from ffem_node.relaystate import RelayState

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="File that --sign-only wrote.", dir_okay=False)]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("relay", "Let people without ether act: a relay sends what they sign, and pays.")
    shell.command(group, "run", example="ffem relay run --budget 0.02 --limit 20")(run)
    shell.command(group, "allow", example="ffem relay allow 0x70997970C51812dc3A010C7d01b50e0d17dc79C8")(allow)
    shell.command(group, "submit", example="ffem relay submit request.json")(submit)
    shell.command(group, "typed-data", example="ffem relay typed-data request.json")(typed_data)
    shell.command(group, "cancel", example="ffem relay cancel request.json")(cancel)
    app.add_typer(group)


def _state(session: Session, registry: Registry, address: str) -> RelayState:
    from ffem_node.relaystate import RelayState

    name = f"{address[2:].lower()}-{registry.deployment_id.hex()[:16]}.sqlite"
    return RelayState(session.config.home / "relay" / name, registry.deployment_id)


def _wei(text: str) -> int:
    from ffem_node.relaystate import MOST_WEI

    try:
        wei = int(Decimal(text) * 10**18)
    except (InvalidOperation, ValueError, OverflowError):
        wei = 0
    if not 0 < wei <= MOST_WEI:
        raise InputError(f"{text[:20]!r} is no budget", f"ether in 24 hours, at most {MOST_WEI // 10**18}; e.g. 0.02")
    return wei


def run(
    session: Session,
    budget: Annotated[str, typer.Option("--budget", metavar="ETHER", help="Spend at most this in any 24 hours.")] = (
        "0.01"
    ),
    wallet_budget: Annotated[
        str | None,
        typer.Option("--wallet-budget", metavar="ETHER", help="Of that for one wallet. Default: a quarter."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10**6, help="Calls an hour of one wallet.")] = 12,
    album: Annotated[
        list[str] | None, typer.Option("--album", "-a", help="Album (id) to serve; repeatable. Default: your own.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="Port to listen at; 0: a free one.")] = 8645,
) -> None:
    """Send signed calls of an album's people to the registry, with this wallet's ether, until stopped.

    Serves whom the albums' grants name, whom `ffem relay allow` invites, and the albums' owners; nobody else can spend
    the budget. Prints one line an action; with --json one JSON document a line. Safe to stop at any moment.
    """
    from ffem_node.relay import Relay
    from ffem_node.relayserver import RelayServer
    from ffem_node.relaystate import Limits

    whole = _wei(budget)
    limits = Limits(whole, _wei(wallet_budget) if wallet_budget else max(1, whole // 4), limit)
    registry = session.paying_registry()
    wallet = session.account().address
    albums = [_album(one) for one in album] if album else _own_albums(registry, wallet)
    state = _state(session, registry, wallet)
    lock = threading.Lock()

    def say(action: Action) -> None:
        with lock:
            _say(session, action)

    try:
        with state.alone(), stopped_by_signals() as stop:
            relay = Relay(registry, state, albums, limits, say)
            relay.resume()

            def started(url: str) -> None:
                session.out.line(f"relay at {url} for {count(len(albums), 'album')}", {"kind": "started", "url": url})

            try:
                RelayServer(relay, host, port).run(stop, started)
            finally:
                session.out.note("waiting for what was sent")
                relay.close()
    finally:
        state.close()
    session.out.note("stopped")


def _album(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise InputError(f"{text[:70]!r} is no album's id", "64 hexadecimal digits: ffem album list")
    return raw


def _own_albums(registry: Registry, wallet: str) -> list[bytes]:
    from ffem_chain.chain.events import AlbumCreated

    found = [e.album for e in registry.events([AlbumCreated], owner=wallet) if isinstance(e, AlbumCreated)]
    if not found:
        raise InputError(f"{wallet} has no album to relay for", "name one: --album ID")
    return found


def _say(session: Session, action: Action) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    where = f"  {action.wallet} call {action.id.hex()[: lookup.SHOWN]}" if action.id else ""
    cost = f"  {action.cost} wei" if action.cost is not None else ""
    text = f"{now:%Y-%m-%d %H:%M:%S}Z  {action.kind:<8}{where}  {action.text}{cost}"
    data = {
        "time": now,
        "kind": action.kind,
        "wallet": action.wallet or None,
        "id": action.id or None,
        "tx": action.tx,
        "cost_wei": action.cost,
        "text": action.text,
    }
    session.out.line(text, data)


def allow(
    session: Session,
    wallet: Annotated[str | None, typer.Argument(help="Wallet to serve; left out: show whom.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Serve it no longer, unless a grant names it.")] = False,
) -> Answer:
    """Invite a wallet that was granted nothing yet: it may register keys through this wallet's relay.

    Also while the relay runs. Wallets with a live grant in an album that is served need no invitation.
    """
    from ffem_chain.roles.keyring import checksum

    if wallet is None and remove:
        raise InputError("which wallet?", "ffem relay allow --remove WALLET")
    state = _state(session, session.registry(), session.address())
    try:
        if wallet is not None:
            (state.disallow if remove else state.allow)(checksum(wallet))
        found = state.allowed()
    finally:
        state.close()
    table = Table(("invited",), [(one,) for one in found], "nobody is invited: those with a grant are served")
    return Answer({"invited": found}, (table,))


def submit(
    session: Session,
    file: FileArgument,
    signature: Annotated[
        str | None,
        typer.Option("--signature", metavar="HEX|FILE", help="Signature of the one call in FILE, made elsewhere."),
    ] = None,
) -> Answer:
    """Send signed calls from a file: through the relay of the settings, or with this wallet's own ether.

    A call happens once, however often it is sent. Waits until this side's own node shows that it was done.
    """
    from ffem_chain.chain.relayed import check_domain, done_before
    from ffem_cli.signedfile import described, read_calls

    calls = read_calls(file)
    if signature is not None:
        if len(calls) != 1:
            raise InputError(f"{file.name} holds {len(calls)} calls", "one signature is for one call: one a file")
        calls = [calls[0].signed(_signature(signature))]
    unsigned = [call for call in calls if not call.signature]
    if unsigned:
        raise InputError("a call in the file is not signed", "--signature; what to sign: ffem relay typed-data FILE")
    registry = session.registry() if session.relay_client() else session.paying_registry()
    done: list[dict[str, Any]] = []
    failures: list[FfemError] = []
    for call in calls:
        try:
            check_domain(registry, call)
            before = done_before(registry, call)
            receipt = before or _carry(session, registry, call)
        except FfemError as error:
            if failures:
                session.out.note(error.message)
            failures.append(error)
            continue
        entry = {"tx": receipt.tx, "block": receipt.block, "gas": receipt.gas_used, "before": before is not None}
        done.append({**described(call), **entry})
    lines = [
        f"{one['call']} of {one['signer']}: {'already ' if one['before'] else ''}done in block {one['block']}"
        for one in done
    ]
    return Answer({"done": done, "failed": len(failures)}, lines, failures[0] if failures else None)


def _carry(session: Session, registry: Registry, call: Call) -> Receipt:
    from ffem_chain.chain.relayed import Relayed, send_call

    client = session.relay_client()
    if client is None:
        return send_call(registry, call)
    return Relayed(client).carry(call, registry)


def _signature(text: str) -> bytes:
    """From hexadecimal digits, or a file of them."""
    from ffem_chain.keys.files import read_file

    digits = text
    if not text.startswith("0x"):
        digits = read_file(Path(text), "signature", 16 << 10).decode("ascii", "replace").strip()
    try:
        return bytes.fromhex(digits.removeprefix("0x"))
    except ValueError:
        raise InputError("the signature is not hexadecimal", "0x and hexadecimal digits, or a file of them") from None


def typed_data(session: Session, file: FileArgument) -> None:
    """Print the EIP-712 typed data of the calls in a file, one JSON document a line: what a hardware or contract wallet
    signs (`eth_signTypedData_v4`)."""
    import json

    from ffem_cli.signedfile import read_calls

    for call in read_calls(file):
        document = call.typed_data()
        session.out.line(json.dumps(document), document)


def cancel(session: Session, file: FileArgument) -> Answer:
    """Make signatures that this wallet has given out useless: one transaction a call, which this wallet pays.

    A call that was made already stays made.
    """
    from ffem_chain.chain.relayed import check_domain
    from ffem_cli.signedfile import described, read_calls

    calls = read_calls(file)
    registry, wallet = session.paying_registry(), session.account().address
    cancelled: list[dict[str, Any]] = []
    late: list[dict[str, Any]] = []
    for call in calls:
        check_domain(registry, call)
        if call.signer != wallet:
            raise InputError(f"the call is of {call.signer}, and not of {wallet}", "its own wallet cancels it")
    for call in calls:
        if registry.nonce_used(wallet, call.nonce):
            late.append(described(call))
            continue
        registry.use_nonces(call.nonce >> 8, 1 << (call.nonce & 0xFF))
        cancelled.append(described(call))
    lines = [f"{one['call']}: cancelled" for one in cancelled]
    lines += [f"{one['call']}: too late, it was made or cancelled before" for one in late]
    return Answer({"cancelled": cancelled, "too_late": late}, lines)
