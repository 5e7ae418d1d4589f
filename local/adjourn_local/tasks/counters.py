"""Counters of the Cloud Tasks server."""

from collections import deque
from dataclasses import dataclass

from adjourn_local.timing.timestamps import SECOND

_MINUTE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Totals since the start of the server; `in_flight` and `queued` are current numbers."""

    created: int
    attempts: int
    succeeded: int
    failed: int
    retries: int
    exhausted: int
    in_flight: int
    queued: int


@dataclass(slots=True)
class Tally:
    """The totals, which the dispatcher increments."""

    created: int = 0
    attempts: int = 0
    succeeded: int = 0
    failed: int = 0
    retries: int = 0
    exhausted: int = 0


class LastMinute:
    """How often something has happened in the last minute, to the second."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque()

    def add(self, now: int) -> None:
        """Count one more, at a time in microseconds."""
        second, before = now // SECOND, 0
        if self._counts and self._counts[-1][0] == second:
            _, before = self._counts.pop()
        self._counts.append((second, before + 1))
        if self._counts[0][0] <= second - _MINUTE:
            self._counts.popleft()

    def total(self, now: int) -> int:
        """Return the number of the minute before a time."""
        second = now // SECOND
        return sum(count for at, count in self._counts if second - _MINUTE < at <= second)
