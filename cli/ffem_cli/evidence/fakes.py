"""Fakes: what everybody may draw in place of an encrypted face. Are they faces, of nobody, varied, sharp, new?

Two measurements of `ffem eval` in one section. Photos of LFW are sealed as the camera does it, and the fakes made from
what is public (`ffem_cli.eval.fakes`): do other detectors find a face, is anybody named. Fakes of a model alone, that
no camera took, are compared with held-out faces of UTKFace, and with all training faces (`ffem_cli.eval.samples`). The
sheet shows faces that the model drew. No face of a data set is in it, nor anything made from one.

Data: `lfw/identities` (a folder a person), `lfw/singles` (any layout, more people), `utkface/train` (aligned faces;
every 20th is held out of training), `weights/mobilefacenet_128d.onnx` where --recogniser names nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ffem_cli.evidence.result import Claim, Plot, Result, Series, Sheet, Table, Text

if TYPE_CHECKING:
    from ffem_chain.faces.finding.detect import Detector
    from ffem_cli.eval.recognisers import Recogniser
    from ffem_cli.evidence.setting import Setting

TITLE = "Fake faces"
QUESTION = "Are the faces that anybody may draw in place of the encrypted ones faces at all, and whose are they?"
NEEDS = ("lfw/identities", "lfw/singles", "utkface/train", "weights")
# the goals of the project's plan, set before these figures were measured
FOUND, LIKENESS, SHARPNESS = 0.98, 0.10, 0.5
_JUDGES = ("yolo5face", "scrfd", "centerface")
_RARE = 0.00135  # the share of a normal distribution above 3 sigma


def measure(setting: Setting) -> Result:
    """See the module. InputError where data are missing, MissingExtra where only the camera's detector is there."""
    from ffem_chain.capture.picture import encode
    from ffem_cli.eval import data, protocol, samples
    from ffem_cli.eval import fakes as sealed
    from ffem_cli.pictures import FAKE_TEMPERATURE

    network, judges = _recogniser(setting), _judges(setting)
    people, more = setting.folder("lfw/identities"), setting.folder("lfw/singles")
    split = protocol.split(people, more, setting.size(300, 4), setting.seed)
    faces = samples.split([setting.folder("utkface/train")])
    if setting.small:
        known = {photo.person for photo in split.probes}
        mates = [photo for photo in split.gallery if photo.person in known]
        split = protocol.Protocol(split.probes, mates + split.gallery[-20:])
        faces = samples.Faces(faces.held_out[:16], faces.others[:16])
    maker = sealed.Maker(setting.camera, judges, network, FAKE_TEMPERATURE, setting.seed)
    made = sealed.measure(split, maker, keys=1, count=setting.size(500, 6), cache=setting.cache, say=setting.say)
    drawn, pictures = samples.measure(
        setting.camera.model,
        faces,
        network,
        temperature=FAKE_TEMPERATURE,
        count=setting.size(1500, 16),
        seed=setting.seed,
        nearest=True,
        cache=setting.cache,
        say=setting.say,
    )
    record = {
        "camera": setting.camera.depends,
        "temperature": FAKE_TEMPERATURE,
        "detectors": [judge.name for judge in judges],
        "recogniser": {"name": network.name, "sha256": network.digest},
        "seed": setting.seed,
        "photos": data.describe(split.photos),
        "aligned_faces": drawn["data"],
    }
    return told(made, drawn, record, encode(samples.sheet(pictures)))


