"""Attacks on what is public of a sealed face, each beside an ideal cover that has nothing to do with the face."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ffem_cli.evidence.result import Result
    from ffem_cli.evidence.setting import Setting

TITLE = "Attacks"
QUESTION = "Can anybody who knows everything but the keys tell whose face was sealed?"
NEEDS = ("lfw/identities", "utkface/train")


def measure(setting: Setting) -> Result:
    """All attacks at the setting's size. InputError where data are missing."""
    from ffem_cli.evidence.attacks.running import measure as run
    from ffem_cli.evidence.attacks.running import plan_of

    return run(setting, plan_of(setting))
