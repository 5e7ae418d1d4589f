"""When periodic functions are due: the next 24 hours, and the days of a month."""

import calendar
import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from adjourn.cron.forecast import upcoming
from adjourn.cron.tick import PeriodicStatus
from adjourn_local.console.formats import AddressError

_DAY = dt.timedelta(days=1)
_MOST_A_DAY = 48
_MONTH = re.compile("(20[0-9]{2})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Due:
    """What is due on a day.

    Attributes:
        when: The first time of the day; or in words, of what is due all day long.
        name: Name of the function.
        has_more: Whether it is due more often on that day.
    """

    when: str
    name: str
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day of a month.

    Attributes:
        date: The day, in UTC.
        is_today: Whether it is the present one.
        due: What is due from now on.
    """

    date: dt.date
    is_today: bool
    due: Sequence[Due]


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """A month.

    Attributes:
        first: Its first day.
        weeks: Its weeks, from Monday to Sunday; None for days of other months.
    """

    first: dt.date
    weeks: Sequence[Sequence[Day | None]]

    @property
    def before(self) -> str:
        """The month before, as in an address."""
        return f"{self.first - _DAY:%Y-%m}"

    @property
    def after(self) -> str:
        """The month after, as in an address."""
        return f"{self.first + 31 * _DAY:%Y-%m}"


def parse_month(text: str | None, now: dt.datetime) -> dt.date:
    """Return the first day of the month in an address, such as 2026-12; of the present if None.

    Raises:
        AddressError: It is no month of this century.
    """
    if text is None:
        return now.astimezone(dt.UTC).date().replace(day=1)
    if found := _MONTH.fullmatch(text):
        return dt.date(int(found[1]), int(found[2]), 1)
    raise AddressError(f"{text!r} is not a month such as 2026-12")


def next_day(
    statuses: Sequence[PeriodicStatus], now: dt.datetime
) -> Sequence[tuple[dt.datetime, str, bool]]:
    """Return what is due in the next 24 hours: when, what, and whether more follow that day."""
    due = []
    for status in _running(statuses):
        times = upcoming(status.periodic.timing, status.state, now)
        today = [at for at in islice(times, _MOST_A_DAY) if at <= now + _DAY]
        often = len(today) == _MOST_A_DAY
        due += [(at, status.periodic.name, often) for at in (today[:1] if often else today)]
    return sorted(due)


def month(statuses: Sequence[PeriodicStatus], first: dt.date, now: dt.datetime) -> Month:
    """Return a month with what is due on each day from now on; paused functions are left out."""
    today = now.astimezone(dt.UTC).date()
    due: dict[dt.date, list[Due]] = {}
    for status in _running(statuses):
        for date, each in _days(status, first, now):
            due.setdefault(date, []).append(each)
    weeks = calendar.Calendar().monthdatescalendar(first.year, first.month)
    return Month(
        first=first,
        weeks=[
            [
                Day(date=date, is_today=date == today, due=sorted(due.get(date, []), key=_order))
                if date.month == first.month
                else None
                for date in week
            ]
            for week in weeks
        ],
    )


def _running(statuses: Sequence[PeriodicStatus]) -> Iterator[PeriodicStatus]:
    return (each for each in statuses if not (each.state and each.state.is_paused))


def _order(due: Due) -> tuple[str, str]:
    return due.when, due.name


def _days(
    status: PeriodicStatus, first: dt.date, now: dt.datetime
) -> Iterator[tuple[dt.date, Due]]:
    """Yield the days of a month on which a function is due."""
    timing, name = status.periodic.timing, status.periodic.name
    begin = max(dt.datetime.combine(first, dt.time(), dt.UTC), now.astimezone(dt.UTC))
    end = dt.datetime.combine((first + 31 * _DAY).replace(day=1), dt.time(), dt.UTC)
    if not isinstance(timing.when, dt.timedelta):
        place = begin - dt.timedelta(minutes=1)
        while (at := timing.when.next_after(place)) < end:
            place = _midnight(at) + _DAY - dt.timedelta(minutes=1)
            yield at.date(), Due(f"{at:%H:%M}", name, timing.when.next_after(at) <= place)
    elif timing.when < _DAY:
        for number in range((end - begin).days + 1):
            date = begin.date() + number * _DAY
            if date < end.date():
                yield date, Due(timing.text or "at every call", name, has_more=False)
    else:
        for at in takewhile(lambda at: at < end, upcoming(timing, status.state, now)):
            if at >= begin:
                yield at.date(), Due(f"{at:%H:%M}", name, has_more=False)


def _midnight(at: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(at.date(), dt.time(), dt.UTC)
