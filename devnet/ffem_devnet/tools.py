"""Finds the development servers: the pinned Node packages, or what the user has on PATH."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from ffem_chain.errors import MissingExtra

VARIABLE = "FFEM_NODE_MODULES"
_NODE_MAJOR = 20
_HINT = f"run `make setup` in the repository, or set {VARIABLE} to the folder node_modules with devnet's packages"


def node_modules() -> Path | None:
    """The folder of Node packages: `FFEM_NODE_MODULES`, else the repository's. None where there is neither."""
    given = os.environ.get(VARIABLE, "")
    if given:
        return Path(given).expanduser()
    # A wheel has no devnet/package.json beside the package.
    folder = Path(__file__).resolve().parents[1] / "node_modules"
    return folder if folder.is_dir() else None


def package_file(relative: str, what: str) -> Path:
    """A file of a Node package, `relative` to node_modules. Raises MissingExtra where it is not installed."""
    folder = node_modules()
    if folder is None or not (folder / relative).is_file():
        raise MissingExtra(f"{what} is not installed", _HINT)
    return folder / relative


def foundry_binary(name: str) -> Path:
    """The native program of Foundry (`anvil`, `forge`). Raises MissingExtra.

    The pinned package goes first, being what the tests ran with; its `.bin` entry is a Node script that starts the
    program as a child, so the program itself is taken and can be stopped by its process id.
    """
    machine = "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "amd64"
    suffix = ".exe" if sys.platform == "win32" else ""
    folder = node_modules()
    if folder is not None:
        native = folder / "@foundry-rs" / f"{name}-{sys.platform}-{machine}" / "bin" / f"{name}{suffix}"
        if native.is_file():
            return native
    found = shutil.which(name)
    if found and Path(found).resolve().suffix not in (".mjs", ".js"):
        return Path(found)
    raise MissingExtra(f"{name} is not installed", f"{_HINT}, or install Foundry")


@cache
def node() -> Path:
    """Node of version 20 or newer. Raises MissingExtra."""
    found = shutil.which("node")
    if not found:
        raise MissingExtra(f"Node {_NODE_MAJOR} or newer is needed", "install it from your system or nodejs.org")
    try:
        answer = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
        major = int(answer.strip().removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        major = 0
    if major < _NODE_MAJOR:
        raise MissingExtra(f"Node {_NODE_MAJOR} or newer is needed, {found} is older", "install a newer one")
    return Path(found)
