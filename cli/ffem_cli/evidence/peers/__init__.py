"""Other tools for parts of the same work, in one run on the same pictures, keys and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ffem_cli.evidence.result import Result
    from ffem_cli.evidence.setting import Setting

TITLE = "Beside other tools"
QUESTION = "What do covers, envelopes and storage cost here, and what with other tools on the same pictures and bytes?"
NEEDS = ("portraits_cc0", "group")


def measure(setting: Setting) -> Result:
    """See `Section.measure`. InputError where a folder is missing, MissingExtra where a peer or Anvil is."""
    from ffem_cli.evidence.peers.run import measure as whole

    return whole(setting)
