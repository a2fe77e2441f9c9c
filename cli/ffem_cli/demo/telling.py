"""How the demo tells its story: each act with a heading, what was seen in plain lines, and the same as data."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ffem_chain.errors import FfemError
from ffem_cli.output import Output

_INDENT = "    "
_LONG_ID = re.compile(r"(?<=[Gg]rant )(0x[0-9a-f]{16})[0-9a-f]{48}")


@dataclass
class Act:
    """One act. `facts` go to story.json; `say` prints a line now."""

    name: str
    title: str
    seconds: float = 0.0
    lines: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    working: Callable[[str], None] = field(default=lambda text: None, repr=False)

    def say(self, *lines: str, **facts: Any) -> None:
        """Lines for people, facts for programs."""
        self.lines += lines
        self.facts.update(facts)

    def document(self) -> dict[str, Any]:
        """What story.json says of it."""
        return {
            "act": self.name,
            "title": self.title,
            "seconds": round(self.seconds, 3),
            "lines": self.lines,
            **self.facts,
        }


class Teller:
    """Prints acts as they end, with progress on a terminal while they last.

    `names` are put before the addresses of wallets, once these are known; facts keep the bare addresses.
    """

    def __init__(self, out: Output) -> None:
        self._out = out
        self.acts: list[Act] = []
        self.names: dict[str, str] = {}

    def line(self, text: str) -> None:
        """A line on stdout now; nothing with --json, whose one document comes at the end."""
        if not self._out.as_json:
            self._out.line(text, {})

    @contextmanager
    def act(self, name: str, title: str) -> Iterator[Act]:
        """One act; its lines are printed when the block ends well."""
        act, start = Act(name, title), time.monotonic()
        self.line(f"{len(self.acts) + 1:2}  {title}")
        if sys.stderr.isatty():
            with self._out.progress() as update:
                act.working = lambda text: update(text, 0)
                act.working(title)
                yield act
        else:
            yield act
        act.seconds = time.monotonic() - start
        self.acts.append(act)
        act.lines = [self._readable(line) for line in act.lines]
        for line in act.lines:
            self.line(_INDENT + line)

    def _readable(self, line: str) -> str:
        """A line with wallets by name and with the beginnings of long ids in sentences."""
        for address, name in self.names.items():
            line = line.replace(f"Wallet {address}", address)
            line = line.replace(address, f"{name} ({address[:6]}…{address[-4:]})")
        return _LONG_ID.sub(r"\1…", line)


def refusal(kind: type[FfemError], attempt: Callable[[], object]) -> str:
    """The sentence with which `attempt` is refused. Raises FfemError where it is not."""
    try:
        attempt()
    except kind as error:
        return error.message
    raise FfemError("something that must be refused was not: this is a fault", "please report it with what was printed")


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 face`, `3 faces`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(length: int) -> str:
    """Bytes in words."""
    return f"{length / 1000:,.1f} kB" if length >= 1000 else f"{length} bytes"


def short(value: bytes) -> str:
    """The first 8 bytes of an id in hex, as the other commands take it."""
    return value.hex()[:16]
