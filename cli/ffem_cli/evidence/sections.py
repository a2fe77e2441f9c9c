"""The sections of the evidence, in the order of the report.

A section is a module `ffem_cli.evidence.NAME` with `TITLE`, `QUESTION` (one sentence), `NEEDS` (folders of the data)
and `measure(setting) -> Result`. `ffem eval NAME` runs one, `ffem eval all` runs them all.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from ffem_cli.evidence.result import Result
from ffem_cli.evidence.setting import Setting

NAMES = (
    "privacy",
    "attacks",
    "fakes",
    "reopening",
    "fairness",
    "downstream",
    "embedded",
    "detection",
    "peers",
)


class Section(Protocol):
    """The module of a section."""

    TITLE: str
    QUESTION: str
    NEEDS: tuple[str, ...]

    def measure(self, setting: Setting) -> Result:
        """The figures. InputError where data or a network is missing."""
        ...


def section(name: str) -> Section:
    """The section of this name, imported now: some take heavy packages."""
    return cast(Section, import_module(f"ffem_cli.evidence.{name}"))
