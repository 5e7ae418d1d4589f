"""The last run of a periodic function, which may keep the next one from beginning."""

from __future__ import annotations

from typing import NamedTuple

from adjourn.cron.due import PeriodicState
from adjourn.cron.periodic import Timing


class LastRun(NamedTuple):
    """The task that decides about the next run, "" for none, and whether it is there."""

    task: str
    is_there: bool

    def is_running(self, timing: Timing, state: PeriodicState | None) -> bool:
        """Return whether it keeps the next run from beginning, by the state as it is by now."""
        if awaited(timing, state) == self.task:
            return self.is_there
        # Another call claimed a slot a moment ago; it is enqueued by its name.
        return state is None or state.is_enqueued


def awaited(timing: Timing, state: PeriodicState | None) -> str:
    """Return the task that decides about the next run: it must end, or it is that of a claim."""
    is_awaited = state is not None and (timing.skips_overlap or not state.is_enqueued)
    return state.task if state and is_awaited else ""
