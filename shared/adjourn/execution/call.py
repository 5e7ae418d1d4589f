"""One attempt at a delivered call: run it, and decide what follows."""

from __future__ import annotations

import datetime as dt
import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from adjourn.clock import Clock
from adjourn.error_text import error_line
from adjourn.errors import (
    ConflictError,
    DecodeError,
    Discard,
    EncodeError,
    EnqueueError,
    PermanentTaskFailure,
    RetryLater,
    Snooze,
    StoreError,
    UnavailableError,
)
from adjourn.execution.attempt import Attempt
from adjourn.execution.current_task import CurrentTask, running
from adjourn.execution.dead_letters import KEPT, DeadLetterRecorder
from adjourn.execution.delivery import TIMEOUT, Delivery, Outcome
from adjourn.log import event
from adjourn.ports import Adapters
from adjourn.serialization.context import LANGUAGE, USER, ContextPropagator, text
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Settings
from adjourn.state.once_records import Claim, ClaimStatus, OnceRecords
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.task import Task

# A lease outlasts its attempt by the difference that clocks may have.
SKEW = dt.timedelta(seconds=10)
_LONGEST_REASON = 500


class Call(NamedTuple):
    """One attempt at a call.

    Attributes:
        envelope: The call.
        delivery: The request that delivered it.
        attempt: The count over all tasks of the call.
        limit: Attempts after which the queue deletes the task; 0 for unlimited.
        unreadable: Why its stored arguments cannot be read; None if they can.
    """

    envelope: Envelope
    delivery: Delivery
    attempt: Attempt
    limit: int
    unreadable: DecodeError | None = None

    @classmethod
    def of(cls, envelope: Envelope, delivery: Delivery, limit: int) -> Call:
        """Return the attempt that a delivery makes."""
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
        """Whether Cloud Tasks deletes the task after this attempt, whatever the answer."""
        return 0 < self.limit <= self.delivery.attempt.number  # the queue counts this task alone

    def current(
        self, clock: Clock, function_timeout: int, settle: Callable[[object], None] | None
    ) -> CurrentTask:
        """Return what the user's code can find out about the call.

        Args:
            clock: For the time that is left.
            function_timeout: The timeout of the deferred function, in seconds.
            settle: Marks the call as done within a transaction; None if it is not claimed.
        """
        envelope = self.envelope
        longest = dt.timedelta(seconds=function_timeout)
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


