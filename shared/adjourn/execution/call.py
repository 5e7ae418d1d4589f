"""One attempt at a call: what has arrived, and which attempt it is."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

from adjourn.clock import Clock
from adjourn.errors import DecodeError
from adjourn.execution.attempt import Attempt
from adjourn.execution.current_task import CurrentTask
from adjourn.execution.delivery import TIMEOUT, Delivery
from adjourn.serialization.context import LANGUAGE, USER, text
from adjourn.serialization.envelope import Envelope


class Call(NamedTuple):
    """One attempt at a call.

    Attributes:
        attempt: Its count over all the tasks that carried the call.
        limit: Attempts after which the queue deletes the task; 0 for never.
        unreadable: Why the arguments that were kept for it cannot be had.
    """

    envelope: Envelope
    delivery: Delivery
    attempt: Attempt
    limit: int
    unreadable: DecodeError | None = None

    @classmethod
    def of(cls, envelope: Envelope, delivery: Delivery, limit: int) -> Call:
        """Return the attempt that a delivery is."""
        counted = delivery.attempt.after(attempts=envelope.attempts, executions=envelope.executions)
        return cls(envelope=envelope, delivery=delivery, attempt=counted, limit=limit)

    @property
    def is_last(self) -> bool:
        """Whether a failure now is final."""
        envelope = self.envelope
        return (
            envelope.no_retry or self.attempt.is_last(envelope.max_retries) or self.is_queues_last
        )

    @property
    def is_queues_last(self) -> bool:
        """Whether Cloud Tasks deletes the task after this attempt, whatever it is answered."""
        return 0 < self.limit <= self.delivery.attempt.number  # the queue counts this task alone

    def current(
        self, clock: Clock, longest: dt.timedelta, settle: Callable[[object], None] | None
    ) -> CurrentTask:
        """Return what the code that is called may know of it.

        Args:
            clock: Tells the time that is left.
            longest: After which the function itself is stopped.
            settle: Lets the call be done with a transaction; None if it is not claimed.
        """
        envelope = self.envelope
        return CurrentTask(
            id=envelope.id,
            task=envelope.task,
            name=self.delivery.task_name,
            queue=self.delivery.queue,
            attempt=self.attempt.number,
            retry_count=self.attempt.retry_count,
            is_last_attempt=self.is_last,
            enqueued_at=envelope.enqueued_at,
            eta=envelope.eta,
            user=text(envelope.context, USER),
            language=text(envelope.context, LANGUAGE),
            deadline=clock.now() + min(envelope.timeout or TIMEOUT, longest),
            _clock=clock,
            _settle=settle,
        )
