"""Points in time as they are typed: a duration from now, a date, or an ISO 8601 time."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from ffem_chain.errors import InputError

_DURATION = re.compile(r"([0-9]{1,9})\s?(s|min|h|d|w|y)( ago)?")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_HINT = "a duration (90min, 12h, 30d, 2w, 1y), a date (2026-12-31) or a time (2026-12-31T18:00+01:00)"
_RANGE_HINT = f"now, 12h ago, {_HINT}"
# The registry keeps 40 bits of seconds; this is nearer, and still later than anybody means.
_LATEST = datetime(9999, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def parse_moment(text: str, now: datetime | None = None) -> datetime:
    """The moment that `text` names, in UTC; `now` is where durations begin.

    A date is its first moment, a time without offset is one of UTC: both in UTC, so that every machine agrees. Raises
    InputError where the text is no moment or the moment has passed.
    """
    now = datetime.now(UTC) if now is None else now
    moment = _moment(text.strip(), now)
    if moment is None or moment >= _LATEST:
        raise InputError(f"{text[:40]!r} is no time in the future", _HINT)
    if moment <= now:
        raise InputError(f"{text[:40]!r} has passed already", _HINT)
    return moment


def parse_slots(begin: str | None, end: str | None, now: datetime | None = None) -> tuple[int, int]:
    """First and last whole minute (since 1970 UTC) of what lies from `begin` to before `end`; None: without a bound.

    Each is a moment, past or to come, as for `parse_moment`, or `now`, or a duration `ago`. A minute that is begun is
    included. Raises InputError.
    """
    from ffem_chain.keys.tree import LAST_SLOT, SLOT_SECONDS

    now = datetime.now(UTC) if now is None else now
    first = 0 if begin is None else int(_any_moment(begin, now).timestamp()) // SLOT_SECONDS
    last = LAST_SLOT if end is None else -int(-_any_moment(end, now).timestamp() // SLOT_SECONDS) - 1
    if first > last:
        raise InputError(f"{end!r} is not after {begin!r}" if begin else f"nothing is before {end!r}", _RANGE_HINT)
    return first, last


def _any_moment(text: str, now: datetime) -> datetime:
    moment = now if text.strip() == "now" else _moment(text.strip(), now)
    if moment is None or not _EARLIEST <= moment < _LATEST:
        raise InputError(f"{text[:40]!r} is no time", _RANGE_HINT)
    return moment


def _moment(text: str, now: datetime) -> datetime | None:
    duration = _DURATION.fullmatch(text)
    try:
        if duration:
            span = timedelta(seconds=int(duration[1]) * _SECONDS[duration[2]])
            return now - span if duration[3] else now + span
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        if "T" not in text and " " not in text:
            return None
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
