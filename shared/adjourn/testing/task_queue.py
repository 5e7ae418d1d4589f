"""The task queue in memory."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from adjourn.errors import EnqueueError, QueueNotFoundError, TaskExistsError
from adjourn.execution.attempt import Attempt
from adjourn.ports import NewTask, TaskState
from adjourn.testing.fake_clock import FakeClock

_TOMBSTONE = dt.timedelta(hours=1)


@dataclass(slots=True, eq=False)
class Queued:
    """A task that waits in a `MemoryQueue`.

    Attributes:
        name: Its full name.
        task: What was enqueued.
        due: Earliest time of its next delivery.
        attempt: The number of deliveries so far.
        last_status: Name of the last `Outcome`, in lower case; "" before the first delivery.
    """

    name: str
    task: NewTask
    due: dt.datetime
    attempt: Attempt = field(default_factory=Attempt)
    last_status: str = ""


class MemoryQueue:
    """The task queue in memory; the name of a task stays taken for an hour after its end.

    Args:
        clock: Its time decides which tasks are due.
        queues: The queues that exist; any queue if None.

    Attributes:
        tasks: The waiting tasks, by full name.
        accepted: Every task that was ever enqueued, without those that were cancelled.
        arrived: Called after a task was enqueued.
    """

    def __init__(self, clock: FakeClock, queues: Collection[str] | None = None) -> None:
        self._clock = clock
        self._queues = queues
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._tombstones: dict[str, dt.datetime] = {}
        self.tasks: dict[str, Queued] = {}
        self.accepted: list[Queued] = []
        self.arrived: Callable[[], None] = lambda: None

    def connect(self) -> None:
        """Do nothing, since there is nobody to connect to."""

    def enqueue(self, task: NewTask) -> str:
        """Put a task on the queue.

        Returns:
            Its full name.

        Raises:
            QueueNotFoundError: The queue does not exist.
            TaskExistsError: The name is taken.
        """
        if self._queues is not None and task.queue not in self._queues:
            raise QueueNotFoundError(f"There is no queue {task.queue!r}.")
        now = self._clock.now()
        name = self.full_name(task.queue, task.name or f"{next(self._ids):020}")
        with self._lock:
            if name in self.tasks or self._tombstones.get(name, now) > now:
                raise TaskExistsError(f"{name} exists, or did until recently.")
            self.tasks[name] = queued = Queued(name, task, max(task.eta or now, now))
            self.accepted.append(queued)
        self.arrived()
        return name

    def enqueue_many(self, tasks: Sequence[NewTask]) -> list[str | EnqueueError]:
        """Put tasks on the queue; return the result or error of `enqueue` for each."""
        results: list[str | EnqueueError] = []
        for task in tasks:
            try:
                results.append(self.enqueue(task))
            except EnqueueError as error:
                results.append(error)
        return results

    def full_name(self, queue: str, name: str) -> str:
        """Return a name in the form of the real service."""
        return f"projects/sandbox/locations/europe-west1/queues/{queue}/tasks/{name}"

    def fetch(self, full_name: str) -> TaskState | None:
        """Return the state of a task, None if it is gone."""
        queued = self.tasks.get(full_name)
        if queued is None:
            return None
        attempts = queued.attempt.retry_count
        return TaskState(attempts=attempts, last_status=queued.last_status, next_start=queued.due)

    def delete(self, full_name: str) -> bool:
        """Delete a task, whose name stays taken; return False if it is gone."""
        queued = self.tasks.get(full_name)
        if queued is None:
            return False
        self.settle(queued)
        self.accepted.remove(queued)
        return True

    def settle(self, queued: Queued) -> None:
        """Remove a task that has ended; its name stays taken for an hour."""
        self.tasks.pop(queued.name, None)
        self._tombstones[queued.name] = self._clock.now() + _TOMBSTONE

    def put_back(self, queued: Queued, due: dt.datetime) -> None:
        """Queue a failed task again until it is due, behind others of the same time."""
        with self._lock:
            if self.tasks.pop(queued.name, None):
                queued.due = due
                self.tasks[queued.name] = queued

    def due(self) -> list[Queued]:
        """Return the tasks that are due, the longest due first."""
        now = self._clock.now()
        waiting = list(self.tasks.values())  # other threads may add to them
        return sorted((q for q in waiting if q.due <= now), key=lambda q: q.due)

    def next_due(self) -> dt.datetime | None:
        """Return the next time after now at which a task will be due; None if there is none."""
        now = self._clock.now()
        return min((q.due for q in list(self.tasks.values()) if q.due > now), default=None)
