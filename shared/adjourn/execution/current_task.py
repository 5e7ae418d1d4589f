"""One attempt at a delivered call: as the library counts it, and as the task's own code sees it."""

import datetime as dt
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from adjourn.clock import Clock
from adjourn.concurrency import Scoped
from adjourn.errors import DeclarationError, DecodeError, NoCurrentTaskError, TaskCrashedError
from adjourn.execution.attempt import Attempt
from adjourn.execution.delivery import Delivery
from adjourn.serialization.context import LANGUAGE, USER, text
from adjourn.serialization.envelope import Envelope

if TYPE_CHECKING:
    from adjourn.state.call_results import PendingResult

_current: ContextVar["CurrentTask"] = ContextVar("adjourn_current_task")


class Call(NamedTuple):
    """One attempt at a call.

    Attributes:
        envelope: The call.
        delivery: The request that delivered it.
        attempt: The count over all tasks of the call.
        limit: Attempts after which the queue deletes the task; 0 for unlimited.
        unreadable: Why its stored arguments cannot be read; None if they can.
        crashes: Earlier attempts that are known to have begun and never ended.
        waits: Earlier executions that only waited for another delivery of the call.
        successor: Full name of the task that goes on if the process dies now; empty for none.
        has_begun: Whether the user's code was called in this attempt.
        is_noted: Whether it was called by its flow, so that its record is looked after there.
        result: What keeps its result, the same over all copies; None if it keeps none.
    """

    envelope: Envelope
    delivery: Delivery
    attempt: Attempt
    limit: int
    unreadable: DecodeError | None = None
    crashes: int = 0
    waits: int = 0
    successor: str = ""
    has_begun: bool = False
    is_noted: bool = False
    result: "PendingResult | None" = None

    @classmethod
    def of(cls, envelope: Envelope, delivery: Delivery, limit: int) -> "Call":
        """Return the attempt that a delivery makes."""
        counted = delivery.attempt.after(attempts=envelope.attempts, executions=envelope.executions)
        return cls(envelope, delivery, counted, limit)

    def begun(self) -> "Call":
        """Return the call when its code was called: from then on it does not expire any more."""
        return self._replace(envelope=self.envelope._replace(expires_at=None), has_begun=True)

    @property
    def is_last(self) -> bool:
        """Whether a failure now is final."""
        return (
            self.envelope.no_retry
            or self._counted.is_last(self.envelope.max_retries)
            or 0 < self.limit <= self.attempt.number
        )

    @property
    def is_queues_last(self) -> bool:
        """Whether Cloud Tasks deletes the task after this attempt, whatever the answer."""
        return 0 < self.limit <= self.delivery.attempt.number  # the queue counts this task alone

    @property
    def may_have_crashed(self) -> bool:
        """Whether Cloud Tasks has made more attempts than were answered."""
        return self.attempt.retry_count > self.attempt.execution_count

    def is_carried_by(self, task: str) -> bool:
        """Whether a full or short name is that of the delivering task, or of its successor.

        Cloud Tasks itself says which task it delivers. The region does not matter.
        """
        place, _, name = task.rpartition("/tasks/")
        is_here = not place or place.endswith(f"/queues/{self.delivery.queue}")
        return is_here and name in {self.delivery.task_name, self.envelope.resumed_name}

    @property
    def is_watched(self) -> bool:
        """Whether the begin and the end of this attempt have to be noted."""
        is_moved = self.envelope.resumed > 0 and not self.is_noted
        return is_moved or self.may_have_crashed or self.is_queues_last

    @property
    def has_crashed_too_often(self) -> bool:
        """Whether its crashes have used up the attempts of the call, so that it must not run."""
        if not self.crashes:
            return False
        most = self.envelope.max_retries
        has_used_retries = most is not None and self._counted.execution_count > most
        return has_used_retries or 0 < self.limit < self.attempt.number

    @property
    def refusal(self) -> Exception | None:
        """Why the call must never run; None if it may."""
        is_crashed = self.has_crashed_too_often
        return self.unreadable or (TaskCrashedError(self.crashes) if is_crashed else None)

    @property
    def _counted(self) -> Attempt:
        return self.attempt.after(attempts=0, executions=self.crashes - self.waits)


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

    @classmethod
    def of(
        cls,
        call: Call,
        clock: Clock,
        deadline: dt.datetime,
        settle: Callable[[object], None] | None,
    ) -> "CurrentTask":
        """Return what the user's code can find out about one attempt at a call.

        Args:
            call: The attempt.
            clock: For the time that is left.
            deadline: When the attempt times out.
            settle: Marks the call as done within a transaction; None if it is not claimed.
        """
        envelope = call.envelope
        return cls(
            id=envelope.id,
            task=envelope.task,
            name=call.delivery.task_name,
            queue=call.delivery.queue,
            attempt=call.attempt.number,
            retry_count=call.attempt.retry_count,
            is_last_attempt=call.is_last,
            enqueued_at=envelope.enqueued_at,
            eta=envelope.eta,
            user=text(envelope.context, USER),
            language=text(envelope.context, LANGUAGE),
            deadline=deadline,
            _clock=clock,
            _settle=settle,
        )

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
