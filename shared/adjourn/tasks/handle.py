"""What a call that was enqueued leaves behind, to ask after it or to take it back."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from adjourn.errors import EncodeError, EnqueueError
from adjourn.ports import TaskQueue, TaskState


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TaskHandle:
    """What a call that was enqueued leaves behind.

    Attributes:
        id: The task's identity, the same over all attempts; None if `is_new` is False, since the
            task that holds the name was enqueued by somebody else.
        name: Full name in Cloud Tasks.
        queue: Short name of the queue.
        eta: Earliest start; None for at once.
        is_new: False if a task of the same name was there already, or an overridden method ran
            here and now, and nothing was enqueued.
    """

    id: str | None
    name: str
    queue: str
    eta: dt.datetime | None
    is_new: bool
    _queue: TaskQueue | None = field(repr=False)

    def cancel(self) -> bool:
        """Delete the task; False if it has finished already. An attempt that runs is not stopped.

        Raises:
            UnavailableError: Cloud Tasks could not be reached.
        """
        return self._queue is not None and self._queue.delete(self.name)

    def fetch(self) -> TaskState | None:
        """Ask Cloud Tasks how the task stands; None if it has finished, was deleted or put back.

        Raises:
            UnavailableError: Cloud Tasks could not be reached.
        """
        return self._queue.fetch(self.name) if self._queue else None


Enqueued = TaskHandle | EncodeError | EnqueueError
