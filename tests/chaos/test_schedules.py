"""Schedules made at run time, while calls and tasks are doubled, lost, refused, and workers die."""

import datetime as dt
from collections import Counter
from collections.abc import Callable

import pytest

from adjourn_local.http.faults import Faults
from adjourn_local.runtime.loop import LoopThread
from adjourn_local.runtime.stack import Stack
from tests.chaos.application import MINUTES, app, scheduled
from tests.chaos.world import Ear, dead_letters, kill_workers, listen_until, needs_pgrep

HOUR = dt.timedelta(hours=1)
STEPS = 8
STEP, PERIOD = dt.timedelta(minutes=5), dt.timedelta(minutes=20)
SCHEDULES = 10
FAULTS = Faults(duplicates=0.4, lost_answers=0.3, errors=0.2, seed=11)


@needs_pgrep
@pytest.mark.usefixtures("jobs")
def test_each_due_time_of_each_schedule_takes_effect_exactly_once(
    stack: Stack, ear: Ear, loop: LoopThread, steer: Callable[[str], None]
) -> None:
    def is_settled() -> bool:
        loop.run(stack.scheduler.idle())
        counters = loop.call(stack.tasks.counters)
        if counters.queued and not counters.in_flight:
            steer("advance=3s")
        return not counters.queued and not counters.in_flight and not ear.listen()

    first = dt.datetime.now(dt.UTC).replace(minute=0, second=0, microsecond=0) + 2 * HOUR
    steer("freeze")
    steer(f"jump={first.isoformat()}")
    listen_until(ear, is_settled)
    # By the clock of this process, so that of the time since then only the latest is due.
    for number in range(SCHEDULES):
        app.schedules.put(
            f"chaos-{number}", scheduled, args=(number,), cron="*/20 * * * *", overlap="allow"
        )
    ear.forget()
    stack.sender.faults = FAULTS
    for step in range(STEPS):
        steer(f"advance={STEP.seconds}s")
        if step % 4 == 1:
            kill_workers(stack, "cron")
        listen_until(ear, is_settled)
    stack.sender.faults = Faults()
    for _ in range(2):  # what a call has left is enqueued by the next
        steer("advance=61s")
        listen_until(ear, is_settled)

    assert ear.told == Counter(expected(first))
    assert dead_letters() == []
    assert all(app.schedules.delete(f"chaos-{number}") for number in range(SCHEDULES))


def expected(first: dt.datetime) -> list[int]:
    """Return what all runs tell."""
    minute = int(first.timestamp()) // 60
    minutes = range(minute, minute + STEPS * STEP.seconds // 60 + 1, PERIOD.seconds // 60)
    return [number * MINUTES + minute for number in range(SCHEDULES) for minute in minutes]
