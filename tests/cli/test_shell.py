"""The command as a whole: help, examples, completion, streams, and what it never loads for them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from ffem_cli.main import app
from tests.support.cli import Cli

FFEM = Path(sys.executable).with_name("ffem")
HEAVY = ("torch", "cv2", "web3", "eth_account", "numpy", "scipy", "PIL", "requests", "rich.progress")


def commands() -> Iterator[tuple[list[str], Any]]:
    """Every command and group with the words that call it."""
    waiting: list[tuple[list[str], Any]] = [([], typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        yield words, command
        waiting += [([*words, name], sub) for name, sub in getattr(command, "commands", {}).items()]


def test_help_is_everywhere_with_an_example_that_can_be_typed(cli: Cli) -> None:
    known = {" ".join(words) for words, _ in commands()}
    for words, command in commands():
        done = cli.ok(*words, "--help")
        assert done.err == "" and "Usage: ffem" in done.out and len(command.help) > 10, words
        if not hasattr(command, "commands"):
            assert "--json" in done.out and "--profile" in done.out
            example = command.epilog.removeprefix("Example: ")
            typed = [word for word in shlex.split(example) if "=" not in word or word.startswith("-")]
            assert typed[0] == "ffem", example
            assert any(" ".join(typed[1 : 1 + n]) in known for n in (1, 2)) or typed[1].startswith("--"), example
    assert cli.files() == {}


def test_help_loads_nothing_heavy() -> None:
    """In a process of its own: every command's help, and the version."""
    code = (
        "import contextlib, io, sys\n"
        "from ffem_cli.main import run\n"
        f"lines = {[[*words, '--help'] for words, _ in commands()] + [['--version'], ['config', 'show']]!r}\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    assert not any([run(line) for line in lines])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_what_needs_no_faces_loads_no_torch(ready: Cli) -> None:
    """Auditing, granting, keeping and opening import neither torch nor OpenCV."""
    lines = [["key", "register"], ["key", "show"], ["doctor"], ["wallet", "list"]]
    code = (
        "import contextlib, io, sys\n"
        "from ffem_cli.main import run\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    assert not any([run(line) for line in {lines!r}])\n"
        "print([name for name in ('torch', 'cv2') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr


def test_no_command_is_a_usage_error_and_a_version_is_not(cli: Cli) -> None:
    assert cli.process().status == 2
    version = cli.process("--version")
    assert version.status == 0 and version.out.startswith("ffem 0.") and version.err == ""
    unknown = cli.process("xyzzy")
    assert (unknown.status, unknown.out) == (2, "")
    assert unknown.err == "error: No such command 'xyzzy'.\nhint: ffem --help\n"
    assert cli.process("devnet", "xyzzy").err == "error: No such command 'xyzzy'.\nhint: ffem devnet --help\n"
    as_json = cli("frobnicate", "--json")
    assert as_json.status == 2 and as_json.error["exit_status"] == 2


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["init", "--rpc-url", "http://127.0.0.1:1"], "before the command: ffem --rpc-url ... init"),
        (["key", "register", "--sign-only", "f"], "before the command: ffem --sign-only ... key register"),
        (["key", "register", "--frob"], "ffem key register --help"),
        (["open", "abcdef"], "ffem open --help"),
    ],
)
def test_a_usage_error_says_where_to_look(cli: Cli, line: list[str], hint: str) -> None:
    done = cli(*line, "--json")
    assert (done.status, done.error["hint"]) == (2, hint)


@pytest.mark.parametrize(
    ("typed", "offered"), [("dev", {"devnet"}), ("devnet ", {"up", "down", "status"}), ("wallet re", {"restore"})]
)
def test_the_shell_completes_commands(cli: Cli, typed: str, offered: set[str]) -> None:
    words = f"ffem {typed}"
    environment = {"_FFEM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [FFEM], capture_output=True, text=True, env={**os.environ, **environment}, check=False, timeout=60
    )
    assert done.returncode == 0 and set(done.stdout.split()) == offered


def test_completion_is_installed_for_the_shell_that_calls(cli: Cli, tmp_path: Path) -> None:
    script = f"{shlex.quote(str(FFEM))} --install-completion; exit $?"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "complete -o default -F _ffem_completion ffem" in (tmp_path / ".bash_completions" / "ffem.sh").read_text()


def test_a_reader_that_leaves_early_is_no_error(cli: Cli) -> None:
    script = f"{shlex.quote(str(FFEM))} config show | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (141, "")


def test_where_an_error_came_from_shows_when_asked_for(cli: Cli) -> None:
    quiet = cli.process("init", "--devnet")
    assert quiet.status == 3 and "Traceback" not in quiet.err
    done = subprocess.run(
        [FFEM, "init", "--devnet"],
        capture_output=True,
        text=True,
        env={**os.environ, "FFEM_DEBUG": "1"},
        check=False,
        timeout=60,
    )
    assert done.returncode == 3 and "Traceback" in done.stderr and "error: no devnet is running" in done.stderr
