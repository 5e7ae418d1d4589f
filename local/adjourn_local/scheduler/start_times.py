"""When a job starts next, whichever syntax its schedule has."""

import datetime as dt
from typing import Any

from adjourn.cron.expressions import parse, parse_interval
from adjourn.cron.schedule import load_zone


def check(job: Any) -> None:
    """Refuse a schedule or time zone that breaks a rule.

    Raises:
        ValueError: The message says which.
    """
    if counts_from_end(job):
        load_zone(job.time_zone)
    else:
        parse(job.schedule, job.time_zone)


def counts_from_end(job: Any) -> bool:
    """Tell whether a job starts again so long after its last run has ended: `every 5 minutes`."""
    return parse_interval(job.schedule) is not None


def next_tick(job: Any, after: dt.datetime) -> dt.datetime:
    """Return when the schedule of a job next starts it, after a start, an end or a change."""
    interval = parse_interval(job.schedule)
    if interval is not None:
        return after + interval
    return parse(job.schedule, job.time_zone).next_after(after)


def latest_tick(job: Any, tick: dt.datetime, now: dt.datetime) -> dt.datetime:
    """Return the last start that fell due by `now`, the first of which was `tick`."""
    if counts_from_end(job):
        return tick
    return parse(job.schedule, job.time_zone).latest(tick, now) or tick
