"""Cloud Tasks in memory."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from adjourn.errors import EnqueueError, QueueNotFoundError, TaskExistsError
from adjourn.execution.attempt import Attempt
from adjourn.ports import NewTask, TaskState
from adjourn.testing.clock import FakeClock

_TOMBSTONE = dt.timedelta(hours=1)


@dataclass(slots=True, eq=False)
class Queued:
    """A task that waits in a `MemoryQueue`.

    Attributes:
        name: Its full name.
        task: What was enqueued.
        due: Not before then is it delivered.
        attempt: How often it was.
        last_status: What became of it then, in lower case: the name of an `Outcome`.
    """

    name: str
    task: NewTask
    due: dt.datetime
    attempt: Attempt = field(default_factory=Attempt)
    last_status: str = ""


class MemoryQueue:
    """Cloud Tasks in memory: names stay taken for an hour after their task is gone.

    Args:
        clock: Says what is due.
        queues: The queues that exist; any queue if None.

    Attributes:
        tasks: What waits, by full name.
        accepted: Every task that was ever enqueued, but for those that were cancelled.
        arrived: Is called when a task has been enqueued.
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

    def enqueue(self, task: NewTask) -> str:
        """Keep the task until it is removed.

        Returns:
            Its full name.

        Raises:
            QueueNotFoundError: There is no such queue.
            TaskExistsError: Its name is taken.
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
        """Keep the tasks until they are removed; return what `enqueue` returns or raises."""
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
        """Return how a task stands, None if it is gone."""
        queued = self.tasks.get(full_name)
        if queued is None:
            return None
        attempts = queued.attempt.retry_count
        return TaskState(attempts=attempts, last_status=queued.last_status, next_start=queued.due)

    def delete(self, full_name: str) -> bool:
        """Remove a task before its end, so that its name stays taken; False if there is none."""
        queued = self.tasks.get(full_name)
        if queued is None:
            return False
        self.settle(queued)
        self.accepted.remove(queued)
        return True

    def settle(self, queued: Queued) -> None:
        """Remove a task that has ended; its name stays taken for a while."""
        self.tasks.pop(queued.name, None)
        self._tombstones[queued.name] = self._clock.now() + _TOMBSTONE

    def put_back(self, queued: Queued, due: dt.datetime) -> None:
        """Let a task that failed wait until it is due, behind the others of that time."""
        with self._lock:
            if self.tasks.pop(queued.name, None):
                queued.due = due
                self.tasks[queued.name] = queued

    def due(self) -> list[Queued]:
        """Return the tasks whose time has come, the longest due first."""
        now = self._clock.now()
        waiting = list(self.tasks.values())  # which other threads may add to meanwhile
        return sorted((q for q in waiting if q.due <= now), key=lambda q: q.due)

    def next_due(self) -> dt.datetime | None:
        """Return the next time, after now, at which a task is due; None if there is none."""
        now = self._clock.now()
        return min((q.due for q in list(self.tasks.values()) if q.due > now), default=None)
