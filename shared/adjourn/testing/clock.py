"""A clock that tests move."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from adjourn.tasks.options import is_aware

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass(eq=False, slots=True)
class _Repeated:
    """Work that is done every so many seconds, and when it is due."""

    due: float
    seconds: float
    work: Callable[[], object]


class FakeClock:
    """A clock that stands still until it is told to move.

    Args:
        start: The time at which it stands.

    Raises:
        ValueError: That is naive.
    """

    def __init__(self, start: dt.datetime = START) -> None:
        # In UTC, where adding hours is the same as waiting for them.
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
        """Move the clock on; nothing runs, as it does when `Sandbox.travel` moves it."""
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
    """Return the time, in UTC, to which a clock shall be moved, `by` a duration or in seconds.

    Raises:
        ValueError: It is not exactly one of both, naive, or in the past.
    """
    if (to is None) == (by is None):
        raise ValueError("Give either to= or by=.")
    if by is not None:
        to = now + (by if isinstance(by, dt.timedelta) else dt.timedelta(seconds=by))
    goal = in_utc("to", to)
    if goal < now:
        raise ValueError(f"It is {now} and clocks do not go back, not even to {goal}.")
    return goal


def in_utc(name: str, moment: dt.datetime | None) -> dt.datetime:
    """Return an aware datetime in UTC.

    Raises:
        ValueError: It is naive, or nothing of the kind.
    """
    if not isinstance(moment, dt.datetime) or not is_aware(moment):
        raise ValueError(
            f"{name}={moment!r} must be an aware datetime; add a time zone, such as"
            " tzinfo=datetime.UTC."
        )
    return moment.astimezone(dt.UTC)
