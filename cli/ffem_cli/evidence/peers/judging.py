"""What the project says of itself beside its peers, against goals. A goal that a peer reaches better is said to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffem_cli.evidence.result import Claim

Found = Mapping[str, Any]

# Goals, set before these figures were measured.
SEAL_SLOWER, ENVELOPE_SLOWER, STORAGE_DEARER = 20.0, 3.0, 2.0


def claims(found: Found) -> list[Claim]:
    """Judged against the goals above."""
    out = [claim for name, one in found["covers"].items() for claim in _covers(name, one)]
    return [*out, *_envelopes(found["envelopes"]), *_gas(found["gas"])]


def _covers(name: str, one: Found) -> list[Claim]:
    seal = next(row for row in one["rows"] if row["way"] == "ffem, seal")
    low, high = seal["ratio_ci95"]
    claims = [
        Claim(
            f"Of all covers measured only this one can be taken off again, by who holds a key ({name}).",
            "every pixel equal in every picture, but those of faces below 24 px, which are covered for ever",
            f"{one['exact']} of {one['pictures']}",
            one["exact"] == one["pictures"],
        )
    ]
    if name == "portraits":
        claims.append(
            Claim(
                "Sealing a portrait costs a camera at most twenty times what deface takes to blur it.",
                f"ratio of processor time at most {SEAL_SLOWER:.0f}",
                f"{seal['ratio']:.1f} ({low:.1f} to {high:.1f})",
                seal["ratio"] <= SEAL_SLOWER,
            )
        )
    return claims


def _envelopes(one: Found) -> list[Claim]:
    rows = {row["name"]: row for row in one["rows"]}
    suite1 = rows["suite1"]
    smallest = min(row["bytes"] for row in rows.values())
    out = [
        Claim(
            "Suite 1 makes the smallest envelope for a 32-byte key.",
            "no peer's is smaller",
            f"{suite1['bytes']:.0f} bytes; smallest {smallest:.0f}",
            suite1["bytes"] == smallest,
        )
    ]
    if "eciespy" in rows:
        for what, word in (("seal", "sealing"), ("open", "opening")):
            ratio = 1 / rows["eciespy"][f"{what}_ratio"]
            low, high = (1 / end for end in reversed(rows["eciespy"][f"{what}_ratio_ci95"]))
            out.append(
                Claim(
                    f"{word.capitalize()} suite 1 is slower than eciespy, and not by much.",
                    f"at most {ENVELOPE_SLOWER:.0f} times as long",
                    f"{ratio:.1f} times as long ({low:.1f} to {high:.1f})",
                    ratio <= ENVELOPE_SLOWER,
                )
            )
    return out


def _gas(one: Found) -> list[Claim]:
    rows = [row for row in one["rows"] if row["grant"] is not None]
    worst = max(row["grant"] / row["gas"]["inStorage"] for row in rows)
    dearest = max(row["grant"] / row["gas"]["inLogWithDigest"] for row in rows)
    return [
        Claim(
            "A grant costs less than merely keeping its payload in contract storage, though it does more.",
            "for every payload",
            f"{worst:.0%} of it at most",
            worst < 1,
        ),
        Claim(
            "What a grant does beyond a log and a digest costs at most as much again.",
            f"grant at most {STORAGE_DEARER:.0f} times a log with a digest of the same payload",
            f"{dearest:.2f} times at most",
            dearest <= STORAGE_DEARER,
        ),
    ]