def told(made: dict[str, Any], drawn: dict[str, Any], record: dict[str, Any], sheet: bytes) -> Result:
    """The outcome of figures of sealed photos (`fakes.measure`) and of drawn faces (`samples.measure`)."""
    found = {name: share for name, share in made["detected"].items() if share is not None}
    trials, chance = made["trials"], made["chance_top1"]
    alike = made["pairwise_cosine"] - made["pairwise_cosine_real"]
    near = drawn["nearest"]
    claims = [
        Claim(
            f"{name}, a detector that had no part in the sealing, finds the fakes",
            f"at least {FOUND:.0%}",
            f"{share:.1%} {_between(made['detection'][name]['ci95'])} of {made['detection'][name]['fakes']}",
            share >= FOUND,
        )
        for name, share in found.items()
    ]
    claims += [
        Claim(
            "A fake names its person no more often than blind guessing does",
            f"chance: {chance * trials:.1f} of {trials} top-1",
            f"{made['top1_hits']} of {trials}; {made['top1_original']:.1%} of the originals",
            tail(made["top1_hits"], trials, chance) > _RARE,
        ),
        Claim(
            "Fakes of different people are about as different as people",
            f"mean cosine at most {LIKENESS:.2f} above that of real faces",
            f"{alike:.3f} above ({made['pairwise_cosine']:.3f}, real {made['pairwise_cosine_real']:.3f})",
            alike <= LIKENESS,
        ),
        Claim(
            "Fakes in photos are sharp enough to sit in them",
            f"at least {SHARPNESS:.2f} of the originals' sharpness",
            f"{made['sharpness_ratio']:.2f}",
            made["sharpness_ratio"] >= SHARPNESS,
        ),
    ]
    if near is not None:
        claims.append(
            Claim(
                "The model does not give back the people that it was trained on",
                "fakes no nearer to a training face than new faces are (mean and 95th percentile of the cosine)",
                f"{near['fakes']['mean']:.3f} and {near['fakes']['p95']:.3f}; "
                f"new faces {near['held_out']['mean']:.3f} and {near['held_out']['p95']:.3f}",
                all(near["fakes"][name] <= near["held_out"][name] for name in ("mean", "p95")),
            )
        )
    parts = (_answer(made, drawn), _sealed_table(made), _drawn_table(drawn), _plot(made), _sheet(drawn, sheet))
    return Result({"sealed": made, "drawn": drawn}, record, parts, claims)


def _answer(made: dict[str, Any], drawn: dict[str, Any]) -> Text:
    found = [f"{share:.1%} by {name}" for name, share in made["detected"].items() if share is not None]
    return Text(
        f"Of {made['fakes']} fakes, other detectors take for a face: {', '.join(found)}. A recogniser that names "
        f"{made['top1_original']:.0%} of the people in the original photos names {made['top1_hits']} of "
        f"{made['trials']} behind their fakes. Fakes in photos have {made['sharpness_ratio']:.0%} of the originals' "
        f"sharpness, and are more alike than real faces: mean cosine {made['pairwise_cosine']:.2f} against "
        f"{made['pairwise_cosine_real']:.2f}.\n\n"
        "A fake is drawn from the encrypted numbers by a public model; the camera's key decides which. Photos were "
        "sealed as the camera does it, and the fakes pasted into them. An attacker is given the original's eyes, nose "
        "and mouth, so that he looks in exactly the right place. This section looks at quality; the section on privacy "
        "asks with more keys and more networks who is recognised.\n\n"
        f"Beside it, {drawn['fakes']} faces were drawn from the model alone and compared with real faces that it never "
        "saw in training."
    )


def _sealed_table(made: dict[str, Any]) -> Table:
    rows: list[tuple[str, str, str, str]] = []
    for name, share in made["detected"].items():
        value = "-" if share is None else f"{share:.1%} {_between(made['detection'][name]['ci95'])}"
        rows.append((f"found by {name}", value, "", "100 %"))
    rows += [
        (
            "named, top-1",
            f"{made['top1']:.2%} {_between(made['ci95']['top1'], 2)}",
            f"{made['top1_original']:.1%}",
            f"chance, {made['chance_top1']:.2%}",
        ),
        (
            "named, top-5",
            f"{made['top5']:.2%} {_between(made['ci95']['top5'], 2)}",
            f"{made['top5_original']:.1%}",
            f"chance, {5 * made['chance_top1']:.2%}",
        ),
        ("cosine to the own original", f"{made['cosine_to_own_original']:.3f}", "1", "that of strangers, about 0"),
        (
            "mean cosine of two people's",
            f"{made['pairwise_cosine']:.3f}",
            f"{made['pairwise_cosine_real']:.3f}",
            "that of originals",
        ),
        (
            "Frechet distance to real faces",
            _number(made["frechet"]),
            _number(made["frechet_real"]),
            "that of originals",
        ),
        ("sharpness", f"{made['sharpness']:.0f}", f"{made['sharpness_real']:.0f}", "that of originals"),
    ]
    note = (
        f"{made['fakes']} fakes in photos, temperature {made['temperature']}; {made['probes']} people looked for among "
        f"{made['gallery']} photos. Found: a box that covers the detector's own box on the original by an IoU of 0.5. "
        "Brackets: 95 % intervals. Sharpness: median variance of the Laplacian."
    )
    return Table("Fakes in sealed photos", ("", "fakes", "originals", "best possible"), rows, note)


