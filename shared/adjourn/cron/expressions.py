"""Parse schedules: unix-cron expressions and the forms of App Engine's cron.yaml.

Rules: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from zoneinfo import ZoneInfo

from adjourn.cron.schedule import NEVER, Schedule, load_zone

_MINUTES_OF_DAY = 24 * 60
_NOWADAYS = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_WHOLE_NAMES = frozenset(
    (
        *("JANUARY", "FEBRUARY", "MARCH", "APRIL", "JUNE", "JULY", "AUGUST", "SEPTEMBER"),
        *("OCTOBER", "NOVEMBER", "DECEMBER", "SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY"),
        *("THURSDAY", "FRIDAY", "SATURDAY"),
    )
)
_TERM = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[0-9]{1,4}))?")


def _numbered(names: Sequence[str], first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(names, first)}


_WEEKS = _numbered(["FIRST", "SECOND", "THIRD", "FOURTH", "FIFTH"], 1) | _numbered(
    ["1ST", "2ND", "3RD", "4TH", "5TH"], 1
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: Mapping[str, int] = field(default_factory=dict)

    @property
    def all(self) -> range:
        return range(self.lowest, self.highest + 1)


_MINUTE_OF_HOUR = _Field(name="minute", lowest=0, highest=59)
_HOUR = _Field(name="hour", lowest=0, highest=23)
_DAY_OF_MONTH = _Field(name="day of the month", lowest=1, highest=31)
_MONTH = _Field(name="month", lowest=1, highest=12, names=_numbered(_MONTHS, 1))
_WEEKDAY = _Field(name="day of the week", lowest=0, highest=7, names=_numbered(_WEEKDAYS, 0))
_FIELDS = (_MINUTE_OF_HOUR, _HOUR, _DAY_OF_MONTH, _MONTH, _WEEKDAY)


def parse(text: str, time_zone: str = "UTC") -> Schedule:
    """Parse five unix-cron fields, or a form of App Engine such as `1st monday of sep,oct 09:00`.

    Args:
        text: The expression.
        time_zone: Zone of the tz database in which its times are meant.

    Raises:
        ValueError: The expression breaks a rule, or no day ever matches; the message says which.
    """
    schedule = _parsed(text, load_zone(time_zone))
    if schedule.next_after(_NOWADAYS) == NEVER:
        raise ValueError(f"clocks in {time_zone} always skip this time")
    return schedule


def parse_interval(text: str) -> dt.timedelta | None:
    """Return the interval of a text like `every 5 minutes`; None if it has another form."""
    words = text.upper().split()
    if len(words) == 3 and words[0] == "EVERY" and words[1].isdecimal():  # noqa: PLR2004 - as above
        return dt.timedelta(minutes=_step(words[1:]))
    return None


def _parsed(text: str, zone: ZoneInfo) -> Schedule:
    words = text.upper().split()
    if words and words[0] == "EVERY" and len(words) > 1 and words[1].isdecimal():
        return _parse_steps(words[1:], zone)
    if words and words[0].partition(",")[0] in {"EVERY", *_WEEKS}:
        return _parse_days(words, zone)
    if words[1:2] == ["OF"]:
        return _parse_dates(words, zone)
    return _parse_unix(text.split(), zone)


def _parse_unix(words: Sequence[str], zone: ZoneInfo) -> Schedule:
    if len(words) != len(_FIELDS):
        raise ValueError(f"a unix-cron schedule has five fields, not {len(words)}")
    minutes, hours, days, months, weekdays = map(_numbers, words, _FIELDS)
    schedule = Schedule(
        zone=zone,
        minutes=_times(hour * 60 + minute for hour, minute in product(hours, minutes)),
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        is_either="*" not in (words[2], words[4]),
    )
    if not schedule.has_days():
        raise ValueError("no month has such a day")
    return schedule


def _parse_days(words: Sequence[str], zone: ZoneInfo) -> Schedule:
    """Parse `every day 09:00`, `every mon,wed 09:00`, `1st,third monday of sep,oct 09:00`."""
    which, weekdays, *of_months, time = words if len(words) in (3, 5) else ("", "", "", "")
    if not time or (of_months and of_months[0] != "OF"):
        raise ValueError('such a schedule reads "every day 09:00" or "1st monday of sep,oct 09:00"')
    weeks = range(1, 6) if which == "EVERY" else _looked_up(which, _WEEKS, "week of the month")
    return Schedule(
        zone=zone,
        minutes=(_time(time),),
        days=frozenset(day for week in weeks for day in range(week * 7 - 6, min(week * 7, 31) + 1)),
        months=_months(of_months[1] if of_months else "MONTH"),
        weekdays=frozenset(range(7) if weekdays == "DAY" else _named(weekdays, _WEEKDAY)),
    )


def _parse_dates(words: Sequence[str], zone: ZoneInfo) -> Schedule:
    """Parse `1,15 of month 09:00`, `1 of jan,april,july,oct 00:00`."""
    if len(words) != 4:  # noqa: PLR2004 - as above
        raise ValueError('such a schedule reads "1,15 of month 09:00"')
    schedule = Schedule(
        zone=zone,
        minutes=(_time(words[3]),),
        days=frozenset(_number(day, _DAY_OF_MONTH) for day in words[0].split(",")),
        months=_months(words[2]),
        weekdays=frozenset(range(7)),
    )
    if not schedule.has_days():
        raise ValueError("no month has such a day")
    return schedule


def _parse_steps(words: Sequence[str], zone: ZoneInfo) -> Schedule:
    """Parse `5 minutes from 10:00 to 14:00` and `5 minutes synchronized`."""
    step = _step(words)
    match words[2:]:
        case ["FROM", first, "TO", last]:
            start, end = _time(first), _time(last)
            end += _MINUTES_OF_DAY if end < start else 0
        case ["SYNCHRONIZED"]:
            start, end = 0, _MINUTES_OF_DAY - 1
            if _MINUTES_OF_DAY % step:
                raise ValueError("a synchronized interval must divide the day evenly")
        case []:
            raise ValueError("it is an interval of App Engine, which has no times of the day")
        case _:
            raise ValueError('after the interval comes "from 10:00 to 14:00" or "synchronized"')
    return Schedule(
        zone=zone,
        minutes=_times(minute % _MINUTES_OF_DAY for minute in range(start, end + 1, step)),
        days=frozenset(_DAY_OF_MONTH.all),
        months=frozenset(_MONTH.all),
        weekdays=frozenset(range(7)),
    )


def _months(text: str) -> frozenset[int]:
    return frozenset(_MONTH.all if text == "MONTH" else _named(text, _MONTH))


def _times(minutes: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(set(minutes)))


def _step(words: Sequence[str]) -> int:
    """Return the number of minutes in `5 MINUTES` or `2 HOURS`."""
    number, unit = words[0], words[1] if len(words) > 1 else ""
    factor = {"MINUTE": 1, "MIN": 1, "HOUR": 60}.get(unit.removesuffix("S"))
    if factor is None or len(number) > 4 or not number.isascii() or not int(number):  # noqa: PLR2004 - a week
        raise ValueError(f"'{' '.join(words[:2]).lower()}' is not a number of minutes or hours")
    return int(number) * factor


def _time(text: str) -> int:
    match = re.fullmatch("([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if match is None:
        raise ValueError(f"{text!r} is not a time of the day such as 09:00")
    return int(match[1]) * 60 + int(match[2])


def _named(text: str, field: _Field) -> list[int]:
    """Parse names of months or days of the week, whole or shortened to three letters."""
    shortened = ",".join(name[:3] if name in _WHOLE_NAMES else name for name in text.split(","))
    return _looked_up(shortened, field.names, field.name)


def _looked_up(text: str, names: Mapping[str, int], sort: str) -> list[int]:
    for name in text.split(","):
        if name not in names:
            raise ValueError(f"{name.lower()!r} is not a valid {sort}")
    return [names[name] for name in text.split(",")]


def _numbers(text: str, field: _Field) -> frozenset[int]:
    return frozenset(number for term in text.split(",") for number in _values(term, field))


def _values(term: str, field: _Field) -> range:
    match = _TERM.fullmatch(term)
    if match is None:
        raise ValueError(f"{term!r} is not a valid {field.name}")
    if match["star"]:
        first, last = field.lowest, field.highest
    else:
        first = _number(match["first"], field)
        last = first if match["last"] is None else _number(match["last"], field)
    step = 1 if match["step"] is None else int(match["step"])
    if last < first:
        raise ValueError(f"the range {term!r} of the {field.name} does not ascend")
    if match["step"] is not None and not match["star"] and match["last"] is None:
        raise ValueError(f"the step of {term!r} needs a range or * before it")
    if not 1 <= step <= field.highest:
        raise ValueError(f"the step of {term!r} is not between 1 and {field.highest}")
    return range(first, last + 1, step)


def _number(text: str, field: _Field) -> int:
    number = field.names.get(text.upper())
    if number is None and re.fullmatch(r"[0-9]{1,2}", text):
        number = int(text)
    if number is None or not field.lowest <= number <= field.highest:
        raise ValueError(f"{text!r} is not a valid {field.name}")
    return number
