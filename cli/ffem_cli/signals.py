"""Stopping what runs until it is told to."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set. A second signal does what it always does."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    former = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, frame: object) -> None:
        stop.set()
        for one, handler in former.items():
            signal.signal(one, handler)

    for one in former:
        signal.signal(one, on_signal)
    try:
        yield stop
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)
