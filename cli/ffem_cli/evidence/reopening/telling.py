"""The same figures for readers: tables, plots, claims."""

from __future__ import annotations

from ffem_cli.evidence.reopening.published import PUBLISHED
from ffem_cli.evidence.reopening.words import Found, db, degrees, number, points, span
from ffem_cli.evidence.result import Cell, Plot, Series, Table, Text


def parts(found: Found, network: str) -> list[Text | Table | Plot]:
    """In the order of reading."""
    return [
        Text(_short(found)),
        Text(
            "A trusted reader has two ways back. The exact layer holds the original pixels under AES-256-GCM: what "
            "comes out is equal bit for bit, or nothing comes out. The flow alone decodes the encrypted numbers "
            "that everybody has with the face's key: nearly the same face, and a check that the picture's own numbers "
            "are enough. Every probe is sealed as the camera does it, written to its files, read back and opened."
        ),
        _ways(found),
        _identity(found),
        _means(found, network),
        _by_yaw(found),
        *_yaw_plots(found),
        _precision(found),
        _precision_plot(found),
        _others(found),
        Text(
            "What the flow alone loses lies outside of its square: the square comes back almost unchanged, while hair "
            "and ears around it are only filled in from there. A recogniser's crop is wider than the square, so its "
            "cosine on the whole picture is lower than on the square; recognisers that look more at what is around a "
            "face lose more, and where a claim about one is missed, this is why. Who needs the face as it was opens "
            "the exact layer, which loses nothing. Fully turned heads lose most, and are few here."
        ),
    ]


def _short(found: Found) -> str:
    """The answer in a few figures."""
    flow, exact = found["flow"], found["exact"]
    kept = ", ".join(f"{one['recogniser']} {points(one):+.1f}" for one in found["recovery"])
    return (
        f"In short: the exact layer gives {exact['identical']} of {exact['photos']} photos back bit for bit. The flow "
        f"alone gives its own square back with {flow['psnr_db']['mean']:.0f} dB, and less of the hair and ears around "
        f"it: recognisers then find the person less often than in the original, in points of top-1: {kept}."
    )


def _ways(found: Found) -> Table:
    flow, exact = found["flow"], found["exact"]
    rows = [
        ["exact layer, whole photo", "equal", "equal", "0", f"{exact['identical']} of {exact['photos']} photos equal"],
        [
            "flow alone, its square",
            db(flow["psnr_db"]),
            number(flow["ssim"], 5),
            number(flow["square_perceptual"], 4),
            f"worst {flow['psnr_db']['worst']:.1f} dB",
        ],
        [
            "flow alone, the opened photo in the detector's box",
            db(flow["box_psnr_db"]),
            number(flow["box_ssim"], 3),
            number(flow["perceptual"], 3),
            f"worst {flow['box_psnr_db']['worst']:.1f} dB",
        ],
    ]
    return Table(
        "What comes back",
        ("way", "PSNR dB (95 %)", "SSIM (95 %)", "perceptual (95 %)", ""),
        rows,
        f"{flow['probes']} photos of as many people. PSNR, SSIM: high is good. Perceptual: 0 is equal, see below; the "
        "photo's is on the recogniser's crop. 99 dB stands for equal squares.",
    )


def _identity(found: Found) -> Table:
    rows = []
    for one in found["recovery"]:
        ci = one["ci95"]
        rows.append(
            [
                one["recogniser"],
                f"{one['cosine_mean']:.3f} {span(ci['cosine_mean'], 3)}",
                f"{one['cosine_p5']:.3f}",
                f"{one['square_cosine_mean']:.4f}",
                f"{one['top1_original']:.1%}",
                f"{one['top1_recovered']:.1%} {span(ci['top1_recovered'], 1, 100)}",
                f"{points(one):+.1f} {span(ci['top1_difference'], 1, 100)}",
            ]
        )
    first = found["recovery"][0]
    return Table(
        "Is it still the same person? (flow alone)",
        (
            "recogniser",
            "cosine, photo (95 %)",
            "lowest 5 %",
            "cosine, square",
            "top-1, originals",
            "top-1, opened, % (95 %)",
            "difference, points (95 %)",
        ),
        rows,
        f"Cosine: photo against opened photo, heads turned up to 30 degrees ({first['probes_frontal']} of "
        f"{first['probes']}); 1 is equal. Top-1: who is found first among {first['gallery']} other photos. "
        "A difference of 0 is good: opening costs no recognition. What a cosine is worth depends on the recogniser: "
        "see strangers' in the next table.",
    )


def _means(found: Found, network: str) -> Table:
    flow, names = found["flow"], [one["recogniser"] for one in found["recovery"]]
    own = [
        [
            "opened by the flow alone: its square",
            f"{flow['psnr_db']['mean']:.1f}",
            f"{flow['ssim']['mean']:.4f}",
            f"{flow['square_perceptual']['mean']:.4f}",
            *(f"{one['square_cosine_mean']:.3f}" for one in found["recovery"]),
        ]
    ]
    known = [
        [
            row["change"],
            f"{row['psnr_db']:.1f}",
            f"{row['ssim']:.4f}",
            f"{row['perceptual']:.4f}",
            *(f"{value:.3f}" for value in row["cosine"]),
        ]
        for row in found["means"]
    ]
    count = found["means"][0]["faces"] if found["means"] else 0
    return Table(
        "What such figures mean: the same for changes that everybody knows",
        ("change of a face", "PSNR dB", "SSIM", "perceptual", *(f"cosine, {name}" for name in names)),
        own + known,
        f"Means over {count} faces (the first line: all probes). Perceptual: a distance on four layers of {network}, "
        "as LPIPS is before its calibration (Zhang et al. 2018): features of length 1 at every position, squared "
        "differences summed over channels, averaged over positions, summed over layers. The networks of LPIPS itself "
        "cannot be had here, so the numbers compare with each other and with no printed LPIPS.",
    )


