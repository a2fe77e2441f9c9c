"""The same figures for readers: what each tool is for, tables, plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ffem_cli.evidence.peers.covers import BASE, WAYS
from ffem_cli.evidence.peers.stores import WAYS as STORES
from ffem_cli.evidence.result import Cell, Plot, Series, Sheet, Table, Text

Found = Mapping[str, Any]

SHEET = (
    "People who do not exist. From left: original; deface blur, mosaic, solid; OpenCV pixelation, Gaussian blur; "
    "encrypted by this project (I_enc); the fake that the public may draw; opened by a key holder."
)
_SETS = {"portraits": "Portraits (512 px, one face)", "groups": "Group photos (many faces)"}
_REVERSED = {
    "deface, blur": "nobody is meant to; blur keeps much of a face (privacy)",
    "deface, mosaic": "nobody is meant to; coarse squares keep some of a face (privacy)",
    "deface, solid": "nobody: the pixels are gone",
    "OpenCV, pixelation": "nobody is meant to; coarse squares keep some of a face (privacy)",
    "OpenCV, Gaussian blur": "nobody is meant to; blur keeps much of a face (privacy)",
    "ffem, seal": "who holds a face's key: bit for bit. Nobody else",
    "ffem, fake": "nothing to reverse: drawn from I_enc, which stays",
    "ffem, open exactly": "a reader's side",
    "ffem, open by the flow": "a reader's side",
}
_ENVELOPES = {
    "suite1": ("ffem suite 1", "secp256k1, AES-256-GCM, bound to its grant"),
    "suite2": ("ffem suite 2", "X-Wing (ML-KEM-768 and X25519): also against later quantum computers"),
    "eciespy": ("eciespy", "secp256k1, AES-256-GCM, no context"),
    "age": ("age (pyrage)", "X25519, ChaCha20-Poly1305, for files"),
}


def parts(found: Found, sheet: Sheet) -> list[Text | Table | Plot | Sheet]:
    """In the order of reading."""
    out: list[Text | Table | Plot | Sheet] = [
        Text(_short(found)),
        Text(
            "No other tool at hand does all of this project's work, so each part stands beside tools for that part. "
            "They are good tools for other ends. deface covers faces in photos and videos for good, simply and fast: "
            "whoever never wants a face back should take it, in its solid mode. OpenCV's filters are the building "
            "blocks of such tools. eciespy and age encrypt to a public key: age for files of any size, with "
            "a format that other programs read. Storage, code and logs are the three places that a chain has for bytes."
        ),
        sheet,
    ]
    for name, one in found["covers"].items():
        out.append(_covers(_SETS[name], one))
    out += [_cover_plot(found), _sizes(found), _envelopes(found["envelopes"]), _envelope_plot(found["envelopes"])]
    return [*out, _gas(found["gas"]), _gas_plot(found["gas"]), Text(_last(found))]


def _short(found: Found) -> str:
    """The answer in a few figures."""
    slower = [
        f"{row['ratio']:.0f} times as long as deface ({name})"
        for name, one in found["covers"].items()
        for row in one["rows"]
        if row["way"] == "ffem, seal"
    ]
    rows = [row for row in found["gas"]["rows"] if row["grant"] is not None]
    storage = max(row["grant"] / row["gas"]["inStorage"] for row in rows)
    digest = max(row["grant"] / row["gas"]["inLogWithDigest"] for row in rows)
    return (
        f"In short: sealing takes {' and '.join(slower)}, and is the only one of these covers that somebody can take "
        f"off again, and only who holds the key. A grant costs at most {storage:.0%} of the gas of keeping the same "
        f"bytes in contract storage, and {digest:.2f} times that of a log with a digest."
    )


def _covers(title: str, one: Found) -> Table:
    rows: list[list[Cell]] = []
    for row in one["rows"]:
        png = f"{row['png']:.2f}" if "png" in row else None
        jpeg = f"{row['jpeg']:.2f}" if "jpeg" in row else None
        rows.append(
            [row["way"], f"{row['ms']:.0f}", _ratio(row["ratio"], row["ratio_ci95"]), png, jpeg, _REVERSED[row["way"]]]
        )
    faces, finding = one["faces"], one["finding_ms"]
    return Table(
        f"Covers: {title}",
        ("tool", "ms", f"times {BASE} (95 %)", "PNG", "JPEG", "who can take it off"),
        rows,
        f"Processor time of one thread for a whole picture, finding faces included: medians of {one['repeats']} "
        f"rounds, then of {one['pictures']} pictures. Finding faces alone takes deface {finding['deface']:.0f} ms and "
        f"this project {finding['ffem']:.0f} ms (median), which searches at several scales: a missed face is "
        f"a shared face. deface found {faces['deface']} faces, this project {faces['ffem']}: {faces['sealed']} sealed, "
        "smaller ones covered for ever. OpenCV's filters get deface's boxes. PNG and JPEG (quality 90): size of the "
        "published picture over the original's; small is good.",
    )


def _cover_plot(found: Found) -> Plot:
    series = []
    for name, one in found["covers"].items():
        rows = {row["way"]: row for row in one["rows"]}
        low, high = ([rows[way]["ratio_ci95"][side] for way in WAYS] for side in (0, 1))
        series.append(Series(_SETS[name], WAYS, [rows[way]["ratio"] for way in WAYS], low, high))
    title, label = "Processor time of a picture, deface's blur = 1", f"times {BASE}"
    return Plot("covers_time", title, "bars", "tool", label, series, "Lower is faster.", log_y=True)


def _sizes(found: Found) -> Table:
    rows: list[list[Cell]] = []
    for name, one in found["covers"].items():
        for file, size in one["capture_bytes"].items():
            rows.append([_SETS[name], file, f"{size / 1000:,.1f}"])
        rows.append(
            [
                _SETS[name],
                "all, over the original's PNG",
                _ratio(one["capture"]["png"], one["capture"]["png_ci95"]),
            ]
        )
    return Table(
        "What a sealed picture takes (kB, medians)",
        ("pictures", "file", "kB, or ratio (95 %)"),
        rows,
        "The price of being able to go back: faces.cbor holds each face twice, as encrypted numbers and as encrypted "
        "original pixels, neither of which can be compressed. The other covers need nothing of the kind.",
    )


def _envelopes(one: Found) -> Table:
    rows: list[list[Cell]] = []
    for row in one["rows"]:
        name, kind = _ENVELOPES[row["name"]]
        rows.append(
            [
                name,
                f"{row['bytes']:,.0f}",
                f"{row['seal_us']:.0f}",
                _ratio(row["seal_ratio"], row["seal_ratio_ci95"]),
                f"{row['open_us']:.0f}",
                _ratio(row["open_ratio"], row["open_ratio_ci95"]),
                kind,
            ]
        )
    missing = f" Not installed here: {', '.join(one['missing'])}." if one["missing"] else ""
    return Table(
        "Envelopes for a 32-byte key",
        ("envelope", "bytes", "seal, µs", "times suite 1 (95 %)", "open, µs", "times suite 1 (95 %)", "what it is"),
        rows,
        f"Medians of {one['rounds']} rounds of {one['calls']} calls, in which all take turns. Below 1 is faster than "
        "suite 1. age's length varies, since it adds a random line on purpose." + missing,
    )


def _envelope_plot(one: Found) -> Plot:
    names = [_ENVELOPES[row["name"]][0] for row in one["rows"]]
    series = [
        Series(
            word,
            names,
            [row[f"{what}_ratio"] for row in one["rows"]],
            [row[f"{what}_ratio_ci95"][0] for row in one["rows"]],
            [row[f"{what}_ratio_ci95"][1] for row in one["rows"]],
        )
        for what, word in (("seal", "seal"), ("open", "open"))
    ]
    title = "Time of an envelope, suite 1 = 1"
    return Plot("envelopes_time", title, "bars", "envelope", "times suite 1", series, "Lower is faster.")


def _gas(one: Found) -> Table:
    rows: list[list[Cell]] = [
        [
            row["what"],
            f"{row['bytes']:,}",
            *(f"{row['gas'][way]:,}" for way in STORES),
            None if row["grant"] is None else f"{row['grant']:,}",
        ]
        for row in one["rows"]
    ]
    return Table(
        "Gas of keeping the same bytes (whole transactions, Anvil)",
        ("what is kept", "bytes", *STORES.values(), "this project's grant"),
        rows,
        f"Medians of {one['repeats']} transactions; a plain transfer is 21,000. Storage and code can be read by "
        "contracts at any time. Logs cannot, and nodes may drop old ones: a reader needs a node that has them or a "
        "copy (`ffem sync`), which the digest then proves. The four ways on the left check nothing and can be "
        "overwritten by anybody; a grant checks owner, key and expiry, keeps what requests and revocation need, and "
        "its payload is in the log. Long payloads are priced by the floor for calldata (EIP-7623), where a "
        "digest comes free.",
    )


def _gas_plot(one: Found) -> Plot:
    rows = [row for row in one["rows"] if row["grant"] is not None]
    names = [f"{row['what'].removeprefix('payload of a grant, ')}, {row['bytes']:,} bytes" for row in rows]
    series = [Series(word, names, [row["gas"][way] for row in rows]) for way, word in STORES.items()]
    series.append(Series("this project's grant", names, [row["grant"] for row in rows]))
    return Plot(
        "gas", "Gas of keeping a grant's payload", "bars", "payload", "gas", series, "Lower is cheaper.", log_y=True
    )


def _last(found: Found) -> str:
    slow = [row["ratio"] for one in found["covers"].values() for row in one["rows"] if row["way"] == "ffem, seal"]
    text = (
        f"Where others are better: covers that nobody can take off are {min(slow):.0f} times as fast as sealing and "
        "more, largely because they look for faces once and at one scale, and they add no bytes beside the picture."
    )
    rows = {row["name"]: row for row in found["envelopes"]["rows"]}
    peers = [
        _ENVELOPES[name][0]
        for name in ("eciespy", "age")
        if name in rows and max(rows[name][f"{what}_ratio_ci95"][1] for what in ("seal", "open")) < 1
    ]
    if peers:
        text += (
            f" Faster than suite 1, to seal and to open: {' and '.join(peers)}. Suite 1 takes its curve from OpenSSL "
            "and not from a library made for it, and has to unpack its short points."
        )
    return text + (
        " A bare log is the cheapest place for bytes. What none of the others offers is the combination: a cover that "
        "only chosen people can take off, a receipt for each time, and a way to revoke."
    )


def _ratio(value: float, pair: Sequence[float]) -> str:
    return f"{value:.2f} ({pair[0]:.2f} to {pair[1]:.2f})"
