"""A clock that tests set."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from adjourn.tasks.plain_values import is_aware

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass(eq=False, slots=True)
class _Repeated:
    """Work that is done every so many seconds, and when it is due."""

    due: float
    seconds: float
    work: Callable[[], object]


class FakeClock:
    """A clock that stands still until a test moves it.

    Args:
        start: Its first time.

    Raises:
        ValueError: `start` is naive.
    """

    def __init__(self, start: dt.datetime = START) -> None:
        # In UTC, since adding hours in a zone with daylight saving time is not the same as waiting.
        self._now = in_utc("now", start)
        self._monotonic = 0.0
        self._repeated: list[_Repeated] = []

    def now(self) -> dt.datetime:
        """Return the time that was set, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds by which the clock was moved since it was made."""
        return self._monotonic

    def advance(self, by: dt.timedelta) -> None:
        """Move the clock forward. Unlike `Sandbox.travel`, this runs no task."""
        start, end = self._now, self._monotonic + by.total_seconds()
        while due := self._next(end):
            self._now += dt.timedelta(seconds=due.due - self._monotonic)
            self._monotonic = due.due
            due.due += due.seconds
            due.work()
        self._now, self._monotonic = start + by, end

    def _next(self, end: float) -> _Repeated | None:
        due = (each for each in self._repeated if each.due <= end)
        return min(due, key=lambda each: each.due, default=None)

    @contextmanager
    def repeating(self, seconds: float, work: Callable[[], object]) -> Iterator[None]:
        """Call `work` whenever so many seconds pass by `advance`."""
        repeated = _Repeated(self._monotonic + seconds, seconds, work)
        self._repeated.append(repeated)
        try:
            yield
        finally:
            self._repeated.remove(repeated)


def destination(
    now: dt.datetime, *, to: dt.datetime | None, by: dt.timedelta | float | None
) -> dt.datetime:
    """Return the time in UTC to which a clock is to be moved.

    Args:
        now: The present time of the clock.
        to: The time; give it or `by`.
        by: How far to move, in seconds if it is a number.

    Raises:
        ValueError: Not exactly one of them is given, or the time is naive or in the past.
    """
    if (to is None) == (by is None):
        raise ValueError("Give either to= or by=.")
    if by is not None:
        to = now + (by if isinstance(by, dt.timedelta) else dt.timedelta(seconds=by))
    goal = in_utc("to", to)
    if goal < now:
        raise ValueError(f"It is {now} and clocks do not go back, not even to {goal}.")
    return goal


def in_utc(name: str, time: dt.datetime | None) -> dt.datetime:
    """Return an aware datetime in UTC.

    Raises:
        ValueError: It is naive, or not a datetime.
    """
    if not isinstance(time, dt.datetime) or not is_aware(time):
        raise ValueError(
            f"{name}={time!r} must be an aware datetime; add a time zone, such as"
            " tzinfo=datetime.UTC."
        )
    return time.astimezone(dt.UTC)
