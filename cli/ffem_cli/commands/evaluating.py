"""`ffem eval`: how good fakes and recoveries are, on data and with recognisers that a user has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffem_chain.errors import InputError
from ffem_cli import shell
from ffem_cli.output import Answer, Table
from ffem_cli.pictures import FAKE_TEMPERATURE, ForceOption, check_out, write_out
from ffem_cli.session import Session

RecogniserOption = Annotated[
    str | None,
    typer.Option("--recogniser", metavar="FILE", help="Network that tells people apart: ONNX, 112 x 112 px RGB."),
]
CacheOption = Annotated[
    Path | None, typer.Option("--cache", metavar="DIR", help="Keep vectors here; an interrupted run goes on.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of everything that is drawn.")]
TemperatureOption = Annotated[
    float, typer.Option("--temperature", min=0, max=1, help="Of the fakes (lambda): smaller is closer to the average.")
]


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("eval", "Measure fakes and recoveries on data that you have (docs/EVAL.md).")
    example = "ffem eval samples --faces utkface/train --recogniser mobilefacenet.onnx -o sheet.png --json"
    shell.command(group, "samples", example=example, new_profile=True)(samples)
    app.add_typer(group)


def samples(
    session: Session,
    faces: Annotated[
        list[Path], typer.Option("--faces", metavar="DIR", help="Aligned faces as in training; may be repeated.")
    ],
    recogniser: RecogniserOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="PNG to write: a sheet of 64 fakes.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="Weights (safetensors) instead of --model.")
    ] = None,
    temperature: TemperatureOption = FAKE_TEMPERATURE,
    count: Annotated[int, typer.Option("--count", min=8, max=100_000, help="Fakes, and faces at most.")] = 1500,
    every: Annotated[
        int | None,
        typer.Option("--every", min=1, help="One face in so many is held out; 1: all (default: training's)."),
    ] = None,
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
    from ffem_chain.faces.traindata import HELD_OUT
    from ffem_cli.eval import samples as part
    from ffem_cli.eval.cache import Cache
    from ffem_cli.eval.recognisers import open_recogniser

    network = open_recogniser(recogniser)
    found = part.split(faces, every or HELD_OUT)
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


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
