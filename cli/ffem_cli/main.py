"""The command `ffem`. The only place that turns exceptions into words and exit statuses.

Nothing heavy is imported here or by the modules of the commands: torch, OpenCV and web3 load where used.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from ffem_chain.errors import FfemError
from ffem_cli import shell
from ffem_cli.commands import (
    albums,
    audit,
    bench,
    captures,
    demo,
    devnets,
    doctor,
    evaluating,
    grants,
    keepers,
    keys,
    lists,
    models,
    opening,
    relays,
    revoking,
    rotating,
    sealing,
    setup,
    syncing,
    wallets,
)
from ffem_cli.config import BY_NAME
from ffem_cli.output import report_error

USAGE, OTHER, INTERRUPTED, PIPE = 2, 3, 130, 141
_STATUSES = "Exit statuses, settings and more: docs/CLI.md. FFEM_DEBUG=1 shows where an error came from."

app = typer.Typer(
    name="ffem",
    help="Share pictures while the faces in them stay sealed: seal, grant, open, revoke, audit.",
    epilog=_STATUSES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _option(name: str) -> Any:
    setting = BY_NAME[name]
    words = f"{setting.text} [{setting.variable}]"
    return typer.Option(f"--{name.replace('_', '-')}", help=words, rich_help_panel="Settings")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"ffem {version('ffem-chain')}")
        raise typer.Exit


@app.callback()
def root(
    as_json: shell.JsonOption = False,
    profile: shell.ProfileOption = None,
    rpc_url: Annotated[str | None, _option("rpc_url")] = None,
    registry: Annotated[str | None, _option("registry")] = None,
    store: Annotated[str | None, _option("store")] = None,
    wallet: Annotated[str | None, _option("wallet")] = None,
    album: Annotated[str | None, _option("album")] = None,
    confirmations: Annotated[int | None, _option("confirmations")] = None,
    timeout: Annotated[float | None, _option("timeout")] = None,
    wait: Annotated[float | None, _option("wait")] = None,
    from_block: Annotated[int | None, _option("from_block")] = None,
    relay: Annotated[str | None, _option("relay")] = None,
    lifetime: Annotated[int | None, _option("lifetime")] = None,
    external: Annotated[str | None, _option("external")] = None,
    model: Annotated[str | None, _option("model")] = None,
    rotation: Annotated[str | None, _option("rotation")] = None,
    detector: Annotated[str | None, _option("detector")] = None,
    pose: Annotated[str | None, _option("pose")] = None,
    model_cache: Annotated[str | None, _option("model_cache")] = None,
    sign_only: Annotated[
        Path | None,
        typer.Option("--sign-only", metavar="FILE", help="Sign, write it to a new file, and send nothing."),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Share pictures while the faces in them stay sealed: seal, grant, open, revoke, audit."""
    values = dict(locals())
    shell.GIVEN.as_json, shell.GIVEN.profile, shell.GIVEN.sign_only = as_json, profile, sign_only
    shell.GIVEN.options = {name: values[name] for name in BY_NAME}


for part in (
    setup,
    wallets,
    keys,
    albums,
    sealing,
    lists,
    captures,
    grants,
    revoking,
    rotating,
    opening,
    keepers,
    relays,
    audit,
    syncing,
    devnets,
    models,
    doctor,
    demo,
    bench,
    evaluating,
):
    part.add_to(app)


def _wants_json(arguments: Sequence[str]) -> bool:
    before = list(arguments)
    return "--json" in (before[: before.index("--")] if "--" in before else before)


def _usage_hint(error: TyperException) -> str:
    """Whose help says more; of a setting that was typed behind the command's name: where it goes."""
    called: str = getattr(getattr(error, "ctx", None), "command_path", "ffem")
    option = str(getattr(error, "option_name", ""))
    if option.removeprefix("--").replace("-", "_") in (*BY_NAME, "sign_only"):
        return f"before the command: ffem {option} ...{called.removeprefix('ffem')}"
    return f"{called} --help"


def run(arguments: Sequence[str]) -> int:
    """Run a command line; the exit status. All errors that users can solve end here."""
    as_json = _wants_json(arguments)

    def fail(message: str, hint: str, status: int) -> int:
        if os.environ.get("FFEM_DEBUG"):
            import traceback

            traceback.print_exc()
        report_error(message, hint, status, as_json, sys.stderr)
        return status

    shell.GIVEN.__init__()  # type: ignore[misc]
    try:
        result = app(list(arguments), prog_name="ffem", standalone_mode=False)
        sys.stdout.flush()
    except FfemError as error:
        return fail(error.message, error.hint, error.exit_status)
    except TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        return fail(message or "a command is missing", _usage_hint(error), USAGE)
    except (KeyboardInterrupt, typer.Abort):
        return fail("interrupted", "what was begun can be called again: it goes on where it stopped", INTERRUPTED)
    except SystemExit as error:
        # Typer leaves in this way where whoever read stdout has gone, and after it completed words for a shell.
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        return PIPE
    except BrokenPipeError:
        # The same on the last flush; the interpreter must not complain about it when it flushes again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return fail(f"{where}{error.strerror or error}", "check the path, its permissions and the free space", OTHER)
    if result == INTERRUPTED:
        return fail("interrupted", "what was begun can be called again: it goes on where it stopped", INTERRUPTED)
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the command `ffem`."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
