"""The measurement: probes sealed and opened in memory, faces at every precision, and what the figures mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffem_chain.errors import MissingExtra
from ffem_chain.faces.seal import PRECISION
from ffem_cli.eval import data, precision, protocol, recovery, samples
from ffem_cli.eval.measures import interval, proportion
from ffem_cli.eval.perceptual import Perceptual
from ffem_cli.eval.recognisers import GRAPHS, Recogniser, open_recogniser
from ffem_cli.eval.recovery import Opened
from ffem_cli.evidence.reopening import anchors, judging, telling
from ffem_cli.evidence.result import Result
from ffem_cli.evidence.setting import Setting

PROBES, ANCHORED, PRECISE = 500, 100, 100
NETWORK = "mobilefacenet_128d.onnx"  # whose layers the perceptual distance looks at, in `weights`


def measure(setting: Setting) -> Result:
    """See `Section.measure`."""
    camera, say = setting.camera, setting.say
    judge = Perceptual(setting.folder("weights") / NETWORK)
    networks = recognisers(setting)
    split = protocol.split(
        setting.folder("lfw/identities"), setting.folder("lfw/singles"), setting.size(PROBES, 6), setting.seed
    )
    if setting.small:
        split = _few(split)
    probes = recovery.open_probes(split, camera, networks, seed=setting.seed, cache=setting.cache, say=say, judge=judge)
    by_recogniser = [
        {"recogniser": network.name, **recovery.figures(probes, at, split, network, setting.cache, say)}
        for at, network in enumerate(networks)
    ]
    known = anchors.measure(split, setting.size(ANCHORED, 4), networks, judge, setting.cache, say)
    faces = samples.split([setting.folder("utkface/train")]).held_out
    paths = samples.some(faces, setting.size(PRECISE, 3), setting.seed)
    aligned = [data.read_aligned(path, camera.model.size) for path in paths]
    precise = precision.measure(
        camera.model, aligned, networks[0], rotation=camera.rotation, seed=setting.seed, say=say
    )
    found: dict[str, Any] = {
        "recovery": by_recogniser,
        "flow": _flow(probes),
        "exact": _exact(probes),
        "means": known,
        "precision": precise["rows"],
    }
    record = {
        **camera.depends,
        "model": camera.model.name,
        "precision": PRECISION,
        "seed": setting.seed,
        "recognisers": [{"name": one.name, "sha256": one.digest} for one in networks],
        "perceptual": {"name": judge.name, "sha256": judge.digest, "layers": list(judge.layers)},
        "data": data.describe(split.photos),
        "precision_data": {"photos": len(paths), "sha256": data.digest((path.name, path) for path in paths)},
        "interval": "95 %, bootstrap of 1,000 rounds over identities",
    }
    return Result(found, record, telling.parts(found, judge.name), judging.claims(found))


def recognisers(setting: Setting) -> list[Recogniser]:
    """Those of the setting; where it names none, the shared MobileFaceNet and the networks of pinned packages
    that are here."""
    if setting.recognisers:
        return [open_recogniser(name, setting.model_cache) for name in setting.recognisers]
    found = [open_recogniser(str(setting.folder("weights") / NETWORK))]
    for name in (*GRAPHS, "dlib"):
        try:
            found.append(open_recogniser(name, setting.model_cache))
        except MissingExtra as error:
            setting.say(error.message, 0)
    return found


def _few(split: protocol.Protocol) -> protocol.Protocol:
    """The probes with their mates and a few others only."""
    people = {photo.person for photo in split.probes}
    mates = [photo for photo in split.gallery if photo.person in people]
    return protocol.Protocol(split.probes, mates + [photo for photo in split.gallery if photo.person not in people][:4])


def _flow(probes: Opened) -> dict[str, Any]:
    """What came out of the flow against what went in, and the opened picture in the detector's box."""
    names = ("psnr_db", "ssim", "square_perceptual", "box_psnr_db", "box_ssim", "perceptual")
    out: dict[str, Any] = {"probes": len(probes.people)}
    for name in names:
        values = probes.columns[name]
        out[name] = {
            "mean": float(values.mean()),
            "ci95": interval(values, probes.people),
            "worst": float(values.max() if name.endswith("perceptual") else values.min()),
        }
    return out


def _exact(probes: Opened) -> dict[str, Any]:
    identical: NDArray[np.float64] = probes.columns["identical"]
    return {
        "photos": len(identical),
        "identical": int(identical.sum()),
        "share": float(identical.mean()),
        "ci95": proportion(identical, probes.people),
    }
