"""What machines still do on protected pictures: find people, follow bodies, count faces. The paper's table 3.

The paper's own protocol, action recognition on HMDB51, is the command `ffem eval hmdb51`, for who has the data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ffem_cli.evidence.result import Result
    from ffem_cli.evidence.setting import Setting

TITLE = "Downstream tasks"
QUESTION = "Do machines that look for people, bodies and faces see the same on protected pictures as on originals?"
NEEDS = ("group", "widerface", "video", "weights")


def measure(setting: Setting) -> Result:
    """See `Section.measure`. InputError where a folder is missing."""
    from ffem_cli.evidence.downstream.report import measure as whole

    return whole(setting)
