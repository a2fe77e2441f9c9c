"""The attacks by name: what each does, how often it is repeated, and what it is expected to break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ffem_cli.evidence.attacks import chosen, crossmodel, fakes, ica, invariants, pairs, reversal, surroundings
from ffem_cli.evidence.attacks.invariants import Step
from ffem_cli.evidence.attacks.world import World


@dataclass(frozen=True)
class Attack:
    """`family` is what `--only` selects. `keys`: fresh keys a face, None for the plan's number. `references`: covers
    that are broken on purpose, to show that the attack can succeed. `judged`: whether `sphere` has to withstand it;
    `margin` is how far above the ideal cover the interval may reach, in shares."""

    name: str
    family: str
    title: str
    start: Callable[[World], Step]
    keys: int | None = None
    references: tuple[str, ...] = ()
    judged: bool = True
    margin: float = 0.01
    by_rotation: bool = False  # the attacker does something else for each rotation


def _known(count: int, *, one_key: bool) -> Attack:
    pairs_ = "1 pair" if count == 1 else f"{count} pairs"
    how = "under the face's own key (a key used twice)" if one_key else "under other keys"
    return Attack(
        f"known-{'one-key' if one_key else 'fresh'}-{count}",
        "known-plaintext",
        f"known plaintext, {pairs_} {how}",
        pairs.known_plaintext(count, one_key=one_key),
        keys=1 if one_key else None,
        judged=not one_key,
        by_rotation=True,
    )


ATTACKS: tuple[Attack, ...] = (
    Attack("gram", "gram", "Gram matrix", invariants.gram_matching, references=("none",)),
    Attack("norm", "norm", "norm", invariants.norm),
    Attack("norm-rounding", "norm", "rounding of the norm", invariants.norm_rounding),
    Attack("undo-last", "undo-last", "last transform undone", invariants.undo_last, references=("sphere-1",)),
    Attack("latents", "latents", "nearest latent", invariants.latents, references=("none",)),
    *(_known(count, one_key=False) for count in pairs.COUNTS[-1:]),
    *(_known(count, one_key=True) for count in pairs.COUNTS),
    Attack("linking-gram", "linking", "linking two captures, Gram matrix", invariants.linking_by_gram),
    Attack("linking-values", "linking", "linking two captures, values", invariants.linking_by_values),
    Attack("ica", "ica", "independent components", ica.unmixing, keys=1, references=("none",)),
    Attack("fakes", "fakes", "nearest fake", fakes.nearest_fake, references=("none",)),
    Attack(
        "cross-model",
        "cross-model",
        "gallery in another model",
        crossmodel.crossing,
        references=("none",),
        by_rotation=True,
    ),
    Attack(
        "reversal", "reversal", "trained reversal network", reversal.reversal, references=("none",), by_rotation=True
    ),
    Attack(
        "chosen-pictures",
        "chosen",
        "chosen pictures",
        chosen.chosen_pictures,
        keys=1,
        references=("none",),
        margin=0.07,
    ),
    Attack(
        "chosen-latents",
        "chosen",
        "chosen latents (no picture gives them)",
        chosen.chosen_latents,
        keys=1,
        references=("sphere-1", "sphere-2", "sphere-3"),
        margin=0.08,
    ),
    Attack("pose", "side", "pose.json: box, angles, alignment", surroundings.pose, keys=1, judged=False),
    Attack("around", "side", "picture around the box", surroundings.around, keys=1, judged=False),
    Attack("colours", "side", "colours around the box", surroundings.colours, keys=1, judged=False),
    Attack("around-recogniser", "side", "recogniser around the box", surroundings.recognised, keys=1, judged=False),
)
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(attack.family for attack in ATTACKS))
SIDE = "side"


def chosen_attacks(only: Sequence[str]) -> tuple[Attack, ...]:
    """Attacks whose name or family is among `only`; all where it is empty."""
    return tuple(attack for attack in ATTACKS if not only or attack.name in only or attack.family in only)
