"""Runs the sections one after the other, and keeps each outcome at once: an interrupted run goes on where it stopped.

A section that fails is told in the report, and the others go on. The page is written anew after every section.
"""

from __future__ import annotations

import json
import os
import re
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ffem_chain.errors import FfemError, InputError, MissingExtra
from ffem_cli.eval.cache import Say
from ffem_cli.evidence import sections
from ffem_cli.evidence.report import inputs, saved
from ffem_cli.evidence.report.saved import Saved
from ffem_cli.evidence.setting import Setting

MARK = "ffem evidence"  # what report.json says that it is
Write = Callable[[Path, "Report"], list[str]]
_OWN_FILE = re.compile(r"[a-z0-9][a-z0-9_-]*\.(svg|png)")


@dataclass(frozen=True)
class Failure:
    """Why a section could not be measured."""

    message: str
    hint: str
    exit_status: int


@dataclass
class Entry:
    """A section in the report. `state` of this run: measured, kept (the same inputs, measured before), earlier (other
    inputs, and not asked for now), failed, or waiting. An outcome that is there beside a failure is an earlier one."""

    name: str
    state: str = "waiting"
    saved: Saved | None = None
    failure: Failure | None = None

    @property
    def is_earlier(self) -> bool:
        return self.saved is not None and self.state in ("earlier", "failed", "waiting")


@dataclass
class Report:
    """All sections in their order, what they were asked to be made with, and on what machine."""

    entries: list[Entry]
    environment: dict[str, Any]
    errors: list[FfemError] = field(default_factory=list)


def chosen(only: Sequence[str]) -> tuple[str, ...]:
    """Names of sections: those of `--only`, each perhaps several with commas between, in the order of the report; all
    where it is empty. InputError."""
    wanted = [name.strip() for given in only for name in given.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in sections.NAMES]
    if unknown:
        known = ", ".join(sections.NAMES)
        raise InputError(f"there is no section {unknown[0]!r}", f"sections: {known}; several with commas between")
    if only and not wanted:
        raise InputError("--only names no section", f"sections: {', '.join(sections.NAMES)}")
    return tuple(name for name in sections.NAMES if not wanted or name in wanted)


