"""The status of a run."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """The status of a run."""

    STARTING = "starting"  # on_start has not been called yet
    RUNNING = "running"
    PAUSING = "pausing"  # waits for the steps that are still running
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    FINISHING = "finishing"  # all entities are handled; handle_finish has not been called yet
    FINISHED = "finished"
    STOPPED = "stopped"  # something failed for good; the position is kept


LIVE = frozenset(
    {Status.STARTING, Status.RUNNING, Status.PAUSING, Status.CANCELLING, Status.FINISHING}
)
COMING_TO_REST = frozenset({Status.PAUSING, Status.CANCELLING})
