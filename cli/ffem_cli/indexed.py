"""The index of the registry in the settings, and how the progress of reading it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffem_chain.errors import ChainUnavailable
from ffem_cli.session import Session

if TYPE_CHECKING:
    from ffem_chain.audit.index.update import Index
    from ffem_chain.audit.source import Progress
    from ffem_chain.chain.registry import Registry


def folder_of(session: Session, deployment: bytes) -> Path:
    """Where the logs of a registry are kept, its index and the copy that is published."""
    return session.config.home / "sync" / deployment.hex()


def session_index(session: Session, registry: Registry) -> Index | None:
    """The index of a registry, None where it is not one that this version knows: what it logs means nothing.

    Raises InputError where the folder cannot be used.
    """
    from ffem_chain.audit.index.update import Index

    try:
        deployment = registry.deployment_id
    except ChainUnavailable:
        return None  # what is there, or that nothing answers, the audit itself says
    return Index(folder_of(session, deployment), registry)


def percent(bar: Any) -> Progress:
    """Progress on a bar of 100 steps."""
    return lambda text, done, total: bar(text, 100 * done // max(1, total))
