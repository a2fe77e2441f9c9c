"""Secrets that people give: from a file, the environment, or typed without echo; never from the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from ffem_chain.errors import InputError
from ffem_chain.keys.secret import Secret

_LONGEST_PASSPHRASE = 4096


def has_secret(variable: str) -> bool:
    """Whether the environment gives the secret, so that nobody need be asked."""
    return bool(os.environ.get(f"{variable}_FILE")) or variable in os.environ


def can_unlock() -> bool:
    """Whether the passphrase can be had: from the environment, or by asking on a terminal."""
    return has_secret("FFEM_PASSPHRASE") or sys.stdin.isatty()


def read_secret(what: str, variable: str, *, twice: bool = False) -> Secret:
    """A secret line from the file that `<variable>_FILE` names, from `variable`, or typed without echo.

    Raises InputError where none can be had, or the two entries differ.
    """
    file = os.environ.get(f"{variable}_FILE", "")
    if file:
        try:
            raw = Path(file).read_bytes()[: _LONGEST_PASSPHRASE + 1]
        except OSError as error:
            raise InputError(f"the file of {variable}_FILE cannot be read: {error.strerror}") from None
        return _checked(raw.removesuffix(b"\n").removesuffix(b"\r"), what, f"{variable}_FILE")
    if variable in os.environ:
        return _checked(os.environ[variable].encode("utf-8", "surrogateescape"), what, variable)
    if not sys.stdin.isatty():
        raise InputError(f"no {what} was given, and there is no terminal to ask on", f"set {variable}_FILE")
    import getpass

    typed = getpass.getpass(f"{what}: ", stream=sys.stderr)
    if twice and getpass.getpass(f"{what} again: ", stream=sys.stderr) != typed:
        raise InputError(f"the two entries of the {what} differ", "start again")
    return _checked(typed.encode(), what, "the prompt")


def _checked(raw: bytes, what: str, source: str) -> Secret:
    try:
        raw.decode()
    except UnicodeDecodeError:
        raise InputError(f"the {what} from {source} is not UTF-8") from None
    if not raw or len(raw) > _LONGEST_PASSPHRASE:
        raise InputError(f"the {what} from {source} is empty or too long")
    return Secret(raw)
