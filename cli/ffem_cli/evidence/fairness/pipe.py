"""Pictures to a process with other packages, and its answers: a line of JSON and the pixels there, a line of JSON back.

The process runs this Python with the package's folder before everything else, so that its `cv2` is that folder's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import FfemError

Picture = NDArray[np.uint8]


class Worker:
    """A process that answers one picture at a time; ended with `close`, or with this process."""

    def __init__(self, module: str, packages: Path) -> None:
        """`module` is run with `packages` before all other packages. FfemError where it does not start."""
        path = os.pathsep.join(part for part in (str(packages), os.environ.get("PYTHONPATH", "")) if part)
        self.module, self._lock = module, Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self.about = self._answer()

    def ask(self, picture: Picture, **question: object) -> Any:
        """The answer about uint8 (H, W, 3). FfemError where the process has ended."""
        head = {"shape": picture.shape, **question}
        stream = self._process.stdin
        assert stream is not None
        with self._lock:
            try:
                stream.write(json.dumps(head).encode() + b"\n" + np.ascontiguousarray(picture).tobytes())
                stream.flush()
            except BrokenPipeError:
                raise self._ended() from None
            return self._answer()

    def close(self) -> None:
        """Ends the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        return json.loads(line)

    def _ended(self) -> FfemError:
        return FfemError(f"{self.module} ended with status {self._process.wait()}", "its last words are above")


def serve(about: dict[str, Any], answer: Callable[[Picture, dict[str, Any]], Any]) -> None:
    """The process's side: says `about`, then answers until there is nothing more. All else printed goes to stderr."""
    out, source = os.fdopen(os.dup(1), "wb"), sys.stdin.buffer
    os.dup2(2, 1)
    given: Any = about
    while True:
        out.write(json.dumps(given).encode() + b"\n")
        out.flush()
        line = source.readline()
        if not line:
            return
        question = json.loads(line)
        shape = tuple(question.pop("shape"))
        pixels = np.frombuffer(source.read(int(np.prod(shape))), np.uint8).reshape(shape)
        given = answer(pixels, question)
