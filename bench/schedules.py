"""Schedules made at run time: how long it takes to enqueue those of a minute, out of many.

    python -m bench.schedules [schedules] [due in a minute]

`adjourn up` runs as a process of its own, without limits. All schedules are stored; then the clock
of the stack is moved on by an hour, so that Cloud Scheduler calls and some of them are due. The
figures are the seconds from there until no schedule is due any more, because all their tasks are
enqueued, and until the last task has run. The second time, each has had a run, which is asked for.
"""

import datetime as dt
import os
import sys
import time
import urllib.request
from collections.abc import Iterator

import adjourn
from adjourn.cron.due import PeriodicState
from adjourn.ports import EntityStore, Record, RecordKey
from adjourn.schedules.schedule_timing import ScheduleTiming
from adjourn.schedules.stored_schedule import (
    KIND,
    StoredSchedule,
    due_property,
    key_of,
    unindexed,
)
from bench.laptop import Laptop, laptop, tell

_HOUR = dt.timedelta(hours=1)
_BATCH = 500
_CRON_NAME = "schedules"
_PAUSE = 0.05


def main(count: int, due: int) -> None:
    """Print the table."""
    with laptop("--no-limits", more="\napp.schedules.serve()\n") as stack:
        os.environ |= stack.variables
        app = adjourn.App(stack.settings)
        app.schedules.serve()
        began = time.perf_counter()
        _store(app, list(_schedules(app, count, due)))
        print(f"{count:,} schedules, stored in {time.perf_counter() - began:.0f} s")
        print(f"{f'{due:,} are due':<30}{'enqueued':>12}{'run':>12}")
        for number, title in enumerate(("for the first time", "once more"), 1):
            _advance(stack)
            began = time.perf_counter()
            _wait(app.wiring().adapters.store, dt.datetime.now(dt.UTC) + number * _HOUR)
            enqueued = time.perf_counter() - began
            stack.hear(due)
            print(f"{title:<30}{enqueued:>10.2f} s{time.perf_counter() - began:>10.2f} s")


def _schedules(app: adjourn.App, count: int, due: int) -> Iterator[StoredSchedule]:
    """Yield schedules of which some are due each hour, and the others in the days after it."""
    task = app.deferred(name="bench_app.tell")(tell)
    now = dt.datetime.now(dt.UTC)
    for number in range(count):
        interval = _HOUR if number < due else _HOUR * (24 + 240 * number / count)
        given = ScheduleTiming(interval=interval, cron_name=_CRON_NAME)
        name = f"tenant-{number}"
        yield StoredSchedule(
            name=name,
            calls=task.name,
            content=app.wiring().scheduled_calls.encode(name, task, (number,), {}),
            given=given,
            state=PeriodicState(slot=now, is_enqueued=True, timing=given.timing().text),
            is_paused=False,
            put_at=now,
        )


def _store(app: adjourn.App, schedules: list[StoredSchedule]) -> None:
    for start in range(0, len(schedules), _BATCH):
        batch: dict[RecordKey, Record] = {
            key_of(each.name): each.record() for each in schedules[start : start + _BATCH]
        }
        fields = unindexed(next(iter(batch.values())))
        app.wiring().adapters.store.put_many(batch, unindexed=fields)


def _advance(stack: Laptop) -> None:
    address = stack.variables["ADJOURN_KEYS_URL"].partition("/oauth2/")[0]
    request = urllib.request.Request(f"{address}/control/clock", data=b"advance=1h", method="PUT")
    with urllib.request.urlopen(request, timeout=60) as reply:
        reply.read()


def _wait(store: EntityStore, now: dt.datetime) -> None:
    while store.names(KIND, by=due_property(_CRON_NAME), before=now, limit=1):
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:]) if len(sys.argv) == 3 else (100_000, 1_000)))  # noqa: PLR2004
