"""A clock that tests set."""

from __future__ import annotations

import datetime as dt

from adjourn.tasks.options import is_aware

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


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

    def now(self) -> dt.datetime:
        """Return the time that was set, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds by which the clock was moved since it was made."""
        return self._monotonic

    def advance(self, by: dt.timedelta) -> None:
        """Move the clock forward. Unlike `Sandbox.travel`, this runs no task."""
        self._now += by
        self._monotonic += by.total_seconds()


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
