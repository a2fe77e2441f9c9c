"""`ffem bench`: times and gas on this machine, each measured in one run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import shell
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session

MOST_FACES, MOST_REPEATS = 160, 10_000


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group("bench", "Measure on this machine: the path of a photo, faces, envelopes, gas.")
    shell.command(group, "path", example="ffem bench path --faces 1,3,12 --json", new_profile=True)(path)
    shell.command(group, "faces", example="ffem bench faces --json", new_profile=True)(faces)
    shell.command(group, "crypto", example="ffem bench crypto", new_profile=True)(crypto)
    shell.command(group, "gas", example="ffem bench gas --json", new_profile=True)(gas)
    app.add_typer(group)


def path(
    session: Session,
    faces: Annotated[str, typer.Option("--faces", metavar="N,N,...", help="Faces in each picture.")] = "1,3,12",
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=MOST_REPEATS, help="Rounds; medians count.")] = 5,
    detector: shell.DetectorOption = None,
    pose: shell.PoseOption = None,
) -> Answer:
    """Time a photo from the camera to the chain, stage by stage, for pictures with several numbers of faces.

    On a chain and a store of its own. All in one run, after a round that is not counted.
    """
    from ffem_cli.bench.machine import line
    from ffem_cli.bench.path import STAGES, measure

    counts = _numbers(faces)
    model, finder, estimator = session.model(), session.detector(detector), session.pose(pose)
    with session.out.progress(len(counts) * (repeats + 1)) as say:
        data = measure(counts, repeats, model, finder, estimator, say)
    names = [*STAGES, "total"]
    rows = [
        (
            row["faces"],
            *(f"{row[f'{name}_ms']:.1f}" for name in names),
            f"{row['ratio']:.2f}",
            f"{sum(row['bytes'].values()) / 1000:,.0f}",
        )
        for row in data["rows"]
    ]
    shape = data["picture"]
    words = f"milliseconds, medians of {repeats} runs, pictures of {shape['width']} x {shape['height']} pixels"
    table = Table(("faces", *names, "ratio", "kB"), rows)
    return Answer(data, (words, table, line(data["machine"])))


def faces(
    session: Session,
    batches: Annotated[str, typer.Option("--faces", metavar="N,N,...", help="Faces in each picture.")] = "1,8",
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=MOST_REPEATS, help="Rounds; medians count.")] = 7,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, max=256, help="Threads of torch (default: half of the cores).")
    ] = None,
    processor: Annotated[
        bool, typer.Option("--processor", help="Count processor time: on a machine that does other things as well.")
    ] = False,
    detector: shell.DetectorOption = None,
    pose: shell.PoseOption = None,
) -> Answer:
    """Time each step of what happens to a face, for every shipped model and for one of the paper's shape.

    Beside them: the rate of a matrix product in the same run, and the paper's times.
    """
    from ffem_cli.bench.machine import line

    counts = _numbers(batches)
    finder, estimator = session.detector(detector), session.pose(pose)
    from ffem_chain.faces.flow.weights import load_model, model_names
    from ffem_cli.bench.faces import STEPS, measure, paper_model, using_threads

    clock = "processor" if processor else "wall"
    models = [*map(load_model, model_names()), paper_model()]
    with using_threads(threads), session.out.progress(len(models) * len(counts) * (repeats + 1)) as say:
        data = measure(models, counts, repeats, finder, estimator, clock, say)
    rows = [
        (
            row["model"],
            row["batch"],
            *(f"{row[f'{step}_ms']:.1f}" for step in STEPS),
            f"{row['share_of_peak']:.0%}",
            f"{row['peak_mb']:.0f}",
        )
        for row in data["rows"]
    ]
    paper = data["paper"]
    words = (
        f"milliseconds ({clock} time) for all faces of a picture, medians of {repeats} rounds\n"
        f"share: encode and rotate, of a matrix product's {data['peak_gflops']} GFLOP/s in the same run\n"
        f"the paper, one face, {paper['machine']}: encode {paper['encode_ms']}, "
        f"encode and rotate {paper['encode_rotate_ms']}"
    )
    return Answer(data, (words, Table(("model", "faces", *STEPS, "share", "MB"), rows), line(data["machine"])))


def _numbers(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or not all(1 <= count <= MOST_FACES for count in counts) or len(set(counts)) != len(counts):
        raise InputError(f"{text!r} is no list of distinct numbers from 1 to {MOST_FACES}"[:200], "--faces 1,3,12")
    return counts


def crypto(
    session: Session,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=MOST_REPEATS, help="Calls; medians count.")] = 500,
) -> Answer:
    """Time sealing and opening 32 bytes: suite 1 (secp256k1), suite 2 (X-Wing) and eciespy, in turns."""
    from ffem_chain.keys.suites import SUITE_NAMES
    from ffem_cli.bench.crypto import measure
    from ffem_cli.bench.machine import line

    with session.out.progress(repeats) as say:
        data = measure(repeats, say)
    words = {"suite1": f"1, {SUITE_NAMES[1]}", "suite2": f"2, {SUITE_NAMES[2]}", "eciespy": "eciespy"}
    rows = [_crypto_row(words[name], data[name]) for name in words if data[name]]
    if data["eciespy"] is None:
        session.out.note("eciespy is not installed and was left out: pip install eciespy")
    columns = ("suite", "seal µs", "ratio", "open µs", "ratio", "bytes")
    title = f"a 32-byte secret, medians of {repeats} calls"
    return Answer(data, (title, Table(columns, rows), line(data["machine"])))


def _crypto_row(name: str, one: dict[str, Any]) -> tuple[Any, ...]:
    return name, one["seal_us"], one["seal_ratio"], one["open_us"], one["open_ratio"], one["bytes"]


def gas(
    session: Session,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=100, help="Rounds; medians count.")] = 3,
) -> Answer:
    """Measure the gas of every step, whole transactions on a chain of its own: one keeper, suite 1."""
    from ffem_cli.bench.gas import STEPS, TRANSFER, measure
    from ffem_cli.bench.machine import line

    with session.out.progress(repeats) as say:
        data = measure(repeats, say)
    rows = [(step, f"{data[step]:,}", f"{data[step] / TRANSFER:.2f}") for step in STEPS]
    table = Table(("transaction", "gas", "plain transfers"), rows)
    return Answer(data, (f"medians of {repeats} rounds", table, line(data["machine"])))