def prepare(out: Path, *, force: bool) -> None:
    """Makes the folder, and marks it as a report. InputError where it is a file, or holds something else: nothing is
    written over what is not the report's own."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is no folder", "name a folder for the report")
    if not force and out.is_dir() and any(out.iterdir()) and _former(out) is None:
        raise InputError(
            f"{out} holds files that are no report", "name another folder, or add --force; nothing was written"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made: {error.strerror}", "name another folder") from None
    if _former(out) is None:
        saved.write_file(out / "report.json", saved.to_json({"report": MARK, "sections": {}, "files": []}))


def run(names: Sequence[str], setting: Setting, out: Path, command: str, write: Write, say: Say) -> Report:
    """Measures those of `names` that were not measured with the same inputs, and writes the report after each.

    `command` is what made it, without `--only`; `write` makes the pages and returns the names of their files. DiskFull
    ends the run; any other failure is in the report's `errors`.
    """
    report = Report([_found(out, name) for name in sections.NAMES], inputs.environment())
    for entry in report.entries:
        if entry.name not in names and entry.saved is not None and _is_same(entry, setting):
            entry.state, entry.failure = "kept", None
    for name in names:
        entry = next(entry for entry in report.entries if entry.name == name)

        def told(what: str, done: int, name: str = name) -> None:
            say(what if what.startswith(f"{name}: ") else f"{name}: {what}", done)

        _one(entry, replace(setting, say=told), out, command, report)
        _publish(out, report, write)
    return report


def _is_same(entry: Entry, setting: Setting) -> bool:
    try:
        wanted = inputs.of(entry.name, sections.section(entry.name), setting)
    except Exception:  # it was not asked for: whatever is wrong with it shows when it is
        return False
    return entry.saved is not None and inputs.same(entry.saved.inputs, wanted)


def _one(entry: Entry, setting: Setting, out: Path, command: str, report: Report) -> None:
    try:
        section = sections.section(entry.name)
        wanted = inputs.of(entry.name, section, setting)
        if entry.saved is not None and inputs.same(entry.saved.inputs, wanted):
            entry.state, entry.failure = "kept", None
            return
        setting.say("begins", 0)
        began = time.monotonic()
        result = section.measure(setting)
        made = {
            "command": f"{command} --only {entry.name}",
            "version": wanted["versions"].get("ffem-chain"),
            "model": setting.camera.model.name,
            "model_id": setting.camera.model.model_id.hex(),
            "seconds": round(time.monotonic() - began, 1),
            "environment": report.environment,
        }
        saved.write(out, Saved(entry.name, section.TITLE, section.QUESTION, wanted, made, result))
        # read back, so that the page of a fresh outcome and that of one that was kept are the same bytes
        entry.saved, entry.state, entry.failure = saved.read(out, entry.name), "measured", None
        if entry.saved is None:
            raise InputError(f"{entry.name}.json could not be read back", f"is something else writing to {out}?")
    except saved.DiskFull:
        raise
    except Exception as error:  # a fault in one section must not cost hours of the others
        known = _explained(error)
        if os.environ.get("FFEM_DEBUG"):
            traceback.print_exc()
        # reports are published: where the data lie is nobody's business
        message, hint = (text.replace(str(setting.data), "DIR") for text in (known.message, known.hint))
        entry.state, entry.failure = "failed", Failure(message, hint, known.exit_status)
        report.errors.append(known)


def _explained(error: Exception) -> FfemError:
    if isinstance(error, FfemError):
        return error
    if isinstance(error, OSError):
        if error.errno in saved.FULL:
            raise saved.disk_full(error.filename or "what the section keeps") from None
        where = f"{error.filename}: " if error.filename else ""
        return InputError(f"{where}{error.strerror or error}", "check the path and its permissions")
    if isinstance(error, ModuleNotFoundError):
        return MissingExtra(f"this needs {error.name}, which is not installed", "pip install 'ffem-chain[eval]'")
    return FfemError(f"a fault of the program, {type(error).__name__}: {error}", "FFEM_DEBUG=1 shows where")


def _found(out: Path, name: str) -> Entry:
    """What an earlier run left."""
    entry = Entry(name, saved=saved.read(out, name))
    if entry.saved is not None:
        entry.state = "earlier"
    former = (_former(out) or {}).get("sections", {}).get(name, {})
    try:
        if former.get("failure"):
            entry.failure = Failure(**former["failure"])
            entry.state = "failed"
    except (TypeError, AttributeError):
        pass
    return entry


def _publish(out: Path, report: Report, write: Write) -> None:
    """Writes the pages, then report.json, and removes pictures that an earlier report had and this one has not."""
    former = (_former(out) or {}).get("files", [])
    files = write(out, report)
    claims = [
        {"section": entry.name, "text": c.text, "goal": c.goal, "measured": c.measured, "holds": c.holds}
        for entry in report.entries
        if entry.saved
        for c in entry.saved.result.claims
    ]
    document = {
        "report": MARK,
        "format": saved.FORMAT,
        "claims": claims,
        "environment": report.environment,
        "sections": {entry.name: _state(entry) for entry in report.entries},
        "files": sorted(files),
    }
    saved.write_file(out / "report.json", saved.to_json(document))
    for name in former if isinstance(former, list) else []:
        if isinstance(name, str) and _OWN_FILE.fullmatch(name) and name not in files:
            (out / name).unlink(missing_ok=True)


def _state(entry: Entry) -> dict[str, Any]:
    """A section in report.json. `kept` and `measured` are both measured with what was asked for."""
    state = "measured" if entry.state == "kept" else entry.state
    found: dict[str, Any] = {"state": state, "failure": entry.failure}
    if entry.saved is not None:
        kept = entry.saved
        found |= {"title": kept.title, "made": kept.made, "inputs": kept.inputs, "record": kept.result.record}
    return found


def _former(out: Path) -> dict[str, Any] | None:
    """report.json of an earlier run, or None."""
    try:
        document = json.loads((out / "report.json").read_bytes())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get("report") == MARK else None
