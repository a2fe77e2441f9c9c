"""What the commands print: data to stdout, all else to stderr, and nothing that could steer a terminal."""

from __future__ import annotations

import dataclasses
import json
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, TextIO

from ffem_chain.errors import FfemError


@dataclass(frozen=True)
class Table:
    """Rows under a heading. Columns are as wide as their longest cell: nothing is cut."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    empty: str = ""


@dataclass(frozen=True)
class Answer:
    """What a command found out: `data` is its JSON document, `blocks` the same for people.

    `failure` is raised after printing, where some of several things went wrong.
    """

    data: Mapping[str, Any]
    blocks: Sequence[str | Table] = ()
    failure: FfemError | None = None


def clean(text: str, *, keep: str = "") -> str:
    """`text` without what a terminal would obey: control, format (also bidirectional) and private characters
    become escapes. `keep` names characters that stay."""
    return "".join(
        char
        if char in keep or unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp")
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def plain(value: Any) -> Any:
    """JSON value of what the library returns: bytes in hex, enumerations by their lower-case name."""
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {entry.name: plain(getattr(value, entry.name)) for entry in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def moment(when: int | datetime | None) -> str:
    """UTC time in words, of unix seconds or an `instant`; 0 and None are never."""
    if not when:
        return "never"
    try:
        exact = when if isinstance(when, datetime) else datetime.fromtimestamp(when, UTC)
        return exact.strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return f"{when} s after 1970"


def instant(seconds: int) -> datetime | None:
    """UTC time of unix seconds, for JSON: None is never, beyond the calendar is its last second."""
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(microsecond=0, tzinfo=UTC)


def count(number: int, noun: str) -> str:
    """A number of things: "1 face", "2 faces"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _lines(block: str | Table) -> Iterator[str]:
    if isinstance(block, str):
        yield from (clean(line) for line in block.split("\n"))
        return
    if not block.rows:
        if block.empty:
            yield clean(block.empty)
        return
    cells = [[clean(str(cell)) for cell in row] for row in (block.columns, *block.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(block.columns))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


class Output:
    """Prints for one command. `as_json`: one JSON document on stdout, and stderr only holds errors."""

    def __init__(self, as_json: bool, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.as_json = as_json
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    def show(self, answer: Answer) -> None:
        """Print an answer to stdout."""
        if self.as_json:
            json.dump(plain(answer.data), self._stdout, indent=2)
            self._stdout.write("\n")
        else:
            for block in answer.blocks:
                for line in _lines(block):
                    self._stdout.write(line + "\n")
        self._stdout.flush()

    def line(self, text: str, data: Mapping[str, Any]) -> None:
        """Print one event of a long-running command: a line of text, or a line of JSON."""
        self._stdout.write((json.dumps(plain(data)) if self.as_json else clean(text)) + "\n")
        self._stdout.flush()

    def note(self, text: str) -> None:
        """Say something on stderr that is not data."""
        if not self.as_json:
            self._stderr.write("\n".join(clean(line) for line in text.split("\n")) + "\n")
            self._stderr.flush()

    def error(self, error: FfemError) -> None:
        """Say what went wrong and what to do about it."""
        report_error(error.message, error.hint, error.exit_status, self.as_json, self._stderr)

    @contextmanager
    def progress(self, total: int | None = None) -> Iterator[Callable[[str, int], None]]:
        """A progress display on stderr; the callable takes what is going on and how much is done.

        Lines where stderr is no terminal, nothing with JSON.
        """
        if self.as_json or not self._stderr.isatty():
            said = [""]

            def say(text: str, done: int) -> None:
                if text != said[0]:
                    said[0] = text
                    self.note(text)

            yield say
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        columns = [
            SpinnerColumn(),
            *([BarColumn()] if total else []),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
        ]
        with Progress(*columns, console=Console(file=self._stderr), transient=True) as bar:
            task = bar.add_task("", total=total)

            def update(text: str, done: int) -> None:
                bar.update(task, description=escape(clean(text)), completed=done)

            yield update


def report_error(message: str, hint: str, exit_status: int, as_json: bool, stderr: TextIO) -> None:
    """The one form in which errors reach stderr."""
    if as_json:
        document = {"error": message, "hint": hint, "exit_status": exit_status}
        stderr.write(json.dumps(document) + "\n")
    else:
        stderr.write(f"error: {clean(message)}\n")
        if hint:
            stderr.write(f"hint: {clean(hint)}\n")
    stderr.flush()
