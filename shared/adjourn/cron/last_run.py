"""The last run of a periodic function, which may keep the next one from beginning."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from adjourn.cron.due import Decision, PeriodicState, decide
from adjourn.cron.periodic import Timing
from adjourn.errors import EnqueueError
from adjourn.ports import TaskQueue


class LastRun(NamedTuple):
    """The task that decides about the next run, "" for none, and whether it is there."""

    task: str
    is_there: bool

    def decide(
        self, timing: Timing, state: PeriodicState | None, tick: dt.datetime, now: dt.datetime
    ) -> Decision:
        """Return what is due, by the state as it is by now; see `adjourn.cron.due.decide`."""
        return decide(timing, state, tick, now, is_running=self._is_running(timing, state))

    def _is_running(self, timing: Timing, state: PeriodicState | None) -> bool:
        if _awaited(timing, state) == self.task:
            return self.is_there
        # Another call claimed a slot a moment ago; it is enqueued by its name.
        return state is None or state.is_enqueued


def last_run(
    queue: TaskQueue, timing: Timing, state: PeriodicState | None
) -> LastRun | EnqueueError:
    """Return the last run, or why it is unknown; it costs a request if the next one may wait."""
    task = _awaited(timing, state)
    try:
        return LastRun(task, task != "" and queue.fetch(task) is not None)
    except EnqueueError as error:
        return error


def may_be_due(
    timing: Timing, state: PeriodicState | None, tick: dt.datetime, now: dt.datetime
) -> bool:
    """Whether there is something to decide, unless the last run keeps it from that."""
    return decide(timing, state, tick, now, is_running=False) != Decision()


def _awaited(timing: Timing, state: PeriodicState | None) -> str:
    """Return the task that decides about the next run: it must end, or it is that of a claim."""
    is_awaited = state is not None and (timing.skips_overlap or not state.is_enqueued)
    return state.task if state and is_awaited else ""
