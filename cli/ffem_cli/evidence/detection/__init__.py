"""Which faces the detector plug-ins find on photos of many people, and how long they take: the paper's table 1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ffem_cli.evidence.result import Result
    from ffem_cli.evidence.setting import Setting

TITLE = "Detectors"
QUESTION = "Which faces does each detector find on photos of many people, and how long does it take?"
NEEDS = ("group", "widerface", "weights")


def measure(setting: Setting) -> Result:
    """See `Section.measure`. InputError where a folder is missing, MissingExtra without the default detector."""
    from ffem_cli.evidence.detection.report import measure as whole

    return whole(setting)
