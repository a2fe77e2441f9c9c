"""Section `fairness`: do detectors treat people alike before and after, and what fakes show at which temperature."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ffem_cli.evidence.result import Result
    from ffem_cli.evidence.setting import Setting

TITLE = "Fairness"
QUESTION = "Do face detectors treat women and men, and people of different origin, alike, before and after?"
NEEDS = ("utkface/fairness",)


def measure(setting: Setting) -> Result:
    """See `ffem_cli.evidence.fairness.report`."""
    from ffem_cli.evidence.fairness import report

    return report.measure(setting)
