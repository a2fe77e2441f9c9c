"""`ffem eval`: how good fakes and recoveries are, on data and with recognisers that a user has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import shell
from ffem_cli.commands import attacking, evidence, reporting
from ffem_cli.output import Answer, Table
from ffem_cli.pictures import FAKE_TEMPERATURE, ForceOption, check_out, write_out
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_cli.eval.protocol import Protocol
    from ffem_cli.eval.recognisers import Recogniser
    from ffem_cli.eval.sealing import Camera

LfwOption = Annotated[Path, typer.Option("--lfw", metavar="DIR", help="Photos, one folder a person.")]
DistractorsOption = Annotated[
    Path | None, typer.Option("--distractors", metavar="DIR", help="More photos for the gallery, one a person.")
]
ProbesOption = Annotated[int, typer.Option("--probes", min=1, help="People to look for, a photo each.")]
RecogniserOption = Annotated[
    str | None,
    typer.Option("--recogniser", metavar="FILE", help="What tells people apart: ONNX for 112 px RGB, or 'dlib'."),
]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="Keep vectors here; an interrupted run goes on.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", min=0, max=1, help="Of the fakes (lambda): smaller is closer to the average.")
]
WeightsOption = Annotated[
    Path | None, typer.Option("--weights", metavar="FILE", help="Weights (safetensors) instead of --model.")
]
FacesOption = Annotated[
    list[Path], typer.Option("--faces", metavar="DIR", help="Aligned faces as in training; may be repeated.")
]
EveryOption = Annotated[
    int | None, typer.Option("--every", min=1, help="One face in so many is held out; 1: all (default: training's).")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("eval", "Measure fakes and recoveries on data that you have (docs/EVAL.md).")
    network = "--recogniser mobilefacenet.onnx"
    parts: dict[str, tuple[Any, str]] = {
        "recovery": (recovery, f"--lfw lfw/identities --distractors lfw/singles {network} --cache cache --json"),
        "fakes": (fakes, f"--lfw lfw/identities --distractors lfw/singles {network} --keys 10 --cache cache --json"),
        "precision": (precision, "--faces utkface/train --json"),
        "samples": (samples, f"--faces utkface/train {network} -o sheet.png --json"),
    }
    for name, (function, options) in parts.items():
        shell.command(group, name, example=f"ffem eval {name} {options}", new_profile=True)(function)
    evidence.add_to(group)
    attacking.add_to(group)
    reporting.add_to(group)
    app.add_typer(group)


def recovery(
    session: Session,
    lfw: LfwOption,
    distractors: DistractorsOption = None,
    recogniser: RecogniserOption = None,
    probes: ProbesOption = 500,
    weights: WeightsOption = None,
    seed: SeedOption = 1,
    cache: CacheOption = None,
) -> Answer:
    """Seal photos, open them by the flow alone, and compare: PSNR, SSIM, identity kept; is the exact layer exact."""
    camera = _camera(session, weights)
    from ffem_cli.eval import recovery as part
    from ffem_cli.eval.cache import Cache

    network, split = _protocol(recogniser, lfw, distractors, probes, seed)
    with session.out.progress(len(split.photos)) as say:
        found = part.measure(split, camera, network, seed=seed, cache=Cache(cache), say=say)
    data = {**found, **_origin(camera, network, split, seed)}
    bands = [(f"{band['from']} to {band['to']}", band) for band in data["by_yaw"]]
    rows = [(name, *_recovery_row(band)) for name, band in bands if band["probes"]]
    columns = ("yaw, degrees", "probes", "PSNR dB", "SSIM", "cosine", "5 %", "top-1", "top-1 of originals")
    whole = (
        f"{camera.model.name}: flow alone {data['flow_psnr_db']:.1f} dB, SSIM {data['flow_ssim']:.3f}; "
        f"top-1 {data['top1_recovered']:.1%}, originals {data['top1_original']:.1%}, gallery {data['gallery']}"
    )
    exact = "identical in all" if data["exact_identical"] else "NOT identical"
    return Answer(data, (whole, Table(columns, rows), f"exact layer: {exact} of {data['probes']} photos"))


def _recovery_row(band: dict[str, Any]) -> tuple[object, ...]:
    shown = [("psnr_db", ".1f"), ("ssim", ".3f"), ("cosine_mean", ".3f"), ("cosine_p5", ".3f")]
    shares = (f"{band[name]:.1%}" for name in ("top1_recovered", "top1_original"))
    return (band["probes"], *(format(band[name], form) for name, form in shown), *shares)


def fakes(
    session: Session,
    lfw: LfwOption,
    distractors: DistractorsOption = None,
    recogniser: RecogniserOption = None,
    temperature: TemperatureOption = FAKE_TEMPERATURE,
    probes: ProbesOption = 500,
    keys: Annotated[int, typer.Option("--keys", min=1, max=1000, help="Fresh keys, so fakes, of each probe.")] = 1,
    count: Annotated[int, typer.Option("--count", min=2, help="Photos with a fake each, for the distance.")] = 1500,
    weights: WeightsOption = None,
    seed: SeedOption = 1,
    cache: CacheOption = None,
) -> Answer:
    """Seal photos and judge the fakes: found by two other detectors, identified at chance, like real faces, sharp."""
    camera = _camera(session, weights)
    from ffem_chain.faces.finding import detectors
    from ffem_cli.eval import fakes as part
    from ffem_cli.eval.cache import Cache

    names = [name for name in ("yolo5face", "scrfd", detectors.DEFAULT) if name != camera.detector.name][:2]
    judges = [detectors.detector(name, session.model_cache()) for name in names]
    network, split = _protocol(recogniser, lfw, distractors, probes, seed)
    maker = part.Maker(camera, judges, network, temperature, seed)
    with session.out.progress(len(split.photos)) as say:
        found = part.measure(split, maker, keys=keys, count=count, cache=Cache(cache), say=say)
    data = {**found, **_origin(camera, network, split, seed)}
    rows = [(f"found by {name}", _share(data["detected"][name]), "") for name in names]
    rows += [
        ("top-1", f"{data['top1']:.2%} of {data['trials']}", f"{data['top1_original']:.1%}"),
        ("top-5", f"{data['top5']:.2%}", f"{data['top5_original']:.1%}"),
        ("mean cosine of two", f"{data['pairwise_cosine']:.3f}", f"{data['pairwise_cosine_real']:.3f}"),
        ("Frechet distance to other real faces", _number(data["frechet"], 4), _number(data["frechet_real"], 4)),
        ("sharpness", f"{data['sharpness']:.0f}", f"{data['sharpness_real']:.0f}"),
    ]
    title = (
        f"{camera.model.name} at temperature {temperature}: {data['fakes']} fakes, gallery {data['gallery']}, "
        f"chance {data['chance_top1']:.2%} top-1"
    )
    return Answer(data, (title, Table(("", "fakes", "originals"), rows)))


def precision(
    session: Session,
    faces: FacesOption,
    recogniser: RecogniserOption = None,
    count: Annotated[int, typer.Option("--count", min=2, max=100_000, help="Faces at most.")] = 200,
    every: EveryOption = None,
    weights: WeightsOption = None,
    seed: SeedOption = 1,
) -> Answer:
    """Bytes a face against PSNR and identity: float32, float16, 12, 10 and 8 bits, through rotation and packing."""
    model = session.model(weights)
    from ffem_cli.eval import data as dataset
    from ffem_cli.eval import precision as part
    from ffem_cli.eval import samples as sampling
    from ffem_cli.eval.recognisers import open_recogniser

    network = open_recogniser(recogniser) if recogniser else None
    paths = sampling.some(sampling.split(faces, every).held_out, count, seed)
    shown = [dataset.read_aligned(path, model.size) for path in paths]
    if len(shown) < 2:
        raise InputError("fewer than two faces are held out", "give more faces, or --every 1")
    rotation = session.config.text("rotation")
    with session.out.progress(len(shown)) as say:
        found = part.measure(model, shown, network, rotation=rotation, seed=seed, say=say)
    data = {
        **found,
        "model": model.name,
        "model_id": model.model_id.hex(),
        "keyed_dither": model.keyed_dither,
        "recogniser": _network(network),
        "seed": seed,
        "data": {"photos": len(paths), "sha256": dataset.digest((path.name, path) for path in paths)},
    }
    rows = [
        (
            row["precision"],
            f"{row['bytes']:,}",
            f"{row['psnr_db_mean']:.1f}",
            f"{row['psnr_db_min']:.1f}",
            f"{row['identical']:.1%}",
            _number(row["cosine_mean"], 4),
        )
        for row in data["rows"]
    ]
    columns = ("precision", "bytes a face", "PSNR dB", "lowest", "identical faces", "cosine")
    return Answer(data, (f"{model.name}, {len(shown)} aligned faces of {model.size} px", Table(columns, rows)))


def samples(
    session: Session,
    faces: FacesOption,
    recogniser: RecogniserOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="PNG to write: a sheet of 64 fakes.")
    ] = None,
    weights: WeightsOption = None,
    temperature: TemperatureOption = FAKE_TEMPERATURE,
    count: Annotated[int, typer.Option("--count", min=8, max=100_000, help="Fakes, and faces at most.")] = 1500,
    every: EveryOption = None,
    nearest: Annotated[
        bool, typer.Option("--nearest", help="Compare with every training face, to see what was memorised.")
    ] = False,
    seed: SeedOption = 1,
    cache: CacheOption = None,
    force: ForceOption = False,
) -> Answer:
    """Draw fakes from a model and compare them with held-out faces: Frechet distance, sharpness, likeness; a sheet."""
    if out is not None:
        check_out(out, force=force)
    model = session.model(weights)
    from ffem_chain.capture.picture import encode
    from ffem_cli.eval import samples as part
    from ffem_cli.eval.cache import Cache
    from ffem_cli.eval.recognisers import open_recogniser

    network = open_recogniser(recogniser)
    found = part.split(faces, every)
    if len(found.held_out) < 2:
        raise InputError("fewer than two faces are held out", "give more faces, or --every 1")
    with session.out.progress(count) as say:
        data, drawn = part.measure(
            model,
            found,
            network,
            temperature=temperature,
            count=count,
            seed=seed,
            nearest=nearest,
            cache=Cache(cache),
            say=say,
        )
    if out is not None:
        write_out(out, encode(part.sheet(drawn)), force=force)
    rows = [
        ("Frechet distance to held-out faces", f"{data['frechet']:.4f}", _number(data["frechet_real"], 4)),
        ("sharpness (median variance of the Laplacian)", f"{data['sharpness']:.0f}", f"{data['sharpness_real']:.0f}"),
        ("mean cosine of two", f"{data['pairwise_cosine']:.3f}", f"{data['pairwise_cosine_real']:.3f}"),
    ]
    if data["nearest"]:
        near = data["nearest"]
        rows += [
            (
                f"cosine to the nearest training face, {name}",
                f"{near['fakes'][name]:.3f}",
                f"{near['held_out'][name]:.3f}",
            )
            for name in ("mean", "p95", "max")
        ]
    title = f"{data['model']}, {data['steps']} steps: {count} fakes at temperature {temperature}"
    return Answer({**data, "out": out}, (title, Table(("", "fakes", "real faces"), rows)))


def _protocol(
    recogniser: str | None, lfw: Path, distractors: Path | None, probes: int, seed: int
) -> tuple[Recogniser, Protocol]:
    from ffem_cli.eval import protocol
    from ffem_cli.eval.recognisers import open_recogniser

    return open_recogniser(recogniser), protocol.split(lfw, distractors, probes, seed)


def _camera(session: Session, weights: Path | None) -> Camera:
    model, detector, pose = session.model(weights), session.detector(), session.pose()
    from ffem_cli.eval.sealing import Camera

    return Camera(model, detector, pose, session.config.text("rotation"))


def _origin(camera: Camera, network: Recogniser, split: Protocol, seed: int) -> dict[str, Any]:
    """What the figures were measured with and on."""
    from ffem_chain.faces.seal import PRECISION
    from ffem_cli.eval import data

    return {
        **camera.depends,
        "model": camera.model.name,
        "model_id": camera.model.model_id.hex(),
        "precision": PRECISION,
        "recogniser": _network(network),
        "seed": seed,
        "data": data.describe(split.photos),
    }


def _network(network: Recogniser | None) -> dict[str, str] | None:
    return None if network is None else {"name": network.name, "sha256": network.digest}


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
