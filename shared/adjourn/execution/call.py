"""Run a delivered call, and decide what follows."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from adjourn.coroutines import NOT_RUN
from adjourn.error_text import error_line
from adjourn.errors import (
    ConflictError,
    Discard,
    EncodeError,
    EnqueueError,
    PermanentTaskFailure,
    RetryLater,
    Snooze,
    StoreError,
    TaskTimeoutError,
    UnavailableError,
)
from adjourn.execution.crash_watch import CrashWatch
from adjourn.execution.current_task import Call, CurrentTask, running
from adjourn.execution.dead_letters import KEPT, DeadLetterRecorder
from adjourn.execution.delivery import TIMEOUT, Outcome
from adjourn.execution.resumption import Resumption
from adjourn.log import event
from adjourn.ports import Adapters
from adjourn.serialization.context import ContextPropagator
from adjourn.settings import Settings
from adjourn.state.once_records import Claim, ClaimStatus, OnceRecords
from adjourn.tasks.enqueue import Enqueuer
from adjourn.tasks.task import Task

# A lease outlasts its attempt by the difference that clocks may have.
SKEW = dt.timedelta(seconds=10)
_ANSWER = dt.timedelta(seconds=1)  # an attempt ends so much before its timeout, to be answered
_LONGEST_REASON = 500


@dataclass(kw_only=True, eq=False, repr=False)
class CallExecutor:
    """Runs calls; records those that failed for good and enqueues again those that go on later.

    Attributes:
        admit: Runs a call that has flows, by its last argument, when they allow it.
    """

    adapters: Adapters
    settings: Settings
    propagator: ContextPropagator
    enqueuer: Enqueuer
    once_records: OnceRecords
    dead_letters: DeadLetterRecorder
    resumption: Resumption
    watch: CrashWatch
    admit: Callable[[Call, Task[..., Any], Callable[[Call], Outcome | None]], Outcome | None]

    def execute(self, call: Call, task: Task[..., Any]) -> Outcome | None:
        """Run a call, unless it is over, has to be claimed and cannot be, or crashed too often.

        Returns:
            The outcome; None if the call was enqueued again.

        Raises:
            StoreError: A record could not be read or written; nothing may be acknowledged.
            EnqueueError: The call could not be enqueued again; nothing may be acknowledged.
        """
        if task.defaults.flow and not call.unreadable:
            return self.admit(call, task, lambda admitted: self._watch(admitted, task))
        return self._watch(call, task)

    def _watch(self, call: Call, task: Task[..., Any]) -> Outcome | None:
        if not call.is_watched:
            return self._execute(call, task)
        watched = self.watch.begin(call, self.longest(call) + 2 * SKEW)
        if watched is None:
            return Outcome.DONE
        outcome = self._execute(watched, task)
        self.watch.end(watched, outcome)
        return outcome

    def longest(self, call: Call) -> dt.timedelta:
        """Return how long an attempt at a call may take."""
        return min(call.envelope.timeout or TIMEOUT, self._function_timeout)

    @cached_property
    def _function_timeout(self) -> dt.timedelta:
        return dt.timedelta(seconds=self.settings.function_timeout)

    def _execute(self, call: Call, task: Task[..., Any]) -> Outcome | None:
        if call.envelope.once or call.envelope.no_retry:
            return self._claim(call, task)
        outcome = self._run(call, task, None)
        if outcome is Outcome.DONE:
            if call.result is not None:
                call.result.write()
            self.drop(call)
        return outcome

    def drop(self, call: Call, *, is_read: bool = True) -> None:
        """Remove the stored arguments of a call that never runs again.

        Args:
            call: The call.
            is_read: Whether this delivery has read them, so that they are known to be its own.
        """
        if call.envelope.stowed:
            self.enqueuer.payloads.discard(call.envelope, is_read=is_read)

    def leave_flows(self, call: Call, task: Task[..., Any]) -> None:
        """Give back the permits of a call that its flows have called, and that has ended.

        Raises:
            StoreError: Datastore could not be reached; nothing may be acknowledged.
        """
        if task.defaults.flow:
            self.admit(call, task, lambda _: Outcome.DONE)

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
        try:
            self.resumption.resume(call, at, counts=counts)
        except UnavailableError:
            raise
        except (EnqueueError, EncodeError) as error:
            return self.give_up(call, error)
        return None

    def give_up(
        self, call: Call, error: BaseException, task: Task[..., Any] | None = None
    ) -> Outcome:
        """Make a call a dead letter.

        Raises:
            StoreError: The record was not written; nothing may be acknowledged.
        """
        self.enqueuer.payloads.extend(call.envelope, self.adapters.clock.now() + KEPT)
        result = call.result
        if result is not None:
            result.failed(error)
        self.dead_letters.record(
            call.delivery,
            error,
            call=call.envelope.identity,
            task=call.envelope.task,
            attempts=call.attempt.number,
            hook=task.on_dead if task else None,
            also=result.put if result else None,
        )
        if result is not None:
            result.settle()
        return Outcome.DEAD

    def _claim(self, call: Call, task: Task[..., Any]) -> Outcome | None:
        """Claim a call, run it and settle the claim."""
        envelope = call.envelope
        lease = (envelope.timeout or TIMEOUT) + SKEW
        claim = self.once_records.claim(envelope.identity, lease, no_retry=envelope.no_retry)
        if claim.status is ClaimStatus.DONE:
            event("task.duplicate", logging.INFO, f"{envelope.task} has already taken effect")
            return Outcome.DONE
        if claim.status is ClaimStatus.BUSY:
            self.note_wait(call)
            return Outcome.BUSY
        if claim.status is ClaimStatus.ABANDONED:
            crashed = PermanentTaskFailure(
                "It was begun before, never ended, and no_retry forbids another attempt."
            )
            return self.give_up(call, crashed, task)
        settle_in = partial(self.once_records.settle_in, claim=claim)
        outcome = self._run(self._with_waits(call), task, settle_in)
        self._settle(call, claim, outcome)
        return outcome

    def note_wait(self, call: Call) -> None:
        """Note that Cloud Tasks will count an execution in which the call was not tried."""
        if call.envelope.max_retries is not None:
            try:
                self.watch.records.wait(call.envelope.identity, call.attempt.execution_count + 1)
            except (StoreError, ConflictError) as error:
                # Then it counts as one in which it was.
                event("service.unavailable", logging.WARNING, str(error), error=error)

    def _with_waits(self, call: Call) -> Call:
        """Return a call with the executions that its limit of retries does not count."""
        if call.is_watched or not call.attempt.is_last(call.envelope.max_retries):
            return call
        record = self.watch.records.get(call.envelope.identity)
        return call._replace(waits=record.waits) if record else call

    def _settle(self, call: Call, claim: Claim, outcome: Outcome | None) -> None:
        task, is_over = call.envelope.task, outcome in {Outcome.DONE, Outcome.DEAD}
        try:
            also = call.result.put if call.result else None
            is_settled = self.once_records.settle(claim, done=is_over, also=also)
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
        if call.refusal:
            return self.give_up(call, call.refusal, task)
        longest = self.longest(call)
        limit = (longest - _ANSWER).total_seconds()
        try:
            with (
                running(CurrentTask.of(call, clock, clock.now() + longest, settle)),
                self.propagator.restored(call.envelope.context),
            ):
                self._call(task, call, limit)
        except Discard as reason:
            _note_discarded(call, reason)
        except Snooze as snooze:
            event("task.snoozed", logging.INFO, f"{name} comes back in {snooze.after}")
            return self.resume(call.begun(), clock.now() + snooze.after, counts=False)
        except PermanentTaskFailure as error:
            return self.give_up(call, error, task)
        except KeyboardInterrupt:
            raise
        # Also SystemExit and asyncio's CancelledError, which are no Exception: the task has failed,
        # but the process of the function must go on.
        except BaseException as error:  # noqa: BLE001 - whatever the user's code raises
            return self.failed(call, error, task)
        else:
            event("task.done", logging.DEBUG, f"{name} done")
        return Outcome.DONE

    def _call(self, task: Task[..., Any], call: Call, seconds: float) -> None:
        envelope = call.envelope
        with self.adapters.time_limit(seconds, TaskTimeoutError):
            result = task.function(*envelope.args, **envelope.kwargs)
        if isinstance(result, NOT_RUN):  # a coroutine, which a limit of this thread would not end
            result = self.adapters.finished(result, seconds, TaskTimeoutError)
        if call.result is not None:
            call.result.done(result)

    def failed(self, call: Call, error: BaseException, task: Task[..., Any]) -> Outcome | None:
        """Have a call retried, or make it a dead letter if this was its last attempt.

        Raises:
            StoreError: A record was not written; nothing may be acknowledged.
            EnqueueError: The call could not be enqueued again; nothing may be acknowledged.
        """
        if call.is_last:
            return self.give_up(call, error, task)
        event("task.failed", logging.WARNING, f"{call.envelope.task} failed", error=error)
        if isinstance(error, RetryLater):
            later = self.adapters.clock.now() + error.after
            return self.resume(call.begun(), later, counts=True)
        return Outcome.FAILED


def _note_discarded(call: Call, reason: Discard) -> None:
    shown = error_line(reason, _LONGEST_REASON)
    event("task.discarded", logging.INFO, f"{call.envelope.task} is no longer wanted: {shown}")
    if call.result is not None:
        call.result.dropped(f"it is no longer wanted: {shown}")
