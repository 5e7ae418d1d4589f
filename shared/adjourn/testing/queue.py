"""Cloud Tasks in memory."""

import datetime as dt
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from adjourn.errors import EnqueueError, QueueNotFoundError, TaskExistsError
from adjourn.ports import NewTask, TaskState
from adjourn.retry import Attempt
from adjourn.testing.clock import FakeClock

_TOMBSTONE = dt.timedelta(hours=1)


@dataclass(slots=True)
class Queued:
    """A task that waits in a `MemoryQueue`."""

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
    """

    def __init__(self, clock: FakeClock, queues: Collection[str] | None = None) -> None:
        self._clock = clock
        self._queues = queues
        self._ids = itertools.count(1)
        self._tombstones: dict[str, dt.datetime] = {}
        self.tasks: dict[str, Queued] = {}

    def enqueue(self, task: NewTask) -> str:
        """Keep the task until it is removed."""
        if self._queues is not None and task.queue not in self._queues:
            raise QueueNotFoundError(f"There is no queue {task.queue!r}.")
        now = self._clock.now()
        name = self.full_name(task.queue, task.name or f"{next(self._ids):020}")
        if name in self.tasks or self._tombstones.get(name, now) > now:
            raise TaskExistsError(f"{name} exists, or did until recently.")
        self.tasks[name] = Queued(name, task, max(task.eta or now, now))
        return name

    def enqueue_many(self, tasks: Sequence[NewTask]) -> list[str | EnqueueError]:
        """Keep the tasks until they are removed."""
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
        """Remove a task; its name stays taken for a while."""
        if self.tasks.pop(full_name, None) is None:
            return False
        self._tombstones[full_name] = self._clock.now() + _TOMBSTONE
        return True

    def due(self) -> list[Queued]:
        """Return the tasks whose time has come, the longest due first."""
        now = self._clock.now()
        return sorted((q for q in self.tasks.values() if q.due <= now), key=lambda q: q.due)
