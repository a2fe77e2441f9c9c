"""`ffem key recovery` and `ffem key recover`: copies of the encryption keys for a code that is kept on paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffem_cli import shell
from ffem_cli.output import Answer, count
from ffem_cli.passphrases import read_secret
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.keys.secret import Secret


def add_to(group: typer.Typer) -> None:
    """Add the commands of this module to `ffem key`."""
    recovery = shell.group("recovery", "A code on paper that gives the wallet's encryption keys back.")
    shell.command(recovery, "new", example="ffem key recovery new --out recovery-code.txt")(new)
    shell.command(recovery, "publish", example="ffem key recovery publish")(publish)
    group.add_typer(recovery)
    shell.command(group, "recover", example="ffem key recover --profile new-phone")(recover)


def new(
    session: Session,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="New file for the code, for your eyes only; else it is shown.", dir_okay=False
        ),
    ] = None,
) -> Answer | None:
    """Make a recovery code, show it once, and put a copy of every encryption key, sealed to it, on the chain.

    Write it down and keep it away from this machine: whoever has it reads, with the copies on the chain, everything
    that was or will be granted to this wallet. It signs nothing. Keys registered later are sealed to it by themselves.
    """
    from ffem_chain.keys.files import write_private
    from ffem_chain.keys.recovery import RecoveryCode

    ring = session.ring()
    ring.resume()
    former = ring.recovery_keys()
    code = RecoveryCode.new()
    if out is not None:
        write_private(out, code.words().to_secret_bytes() + b"\n", replace=False)
    ring.set_recovery(code)
    waiting = ring.without_copy()
    # Before anything is sent: an interruption must not leave copies for a code that nobody has seen.
    session.out.show(_shown(code.words(), out, ring.wallet, waiting))
    if former:
        session.out.note("the former code still opens the copies made for it: rotate the keys if it is in wrong hands")
    ring.publish_recovery()
    return None


def _shown(words: Secret, out: Path | None, wallet: str, versions: list[int]) -> Answer:
    text = None if out is not None else words.to_secret_bytes().decode()
    data = {"wallet": wallet, "code": text, "file": out, "versions": versions}
    lines = [f"{out}: recovery code of 24 words"] if text is None else _numbered(text.split())
    lines.append(f"sealed to it: {count(len(versions), 'encryption key')} of {wallet}")
    return Answer(data, lines)


def _numbered(words: list[str]) -> list[str]:
    cells = [f"{place:>2} {word:<8}" for place, word in enumerate(words, 1)]
    return ["  ".join(cells[at : at + 6]).rstrip() for at in range(0, len(cells), 6)]


def publish(session: Session) -> Answer:
    """Publish the copies that are missing: after an interruption, or for keys that were registered elsewhere."""
    ring = session.ring()
    ring.resume()
    done = ring.publish_recovery()
    if not ring.recovery_keys():
        words = "no recovery code is in use: ffem key recovery new"
    else:
        words = f"published: version {', '.join(map(str, done))}" if done else "nothing is missing"
    return Answer({"wallet": ring.wallet, "published": done}, (words,))


def recover(session: Session) -> Answer:
    """Take this wallet's encryption keys back from the chain with the recovery code; each is checked before it is kept.

    The code comes from a prompt, or from the file that FFEM_RECOVERY_CODE_FILE names: 24 words, of each the first four
    letters are enough. Brings back what was granted to the wallet, and not the wallet itself nor an owner's albums.
    """
    from ffem_chain.keys.recovery import RecoveryCode

    ring = session.ring()
    code = RecoveryCode.from_words(read_secret("recovery code (24 words)", "FFEM_RECOVERY_CODE"))
    result = ring.recover(code)
    lines = [f"recovered: {_versions(result.found)}"]
    if result.held:
        lines.append(f"here before: {_versions(result.held)}")
    if result.missing:
        lines.append(f"no copy on the chain: {_versions(result.missing)}")
    data = {"wallet": ring.wallet, "recovered": result.found, "held": result.held, "missing": result.missing}
    return Answer(data, lines)


def _versions(versions: tuple[int, ...]) -> str:
    return f"key version {', '.join(map(str, versions))}" if versions else "nothing that was not here"
