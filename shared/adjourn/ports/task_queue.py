"""The port for Cloud Tasks: new tasks, and the state of a task."""

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from adjourn.errors import EnqueueError


class Target(StrEnum):
    """The function to which a task is delivered."""

    DEFERRED = "deferred"
    QUERYITER = "queryiter"


class NewTask(NamedTuple):
    """A task to be put on a queue."""

    target: Target
    label: str  # ends the URL, for readers of request logs only
    queue: str
    body: bytes
    name: str | None = None
    eta: dt.datetime | None = None
    timeout: dt.timedelta | None = None
    min_backoff: dt.timedelta | None = None
    max_backoff: dt.timedelta | None = None


class TaskState(NamedTuple):
    """The state of a task that has not finished.

    Attributes:
        attempts: Attempts so far, including a running one.
        last_status: Status that Cloud Tasks reports for the last attempt that was answered; "" if
            there is none, "WAITING" for a call that waits for its flow.
        next_start: Earliest time of the next attempt.
    """

    attempts: int
    last_status: str
    next_start: dt.datetime


class TaskQueue(Protocol):
    """What adjourn needs of Cloud Tasks."""

    def connect(self) -> None:
        """Do what the first task of a process would have to wait for.

        Raises:
            EnqueueError: There are no credentials.
        """

    def enqueue(self, task: NewTask) -> str:
        """Put a task on its queue and return its full name.

        A task with a name is never created twice, however many attempts that takes.

        Raises:
            TaskExistsError: A task of that name exists, or did until recently.
            QueueNotFoundError: The queue does not exist.
            UnavailableError: The service could not be reached in time; the task may exist.
            EnqueueError: The service refused the task.
        """

    def enqueue_many(self, tasks: Sequence[NewTask]) -> list[str | EnqueueError]:
        """Put tasks on their queues; return the result or error of `enqueue` for each, in order."""

    def full_name(self, queue: str, name: str) -> str:
        """Return the name by which the service knows the task `name` of `queue`."""

    def fetch(self, full_name: str) -> TaskState | None:
        """Return the state of a task, None if it has finished or never existed."""

    def delete(self, full_name: str) -> bool:
        """Delete a task; return False if it has finished or never existed."""
