"""What a measurement was made on."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("ffem-chain", "torch", "opencv-python", "numpy", "cryptography", "eciespy", "pyrage", "web3")


def describe() -> dict[str, Any]:
    """Processor, threads and versions; `torch_threads` is None where torch is not loaded."""
    torch = sys.modules.get("torch")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads() if torch else None,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def line(machine: dict[str, Any]) -> str:
    """The same in one line."""
    parts = [machine["system"], f"{machine['cpu_count']} processors", f"python {machine['python']}"]
    if machine["torch_threads"]:
        parts.append(f"torch threads {machine['torch_threads']}")
    parts += [f"{name} {found}" for name, found in machine["versions"].items()]
    if machine["load"] is not None:
        parts.append(f"load {machine['load']}")
    return ", ".join(parts)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
