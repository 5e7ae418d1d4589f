"""Schedules by the wall clock of a time zone, with the rules of Cloud Scheduler.

https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from dataclasses import dataclass
from itertools import product
from typing import Protocol
from zoneinfo import ZoneInfo

NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)

_MINUTE = dt.timedelta(minutes=1)
_DAY = dt.timedelta(days=1)
_RAREST = 41 * 366 * _DAY  # a fifth Monday in February
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Times(Protocol):
    """Instants at which something is due, such as those of a `Schedule`."""

    def next_after(self, after: dt.datetime) -> dt.datetime:
        """Return the first instant after `after`, in UTC; `NEVER` if there is none."""

    def latest(self, since: dt.datetime, until: dt.datetime) -> dt.datetime | None:
        """Return the last instant after `since` and not after `until`, None if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Minutes of some days, in a time zone.

    Attributes:
        zone: The time zone.
        minutes: Minutes since midnight, ascending.
        days: Days of the month.
        months: Months, from 1.
        weekdays: Days of the week, Sunday is 0.
        is_either: Whether a day needs to match only one of `days` and `weekdays`.
    """

    zone: ZoneInfo
    minutes: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    is_either: bool = False

    def next_after(self, after: dt.datetime) -> dt.datetime:
        """Return the first instant after `after`, in UTC, at which the zone's clock matches.

        A wall time that occurs twice matches twice, one that is skipped does not match. If clocks
        always skip the time, the result is `NEVER`.
        """
        start = after.astimezone(dt.UTC).replace(second=0, microsecond=0) + _MINUTE
        limit = start + _RAREST
        while start < limit:
            offset = _offset(start, self.zone)
            found = self._next_wall(start + offset) - offset
            change = _first_change(start, found, self.zone)
            if change is None:
                return found
            start = change
        return NEVER

    def latest(self, since: dt.datetime, until: dt.datetime) -> dt.datetime | None:
        """Return the last instant after `since` and not after `until`, None if there is none."""
        if self.next_after(since) > until:
            return None
        while until - since > _MINUTE:
            middle = since + (until - since) / 2
            if self.next_after(middle) <= until:
                since = middle
            else:
                until = middle
        return self.next_after(since)

    def _next_wall(self, wall: dt.datetime) -> dt.datetime:
        """Return the first matching wall time, `wall` included; both are marked as if UTC."""
        day, minute = wall.date(), wall.hour * 60 + wall.minute
        place = bisect_left(self.minutes, minute) if self._has(day) else len(self.minutes)
        if place == len(self.minutes):
            place, day = 0, day + _DAY
            while not self._has(day):
                day += _DAY
        return dt.datetime.combine(day, dt.time(*divmod(self.minutes[place], 60)), dt.UTC)

    def _has(self, day: dt.date) -> bool:
        fits = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (any(fits) if self.is_either else all(fits))

    def has_days(self) -> bool:
        """Whether a day ever matches, as no 30 February does."""
        return self.is_either or any(
            day <= _LONGEST_MONTHS[month - 1] for day, month in product(self.days, self.months)
        )


def load_zone(name: str) -> ZoneInfo:
    """Return a zone of the tz database; the empty name and `utc` mean UTC.

    Raises:
        ValueError: There is no zone of that name.
    """
    if name.upper() in ("", "UTC"):
        return ZoneInfo("UTC")
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone of the tz database") from None


def _offset(at: dt.datetime, zone: ZoneInfo) -> dt.timedelta:
    return at.astimezone(zone).utcoffset() or dt.timedelta()


def _first_change(start: dt.datetime, end: dt.datetime, zone: ZoneInfo) -> dt.datetime | None:
    """Return the first minute in (start, end] whose offset differs from that of `start`."""
    offset = _offset(start, zone)
    while start < end:
        probe = min(start + _DAY, end)
        if _offset(probe, zone) != offset:
            while probe - start > _MINUTE:
                middle = start + (probe - start) // _MINUTE // 2 * _MINUTE
                if _offset(middle, zone) == offset:
                    start = middle
                else:
                    probe = middle
            return probe
        start = probe
    return None
