"""A bounded run of the coverage-guided fuzzer; a longer one is `python tests/fuzz/fuzz_capture.py CORPUS`."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HARNESS = Path(__file__).parent / "fuzz_capture.py"
RUNS = 40_000


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no release for this machine")
def test_fuzzing_finds_nothing(tmp_path: Path) -> None:
    """Only this project's errors come out of any reader, and what is accepted is written again byte for byte."""
    options = [
        f"-runs={RUNS}",
        "-seed=1",
        "-print_final_stats=1",
        f"-artifact_prefix={tmp_path}/",
        "-max_total_time=120",
    ]
    command = [sys.executable, str(HARNESS), str(tmp_path / "corpus"), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    executed = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    assert executed and int(executed[1]) >= RUNS // 4, done.stderr[-2000:]


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no release for this machine")
def test_the_seeds_are_accepted(tmp_path: Path) -> None:
    """The fuzzer starts from inputs that every reader accepts: otherwise it would only ever see the first check."""
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import fuzz_capture as fuzz
folder = Path(sys.argv[2])
fuzz.seed(folder)
for path in folder.iterdir():
    data = path.read_bytes()
    fuzz.TARGETS[data[0]](data[1:])
print(len({path.read_bytes()[0] for path in folder.iterdir()}) == len(fuzz.TARGETS))
"""
    command = [sys.executable, "-c", code, str(HARNESS.parent), str(tmp_path / "corpus")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True", done.stderr
