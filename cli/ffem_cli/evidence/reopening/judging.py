"""What the project says of reopening, against goals."""

from __future__ import annotations

from ffem_cli.evidence.reopening.words import Found, db, points, span
from ffem_cli.evidence.result import Claim

# Goals, set before these figures were measured.
PSNR_DB, PERCEPTUAL, COSINE, COSINE_P5, POINTS = 40.0, 0.05, 0.95, 0.85, 0.01


def claims(found: Found) -> list[Claim]:
    """Judged against the goals above."""
    flow, exact, first = found["flow"], found["exact"], found["recovery"][0]
    out = [
        Claim(
            "The exact layer gives every pixel back, bit for bit.",
            "all photos",
            f"{exact['identical']} of {exact['photos']}, 95 % {span(exact['ci95'], 1, 100)} %",
            exact["identical"] == exact["photos"],
        ),
        Claim(
            "The flow alone gives its square back so that nobody sees a difference.",
            f"PSNR at least {PSNR_DB:.0f} dB in every probe; perceptual distance at most {PERCEPTUAL} in the mean",
            f"worst {flow['psnr_db']['worst']:.1f} dB, mean {db(flow['psnr_db'])} dB; perceptual "
            f"{flow['square_perceptual']['mean']:.4f}",
            flow["psnr_db"]["worst"] >= PSNR_DB and flow["square_perceptual"]["mean"] <= PERCEPTUAL,
        ),
    ]
    for one in found["recovery"]:
        loss = one["top1_original"] - one["top1_recovered"]
        out.append(
            Claim(
                f"A face opened by the flow alone is the same person to {one['recogniser']}.",
                f"cosine at least {COSINE} in the mean and {COSINE_P5} at the 5th percentile up to 30 degrees; top-1 "
                f"within {100 * POINTS:.0f} point of the originals'",
                f"{one['cosine_mean']:.3f}, {one['cosine_p5']:.3f}; {points(one):+.1f} points "
                f"{span(one['ci95']['top1_difference'], 1, 100)}",
                one["cosine_mean"] >= COSINE and one["cosine_p5"] >= COSINE_P5 and loss <= POINTS + 1e-9,
            )
        )
    out.append(
        Claim(
            "Within the flow's square nothing of the identity is lost.",
            "cosine of the square at least 0.99 in the mean",
            f"{first['square_cosine_mean']:.4f}",
            first["square_cosine_mean"] >= 0.99,
        )
    )
    return out
