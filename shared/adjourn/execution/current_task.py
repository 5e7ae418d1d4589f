"""The task that runs here and now, for the code that it runs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.concurrency import Scoped
from adjourn.errors import DeclarationError, NoCurrentTaskError

_current: ContextVar[CurrentTask] = ContextVar("adjourn_current_task")


# Not frozen: one is made for each delivery, and that would take three times as long.
@dataclass(slots=True, kw_only=True, eq=False)
class CurrentTask:
    """One attempt at one call.

    Attributes:
        id: The call's identity, the same over all attempts.
        task: Registered name of the task.
        name: Short name of the task in Cloud Tasks.
        queue: Short name of its queue.
        attempt: This attempt, counted from 1.
        retry_count: Attempts before this one, including those that never reached our code.
        is_last_attempt: Whether a failure now makes it a dead letter, by its own budget of retries
            or the queue's.
        enqueued_at: When the call was made.
        eta: Its earliest start, the same over all attempts; None for at once. That of a periodic
            run is the time for which it was due, with what `spread` added.
        user: Who made the call, as the application identifies people; None if nobody is known.
        language: In which language they were served; None if it is not known.
        deadline: When this attempt is given up, by Cloud Tasks or the function's own timeout.
    """

    id: str
    task: str
    name: str
    queue: str
    attempt: int
    retry_count: int
    is_last_attempt: bool
    enqueued_at: dt.datetime
    eta: dt.datetime | None
    user: str | None
    language: str | None
    deadline: dt.datetime
    _clock: Clock
    _settle: Callable[[object], None] | None

    def time_left(self) -> dt.timedelta:
        """Return how long this attempt may still take, never less than nothing."""
        return max(dt.timedelta(), self.deadline - self._clock.now())

    def done_with(self, transaction: object) -> None:
        """Let this call be done if a Datastore transaction is committed, and only then.

        What the transaction writes then takes effect exactly once, even if this process dies or
        the task is delivered again at any moment.

        Raises:
            ConflictError: Another delivery has claimed the call; leave the work to it.
            DeclarationError: The task is not declared with once=True, or it is no transaction of
                the settings' project and database.
        """
        if self._settle is None:
            raise DeclarationError(f"{self.task} is not claimed; declare it with once=True.")
        self._settle(transaction)


def current_task() -> CurrentTask:
    """Return the task whose code is running.

    Raises:
        NoCurrentTaskError: None is.
    """
    try:
        return _current.get()
    except LookupError:
        raise NoCurrentTaskError("No task is running here; call it within a task.") from None


def running(task: CurrentTask) -> Scoped[CurrentTask]:
    """Make `task` the current one meanwhile."""
    return Scoped(_current, task)
