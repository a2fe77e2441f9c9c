"""docs/CLI.md and README.md say what the program does: every command, setting and status, and no other."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.exceptions import TyperException

from ffem_chain import errors
from ffem_cli import main
from ffem_cli.config import SETTINGS

ROOT = Path(__file__).parents[2]
CLI = (ROOT / "docs" / "CLI.md").read_text("utf-8")
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "CLI.md")


def commands() -> dict[str, Any]:
    """Every command by the words that call it."""
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any]] = [("ffem", typer.main.get_command(main.app))]
    while waiting:
        words, command = waiting.pop()
        inner = getattr(command, "commands", {})
        waiting += [(f"{words} {name}", sub) for name, sub in inner.items()]
        if not inner:
            found[words] = command
    return found


def rows(heading: str) -> list[list[str]]:
    """Cells of the table below a heading of docs/CLI.md."""
    section = CLI.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = re.findall(r"^\|(.+)\|$", section.split("\n\nOther variables")[0], re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in table[2:]]


def typed(path: Path) -> Iterator[str]:
    """Lines of a document that begin with `ffem` in a block of code, and examples of the help."""
    for block in re.findall(r"^```\n(.*?)^```", path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        yield from (line for line in block.splitlines() if line.startswith("ffem "))


def test_every_command_is_there_and_no_other() -> None:
    assert {cells[0].strip("`") for cells in rows("Commands")} == set(commands())


def test_every_setting_is_there_with_its_default() -> None:
    found = {cells[0].strip("`"): cells[1:] for cells in rows("Settings")}
    assert set(found) == {setting.name for setting in SETTINGS}
    for setting in SETTINGS:
        option, variable, default = found[setting.name]
        assert option == f"`--{setting.name.replace('_', '-')}`" and variable == f"`{setting.variable}`"
        assert str(setting.default) in default


def test_every_status_is_there() -> None:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.FfemError)]
    used = {kind.exit_status for kind in kinds} | {0, main.USAGE, main.OTHER, main.INTERRUPTED, main.PIPE}
    assert used <= {int(cells[0]) for cells in rows("Exit statuses")}


def test_every_variable_is_there() -> None:
    sources = [
        path.read_text("utf-8")
        for folder in ("cli", "node", "devnet/ffem_devnet", "ffem_chain")
        for path in (ROOT / folder).rglob("*.py")
    ]
    used = {name for text in sources for name in re.findall(r"\bFFEM_[A-Z_]*[A-Z]\b", text)}
    assert used <= set(re.findall(r"FFEM_[A-Z_]*[A-Z]", CLI))


EXAMPLES = [
    *(line for path in DOCUMENTS for line in typed(path)),
    *(command.epilog.removeprefix("Example: ") for command in commands().values()),
]


def parse(line: str) -> None:
    """Raises where a line is no command: one that does not exist, options it lacks, arguments too few or too many."""
    words = shlex.split(line.replace("…", "..."), comments=True)
    words = words[next(at for at, word in enumerate(words) if word == "ffem") + 1 :]
    words = words[: words.index(">")] if ">" in words else words
    command = typer.main.get_command(main.app)
    context = command.make_context("ffem", list(words), resilient_parsing=False)
    while getattr(command, "commands", None):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert command is not None, line
        context = command.make_context(name, list(rest), parent=context)


@pytest.mark.parametrize("line", EXAMPLES)
def test_an_example_is_a_command(line: str) -> None:
    parse(line)


@pytest.mark.parametrize("line", ["ffem nothing", "ffem open 1f2e3d", "ffem ls --colour", "ffem album show a b"])
def test_what_is_no_command_is_found(line: str) -> None:
    with pytest.raises(TyperException):
        parse(line)
