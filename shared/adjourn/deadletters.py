"""What could not be done, kept: nothing is dropped without a record and a log event."""

import datetime as dt
import hashlib
import logging
import traceback
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.log import event
from adjourn.ports import EntityStore, RecordKey

KIND = "AdjournDeadLetter"
KEPT = dt.timedelta(days=90)
UNINDEXED = ("body", "error", "traceback")

_LONGEST_TRACEBACK = 20_000
_LONGEST_ERROR = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A task that will not be tried again.

    Attributes:
        task_id: The call's identity, and the name of the record.
        task: Registered name of the task; empty if the body could not be read.
        queue: Short name of the queue.
        attempts: How often it was tried.
        error: Type and message of the last error.
    """

    task_id: str
    task: str
    queue: str
    attempts: int
    error: str


@dataclass(kw_only=True, eq=False, repr=False)
class DeadLetters:
    """The records of tasks that were given up, in Datastore under the kind `AdjournDeadLetter`.

    The property `expires_at` is meant for a TTL policy
    (https://cloud.google.com/datastore/docs/ttl).
    """

    store: EntityStore
    clock: Clock

    def bury(
        self,
        *,
        task_id: str,
        task: str,
        queue: str,
        attempts: int,
        body: bytes,
        error: BaseException,
    ) -> DeadLetter:
        """Record a task that will not be tried again; twice for the same id is once.

        Raises:
            StoreError: The record was not written, so the task must not be acknowledged.
        """
        now = self.clock.now()
        letter = DeadLetter(
            task_id=task_id,
            task=task,
            queue=queue,
            attempts=attempts,
            error=f"{type(error).__name__}: {error}"[:_LONGEST_ERROR],
        )
        self.store.put(
            RecordKey(KIND, task_id),
            {
                "task": task,
                "queue": queue,
                "attempts": attempts,
                "body": body,
                "error": letter.error,
                "traceback": "".join(traceback.format_exception(error))[-_LONGEST_TRACEBACK:],
                "buried_at": now,
                "expires_at": now + KEPT,
            },
            unindexed=UNINDEXED,
        )
        event(
            "task.dead",
            logging.ERROR,
            f"{task or 'A task'} will not be tried again; see dead letter {task_id}",
            error=error,
            task=task,
            task_id=task_id,
            queue=queue,
            attempts=attempts,
        )
        return letter


def body_id(body: bytes) -> str:
    """Return a name for a body that does not tell its own."""
    return f"undecodable-{hashlib.sha256(body).hexdigest()[:32]}"