def _by_yaw(found: Found) -> Table:
    rows = []
    for band in found["recovery"][0]["by_yaw"]:
        if not band["probes"]:
            continue
        rows.append(
            [
                degrees(band),
                band["probes"],
                f"{band['psnr_db']:.1f}",
                f"{band['ssim']:.4f}",
                f"{band['box_psnr_db']:.1f}",
                f"{band['cosine_mean']:.3f}",
                f"{band['cosine_p5']:.3f}",
                f"{band['top1_original']:.1%}",
                f"{band['top1_recovered']:.1%}",
            ]
        )
    columns = (
        "yaw, degrees",
        "probes",
        "PSNR dB",
        "SSIM",
        "PSNR dB, box",
        "cosine",
        "lowest 5 %",
        "originals",
        "opened",
    )
    return Table(
        "By how far the head is turned (flow alone)",
        columns,
        rows,
        f"Cosine and top-1 by {found['recovery'][0]['recogniser']}. Bands with few probes say little.",
    )


def _yaw_plots(found: Found) -> list[Plot]:
    bands = [band for band in found["recovery"][0]["by_yaw"] if band["probes"]]
    x = [degrees(band) for band in bands]
    cosines = []
    for one in found["recovery"]:
        shown = [band for band in one["by_yaw"] if band["probes"]]
        cosines.append(Series(one["recogniser"], x, [band["cosine_mean"] for band in shown]))
    psnr = [
        Series("flow's square", x, [band["psnr_db"] for band in bands]),
        Series("photo, in the box", x, [band["box_psnr_db"] for band in bands]),
    ]
    label = "yaw, degrees"
    return [
        Plot("psnr_by_yaw", "Flow alone: nearness by yaw", "bars", label, "PSNR, dB", psnr, "Higher is better."),
        Plot("cosine_by_yaw", "Flow alone: identity by yaw", "bars", label, "cosine", cosines, "1 is the same face."),
    ]


def _precision(found: Found) -> Table:
    rows = [
        [
            row["precision"],
            f"{row['bytes']:,}",
            f"{row['psnr_db_mean']:.1f} {span(row['psnr_db_ci95'], 1)}",
            f"{row['psnr_db_min']:.1f}",
            f"{row['identical']:.0%}",
            "" if row["cosine_mean"] is None else f"{row['cosine_mean']:.4f}",
        ]
        for row in found["precision"]
    ]
    return Table(
        "What the precision of a number costs and keeps (flow alone, aligned faces)",
        ("precision", "bytes a face", "PSNR dB (95 %)", "lowest", "equal faces", "cosine"),
        rows,
        "q10, 10 bits a number, is what leaves a camera. Floats never do, since a float keeps a fingerprint of what "
        "was taken off; they are judged before the rounding to pixels, whole numbers after. An equal face counts as "
        "95.0 dB at 128 px (89.0 dB at 64 px).",
    )


def _precision_plot(found: Found) -> Plot:
    rows = sorted(found["precision"], key=lambda row: row["bytes"])
    low, high = ([row["psnr_db_ci95"][side] for row in rows] for side in (0, 1))
    series = Series(
        "all precisions", [row["bytes"] / 1000 for row in rows], [row["psnr_db_mean"] for row in rows], low, high
    )
    title = "What a byte buys: precision of the encrypted numbers"
    return Plot("precision", title, "lines", "kB a face", "PSNR, dB", [series], "q8, q10, q12, float16, float32.")


def _others(found: Found) -> Table:
    flow, first, exact = found["flow"], found["recovery"][0], found["exact"]
    of = f"{flow['probes']} photos of LFW, measured here"
    own: list[list[Cell]] = [
        [
            "ffem, exact layer",
            of,
            "equal",
            "1",
            f"{first['top1_original']:.2f}",
            f"equal bit for bit in {exact['identical']} of {exact['photos']}",
            "",
        ],
        [
            "ffem, flow alone",
            of,
            f"{flow['psnr_db']['mean']:.1f}",
            f"{flow['ssim']['mean']:.4f}",
            f"{first['top1_recovered']:.2f}",
            f"its square; in the box of the whole photo {flow['box_psnr_db']['mean']:.1f} dB",
            "",
        ],
    ]
    others: list[list[Cell]] = [
        [p.name, p.of, p.psnr_db or None, p.ssim or None, p.identity or None, p.remark, p.source] for p in PUBLISHED
    ]
    return Table(
        "Beside what others printed",
        ("method", "of what", "PSNR dB", "SSIM", "identified", "remark", "source"),
        own + others,
        "No ranking: other faces, sizes and recognisers. FIT and RiDDLE show a natural-looking stranger whom a "
        "password turns back; they keep nothing beside the picture, which is harder and cannot be exact. FlowCrypt "
        "hides whole photos. An exact copy beside the picture, as here, is ordinary encryption and costs bytes. A "
        "dash: not printed, or could not be read at its source.",
    )