@dataclass(kw_only=True, eq=False, repr=False)
class CallExecutor:
    """Runs calls; records those that failed for good and enqueues again those that go on later.

    Attributes:
        on_resumed: Called with each call that was enqueued again, and the full name of its new
            task.
    """

    adapters: Adapters
    settings: Settings
    propagator: ContextPropagator
    enqueuer: Enqueuer
    once_records: OnceRecords
    dead_letters: DeadLetterRecorder
    on_resumed: Callable[[Envelope, str], None]

    def execute(self, call: Call, task: Task[..., Any]) -> Outcome | None:
        """Run a call, unless it has to be claimed and cannot be.

        Returns:
            The outcome; None if the call was enqueued again.

        Raises:
            StoreError: A record could not be read or written; nothing may be acknowledged.
            EnqueueError: The call could not be enqueued again; nothing may be acknowledged.
        """
        envelope = call.envelope
        if envelope.once or envelope.no_retry:
            return self._claim(call, task)
        outcome = self._run(call, task, None)
        if outcome is Outcome.DONE:
            self.drop(call)
        return outcome

    def drop(self, call: Call) -> None:
        """Remove the stored arguments of a call that never runs again."""
        if call.envelope.stowed:
            self.enqueuer.payloads.discard(call.envelope)

    def resume(self, call: Call, at: dt.datetime, *, counts: bool) -> Outcome | None:
        """Enqueue a call again, under a name that makes repetitions harmless.

        Args:
            call: The call.
            at: Earliest start of the new task.
            counts: Whether this attempt counts towards the call's limits.

        Returns:
            None; or the outcome if no such task can ever be created, as when its queue is gone.

        Raises:
            UnavailableError: Cloud Tasks could not be reached.
            StoreError: Datastore could not be reached.
        """
        envelope = call.envelope
        resumed = envelope._replace(
            queue=envelope.queue or call.delivery.queue,
            resumed=envelope.resumed + 1,
            attempts=call.attempt.retry_count + counts,
            executions=call.attempt.execution_count + counts,
        )
        try:
            handle = self.enqueuer.resume(resumed, at)
        except UnavailableError:
            raise
        except (EnqueueError, EncodeError) as error:
            return self.give_up(call, error)
        self.on_resumed(envelope, handle.name)
        return None

    def give_up(
        self, call: Call, error: BaseException, task: Task[..., Any] | None = None
    ) -> Outcome:
        """Make a call a dead letter.

        Raises:
            StoreError: The record was not written; nothing may be acknowledged.
        """
        self.enqueuer.payloads.extend(call.envelope, self.adapters.clock.now() + KEPT)
        self.dead_letters.record(
            call.delivery,
            error,
            task_id=call.envelope.id,
            task=call.envelope.task,
            attempts=call.attempt.number,
            hook=task.on_dead if task else None,
        )
        return Outcome.DEAD

    def _claim(self, call: Call, task: Task[..., Any]) -> Outcome | None:
        """Claim a call, run it and settle the claim."""
        envelope = call.envelope
        lease = (envelope.timeout or TIMEOUT) + SKEW
        claim = self.once_records.claim(envelope.id, lease, no_retry=envelope.no_retry)
        if claim.status is ClaimStatus.DONE:
            event("task.duplicate", logging.INFO, f"{envelope.task} has already taken effect")
            return Outcome.DONE
        if claim.status is ClaimStatus.BUSY:
            return Outcome.BUSY
        if claim.status is ClaimStatus.ABANDONED:
            crashed = PermanentTaskFailure(
                "It was begun before, never ended, and no_retry forbids another attempt."
            )
            return self.give_up(call, crashed, task)
        settle_in = partial(self.once_records.settle_in, call=envelope.id, token=claim.token)
        outcome = self._run(call, task, settle_in)
        self._settle(call, claim, outcome)
        return outcome

    def _settle(self, call: Call, claim: Claim, outcome: Outcome | None) -> None:
        task, is_over = call.envelope.task, outcome in {Outcome.DONE, Outcome.DEAD}
        try:
            is_settled = self.once_records.settle(call.envelope.id, claim.token, done=is_over)
        except (StoreError, ConflictError) as error:
            # The outcome stands: with a failure, a delivery after the lease would run it again.
            event("service.unavailable", logging.WARNING, str(error), error=error)
            return
        if not is_settled:
            event("task.fenced", logging.WARNING, f"{task} outlived its lease")
        elif outcome is Outcome.DONE:
            self.drop(call)

    def _run(
        self, call: Call, task: Task[..., Any], settle: Callable[[object], None] | None
    ) -> Outcome | None:
        name, clock = call.envelope.task, self.adapters.clock
        if call.unreadable:
            return self.give_up(call, call.unreadable, task)
        # From here on the call has begun, and no longer expires when it is resumed.
        call = call._replace(envelope=call.envelope._replace(expires_at=None))
        try:
            with (
                running(call.current(clock, self.settings.function_timeout, settle)),
                self.propagator.restored(call.envelope.context),
            ):
                _check_not_lazy(task.function(*call.envelope.args, **call.envelope.kwargs))
        except Discard as reason:
            shown = error_line(reason, _LONGEST_REASON)
            event("task.discarded", logging.INFO, f"{name} is no longer wanted: {shown}")
        except Snooze as snooze:
            event("task.snoozed", logging.INFO, f"{name} comes back in {snooze.after}")
            return self.resume(call, clock.now() + snooze.after, counts=False)
        except PermanentTaskFailure as error:
            return self.give_up(call, error, task)
        except KeyboardInterrupt:
            raise
        # Also SystemExit and asyncio's CancelledError, which are no Exception: the task has failed,
        # but the process of the function must go on.
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises
            return self._failed(call, error, task)
        else:
            event("task.done", logging.DEBUG, f"{name} done")
        return Outcome.DONE

    def _failed(self, call: Call, error: BaseException, task: Task[..., Any]) -> Outcome | None:
        if call.is_last:
            return self.give_up(call, error, task)
        event("task.failed", logging.WARNING, f"{call.envelope.task} failed", error=error)
        if isinstance(error, RetryLater):
            return self.resume(call, self.adapters.clock.now() + error.after, counts=True)
        return Outcome.FAILED


def _check_not_lazy(result: object) -> None:
    """Refuse an asynchronous function that a decorator has hidden when the task was declared.

    Raises:
        PermanentTaskFailure: The function returned a coroutine.
    """
    if inspect.iscoroutine(result):
        result.close()
        raise PermanentTaskFailure("It returned a coroutine, of which nothing has run; use def.")
