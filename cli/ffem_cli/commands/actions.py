"""`ffem eval hmdb51`: the paper's action recognition, for who has the clips and a video network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import shell
from ffem_cli.output import Answer, Table
from ffem_cli.pictures import FAKE_TEMPERATURE
from ffem_cli.session import Session

DEFAULT_COVERS = ("original", "pixelated", "I_enc", "fake")


def add_to(group: typer.Typer) -> None:
    """Add the command of this module to `ffem eval`."""
    example = "ffem eval hmdb51 --videos hmdb51 --splits splits --network r3d.pt --cover fake --json"
    shell.command(group, "hmdb51", example=example, new_profile=True)(hmdb51)


def hmdb51(
    session: Session,
    videos: Annotated[Path, typer.Option("--videos", metavar="DIR", help="A folder of .avi clips for each class.")],
    splits: Annotated[Path, typer.Option("--splits", metavar="DIR", help="HMDB51's testTrainMulti_7030_splits.")],
    network: Annotated[
        str,
        typer.Option("--network", metavar="FILE", help="TorchScript, or module:factory, called with the classes."),
    ],
    split: Annotated[int, typer.Option("--split", min=1, max=3, help="Which of the three splits.")] = 1,
    cover: Annotated[
        list[str] | None,
        typer.Option("--cover", help="original, jpeg, pixelated, I_enc, fake; may be repeated (default: four)."),
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=1, max=512, help="Of each clip, evenly.")] = 16,
    side: Annotated[int, typer.Option("--side", min=16, max=1024, help="Of the network's pictures, px.")] = 112,
    epochs: Annotated[int, typer.Option("--epochs", min=0, help="Train so long before the test; 0: only test.")] = 0,
    trained_on: Annotated[str, typer.Option("--trained-on", help="The cover of the clips trained with.")] = "original",
    rate: Annotated[float, typer.Option("--rate", min=0, help="Learning rate.")] = 0.01,
    batch: Annotated[int, typer.Option("--batch", min=1, max=256, help="Clips of a training step.")] = 8,
    most: Annotated[int | None, typer.Option("--most", min=1, help="Clips of a class and part (default: all).")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of keys, and of the order of training.")] = 1,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep covered clips here; an interrupted run goes on.")
    ] = None,
) -> Answer:
    """Action recognition on clips sealed frame by frame, in HMDB51's layout: test a video network, or train it before.

    Every frame is sealed under a key of its own, about 0.7 s each: a test on all of split 1 takes five hours of a core.
    """
    from ffem_cli.eval.sealing import Camera
    from ffem_cli.evidence.downstream import actions, volumes
    from ffem_cli.evidence.downstream import hmdb51 as layout
    from ffem_cli.evidence.downstream.covering import COVERS, WORDS, Shower

    covers = tuple(dict.fromkeys(cover or DEFAULT_COVERS))
    for name in (*covers, trained_on):
        if name not in COVERS:
            raise InputError(f"there is no cover {name!r}", f"covers: {', '.join(COVERS)}")
    parts = layout.read(videos, splits, split, most)
    loaded, digest = volumes.load(network, len(parts.classes))
    camera = Camera(session.model(), session.detector(), session.pose(), session.config.text("rotation"))
    shower = Shower(camera, FAKE_TEMPERATURE, seed)
    recipe = volumes.Recipe(frames, side, epochs, rate, batch, trained_on, seed)
    with session.out.progress(len(parts.test)) as say:
        found = actions.run(parts, loaded, covers, volumes.Clips(shower, recipe, keep), recipe, say)
    data: dict[str, Any] = {
        **found,
        "classes": len(parts.classes),
        "split": split,
        "network": digest,
        "recipe": recipe,
        **shower.depends,
    }
    rows = [
        (
            WORDS[name],
            one["clips"],
            *(_share(one, figure) for figure in ("top1", "top5")),
            _share(one, "as_original") if "as_original" in one else "-",
        )
        for name, one in found["covers"].items()
    ]
    trained = f"trained {epochs} epochs on {found['train']} clips ({WORDS[trained_on]})" if epochs else "not trained"
    words = f"split {split}, {len(parts.classes)} classes, {frames} frames a clip; {trained}; 95 % intervals by film"
    return Answer(data, (words, Table(("clips", "tested", "top-1", "top-5", "class as on the original"), rows)))


def _share(one: dict[str, Any], name: str) -> str:
    low, high = one[f"{name}_ci95"]
    return f"{one[name]:.1%} ({low:.1%} to {high:.1%})"
