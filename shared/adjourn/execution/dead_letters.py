"""What could not be done, kept: nothing is dropped without a record and a log event."""

from __future__ import annotations

import datetime as dt
import logging
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from adjourn.clock import Clock
from adjourn.error_text import error_line, traceback_text
from adjourn.execution.delivery import Delivery
from adjourn.log import event
from adjourn.names import digest
from adjourn.ports import EntityStore, Record, RecordKey
from adjourn.serialization.envelope import MAX_BODY

KIND = "AdjournDeadLetter"
KEPT = dt.timedelta(days=90)
UNINDEXED = ("body", "error", "traceback")

# In bytes: with a body, all of it has to fit into an entity of 1,048,572
# (https://cloud.google.com/datastore/docs/concepts/limits).
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


DeadHook = Callable[[DeadLetter], object]


@dataclass(kw_only=True, eq=False, repr=False)
class DeadLetters:
    """The records of tasks that were given up, in Datastore under the kind `AdjournDeadLetter`.

    The property `expires_at` is meant for a TTL policy
    (https://cloud.google.com/datastore/docs/ttl).
    """

    store: EntityStore
    clock: Clock
    tell: Callable[[DeadLetter, DeadHook | None], object]

    def bury(
        self,
        delivery: Delivery,
        error: BaseException,
        *,
        task_id: str = "",
        task: str = "",
        attempts: int = 0,
        hook: DeadHook | None = None,
    ) -> None:
        """Record a task that will not be tried again, and tell of it; twice for an id is once.

        Args:
            delivery: The last attempt.
            error: Why it was the last one.
            task_id: The call's identity; a digest of the body if it does not tell its own.
            task: Registered name of the task, if the body tells it.
            attempts: How often it was tried, if not only under the task that was delivered.
            hook: What the task itself wants to have called.

        Raises:
            StoreError: The record was not written, so the task must not be acknowledged.
        """
        now = self.clock.now()
        letter = DeadLetter(
            task_id=task_id or _body_id(delivery.body),
            task=task,
            queue=delivery.queue,
            attempts=attempts or delivery.attempt.number,
            error=error_line(error, _LONGEST_ERROR),
        )
        told: Record = {"task": task, "queue": letter.queue, "attempts": letter.attempts}
        self.store.put(
            RecordKey(KIND, letter.task_id),
            {
                **told,
                "body": _fitting(delivery.body),
                "error": letter.error,
                "traceback": traceback_text(error, _LONGEST_TRACEBACK),
                "buried_at": now,
                "expires_at": now + KEPT,
            },
            unindexed=UNINDEXED,
        )
        text = f"{task or 'A task'} will not be tried again; see dead letter {letter.task_id}"
        event("task.dead", logging.ERROR, text, error=error, task_id=letter.task_id, **told)
        self.tell(letter, hook)


def _body_id(body: bytes) -> str:
    return f"undecodable-{digest(body)}"


def _fitting(body: bytes) -> bytes:
    """Return a body as it fits into an entity: ours all do, and others' JSON once compressed."""
    return body if len(body) <= MAX_BODY else zlib.compress(body)[:MAX_BODY]
