"""Unix-cron schedules by the wall clock of a time zone, as Cloud Scheduler reads them.

Rules: https://cloud.google.com/scheduler/docs/configuring/cron-job-schedules. `cronsim` finds
matching wall times but follows Debian where the two differ: it takes a day field such as `*/2` for
unrestricted, takes seconds, `L` and `#`, and moves runs out of hours that a clock change removes.
So it is only ever given plain lists and naive times, and what clock changes mean is decided here.
"""

import datetime as dt
import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_MINUTE = dt.timedelta(minutes=1)
_SECOND = dt.timedelta(seconds=1)
_DAY = dt.timedelta(days=1)

_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_APP_ENGINE = re.compile(
    r"(every|\d+(st|nd|rd|th)|first|second|third|fourth|fifth)\b", re.IGNORECASE
)
_TERM = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>[0-9]{1,4}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: dict[str, int]


_FIELDS = (
    _Field(name="minute", lowest=0, highest=59, names={}),
    _Field(name="hour", lowest=0, highest=23, names={}),
    _Field(name="day of the month", lowest=1, highest=31, names={}),
    _Field(name="month", lowest=1, highest=12, names={m: n for n, m in enumerate(_MONTHS, 1)}),
    _Field(
        name="day of the week", lowest=0, highest=7, names={d: n for n, d in enumerate(_WEEKDAYS)}
    ),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule as plain lists; with both day fields restricted, a day need match only one."""

    fields: str

    def next_after(self, after: dt.datetime, zone: ZoneInfo) -> dt.datetime:
        """Return the first instant after `after`, in UTC, at which the zone's clock matches.

        Wall times that occur twice match twice, those that are left out do not match.
        """
        start = after.astimezone(dt.UTC).replace(second=0, microsecond=0) + _MINUTE
        while True:
            offset = _offset(start, zone)
            found = self._next_wall(start + offset) - offset
            change = _first_change(start, found, zone)
            if change is None:
                return found
            start = change

    def _next_wall(self, wall: dt.datetime) -> dt.datetime:
        """Return the first matching wall time, `wall` included; both are marked as if UTC."""
        search = CronSim(self.fields, wall.replace(tzinfo=None) - _SECOND)
        return next(search).replace(tzinfo=dt.UTC)


def parse(text: str) -> Cron:
    """Read five fields.

    Raises:
        ValueError: They break a rule, or no day ever matches; the message says which.
    """
    if _APP_ENGINE.match(text.strip()):
        raise ValueError("App Engine's schedule syntax is not supported here, unix-cron is")
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise ValueError(f"a unix-cron schedule has five fields, not {len(parts)}")
    fields = " ".join(_plain(part, field) for part, field in zip(parts, _FIELDS, strict=True))
    try:
        CronSim(fields, dt.datetime(2000, 1, 1))  # noqa: DTZ001 - wall time of no zone in particular
    except CronSimError:
        raise ValueError("no month has such a day") from None
    return Cron(fields)


def load_zone(name: str) -> ZoneInfo:
    """Return a zone of the tz database; none named means UTC, which may be written `utc`.

    Raises:
        ValueError: There is none of that name.
    """
    if name.upper() in ("", "UTC"):
        return ZoneInfo("UTC")
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone of the tz database") from None


def _plain(part: str, field: _Field) -> str:
    if part == "*":
        return part
    values: set[int] = set()
    for term in part.split(","):
        values.update(_values(term, field))
    return ",".join(str(value) for value in sorted(values))


def _values(term: str, field: _Field) -> range:
    match = _TERM.fullmatch(term)
    if match is None:
        raise ValueError(f"{term!r} is no {field.name}")
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
        raise ValueError(f"{text!r} is no {field.name}")
    return number


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
