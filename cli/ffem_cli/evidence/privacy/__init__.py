"""Who recognises whom behind I_enc, fakes and the covers of others: the paper's table 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ffem_cli.evidence.result import Result
    from ffem_cli.evidence.setting import Setting

TITLE = "Privacy"
QUESTION = "Who is still recognised behind I_enc, behind a fake face, and behind the covers that others use?"
NEEDS = ("lfw/identities", "lfw/singles", "weights")


def measure(setting: Setting) -> Result:
    """See `Section.measure`. InputError where a folder or a network is missing."""
    from ffem_cli.evidence.privacy.run import measure as whole

    return whole(setting)
