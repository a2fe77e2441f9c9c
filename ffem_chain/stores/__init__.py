"""Where sealed captures are kept: one interface, content named by its CID, every byte verified when it is read."""

from __future__ import annotations

from pathlib import Path

from ffem_chain.errors import InputError
from ffem_chain.stores.base import Store

__all__ = ["Store", "open_store"]


def open_store(url: str, *, timeout: float = 30.0) -> Store:
    """The store of a setting: `local:FOLDER`, `http(s)://HOST:PORT` or a multiaddr (`/ip4/127.0.0.1/tcp/5001`).

    `timeout` in seconds is what a daemon gets for one answer. Raises InputError where the setting is none of these.
    """
    kind, _, rest = url.partition(":")
    if kind == "local" and rest and rest.isprintable():
        from ffem_chain.stores.local import LocalStore

        try:
            return LocalStore(Path(rest).expanduser())
        except RuntimeError:
            raise InputError("the store's folder is in the home of a user that there is not") from None
    if kind in ("http", "https") or url.startswith("/"):
        from ffem_chain.stores.kubo import KuboStore  # the HTTP client is slow to import

        return KuboStore(url, timeout)
    raise InputError(
        "this setting names no store", "use local:FOLDER, http://127.0.0.1:5001 or /ip4/127.0.0.1/tcp/5001"
    )
