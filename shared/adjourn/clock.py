"""The clock that all of adjourn reads, so that tests can replace it."""

from __future__ import annotations

import datetime as dt
import time
from typing import Protocol


class Clock(Protocol):
    """What adjourn needs of a clock."""

    def now(self) -> dt.datetime:
        """Return the present as an aware UTC datetime."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes backwards, for measuring."""


def in_utc(instant: dt.datetime) -> dt.datetime:
    """Return an aware datetime as a plain one in UTC, where arithmetic is that of elapsed time.

    In a time zone with clock changes Python adds to the wall clock, and a subclass or the zone of
    another library may not be encodable.

    Raises:
        OverflowError: In UTC it lies outside of the years 1 to 9999.
    """
    moved = instant.astimezone(dt.UTC)
    return dt.datetime.combine(moved.date(), moved.time(), dt.UTC)


class SystemClock:
    """The machine's own clocks.

    A library that stops time for tests, such as freezegun, stops `now`, but not what limits how
    long adjourn waits for a service.
    """

    _monotonic = staticmethod(time.monotonic)

    def now(self) -> dt.datetime:
        """Return the machine's time in UTC."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return self._monotonic()
