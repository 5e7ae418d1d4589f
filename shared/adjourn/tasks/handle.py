"""Handles of enqueued calls, to watch or cancel them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field

from adjourn.errors import EncodeError, EnqueueError
from adjourn.ports import TaskQueue, TaskState


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskHandle:
    """The handle of an enqueued call.

    Attributes:
        id: The identity of the call, the same over all attempts; None if `is_new` is False, since
            the existing task belongs to another call.
        name: Full name in Cloud Tasks.
        queue: Short name of the queue.
        eta: Earliest start; None for at once.
        is_new: False if nothing was enqueued: a task with this name existed already, or an
            overridden method ran at once.
    """

    id: str | None
    name: str
    queue: str
    eta: dt.datetime | None
    is_new: bool
    _queue: TaskQueue | None = field(repr=False)
    _on_cancelled: Callable[[], None] | None = field(default=None, repr=False)

    def cancel(self) -> bool:
        """Delete the task; False if it has already finished. A running attempt is not stopped.

        Raises:
            UnavailableError: Cloud Tasks could not be reached.
            StoreError: The task is deleted, but an equal unique call cannot be made yet.
        """
        is_cancelled = self._queue is not None and self._queue.delete(self.name)
        if is_cancelled and self._on_cancelled is not None:
            self._on_cancelled()
        return is_cancelled

    def fetch(self) -> TaskState | None:
        """Return the state of the task; None if it has finished, was deleted or enqueued again.

        Raises:
            UnavailableError: Cloud Tasks could not be reached.
        """
        return self._queue.fetch(self.name) if self._queue else None


Enqueued = TaskHandle | EncodeError | EnqueueError
