"""A clock that tests move."""

from __future__ import annotations

import datetime as dt

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class FakeClock:
    """A clock that stands still until it is told to move."""

    def __init__(self, start: dt.datetime = START) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> dt.datetime:
        """Return the time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds by which the clock was moved."""
        return self._monotonic

    def advance(self, by: dt.timedelta) -> None:
        """Move the clock on."""
        self._now += by
        self._monotonic += by.total_seconds()
