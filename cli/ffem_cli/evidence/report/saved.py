"""A section's outcome on the disk: NAME.json, and its sheets as PNG beside it.

NAME.json names the SHA-256 of every sheet and of itself without that line, so a file that was damaged or edited is
found, and the section measured again. Everything is written whole or not at all.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ffem_chain.errors import FfemError, InputError
from ffem_cli import output
from ffem_cli.evidence.result import Claim, Plot, Result, Series, Sheet, Table, Text

FORMAT = 1
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ODD = re.compile(r"[^a-z0-9_-]+")


class DiskFull(FfemError):
    """There is no room left; what was finished before is kept."""

    exit_status = InputError.exit_status


@dataclass(frozen=True)
class Saved:
    """An outcome, what it was made with (`inputs.of`), and how: version, command, seconds, environment."""

    name: str
    title: str
    question: str
    inputs: Mapping[str, Any]
    made: Mapping[str, Any]
    result: Result

    def file(self, part: Plot | Sheet) -> str:
        """The name of a plot's or sheet's file in the report's folder: no name leads out of it."""
        name = _ODD.sub("-", part.name.lower()).strip("-") or "part"
        return f"{self.name}-{name}.{'png' if isinstance(part, Sheet) else 'svg'}"


def write(folder: Path, saved: Saved) -> None:
    """Writes sheets and NAME.json. DiskFull, or OSError, and then no NAME.json is new."""
    parts: list[dict[str, Any]] = []
    names = [saved.file(part) for part in saved.result.parts if isinstance(part, Plot | Sheet)]
    if len(set(names)) < len(names):
        raise ValueError(f"two plots or sheets of {saved.name} have one name")
    for part in saved.result.parts:
        entry: dict[str, Any] = {"part": type(part).__name__.lower()}
        if isinstance(part, Sheet):
            file = saved.file(part)
            write_file(folder / file, part.png)
            entry |= {"name": part.name, "title": part.title, "note": part.note, "file": file}
            entry["sha256"] = hashlib.sha256(part.png).hexdigest()
        else:
            entry |= {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
            if isinstance(part, Plot):
                entry["series"] = [dataclasses.asdict(one) for one in part.series]
        parts.append(entry)
    document = {
        "format": FORMAT,
        "section": saved.name,
        "title": saved.title,
        "question": saved.question,
        "claims": [dataclasses.asdict(claim) for claim in saved.result.claims],
        "made": saved.made,
        "inputs": saved.inputs,
        "record": saved.result.record,
        "data": saved.result.data,
        "parts": parts,
    }
    write_file(folder / f"{saved.name}.json", to_json({**document, "sha256": _digest(document)}))


def read(folder: Path, name: str) -> Saved | None:
    """The outcome that is in the folder; None where there is none that is whole."""
    try:
        document = json.loads((folder / f"{name}.json").read_bytes())
        if document.pop("sha256") != _digest(document) or (document["format"], document["section"]) != (FORMAT, name):
            return None
        result = Result(
            dict(document["data"]),
            dict(document["record"]),
            tuple(_part(folder, entry) for entry in document["parts"]),
            tuple(Claim(**entry) for entry in document["claims"]),
        )
        saved = Saved(
            name,
            str(document["title"]),
            str(document["question"]),
            dict(document["inputs"]),
            dict(document["made"]),
            result,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return saved


def _part(folder: Path, entry: Mapping[str, Any]) -> Text | Table | Plot | Sheet:
    values = dict(entry)
    kind = values.pop("part")
    if kind == "text":
        return Text(**values)
    if kind == "table":
        return Table(**values)
    if kind == "plot":
        return Plot(**{**values, "series": tuple(Series(**_floats(one)) for one in values["series"])})
    if kind != "sheet" or Path(values["file"]).name != values["file"]:
        raise ValueError("no part of a section")
    png = (folder / values["file"]).read_bytes()
    if hashlib.sha256(png).hexdigest() != values["sha256"]:
        raise ValueError("a sheet was changed")
    return Sheet(values["name"], values["title"], png, values["note"])


def _floats(series: Mapping[str, Any]) -> dict[str, Any]:
    """A value that is no number is null in JSON."""
    numbers = {name: series[name] for name in ("y", "low", "high") if series[name] is not None}
    return {**series, **{name: [math.nan if v is None else float(v) for v in vs] for name, vs in numbers.items()}}


def to_json(document: Mapping[str, Any]) -> bytes:
    """UTF-8 JSON that every reader takes: numpy's values as plain ones, null for what is no finite number."""
    return (json.dumps(_plain(output.plain(document)), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _digest(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(to_json(document)).hexdigest()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        return _plain(value.tolist())
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def write_file(path: Path, data: bytes) -> None:
    """Whole or not at all; a file that is the same already stays as it is. DiskFull, or OSError."""
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            part.chmod(0o644)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise disk_full(path.parent) from None
        raise


def disk_full(where: object) -> DiskFull:
    """The one error of a full disk."""
    return DiskFull(f"no space is left for {where}", "free some and run the command again: finished sections are kept")
