"""`ffem bench`: times and gas on this machine, each measured in one run."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from ffem_chain.errors import InputError
from ffem_cli import shell
from ffem_cli.output import Answer, Table
from ffem_cli.session import Session

MOST_FACES, MOST_REPEATS = 160, 10_000
MOST_PEOPLE, MOST_SECONDS, MOST_EVENTS = 1_000, 60, 10_000_000


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    group = shell.group(
        "bench", "Measure on this machine: the path of a photo, faces, envelopes, gas, registry, audit."
    )
    shell.command(group, "path", example="ffem bench path --faces 1,3,12 --json", new_profile=True)(path)
    shell.command(group, "faces", example="ffem bench faces --json", new_profile=True)(faces)
    shell.command(group, "crypto", example="ffem bench crypto", new_profile=True)(crypto)
    shell.command(group, "gas", example="ffem bench gas --json", new_profile=True)(gas)
    shell.command(group, "registry", example="ffem bench registry --json", new_profile=True)(registry)
    shell.command(group, "audit", example="ffem bench audit --events 1000,10000 --json", new_profile=True)(audit)
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


def _numbers(text: str, most: int = MOST_FACES, least: int = 1, example: str = "--faces 1,3,12") -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or not all(least <= count <= most for count in counts) or len(set(counts)) != len(counts):
        raise InputError(f"{text!r} is no list of distinct numbers from {least} to {most}"[:200], example)
    return counts


def crypto(
    session: Session,
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=MOST_REPEATS, help="Calls; medians count.")] = 500,
) -> Answer:
    """Time sealing and opening 32 bytes: suite 1 (secp256k1), suite 2 (X-Wing), eciespy and age, in turns."""
    from ffem_chain.keys.suites import SUITE_NAMES
    from ffem_cli.bench.crypto import measure
    from ffem_cli.bench.machine import line

    with session.out.progress(repeats) as say:
        data = measure(repeats, say)
    words = {"suite1": f"1, {SUITE_NAMES[1]}", "suite2": f"2, {SUITE_NAMES[2]}", "eciespy": "eciespy", "age": "age"}
    rows = [_crypto_row(words[name], data[name]) for name in words if data[name]]
    for name, package in (("eciespy", "eciespy"), ("age", "pyrage")):
        if data[name] is None:
            session.out.note(f"{name} is not installed and was left out: pip install {package}")
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


def registry(
    session: Session,
    recipients: Annotated[str, typer.Option("--recipients", metavar="N,N,...", help="How many ask.")] = "1,10,100",
    block_times: Annotated[
        str, typer.Option("--block-times", metavar="S,S,...", help="Seconds between blocks; 0 mines at once.")
    ] = "0,2,12",
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=MOST_REPEATS, help="Rounds; medians count.")] = 3,
    quick: Annotated[bool, typer.Option("--quick", help="One recipient, no block time, one round.")] = False,
) -> Answer:
    """Registrations, grants and openings a second, end to end on a chain of its own, and how long an opening takes.

    One owner, one keeper, suite 1. With the default block times it takes about five minutes.
    """
    from ffem_cli.bench.machine import line
    from ffem_cli.bench.registry import RATES, measure, steps

    people = [1] if quick else _numbers(recipients, MOST_PEOPLE, example="--recipients 1,10,100")
    times = [0] if quick else _numbers(block_times, MOST_SECONDS, 0, "--block-times 0,2,12")
    rounds = 1 if quick else repeats
    with session.out.progress(steps(people, times, rounds)) as say:
        data = measure(people, times, rounds, say)
    rates = [
        (row["recipients"], *(f"{row[name]['per_s']:.1f} ({row[name]['processor_ms']:.1f})" for name in RATES))
        for row in data["rates"]
    ]
    waits = [(row["block_s"], row["median_s"], row["worst_s"]) for row in data["waits"]]
    columns = ("recipients", *(name.replace("_", " ") for name in RATES))
    words = f"a second (milliseconds of this process's processor time for one), medians of {rounds} rounds"
    return Answer(
        data,
        (
            words,
            Table(columns, rates),
            "",
            "seconds from request to opened",
            Table(("blocks, s", "median", "worst"), waits),
            line(data["machine"]),
        ),
    )


def audit(
    session: Session,
    events: Annotated[
        str, typer.Option("--events", metavar="N,N,...", help="Events in the registry, about.")
    ] = "1000,10000,100000",
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=MOST_REPEATS, help="Questions of each kind.")] = 7,
    whole: Annotated[bool, typer.Option("--whole", help="Time one audit of everything at each size, too.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="300 events, one question of each kind.")] = False,
) -> Answer:
    """Time the index of an audit on a chain of its own: events a second, the node's share, and questions to it.

    Filling a registry with 100,000 events takes some minutes.
    """
    from ffem_cli.bench.audit import QUESTIONS, STAGES, measure
    from ffem_cli.bench.machine import line

    sizes = [300] if quick else sorted(_numbers(events, MOST_EVENTS, 100, "--events 1000,10000"))
    repeats = 1 if quick else repeats
    with session.out.progress(sizes[-1]) as say:
        data = measure(sizes, repeats, whole, say)
    indexing = [
        (
            row["events"],
            row["events_per_s"],
            row["events_per_processor_s"],
            f"{row['rpc_share']:.0%}",
            *(f"{row[f'{stage}_s']:.2f}" for stage in STAGES),
            row["bytes_per_event"],
        )
        for row in data["rows"]
    ]
    asking = [
        (
            row["events"],
            *("{median_ms} / {worst_ms} ({processor_ms})".format(**row["questions"][name]) for name in QUESTIONS),
        )
        for row in data["rows"]
    ]
    columns = (
        "events",
        "a second",
        "a processor second",
        "node's share",
        *(f"{stage}, s" for stage in STAGES),
        "bytes",
    )
    words = "milliseconds of a question: median / worst (processor)"
    cold = data["processes"]
    blocks: list[str | Table] = [
        "a new index",
        Table(columns, indexing),
        "",
        words,
        Table(("events", *QUESTIONS), asking),
        *(_lists_line(row["lists"]) for row in data["rows"]),
        f"processes of their own at {sizes[-1]} events: ffem audit --grant {cold['grant_ms']} ms, ffem audit CAPTURE "
        f"{cold['capture_ms']} ms, of which starting Python {cold['start_ms']} ms",
    ]
    if whole:
        blocks += [f"everything of {row['events']} events: {row['whole']['wall_s']} s" for row in data["rows"]]
    return Answer(data, (*blocks, line(data["machine"])))


def _lists_line(one: dict[str, Any]) -> str:
    words = f"lists of {one['lists']} batches, {one['captures']} captures: {one['wall_s']} s"
    return f"{words} ({one['processor_s']} s of the processor), {one['bytes_per_capture']} bytes a capture"
