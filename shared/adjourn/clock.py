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


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> dt.datetime:
        """Return the machine's time in UTC."""
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()
