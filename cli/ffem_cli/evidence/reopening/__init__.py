"""What a trusted reader gets back: by the flow alone, and by the exact layer; beside published figures of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ffem_cli.evidence.result import Result
    from ffem_cli.evidence.setting import Setting

TITLE = "Reopening"
QUESTION = "What does a trusted reader get back, by the flow alone and by the exact layer?"
NEEDS = ("lfw/identities", "lfw/singles", "utkface/train", "weights")


def measure(setting: Setting) -> Result:
    """See `Section.measure`. InputError where a folder or a network is missing."""
    from ffem_cli.evidence.reopening.run import measure as whole

    return whole(setting)