def _drawn_table(drawn: dict[str, Any]) -> Table:
    rows = [
        ("Frechet distance to held-out faces", _number(drawn["frechet"]), _number(drawn["frechet_real"])),
        ("sharpness", f"{drawn['sharpness']:.0f}", f"{drawn['sharpness_real']:.0f}"),
        ("mean cosine of two", f"{drawn['pairwise_cosine']:.3f}", f"{drawn['pairwise_cosine_real']:.3f}"),
    ]
    note = f"{drawn['fakes']} fakes; {drawn['held_out']} held-out faces, {drawn['real']} training faces for comparison."
    if drawn["nearest"] is not None:
        for name, text in (("mean", "mean"), ("p95", "95th percentile"), ("max", "largest")):
            fakes, held = (drawn["nearest"][which][name] for which in ("fakes", "held_out"))
            rows.append((f"cosine to the nearest training face, {text}", f"{fakes:.3f}", f"{held:.3f}"))
        note += (
            f" Nearest of {drawn['nearest']['training_faces']} training faces; the data set holds some people and "
            "photos twice, so held-out faces have near doubles there. A model that had learnt people by heart would "
            "come nearer than they do."
        )
    return Table("Faces drawn from the model alone", ("", "fakes", "real faces"), rows, note)


def _plot(made: dict[str, Any]) -> Plot:
    names = ("top-1", "top-5")
    low, high = zip(*(made["ci95"][name.replace("-", "")] for name in names), strict=True)
    fakes = Series("fakes", names, (made["top1"], made["top5"]), low, high)
    originals = Series("originals", names, (made["top1_original"], made["top5_original"]))
    chance = Series("chance", names, (made["chance_top1"], 5 * made["chance_top1"]))
    return Plot("named", "How many people are named", "bars", "", "share of probes", (originals, fakes, chance))


def _sheet(drawn: dict[str, Any], png: bytes) -> Sheet:
    return Sheet(
        "sheet",
        "Faces of nobody",
        png,
        f"The first faces that {drawn['model']} drew with seed {drawn['seed']} at temperature {drawn['temperature']}, "
        "none picked. No person, and no photo, is behind them.",
    )


def tail(hits: int, trials: int, chance: float) -> float:
    """Probability of `hits` or more of `trials` by guessing (binomial)."""
    return 1.0 - sum(math.comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(hits))


def _between(interval: Sequence[float], digits: int = 1) -> str:
    return f"({interval[0]:.{digits}%} to {interval[1]:.{digits}%})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _recogniser(setting: Setting) -> Recogniser:
    """The first that was named, or the shared one, or dlib's."""
    from ffem_cli.eval.recognisers import open_recogniser

    shared = setting.data / "weights" / "mobilefacenet_128d.onnx"
    named = setting.recognisers[0] if setting.recognisers else None
    return open_recogniser(named or (str(shared) if shared.is_file() else "dlib"), setting.model_cache)


def _judges(setting: Setting) -> list[Detector]:
    """Two detectors that are not the camera's; one where no other is on this machine."""
    from ffem_chain.errors import MissingExtra
    from ffem_chain.faces.finding.detectors import detector

    found: list[Detector] = []
    missing: MissingExtra | None = None
    for name in _JUDGES:
        if name == setting.camera.detector.name or len(found) == 2:
            continue
        for folder in (setting.model_cache, setting.data / "weights"):
            try:
                found.append(detector(name, folder))
                break
            except MissingExtra as error:
                missing = missing or error
    if not found:
        raise missing or MissingExtra("no detector beside the camera's is on this machine", "ffem models list")
    return found
