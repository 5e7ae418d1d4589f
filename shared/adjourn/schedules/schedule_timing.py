"""When a schedule is due: what an application gave, checked, and the times that follow from it."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any, NamedTuple

from adjourn.cron.periodic import Timing, declared_timing
from adjourn.cron.schedule import NEVER, Times
from adjourn.errors import DeclarationError
from adjourn.names import plain_text
from adjourn.tasks.plain_values import is_aware, plain_instant

_SHORTEST, _LONGEST = dt.timedelta(minutes=1), dt.timedelta(days=36_525)
_STEP = dt.timedelta(microseconds=1)


class Once(NamedTuple):
    """A single instant."""

    at: dt.datetime

    def next_after(self, after: dt.datetime) -> dt.datetime:
        """Return the instant if it comes after `after`, else `NEVER`."""
        return self.at if self.at > after else NEVER

    def latest(self, since: dt.datetime, until: dt.datetime) -> dt.datetime | None:
        """Return the instant if it comes after `since` and not after `until`."""
        return self.at if since < self.at <= until else None


class Limited(NamedTuple):
    """Times of which none comes after an instant."""

    times: Times
    last: dt.datetime

    def next_after(self, after: dt.datetime) -> dt.datetime:
        """Return the first time after `after`; `NEVER` if there is none."""
        found = self.times.next_after(after)
        return found if found <= self.last else NEVER

    def latest(self, since: dt.datetime, until: dt.datetime) -> dt.datetime | None:
        """Return the last time after `since` and not after `until`."""
        end = min(until, self.last)
        return self.times.latest(since, end) if since < end else None


class ScheduleTiming(NamedTuple):
    """When a schedule is due, as the application said it; see `Schedules.put`."""

    cron: str | None = None
    interval: dt.timedelta | None = None
    at: dt.datetime | None = None
    time_zone: str = "UTC"
    until: dt.datetime | None = None
    overlap: str = "skip"
    grace: dt.timedelta | None = None
    cron_name: str = ""

    def timing(self) -> Timing:
        """Return the same as periodic functions have it.

        Raises:
            DeclarationError: A value is wrong or contradicts another one.
        """
        return _timing(self)

    def checked(self, now: dt.datetime) -> ScheduleTiming:
        """Return the same in plain values.

        Args:
            now: The present.

        Raises:
            DeclarationError: A value is wrong or contradicts another one, or it is never due.
        """
        given = [name for name in ("cron", "interval", "at") if getattr(self, name) is not None]
        if len(given) != 1:
            raise DeclarationError("Give one of cron=, interval= and at=: when is it due?")
        plain = self._replace(
            cron=plain_text(self.cron),
            at=_instant("at", self.at, now),
            time_zone=plain_text(self.time_zone),
            until=_instant("until", self.until, now),
            overlap=plain_text(self.overlap),
        )
        timing = plain.timing()
        if plain.at is not None and plain.time_zone != "UTC":
            raise DeclarationError("at= has a time zone of its own; leave time_zone out.")
        if isinstance(timing.when, dt.timedelta):
            _check_interval(timing.when)
            first = now + timing.when
        else:
            first = timing.when.next_after(now)
        if first > (plain.until or NEVER - _STEP):
            raise DeclarationError(
                f"It is never due: until={self.until} comes before its first time."
            )
        return plain


def _instant(name: str, value: Any, now: dt.datetime) -> dt.datetime | None:
    """Return an instant that is to come, in UTC; None stays None."""
    if value is None:
        return None
    if not is_aware(value):
        raise DeclarationError(
            f"{name}={value!r:.80} must be an aware datetime; add a time zone, such as"
            " tzinfo=datetime.UTC."
        )
    instant: dt.datetime = plain_instant(value)
    if instant <= now:
        raise DeclarationError(f"{name}={value} has passed.")
    if instant - now > _LONGEST:
        raise DeclarationError(f"{name}={value} lies more than a hundred years away.")
    return instant


def _check_interval(interval: dt.timedelta) -> None:
    if not _SHORTEST <= interval <= _LONGEST:
        raise DeclarationError(
            f"interval={interval!r} must be between a minute, since Cloud Scheduler calls no more"
            " often, and a hundred years."
        )


@lru_cache(1000)
def _timing(given: ScheduleTiming) -> Timing:
    timing = declared_timing(
        interval=given.interval if given.at is None else _SHORTEST,
        cron=given.cron,
        cron_name=given.cron_name,
        time_zone=given.time_zone if given.at is None else "UTC",
        overlap=given.overlap,
        grace=given.grace,
    )
    if given.at is not None:
        timing = timing._replace(when=Once(given.at), text=f"at {given.at:%Y-%m-%d %H:%M:%S} UTC")
    if given.until is not None and not isinstance(timing.when, dt.timedelta):
        timing = timing._replace(when=Limited(timing.when, given.until))
    return timing
