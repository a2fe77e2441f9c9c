"""What a face costs a camera: time, memory and, where there is a sensor, energy. The paper's table 7."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ffem_cli.evidence.result import Result
    from ffem_cli.evidence.setting import Setting

TITLE = "Embedded cost"
QUESTION = "What do encoding and rotating a face cost in time, memory and energy?"
NEEDS: tuple[str, ...] = ()


def measure(setting: Setting) -> Result:
    """See `Section.measure`. MissingExtra without scikit-image, whose photo is used."""
    from ffem_cli.evidence.embedded.report import measure as whole

    return whole(setting)
