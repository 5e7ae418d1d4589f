"""A schedule as the application sees it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from adjourn.schedules.stored_schedule import Status, StoredSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A schedule that was put at run time, as it was when it was read.

    Attributes:
        name: Its name.
        task: Registered name of the task that it calls.
        args: The positional arguments; of a method, the first one says on which object.
        kwargs: The keyword arguments.
        error: Why the call cannot be read by this application, such as that its task is not
            declared; "" if it can. Then there are no arguments.
        timing: When it is due, in words.
        until: The last instant at which it may be due; None for no end.
        cron_name: The cron name that serves it.
        status: "active", "paused" or "ended".
        next_due: When it is due next; None if it is paused or ended.
        last_due: The due time of its last run; None if it had none.
        last_task: Full name of the task of that run in Cloud Tasks; "" if it had none.
        put_at: When it was put as it is.
    """

    name: str
    task: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    error: str
    timing: str
    until: dt.datetime | None
    cron_name: str
    status: Status
    next_due: dt.datetime | None
    last_due: dt.datetime | None
    last_task: str
    put_at: dt.datetime

    @classmethod
    def of(
        cls,
        stored: StoredSchedule,
        args: tuple[object, ...],
        kwargs: Mapping[str, object],
        error: str,
    ) -> Schedule:
        """Return what a stored schedule is."""
        status, state = stored.status, stored.state
        return cls(
            name=stored.name,
            task=stored.calls,
            args=args,
            kwargs=kwargs,
            error=error,
            timing=stored.given.timing().text,
            until=stored.given.until,
            cron_name=stored.given.cron_name,
            status=status,
            next_due=stored.next_due if status == "active" else None,
            last_due=stored.last_due,
            last_task=state.task,
            put_at=stored.put_at,
        )
