"""Wall time and processor time: on a machine that does other things as well only the latter can be compared."""

from __future__ import annotations

import time


class Clock:
    """Seconds of wall time and of this process's processor time since it was made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """(wall, processor)."""
        return time.perf_counter() - self._wall, time.process_time() - self._processor
