"""What the section says in sentences."""

from __future__ import annotations

from ffem_cli.evidence.privacy.run import ALIKE, NEAR, Measured
from ffem_cli.evidence.privacy.views import WHOLE

DEFAULT = f"fake-{WHOLE.temperatures[0]}"


def short(measured: Measured) -> str:
    """The answer in a few figures: the recogniser that does best against each cover."""
    scores = measured.of("landmarks")

    def best(cover: str) -> str:
        shares = [one.shares[0] for one in scores if one.cover == cover]
        return f"{max(shares):.1%}" if shares else "(not tried)"

    ours = [one for one in scores if one.cover in ("I_enc sphere", f"{DEFAULT} sphere")]
    worst = max(ours, key=lambda one: one.hits[0] / one.trials)
    return (
        f"In short: of the originals {best('original')} are recognised, behind pixels of 8 px still "
        f"{best('pixels-8')}, behind a blur of 9 x 9 {best('blur-9x9')}, behind black boxes {best('black')}. Behind "
        f"I_enc and the default fakes, rotation sphere, at most {worst.hits[0]} of {worst.trials:,} with any "
        f"recogniser; a guess hits {worst.chance[0] * worst.trials:.1f} times. The "
        f"hits lie with {len(worst.who)} of {worst.people} people."
    )


def opening(measured: Measured) -> str:
    """What was asked and how."""
    ground, first = measured.ground, measured.scores[0]
    mates = ground.mates[ground.asked].sum(axis=1).mean()
    return (
        f"A photo of each of {int(ground.asked.sum())} people is covered, and a recogniser looks for the person among "
        f"{len(ground.people)} other photos, on average {mates:.1f} of them of the same person. Top-1: the most "
        f"similar photo is of that person; a guess hits in {first.chance[0]:.2%}. The attacker is the strongest that "
        "we know: he was told where eyes, nose and mouth were in the photo before it was covered. A cover hides a face "
        "if he does no better than a guess.\n\n"
        "Strengths are in pixels of the face aligned at 128 px. `sphere` and `block` are the two keyed rotations of "
        "the latent: `sphere` is the default, `block` the paper's. Lambda is the temperature of a fake face: the "
        "smaller, the closer to the average face. What `block` gives away is in the latents, not in what recognisers "
        "see; the section on attacks shows it."
    )


def closing(measured: Measured) -> str:
    """About the paper, near duplicates, what is missing, and what it costs."""
    twins, speed = int(measured.ground.twins.sum()), measured.speed
    best = {one.cover: one for one in measured.of("landmarks", measured.recognisers[0].name)}
    shares = ", ".join(
        f"{label} {best[name].shares[0]:.1%}"
        for name, label in (("blur-3x3", "a 3 x 3 kernel"), ("blur-9x9", "one of 9 x 9"), ("blur-12", "sigma 12 px"))
        if name in best
    )
    words = [
        "About the paper. Table 2 of Zhu et al. (AAAI 2023) prints 0.2 % for blur and does not say how strong it was. "
        f"Here {measured.recognisers[0].name} recognises, after blur: {shares}. Of these only a strong blur comes near "
        "the printed value. The other figures of that table are not at hand, and none are made up.",
        f"Near duplicates. {twins} photos of the gallery are the probe's own photograph once more, cut or coloured "
        f"another way, under its own name or another one (cosine of {ALIKE} and more by the first recogniser, "
        f"correlation of the aligned pixels of {NEAR} and more). They are left out: to find them is "
        "not to recognise.",
        "Not here: a generative peer that replaces faces. Among the packages of PyPI and npm none was "
        "found by its name that brings its weights; none was tried.",
        f"Sealing one of these photos takes {speed['seal_first_ms']:.0f} ms of processor time, and under another key, "
        f"with the face found already, {speed['seal_again_ms']:.0f} ms.",
        *measured.notes,
    ]
    return "\n\n".join(words)
