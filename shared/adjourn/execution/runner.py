"""Receive delivered calls: decide whether each may run now, later or never."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from adjourn.errors import (
    ConflictError,
    DecodeError,
    StoreError,
    UnknownNameError,
    UnknownTypeError,
)
from adjourn.execution.call import SKEW, CallExecutor
from adjourn.execution.current_task import Call
from adjourn.execution.delivery import Delivery, Outcome
from adjourn.execution.retry_warning import RetryWarnings
from adjourn.log import bound, event, is_observed, trace_fields
from adjourn.names import CALLABLE, RUN, UNIQUE_NAME
from adjourn.ports import Adapters
from adjourn.ports.sealer import is_sealed
from adjourn.registry import Registry
from adjourn.serialization.codec import Codec
from adjourn.serialization.context import TRACEPARENT, USER, text
from adjourn.serialization.envelope import Envelope
from adjourn.settings import Settings
from adjourn.state.call_records import GRACE, CallRecord
from adjourn.state.large_payloads import LargePayloads
from adjourn.state.transaction_markers import TransactionMarkers, TransactionOutcome, wait
from adjourn.tasks.creation import LONGEST_DELAY
from adjourn.tasks.methods import Method, resolved
from adjourn.tasks.task import Task

# How much earlier than planned a task may arrive because clocks differ.
_EARLY = dt.timedelta(hours=1)
# Delay of a call that goes on as a new task after the last attempt that its queue makes.
_PAUSE = dt.timedelta(minutes=1)

Admit = Callable[[Call], Outcome | None]
Drop = Callable[[Call, str], Outcome]


@dataclass(kw_only=True, eq=False, repr=False)
class TaskRunner:
    """Runs the calls that Cloud Tasks delivers to the deferred function.

    Attributes:
        on_periodic: Called with each periodic run before it begins.
        on_window: Called with each task that waits for the end of a window, in place of its call.
        on_child: Called with each child of a batch, what admits it, and what drops it.
    """

    tasks: Registry[Task[..., Any]]
    adapters: Adapters
    settings: Settings
    codec: Codec
    payloads: LargePayloads
    markers: TransactionMarkers
    retry_warnings: RetryWarnings
    executor: CallExecutor
    on_periodic: Callable[[Call], None]
    on_window: Callable[[Call, CallExecutor], Outcome | None]
    on_child: Callable[[Call, Admit, Drop], Outcome | None]

    def __call__(self, delivery: Delivery) -> Outcome:
        """Run a delivered call, or make it a dead letter if it can never run.

        Raises:
            StoreError: A record could not be read or written; nothing may be acknowledged.
            EnqueueError: A call could not be enqueued again; nothing may be acknowledged.
        """
        try:
            envelope = Envelope.decode(delivery.body, self.codec)
        except DecodeError as error:
            return self._receive_verbatim(delivery, error)
        return self._receive(self._call(envelope, delivery))

    def _call(self, envelope: Envelope, delivery: Delivery) -> Call:
        call = Call.of(envelope, delivery, self.settings.attempts_of(delivery.queue))
        if envelope.keep_result is None:
            return call
        return call._replace(result=self.executor.enqueuer.results().pending(envelope))

    def _receive_verbatim(self, delivery: Delivery, error: DecodeError) -> Outcome:
        """Receive a call with arguments that cannot be decoded here, and are kept as they are."""
        from adjourn.serialization.verbatim import VERBATIM  # noqa: PLC0415 - for rolling deploys

        error.__cause__ = None  # it may quote an argument, and this is logged
        try:
            envelope = Envelope.decode(delivery.body, VERBATIM)
        except DecodeError:
            return self.reject(delivery, error)
        executor, enqueuer = self.executor, replace(self.executor.enqueuer, codec=VERBATIM)
        resumption = replace(executor.resumption, enqueuer=enqueuer)
        runner = replace(self, executor=replace(executor, resumption=resumption))
        return runner._receive(self._call(envelope, delivery)._replace(unreadable=error))  # noqa: SLF001

    def _receive(self, call: Call) -> Outcome:
        envelope = call.envelope
        traceparent = text(envelope.context, TRACEPARENT)
        if is_observed():
            from adjourn.execution.observed_call import described  # noqa: PLC0415 - for those with an SDK

            traceparent = described(call, traceparent)
        trace = trace_fields(self.settings.project, traceparent)
        with bound(task=envelope.task, task_id=envelope.id, attempt=call.attempt.number, **trace):
            outcome = self._last_of_queue(call) if call.is_queues_last else self._admit(call)
        if outcome is None and is_observed():
            from adjourn.execution.observed_call import note_resumption  # noqa: PLC0415 - for those with an SDK

            note_resumption()
        return Outcome.DONE if outcome in {None, Outcome.DROPPED} else outcome

    def reject(self, delivery: Delivery, error: DecodeError) -> Outcome:
        """Make a delivery whose body cannot be decoded a dead letter.

        Raises:
            StoreError: The record was not written; nothing may be acknowledged.
        """
        error.__cause__ = None  # it may quote an argument, and this is logged
        letters = self.executor.dead_letters
        if is_sealed(delivery.body):
            from adjourn.execution.unsealing import await_key  # noqa: PLC0415 - without a key

            return await_key(delivery, self.adapters, self.settings, letters)
        letters.record(delivery, error)
        return Outcome.DEAD

    def _last_of_queue(self, call: Call) -> Outcome | None:
        """Admit the last attempt that the queue makes; unless the call ends, enqueue it again."""
        failure: Exception | None = None
        try:
            outcome = self._admit(call)
        except Exception as error:  # noqa: BLE001 - whatever it is, the call must not be lost
            outcome, failure = Outcome.TROUBLE, error
        if outcome in {Outcome.DONE, Outcome.DROPPED, Outcome.DEAD, None}:
            return outcome
        message = f"{call.envelope.task} goes on as a new task: its queue makes no more attempts"
        event("task.rescued", logging.WARNING, message, error=failure)
        # The next number belongs to the successor that this attempt may have.
        envelope = call.envelope._replace(resumed=call.envelope.resumed + 1)
        later = self.adapters.clock.now() + _PAUSE
        ended = self.executor.resume(call._replace(envelope=envelope), later, counts=False)
        if ended and envelope.batch:
            self.on_child(call, lambda _: ended, self._drop)
        return ended

    def _admit(self, call: Call) -> Outcome | None:
        if call.envelope.batch:
            return self.on_child(call, self._admit_alone, self._drop)
        return self._admit_alone(call)

    def _admit_alone(self, call: Call) -> Outcome | None:
        """Run a call unless it is expired, early, unknown or of a transaction without commit.

        Returns:
            The outcome; None if the call was enqueued again.
        """
        envelope, now = call.envelope, self.adapters.clock.now()
        if envelope.expires_at and now >= envelope.expires_at and not self._has_begun(call):
            event("task.expired", logging.WARNING, f"{envelope.task} has expired; it is dropped")
            return self._drop(call, "it has expired")
        if start := _next_hop(envelope, now):
            return self.executor.resume(call, start, counts=False)
        if envelope.marker:
            return self._admit_committed(call)
        return self._admit_due(self._with_arguments(call) if envelope.stowed else call)

    def _has_begun(self, call: Call) -> bool:
        """Return whether a call is known to have been tried, so that it no longer expires."""
        if call.attempt.execution_count or not call.may_have_crashed:
            return call.attempt.execution_count > 0
        record = self.executor.watch.records.get(call.envelope.identity)
        return record is not None and record.begun + record.crashes > 0

    def _drop(self, call: Call, why: str) -> Outcome:
        if call.result is not None:
            call.result.dropped(why)
            call.result.write()
        self.executor.drop(call, is_read=False)
        if call.envelope.resumed:
            self.executor.watch.end(call, Outcome.DONE)
            if call.envelope.flow:
                with suppress(UnknownNameError):  # then a guard finds its permits
                    self.executor.leave_flows(call, self.tasks.get(call.envelope.task))
        return Outcome.DROPPED

    def _admit_due(self, call: Call) -> Outcome | None:
        """Run a call unless it is unknown."""
        envelope = call.envelope
        if envelope.window:
            return self.on_window(call, self.executor)
        if isinstance(call.unreadable, UnknownTypeError):
            return self._unknown(call, call.unreadable)
        try:
            task = self.tasks.get(envelope.task)
            if isinstance(task, Method) and not call.unreadable:
                task = resolved(task, envelope.args, envelope.kwargs)
        except UnknownNameError as error:
            return self._unknown(call, error)
        except DecodeError as error:
            call = call._replace(unreadable=error)
        if envelope.task.startswith(CALLABLE) and not call.unreadable:
            call = self._started_by_user(call)
        return self._execute(call, task)

    def _started_by_user(self, call: Call) -> Call:
        """Return a call of a callable task, to be refused unless a checked user has started it."""
        from adjourn.state.user_starts import UserStarts, content_of  # noqa: PLC0415 - for these

        envelope = call.envelope
        user = text(envelope.context, USER) or ""
        content = content_of(envelope.task, user, envelope.args, envelope.kwargs)
        if call.delivery.sealed:  # by the application, which has checked the user
            return call
        if UserStarts.of(self.adapters).includes(envelope.user_start, content):
            return call
        return call._replace(
            unreadable=DecodeError(
                "No user is known to have started it: the call is forged, or an earlier version of"
                " adjourn made it; if you trust it, replay it with --vouch"
            )
        )

    def _execute(self, call: Call, task: Task[..., Any]) -> Outcome | None:
        envelope = call.envelope
        if call.attempt.retry_count:
            self.retry_warnings.check(envelope.identity, envelope.task, call.attempt)
        if envelope.id.endswith(RUN):
            self.on_periodic(call)
        # Earlier versions of adjourn did not tell which calls are unique.
        task_name = call.delivery.task_name
        if unique := envelope.unique or (UNIQUE_NAME.fullmatch(task_name) and task_name):
            self.executor.enqueuer.unique_calls.begin(unique, call.is_carried_by)
        return self.executor.execute(call, task)

    def _admit_committed(self, call: Call) -> Outcome | None:
        """Admit a call of a transaction if that was committed."""
        envelope, now = call.envelope, self.adapters.clock.now()
        since = envelope.waiting_since or now  # by this clock: that of the caller may differ
        transaction = self.markers.outcome_of(envelope.marker, since)
        if transaction is TransactionOutcome.OPEN:
            waiting = call._replace(envelope=envelope._replace(waiting_since=since))
            return self.executor.resume(waiting, now + wait(envelope.resumed), counts=False)
        if transaction is TransactionOutcome.ROLLED_BACK:
            event("task.rolled_back", logging.INFO, f"{envelope.task}: no commit; it is dropped")
            return self._drop(call, "its transaction was rolled back")
        # Remembered as committed, since the marker may have expired when the call is resumed.
        return self._admit_alone(call._replace(envelope=envelope._replace(marker="")))

    def _with_arguments(self, call: Call) -> Call:
        """Return a call with its stored arguments, or with the error why they cannot be read.

        They are read before the call is claimed: if Datastore is out of reach, a call that must not
        be begun twice can still be retried.
        """
        try:
            return call._replace(envelope=self.payloads.fetch(call.envelope, self.codec))
        except DecodeError as error:
            error.__cause__ = None  # it may quote an argument, and this is logged
            return call._replace(unreadable=error)

    def _unknown(self, call: Call, error: UnknownNameError | UnknownTypeError) -> Outcome:
        """Have a call retried for an hour after its first delivery to a revision without it."""
        now = self.adapters.clock.now()
        execution = call.attempt.execution_count + 1
        try:
            record = self.executor.watch.records.unknown(call.envelope.identity, execution)
        except (StoreError, ConflictError) as trouble:
            event("service.unavailable", logging.WARNING, str(trouble), error=trouble)
            record = CallRecord(unknown_since=now)
        if not record.is_open or record.resumed > call.envelope.resumed:
            return Outcome.DONE  # it has ended, or goes on as another task
        if now - (record.unknown_since or now) > GRACE:
            outcome = self.executor.give_up(call, error)
            self.executor.watch.end(call, outcome)
            return outcome
        event("task.unknown", logging.WARNING, f"{error}; it is retried for an hour")
        return Outcome.UNKNOWN


def _next_hop(envelope: Envelope, now: dt.datetime) -> dt.datetime | None:
    """Return the start of a call whose task was enqueued for an earlier time; None to run it now.

    A task that comes well before its time was forced to run (RunTask), and does.
    """
    start = envelope.starts_at or envelope.eta
    if start is None or start - now <= SKEW:
        return None
    if envelope.hops_at is not None:
        return start if now >= envelope.hops_at - _EARLY else None
    # An earlier version of adjourn wrote neither of the two fields.
    is_hop = envelope.starts_at is None and start - envelope.enqueued_at > LONGEST_DELAY
    return start if is_hop else None
