"""The running task, as its own code sees it."""

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
        retry_count: Earlier attempts, including those that never reached our code.
        is_last_attempt: Whether a failure now makes it a dead letter, by its own limit of retries
            or the queue's.
        enqueued_at: When the call was made.
        eta: Its earliest start, the same over all attempts; None for at once. For a periodic run,
            the time at which it was due, plus the delay that `spread` added.
        user: The user who made the call, as the application identifies users; None if unknown.
        language: The language in which that user was served; None if unknown.
        deadline: When this attempt times out, by Cloud Tasks or the function's own timeout.
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
        """Return how long this attempt may still take, at least zero."""
        return max(dt.timedelta(), self.deadline - self._clock.now())

    def done_with(self, transaction: object) -> None:
        """Mark this call as done within a Datastore transaction.

        What the transaction writes then takes effect exactly once, even if this process dies or
        the task is delivered again at any time.

        Raises:
            ConflictError: Another delivery has claimed the call; leave the work to it.
            DeclarationError: The task is not declared with once=True, or `transaction` is no
                transaction of the settings' project and database.
        """
        if self._settle is None:
            raise DeclarationError(f"{self.task} is not claimed; declare it with once=True.")
        self._settle(transaction)


def current_task() -> CurrentTask:
    """Return the task whose code is running.

    Raises:
        NoCurrentTaskError: No task is running.
    """
    try:
        return _current.get()
    except LookupError:
        raise NoCurrentTaskError("No task is running here; call it within a task.") from None


def running(task: CurrentTask) -> Scoped[CurrentTask]:
    """Return a context manager in which `task` is the current one."""
    return Scoped(_current, task)
