"""The one place where the wall clock is read; everything that decides takes `now` as a parameter."""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NewType, Protocol

Millis = NewType("Millis", int)
"""Milliseconds since 1970-01-01T00:00:00Z. The unit of every stored time."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    def now(self) -> Millis:
        """The wall clock."""
        ...


class SystemClock:
    def now(self) -> Millis:
        return Millis(time.time_ns() // 1_000_000)


class FixedClock:
    """A clock that tests move by hand."""

    def __init__(self, now: int = 1_600_000_000_000) -> None:
        self._now = now

    def now(self) -> Millis:
        return Millis(self._now)

    def advance(self, milliseconds: int) -> None:
        self._now += milliseconds


def iso(at: Millis | int) -> str:
    """ISO 8601 UTC with milliseconds and `Z`, the API's only date format: `2018-04-18T17:20:10.880Z`."""
    seconds, millis = divmod(at, 1000)
    return f"{_to_the_second(seconds)}.{millis:03d}Z"


@lru_cache(maxsize=10_000)  # every device shown has two dates, and 2.5 µs for each are felt; the same ones come again
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def iso_or_none(at: Millis | int | None) -> str | None:
    return None if at is None else iso(at)


def parse_iso(text: str) -> Millis | None:
    """A date (`2017-12-07`, midnight UTC) or an ISO 8601 date-time; None when it is neither."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    # In whole numbers: a float would lose a millisecond now and then.
    return Millis((parsed - _EPOCH) // timedelta(milliseconds=1))
