"""Compute when a job starts next, for unix-cron and App Engine schedules."""

import datetime as dt
from typing import Any

from adjourn.cron.expressions import parse, parse_interval
from adjourn.cron.schedule import load_zone


def check(job: Any) -> None:
    """Check the schedule and the time zone of a job.

    Raises:
        ValueError: One is invalid; the message says which rule it breaks.
    """
    if counts_from_end(job):
        load_zone(job.time_zone)
    else:
        parse(job.schedule, job.time_zone)


def counts_from_end(job: Any) -> bool:
    """Return whether the interval counts from the end of the last run, as for `every 5 minutes`."""
    return parse_interval(job.schedule) is not None


def next_tick(job: Any, after: dt.datetime) -> dt.datetime:
    """Return a job's next start after a time: that of a start, an end or a change."""
    interval = parse_interval(job.schedule)
    if interval is not None:
        return after + interval
    return parse(job.schedule, job.time_zone).next_after(after)


def latest_tick(job: Any, tick: dt.datetime, now: dt.datetime) -> dt.datetime:
    """Return the last of the starts from `tick` to `now`."""
    if counts_from_end(job):
        return tick
    return parse(job.schedule, job.time_zone).latest(tick, now) or tick
