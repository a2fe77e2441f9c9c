"""What a section's outcome depends on: where all of that is the same, nothing is measured again."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import psutil

from ffem_chain.faces import modelcache
from ffem_cli.bench import machine
from ffem_cli.eval import networks
from ffem_cli.evidence.sections import Section
from ffem_cli.evidence.setting import Setting

_VERSIONS = ("ffem-chain", "torch", "opencv-python", "numpy")


def of(name: str, section: Section, setting: Setting) -> dict[str, Any]:
    """JSON values: section and source, seed and size, camera, recognisers, data by listing, versions, processor.

    The data are listed by names and sizes and not read, which would take minutes: sections record digests of what they
    read. The processor is in it because some sections measure time, and so that nobody who runs the command over
    somebody else's report is told that all is done already.
    """
    return {
        "section": name,
        "seed": setting.seed,
        "small": setting.small,
        "retrain": setting.retrain,
        "options": list(setting.options),
        "camera": setting.camera.depends,
        "recognisers": [_recogniser(given) for given in setting.recognisers],
        "plugins": _plugins(setting.model_cache),
        "data": {folder: _listing(setting.data / folder) for folder in section.NEEDS},
        "code": code(name),
        "versions": {name: found for name, found in machine.describe()["versions"].items() if name in _VERSIONS},
        "processor": processor(),
    }


def same(made: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether an outcome made with the inputs `made` serves where `wanted` are asked for. What was trained anew serves
    where that was not asked for."""
    if wanted["retrain"] and not made.get("retrain"):
        return False
    return {**made, "retrain": False} == {**wanted, "retrain": False}


def code(name: str) -> str:
    """Digest of the source of a section, of `ffem_cli.eval` and of `ffem_chain.faces`."""
    here = Path(str(resources.files("ffem_cli")))
    files = [
        *_sources(here / "evidence", f"{name}.py"),
        *_sources(here / "evidence", f"{name}_*.py"),
        *_sources(here / "evidence" / name, "*.py"),
        *_sources(here / "eval", "*.py"),
        *_sources(Path(str(resources.files("ffem_chain.faces"))), "*.py"),
    ]
    whole = hashlib.sha256()
    for shown, path in files:
        whole.update(shown.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:16]


def processor() -> str:
    """The processor's name as its maker gives it, or its family."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def environment() -> dict[str, Any]:
    """The machine and the versions, for the record: what stays the same while a report is made."""
    found = machine.describe()
    return {
        "system": found["system"],
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "python": found["python"],
        "versions": found["versions"],
    }


def _sources(folder: Path, pattern: str) -> list[tuple[str, Path]]:
    """(name, path), sorted; nothing where there is no such folder."""
    return [(f"{folder.name}/{path.relative_to(folder).as_posix()}", path) for path in sorted(folder.rglob(pattern))]


def _recogniser(given: str) -> dict[str, str]:
    """A file by its name and bytes, since it may be moved; anything else is a recogniser's name."""
    path = recogniser_file(given)
    if path is None:
        return {"name": given}
    return {"name": published_name(given), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def recogniser_file(given: str) -> Path | None:
    """The file of FILE or FAMILY:FILE; None where a recogniser is named without one."""
    found = [path for path in (Path(given), Path(given.partition(":")[2] or given)) if path.is_file()]
    return found[0] if found else None


def published_name(given: str) -> str:
    """FILE or FAMILY:FILE without the folder."""
    path = recogniser_file(given)
    return given if path is None else given.removesuffix(str(path)) + path.name


def _plugins(model_cache: Path) -> dict[str, Any]:
    """Which models and networks of others are on this machine. What a section fetches for itself does not count."""
    absent = networks.missing(model_cache)
    return {
        "models": {model.name: modelcache.state(model, model_cache) for model in modelcache.KNOWN},
        "networks": [one.name for one in networks.KNOWN if one.name not in absent],
    }


def _listing(folder: Path) -> dict[str, Any]:
    """How many files, and SHA-256 over their names and sizes."""
    if not folder.is_dir():
        return {"files": 0, "sha256": None}
    lines = sorted(_files(folder))
    return {"files": len(lines), "sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()}


def _files(folder: Path) -> Iterable[str]:
    for at, folders, files in os.walk(folder):
        folders.sort()
        for name in files:
            path = Path(at, name)
            yield f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}"
